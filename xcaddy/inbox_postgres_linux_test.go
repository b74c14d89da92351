package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/postgrestest"
)

// startTwo starts two Caddies that share a database.
func startTwo(t *testing.T, backend, database, options string) (one, two *server) {
	one, two = newServer(t), newServer(t)
	for _, s := range []*server{one, two} {
		s.write(inboxSite(backend, database, options))
		s.serve()
		s.awaitInbox()
	}
	return one, two
}

func (s *server) delivered() float64 {
	return s.metricSum("caddy_elevenlabs_inbox_attempts_total", `reason=""`)
}

// leasesRunOut is how long after the end of a Caddy another one has delivered all its
// events: it may take them over after 40 seconds.
const leasesRunOut = 40*time.Second + patience/2

func TestSeveralCaddiesShareAnInboxInPostgres(t *testing.T) {
	t.Parallel() // it mostly waits for leases to run out
	postgres := postgrestest.Start(t)
	t.Run("one is killed", func(t *testing.T) {
		t.Parallel()
		l := newInboxLedger(t)
		one, two := startTwo(t, l.backend(slowly(30*time.Millisecond)), postgres.Database(t), "")
		stopOne, stopTwo := l.load(one, 2, 8<<10), l.load(two, 2, 8<<10, 1<<20+5000)
		one.eventually("both to deliver", func() bool { return one.delivered() > 50 && two.delivered() > 50 })
		one.kill()
		l.crashed()
		killed := time.Now()
		stopOne()
		stopTwo()
		c := l.settled(two)
		t.Logf("taken over after %s", time.Since(killed))
		assert.Less(t, time.Since(killed), leasesRunOut)
		assert.LessOrEqual(t, c.repeats, inboxConcurrency)
		assert.Zero(t, c.again+c.bypassed)
	})
	t.Run("one is frozen", func(t *testing.T) {
		t.Parallel()
		l := newInboxLedger(t)
		one, two := startTwo(t, l.backend(slowly(200*time.Millisecond)), postgres.Database(t), "concurrency 8")
		t.Cleanup(func() { _ = one.command.Process.Signal(syscall.SIGCONT) })
		stopOne, stopTwo := l.load(one, 2, 8<<10), l.load(two, 2, 8<<10)
		one.eventually("both to deliver", func() bool { return one.delivered() > 10 && two.delivered() > 10 })
		l.inDoubt = 2 // requests are being stored
		require.NoError(t, one.command.Process.Signal(syscall.SIGSTOP))
		frozen := time.Now()
		stopTwo()
		require.Eventually(t, func() bool {
			return l.counts().lost == 0 && two.inboxCount("waiting")+two.inboxCount("delivering") == 0
		}, leasesRunOut, 100*time.Millisecond, "the other one to take over")
		t.Logf("taken over after %s", time.Since(frozen))
		require.NoError(t, one.command.Process.Signal(syscall.SIGCONT))
		stopOne()
		c := l.settled(one, two)
		assert.LessOrEqual(t, c.repeats, 8+l.inDoubt, "what it was delivering when it froze")
	})
}

func TestInboxWithoutItsPostgres(t *testing.T) {
	t.Parallel()
	postgres := postgrestest.Start(t)
	database := postgres.Database(t)

	wrong := start(t, site("respond 404"))
	problem := wrong.post("/load", inboxSite("127.0.0.1:1", strings.Replace(database, "p4ss", "wr0ng", 1), ""))
	assert.Regexp(t, `inbox default: the database postgres://127.0.0.1:\d+/test\d+ does not let this user in: correct user and password in the URL`, problem)
	assert.NotContains(t, problem, "wr0ng")
	problem = wrong.post("/load", inboxSite("127.0.0.1:1", database+"none", ""))
	assert.Contains(t, problem, "has no such database: create it, or correct its name in the URL")

	l := newInboxLedger(t)
	s := start(t, inboxSite(l.backend(slowly(5*time.Millisecond)), database, ""))
	s.awaitInbox()
	client := s.client("HTTP/1.1")
	how := func() string {
		got, err := l.send(client, s, l.event(500))
		require.NoError(t, err)
		return got.header.Get(headerInbox)
	}

	stop := l.load(s, 4, 8<<10)
	s.eventually("events to be delivered", func() bool { return s.delivered() > 50 })
	postgres.Stop(t) // as a crash of its machine
	s.eventually("events to bypass", func() bool { return l.counts().bypassed > 20 })
	late := start(t, inboxSite(l.backend(taken), database, "")) // its database is away when it starts
	got, err := l.send(late.client("HTTP/1.1"), late, l.event(500))
	require.NoError(t, err)
	assert.Equal(t, "bypassed", got.header.Get(headerInbox))
	assert.False(t, late.inboxes()[0].Up)
	late.awaitLog("the inbox cannot be reached: events are forwarded at once until it can")
	postgres.Restart(t)
	s.eventually("events to be stored again", func() bool { return how() == "stored" })
	stop()
	c := l.settled(s)
	assert.Zero(t, c.thrice)
	late.eventually("the late one to store", func() bool {
		got, err := l.send(late.client("HTTP/1.1"), late, l.event(500))
		return err == nil && got.header.Get(headerInbox) == "stored"
	})
	late.awaitLog("the inbox can be reached again")
	l.settled(s, late)

	postgres.Freeze(t)
	began := time.Now()
	assert.Equal(t, "bypassed", how())
	assert.InDelta(t, 5, time.Since(began).Seconds(), 3, "seconds until an event bypasses")
	t.Logf("bypassed after %s", time.Since(began))
	assert.Zero(t, s.metricSum("caddy_elevenlabs_inbox_up"))
	assert.Positive(t, s.metricSum("caddy_elevenlabs_inbox_bypassed_total", `reason="timeout"`))
	postgres.Thaw(t)
	s.eventually("events to be stored again", func() bool { return how() == "stored" })
	l.settled(s)
	for _, s := range []*server{s, late, wrong} { // closes the database while its server is there
		require.Empty(t, s.post("/load", site("respond 404")))
	}
	assert.Equal(t, http.StatusNotFound, send(t, s.client("HTTP/1.1"), s.event([]byte("{}"))).status)
}
