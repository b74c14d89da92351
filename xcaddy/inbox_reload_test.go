package main

import (
	"database/sql"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const inboxRunners = "inbox.(*Runner).claimLoop("

// runners returns how many runners of inboxes claim events.
func (s *server) runners() int {
	return strings.Count(s.get("/debug/pprof/goroutine?debug=2"), inboxRunners)
}

func TestReloadsUnderLoadHandTheInboxOver(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	backend, one, two := l.backend(slowly(5*time.Millisecond)), newInboxFile(t), newInboxFile(t)
	same := inboxSite(backend, one, "concurrency 4")
	other := webhook(backend, "inbox other {\ndatabase "+two+"\n}")
	s := start(t, same)
	stop := l.load(s, 4, mixedSizes...)
	rounds := inboxRounds(t, 20)
	reload := func(caddyfile string) {
		before := l.acks()
		s.load(caddyfile)
		s.eventually("events between reloads", func() bool { return t.Failed() || l.acks() > before+3 })
	}
	for range rounds / 2 {
		reload(same)
	}
	assert.Equal(t, 4, l.counts().most, "one runner, whose places are all used")
	assert.Equal(t, 1, s.runners())
	assert.Zero(t, l.counts().bypassed)
	for i := range rounds / 2 {
		reload([]string{
			inboxSite(backend, one, "concurrency 7\nretry 1s"),
			other,
			same,
			inboxSite(backend, one, "concurrency 2\ntimeout 10s"),
		}[i%4])
	}
	stop()
	site := strings.TrimSuffix(strings.TrimSpace(same), "}")
	s.load(site + "handle /other {\n" + strings.SplitN(other, "handle /webhooks/elevenlabs {", 2)[1]) // what is left in both
	c := l.settled(s)
	t.Logf("%d reloads", rounds)
	assert.Zero(t, c.twice+c.thrice, "delivered twice")
	assert.Equal(t, 2, s.runners())
	s.load("http://$ADDRESS {\nrespond 404\n}\n")
	s.eventually("the runners to end", func() bool { return s.runners() == 0 })
	for _, path := range []string{one, two} {
		s.eventually("the databases to be closed", func() bool { _, err := os.Stat(path + "-wal"); return os.IsNotExist(err) })
	}
	s.load(same)
}

// At its end, Caddy claims no more events, and gives those under way ten seconds.
func TestInboxLosesNothingInAGracefulEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		hang        bool // one delivery takes longer than Caddy waits
		least, most time.Duration
	}{
		{"deliveries are waited for", false, 0, 9 * time.Second},
		{"not longer than ten seconds", true, 9 * time.Second, 18 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newInboxLedger(t)
			var hanging atomic.Value
			hanging.Store("")
			var pause atomic.Int64 // of the backend
			pause.Store(int64(time.Second))
			s := newServer(t)
			s.write(inboxSite(l.backend(func(w http.ResponseWriter, r *http.Request, n int) int {
				if r.Header.Get("Idempotency-Key") == hanging.Load() && n == 1 {
					<-r.Context().Done()
					return 0
				}
				return slowly(time.Duration(pause.Load()))(w, r, n)
			}), newInboxFile(t), "concurrency 8"))
			s.serve()
			body := l.event(100)
			if test.hang {
				hanging.Store(digestOf(body))
			}
			_, err := l.send(s.client("HTTP/1.1"), s, body)
			require.NoError(t, err)
			stop := l.load(s, 4, 8<<10)
			s.eventually("all places to be used", func() bool { return l.counts().most == 8 })
			began := time.Now()
			require.NoError(t, s.command.Process.Signal(syscall.SIGTERM))
			s.eventually("the server to end", func() bool { return !s.running() })
			took := time.Since(began)
			stop()
			t.Logf("ended after %s", took)
			assert.GreaterOrEqual(t, took, test.least)
			assert.LessOrEqual(t, took, test.most)
			assert.Zero(t, l.running, "deliveries go on")
			pause.Store(0) // a fast machine has stored more than a slow backend takes in time
			s.launch()
			s.awaitServing()
			c := l.settled(s)
			assert.Zero(t, c.twice+c.thrice, "what was taken before the end came again")
			if test.hang {
				deliveries := l.of(body)
				require.Len(t, deliveries, 2)
				assert.Equal(t, 0, slices.IndexFunc(deliveries, func(d inboxDelivery) bool { return !d.taken() }))
			}
		})
	}
}

// An event whose body is being stored when Caddy ends is not acknowledged, and is not
// there. With TEST_ROUNDS, the test waits for the sweeper too, which runs each minute.
func TestKillLeavesNothingInTheInboxOfAnEventThatWasNotWhole(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	path := newInboxFile(t)
	s := newServer(t)
	s.write(inboxSite(l.backend(taken), path, ""))
	s.serve()
	body, client := l.event(40<<20), s.client("HTTP/1.1")
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = l.send(client, s, body)
	}()
	s.eventually("a part of the body to be stored", func() bool { return countIn(t, path, "chunk") > 2 })
	s.kill()
	<-left
	l.crashed()
	s.clearSpool()
	s.launch()
	s.awaitServing()
	s.awaitInbox()
	assert.Zero(t, countIn(t, path, "event WHERE state <> 'receiving' OR done_at = 0"))
	got, err := l.send(s.client("HTTP/1.1"), s, body)
	require.NoError(t, err)
	assert.Equal(t, "stored", got.header.Get(headerInbox), "it is no repeat")
	l.settled(s)
	assert.Len(t, l.of(body), 1)
	if os.Getenv("TEST_ROUNDS") != "" {
		require.Eventually(t, func() bool { return countIn(t, path, "event WHERE state = 'receiving'") == 0 }, 4*patience, 100*time.Millisecond, "the sweeper")
	}
}

// countIn counts the rows of a table of an inbox. Another process may have the database
// open.
func countIn(t testing.TB, path, table string) (count int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.QueryRow("SELECT count(*) FROM elevenlabs_inbox_"+table).Scan(&count))
	return count
}
