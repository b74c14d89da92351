package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const headerInbox = "X-ElevenLabs-Inbox"

// inboxLedger records which events were acknowledged, and each delivery that a backend
// got. It does not use the server's own account.
type inboxLedger struct {
	t           testing.TB
	sent        atomic.Int64 // numbers the events
	connections atomic.Int64 // to the backend

	mu           sync.Mutex
	acknowledged map[string]string // by event id: X-ElevenLabs-Inbox of an answer of 200
	answers      map[int]int       // answers by status; 0 is none
	deliveries   map[string][]inboxDelivery
	underWay     map[string]int
	running      int
	most         int // deliveries at once
	atOnce       int // deliveries that began while another one of the same event ran
	damaged      int // deliveries whose body is not that of the event
	crash        int // the number of crashes so far
	inDoubt      int // events that may be stored and bypass at once, since their store was cut off
}

// inboxDelivery is a delivery as the backend saw it.
type inboxDelivery struct {
	begun, ended time.Time
	attempt      string
	status       int // 0 if Caddy broke off
	crash        int // how many crashes came before
}

func newInboxLedger(t testing.TB) *inboxLedger {
	return &inboxLedger{
		t: t, acknowledged: map[string]string{}, answers: map[int]int{}, deliveries: map[string][]inboxDelivery{}, underWay: map[string]int{},
	}
}

// respond decides the status of the backend's answer to the n-th delivery of an event,
// from 1. It may take its time.
type respond func(w http.ResponseWriter, r *http.Request, n int) (status int)

func taken(http.ResponseWriter, *http.Request, int) int { return http.StatusOK }

// slowly takes an event after a while, except if Caddy breaks off.
func slowly(pause time.Duration) respond {
	return func(_ http.ResponseWriter, r *http.Request, _ int) int {
		select {
		case <-r.Context().Done():
			return 0
		case <-time.After(pause):
			return http.StatusOK
		}
	}
}

// backend starts a backend whose deliveries are recorded. It returns its address.
func (l *inboxLedger) backend(answer respond) (address string) {
	b := httptest.NewUnstartedServer(l.handler(answer))
	b.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			l.connections.Add(1)
		case http.StateClosed, http.StateHijacked:
			l.connections.Add(-1)
		case http.StateActive, http.StateIdle:
		}
	}
	b.Start()
	l.t.Cleanup(b.Close)
	return b.Listener.Addr().String()
}

func (l *inboxLedger) handler(answer respond) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Idempotency-Key")
		d := inboxDelivery{begun: time.Now(), attempt: r.Header.Get("X-ElevenLabs-Attempt")}
		l.mu.Lock()
		l.running++
		l.most = max(l.most, l.running)
		l.underWay[id]++
		if l.underWay[id] > 1 {
			l.atOnce++
		}
		d.crash = l.crash
		n := len(l.deliveries[id]) + 1
		l.mu.Unlock()
		defer func() {
			d.ended = time.Now()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.running--
			l.underWay[id]--
			l.deliveries[id] = append(l.deliveries[id], d)
		}()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // Caddy broke off
		}
		if digestOf(body) != id {
			l.mu.Lock()
			l.damaged++
			l.mu.Unlock()
		}
		if d.status = answer(w, r, n); d.status != 0 {
			w.WriteHeader(d.status)
		}
	})
}

// inboxEvent returns the body of an event that no other event has.
func (l *inboxLedger) event(size int) []byte {
	n := l.sent.Add(1)
	head := fmt.Sprintf(`{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"agent_1","conversation_id":"conv_%d","text":"`, n)
	return slices.Concat([]byte(head), bytes.Repeat([]byte("x"), max(size-len(head), 0)), []byte(`"}}`))
}

