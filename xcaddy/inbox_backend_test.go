package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// first answers the first delivery of an event in one way, and takes the second.
func first(answer respond) respond {
	return func(w http.ResponseWriter, r *http.Request, n int) int {
		if n > 1 {
			return http.StatusOK
		}
		return answer(w, r, n)
	}
}

func status(code int, header ...string) respond {
	return func(w http.ResponseWriter, _ *http.Request, _ int) int {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		return code
	}
}

func TestInboxDeliversAgainAfterEachFailureOfTheBackend(t *testing.T) {
	t.Parallel()
	const pause = 300 * time.Millisecond
	l := newInboxLedger(t)
	var behaviors sync.Map // respond by event id
	backend := l.backend(func(w http.ResponseWriter, r *http.Request, n int) int {
		answer, _ := behaviors.Load(r.Header.Get("Idempotency-Key"))
		return answer.(respond)(w, r, n)
	})
	s := start(t, inboxSite(backend, newInboxFile(t), "retry "+pause.String()+"\ntimeout 2s"))
	for _, test := range []struct {
		name   string
		answer respond
		least  time.Duration // between the ends of the deliveries and the next ones
	}{
		{"500", first(status(500)), pause * 9 / 10},
		{"404, as of a deployment that is not finished", first(status(404)), pause * 9 / 10},
		{"410", first(status(410)), pause * 9 / 10},
		{"401", first(status(401)), pause * 9 / 10},
		{"302, which is not followed", first(status(302, "Location", "/elsewhere")), pause * 9 / 10},
		{"429 without Retry-After", first(status(429)), pause * 9 / 10},
		{"429 with Retry-After in seconds", first(status(429, "Retry-After", "2")), 2 * time.Second},
		{"503 with Retry-After in seconds", first(status(503, "Retry-After", "2")), 2 * time.Second},
		{"503 with Retry-After as a date", first(func(w http.ResponseWriter, _ *http.Request, _ int) int {
			w.Header().Set("Retry-After", time.Now().Add(3*time.Second).UTC().Format(http.TimeFormat)) // without fractions
			return http.StatusServiceUnavailable
		}), 1900 * time.Millisecond},
		{"500 with Retry-After, which does not count", first(status(500, "Retry-After", "3600")), pause * 9 / 10},
		{"503 with a Retry-After that is none", first(status(503, "Retry-After", "soon")), pause * 9 / 10},
		{"no answer in time", first(func(_ http.ResponseWriter, r *http.Request, _ int) int {
			<-r.Context().Done()
			return 0
		}), pause * 9 / 10},
		{"an answer that breaks off", first(func(w http.ResponseWriter, _ *http.Request, _ int) int {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("ok"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), pause * 9 / 10},
		{"201", status(201), 0},
		{"204", status(204), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body := l.event(500)
			behaviors.Store(digestOf(body), test.answer)
			got, err := l.send(s.client("HTTP/1.1"), s, body)
			require.NoError(t, err)
			assert.Equal(t, "stored", got.header.Get(headerInbox))
			s.eventually("the backend to take the event", func() bool { return slices.ContainsFunc(l.of(body), inboxDelivery.taken) })
			deliveries := l.of(body)
			if test.least == 0 {
				assert.Len(t, deliveries, 1)
				return
			}
			require.Len(t, deliveries, 2)
			assert.GreaterOrEqual(t, deliveries[1].begun.Sub(deliveries[0].ended), test.least)
			assert.Equal(t, []string{"1", "2"}, []string{deliveries[0].attempt, deliveries[1].attempt})
		})
	}
}

// away is a backend on an address where nothing listens yet.
func (l *inboxLedger) away(answer respond) (address string, comeUp func()) {
	address = fmt.Sprintf("127.0.0.1:%d", freePort(l.t))
	return address, func() {
		listener, err := net.Listen("tcp", address)
		require.NoError(l.t, err)
		server := &http.Server{Handler: l.handler(answer)}
		l.t.Cleanup(func() { server.Close() })
		go func() { _ = server.Serve(listener) }()
	}
}

// metricSum returns the sum of the series of a metric whose labels have all texts.
func (s *server) metricSum(name string, labels ...string) (sum float64) {
	s.t.Helper()
	for line := range strings.Lines(s.get("/metrics")) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		metric, its, _ := strings.Cut(series, "{")
		if metric == name && !slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(its, label) }) {
			number, err := strconv.ParseFloat(value, 64)
			require.NoError(s.t, err)
			sum += number
		}
	}
	return sum
}

func TestInboxTriesABackendThatIsAwayOnlyNowAndThen(t *testing.T) {
	t.Parallel()
	const events, down = 300, 5 * time.Second
	l := newInboxLedger(t)
	address, comeUp := l.away(taken)
	s := start(t, inboxSite(address, newInboxFile(t), ""))
	began := time.Now()
	stop := l.load(s, 8, 2<<10)
	s.eventually("300 events to be stored", func() bool { return l.acks() >= events })
	stop()
	s.awaitLog("the backend of an inbox is unreachable: events wait, and one at a time is tried")
	assert.InDelta(t, 1, s.metricSum("caddy_elevenlabs_inbox_backend_down"), 0)
	assert.WithinDuration(t, time.Now(), s.inboxes()[0].BackendDownSince, patience)
	time.Sleep(max(0, down-time.Since(began))) // the backend is away for a time
	comeUp()
	up := time.Now()
	c := l.settled(s)
	took := time.Since(up)
	attempts := s.metricSum("caddy_elevenlabs_inbox_attempts_total", `reason="backend_unreachable"`)
	t.Logf("%d events, %v attempts in vain, all there %s after the backend came up", c.acknowledged, attempts, took)
	assert.LessOrEqual(t, took, 30*time.Second)
	assert.LessOrEqual(t, attempts, 20.)
	assert.Zero(t, c.twice+c.thrice+c.bypassed)
	s.awaitLog("the backend of an inbox answers again")
	assert.Zero(t, s.metricSum("caddy_elevenlabs_inbox_backend_down"))
}

// A connection that is reset tells as little as one that is refused.
func TestInboxDeliversAfterConnectionsWereReset(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, webhook(l.backend(func(w http.ResponseWriter, _ *http.Request, n int) int {
		if n > 2 {
			return http.StatusOK
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
		return 0
	}), "retries 0\ninbox {\ndatabase "+newInboxFile(t)+"\nretry 100ms\n}"))
	body := l.event(500)
	_, err := l.send(s.client("HTTP/1.1"), s, body)
	require.NoError(t, err)
	l.settled(s)
	assert.Len(t, l.of(body), 3)
}

func TestEventFromTheInboxReachesAnIdleBackendAtOnce(t *testing.T) {
	l := newInboxLedger(t)
	s := start(t, inboxSite(l.backend(taken), newInboxFile(t), ""))
	client := s.client("HTTP/1.1")
	after := make([]time.Duration, 41)
	for i := range after {
		body := l.event(2 << 10)
		_, err := l.send(client, s, body)
		require.NoError(t, err)
		stored := time.Now()
		require.Eventually(t, func() bool { return len(l.of(body)) > 0 }, patience, time.Millisecond)
		after[i] = l.of(body)[0].begun.Sub(stored)
	}
	slices.Sort(after)
	t.Logf("median %s, longest %s", after[len(after)/2], after[len(after)-1])
	if !raceDetector {
		assert.Less(t, after[len(after)/2], 20*time.Millisecond)
	}
	l.settled(s)
}

func TestInboxDeliversEqualEventsAtOnceOnlyOnce(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 2 << 10, "of several pieces": 3 << 19} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newInboxLedger(t)
			s := start(t, inboxSite(l.backend(slowly(50*time.Millisecond)), newInboxFile(t), ""))
			body, count := l.event(size), 100
			if size > 1<<20 {
				count = 5
			}
			var mu sync.Mutex
			answers := map[string]int{}
			var all sync.WaitGroup
			for range count {
				client := s.client("HTTP/1.1")
				all.Go(func() {
					got, err := l.send(client, s, body)
					assert.NoError(t, err)
					mu.Lock()
					defer mu.Unlock()
					answers[fmt.Sprint(got.status, " ", got.header.Get(headerInbox))]++
				})
			}
			all.Wait()
			assert.Equal(t, map[string]int{"200 stored": 1, "200 repeat": count - 1}, answers)
			l.settled(s)
			assert.Len(t, l.of(body), 1)
			assert.InDelta(t, count-1, s.metricSum("caddy_elevenlabs_inbox_events_total", `result="repeat"`), 0)
		})
	}
}

func TestInboxDeliversADeadEventThatIsSentAgain(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, inboxSite(l.backend(func(_ http.ResponseWriter, _ *http.Request, n int) int {
		if n <= 2 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}), newInboxFile(t), "retry 50ms\ngive_up 10ms"))
	body := l.event(500)
	for n, want := range []string{"stored", "repeat", "repeat"} {
		got, err := l.send(s.client("HTTP/1.1"), s, body)
		require.NoError(t, err)
		assert.Equal(t, want, got.header.Get(headerInbox))
		s.eventually("the delivery to be settled", func() bool {
			return len(l.of(body)) > n && s.inboxCount("waiting")+s.inboxCount("delivering") == 0
		})
		if n < 2 && len(l.of(body)) == n+1 { // it may be tried once more before it is given up
			assert.Equal(t, 1, s.inboxCount("dead"))
		}
	}
	l.settled(s)
	assert.Zero(t, s.inboxCount("dead"))
	s.awaitLog("an event is given up: nothing delivers it until somebody sends it again")
}