// send sends an event, and records the answer.
func (l *inboxLedger) send(client *http.Client, s *server, body []byte) (answer, error) {
	got, err := try(client, s.event(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.answers[0]++
		return got, err
	}
	l.answers[got.status]++
	if got.status == http.StatusOK {
		id, how := digestOf(body), got.header.Get(headerInbox)
		l.acknowledged[id] = how
		if how == "bypassed" && !slices.ContainsFunc(l.deliveries[id], inboxDelivery.taken) && l.underWay[id] == 0 {
			assert.Fail(l.t, "200 for an event that is neither stored nor delivered", id)
		}
	}
	return got, nil
}

func (d inboxDelivery) taken() bool { return d.status >= 200 && d.status <= 299 }

// mixedSizes are the bodies of a load: mostly transcripts, and now and then one of
// several pieces.
var mixedSizes = []int{200, 8 << 10, 8 << 10, 8 << 10, 100 << 10, 8 << 10, 8 << 10, 8 << 10, 1<<20 + 5000, 8 << 10}

// load sends events from several clients, until the test calls stop. Requests that get
// no answer are not sent again.
func (l *inboxLedger) load(s *server, clients int, sizes ...int) (stop func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	var all sync.WaitGroup
	for range clients {
		client := s.client("HTTP/1.1")
		client.Timeout = patience
		all.Go(func() {
			defer client.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := l.send(client, s, l.event(sizes[i%len(sizes)])); err != nil {
					select {
					case <-time.After(5 * time.Millisecond): // the server is away
					case <-ctx.Done():
					}
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	l.t.Cleanup(stop)
	return stop
}

// crashed notes that the server has crashed: what it was delivering comes again.
func (l *inboxLedger) crashed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crash++
}

// inboxCounts are what became of the events of a ledger.
type inboxCounts struct {
	acknowledged, bypassed, lost, twice, thrice, atOnce, damaged, most int
	repeats                                                            int // deliveries that were not needed
	again                                                              int // events that came twice without a crash in between
}

func (c inboxCounts) String() string {
	return fmt.Sprintf("acknowledged %d (bypassed %d), lost %d, repeats %d, twice %d, more than twice %d, at once %d, damaged %d, at most %d deliveries at once",
		c.acknowledged, c.bypassed, c.lost, c.repeats, c.twice, c.thrice, c.atOnce, c.damaged, c.most)
}

func (l *inboxLedger) counts() (c inboxCounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.atOnce, c.damaged, c.most = l.atOnce, l.damaged, l.most
	for id, how := range l.acknowledged {
		c.acknowledged++
		if how == "bypassed" {
			c.bypassed++
		}
		if !slices.ContainsFunc(l.deliveries[id], inboxDelivery.taken) {
			c.lost++
		}
	}
	for _, deliveries := range l.deliveries {
		count, lives := 0, map[int]int{}
		for _, d := range deliveries {
			if d.taken() {
				count++
				lives[d.crash]++
			}
		}
		c.repeats += max(count-1, 0)
		switch {
		case count > 2:
			c.thrice++
		case count == 2:
			c.twice++
		}
		for _, inOneLife := range lives {
			if inOneLife > 1 {
				c.again++
			}
		}
	}
	return c
}

// acks returns how many events were acknowledged so far.
func (l *inboxLedger) acks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

// of returns the deliveries of an event.
func (l *inboxLedger) of(body []byte) []inboxDelivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.deliveries[digestOf(body)])
}

// settled waits until nothing is left to deliver, and requires what every inbox
// promises. It returns the counts.
func (l *inboxLedger) settled(servers ...*server) inboxCounts {
	l.t.Helper()
	for _, s := range servers {
		if !assert.Eventually(l.t, func() bool {
			return l.counts().lost == 0 && s.inboxCount("waiting") == 0 && s.inboxCount("delivering") == 0
		}, 3*patience, 50*time.Millisecond, "waiting for all events to be delivered") {
			require.Fail(l.t, "not delivered", "%s\n%s", l.counts(), s.get("/elevenlabs/inbox"))
		}
	}
	c := l.counts()
	l.t.Log(c)
	assert.Zero(l.t, c.lost, "acknowledged, and not delivered")
	assert.LessOrEqual(l.t, c.atOnce, l.inDoubt, "delivered while it was being delivered")
	assert.Zero(l.t, c.damaged, "delivered with another body")
	l.mu.Lock()
	defer l.mu.Unlock()
	for status, count := range l.answers {
		assert.Contains(l.t, []int{0, http.StatusOK}, status, "%d answers", count)
	}
	return c
}

// inboxRounds is how often a test does what it repeats: as TEST_ROUNDS says, or by
// default only so often that the test is quick.
func inboxRounds(t testing.TB, quick int) int {
	value := os.Getenv("TEST_ROUNDS")
	if value == "" {
		return quick
	}
	rounds, err := strconv.Atoi(value)
	require.NoError(t, err, "TEST_ROUNDS")
	return rounds
}

// inboxSite returns a Caddyfile with a webhook that has an inbox.
func inboxSite(backend, database, options string) string {
	return webhook(backend, "inbox {\ndatabase "+database+"\n"+options+"\n}")
}

// newInboxFile returns a path for a database.
func newInboxFile(t testing.TB) string { return filepath.Join(t.TempDir(), "inbox.db") }

// inboxState is what the admin endpoint shows of an inbox.
type inboxState struct {
	Inbox, Destination        string
	Database, Problem         string
	Handlers, Bytes, Bypassed int
	Up                        bool
	Events                    map[string]int
	BackendDownSince          time.Time `json:"backend_down_since"`
}

func (s *server) inboxes() (all []inboxState) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.get("/elevenlabs/inbox")), &all))
	return all
}

// inboxCount returns how many events are in a state, in all inboxes.
func (s *server) inboxCount(state string) (count int) {
	s.t.Helper()
	for _, i := range s.inboxes() {
		count += i.Events[state]
	}
	return count
}

// awaitInbox waits until the database is open, which may be after the site serves.
func (s *server) awaitInbox() {
	s.t.Helper()
	s.eventually("the database to be open", func() bool {
		all := s.inboxes()
		return len(all) > 0 && all[0].Up
	})
}
