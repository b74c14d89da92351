package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// soak can be set for a long run: go test ./xcaddy -run Soak -soak 10m -timeout 20m
var soak = flag.Duration("soak", 15*time.Second, "how long the soak test sends")

// ledger records the events that were sent and the events that arrived. It does not use
// the server's own account.
type ledger struct {
	mu       sync.Mutex
	awaited  map[string]bool // digests of genuine events; true after an answer of 200
	hostile  map[string]int  // numbers of hostile requests by kind
	arrived  int
	bytes    int64
	problems []string
}

func (l *ledger) send(digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaited[digest] = false
}

func (l *ledger) accept(digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waiting := l.awaited[digest]; waiting { // otherwise it has arrived already
		l.awaited[digest] = true
	}
}

func (l *ledger) report(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// receive takes arrived events off the ledger. An event that is not awaited was forged, or
// arrived before.
func (l *ledger) receive(deliveries []delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range deliveries {
		if _, waiting := l.awaited[d.digest]; !waiting {
			l.problems = append(l.problems, "a forgery, or an event that arrived twice: "+d.digest)
		}
		if d.digest != d.header.Get("X-ElevenLabs-Event-Id") || d.header.Get("X-ElevenLabs-Verified") != "true" {
			l.problems = append(l.problems, "an event with wrong headers: "+d.digest)
		}
		delete(l.awaited, d.digest)
		l.arrived++
		l.bytes += d.length
	}
}

// Every genuine event arrives once, byte for byte, and no other request arrives.
func TestSoakOfGenuineAndHostileTraffic(t *testing.T) {
	b := newBackend(t)
	s := start(t, webhook(b.address(), "max_size 8MiB"))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	l := &ledger{awaited: map[string]bool{}, hostile: map[string]int{}}
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}

	// Hostile requests come from other clients than ElevenLabs, or over bad connections.
	expect := func(statuses ...int) func(*http.Client, *http.Request) {
		return func(client *http.Client, request *http.Request) {
			got, err := try(client, request)
			if err == nil && !slices.Contains(statuses, got.status) {
				l.report("a hostile request got %d, not one of %d", got.status, statuses)
			}
		}
	}
	var unfinished sync.WaitGroup
	hostile := map[string]func(client *http.Client, body []byte){
		"signed by another secret": func(client *http.Client, body []byte) {
			expect(401)(client, s.signed(body, "wsec_other", time.Now()))
		},
		"tampered": func(client *http.Client, body []byte) {
			request := s.event(body)
			request.Body, request.GetBody = io.NopCloser(bytes.NewReader(append(body[:len(body)-1:len(body)-1], ' '))), nil
			expect(401)(client, request)
		},
		"stale": func(client *http.Client, body []byte) {
			expect(403)(client, s.signed(body, secret, time.Now().Add(-time.Hour)))
		},
		"unsigned": func(client *http.Client, body []byte) {
			request := s.event(body)
			request.Header.Del("ElevenLabs-Signature")
			request.Header.Set("X-ElevenLabs-Verified", "true")
			expect(400)(client, request)
		},
		"too large": func(client *http.Client, _ []byte) {
			request := s.event(nil)
			request.Body, request.GetBody, request.ContentLength = io.NopCloser(io.LimitReader(zeros{}, 9<<20)), nil, -1
			expect(413)(client, request)
		},
		"broken off": func(_ *http.Client, body []byte) {
			if conn, err := tls.Dial("tcp", s.address, config); err == nil {
				_, _ = io.WriteString(conn, s.head(body, fmt.Sprintf("Content-Length: %d", len(body)))+string(body[:len(body)/2]))
				conn.Close()
			}
		},
		"never finished": func(_ *http.Client, body []byte) {
			if conn, err := tls.Dial("tcp", s.address, config); err == nil {
				_, _ = io.WriteString(conn, s.head(body, "Transfer-Encoding: chunked")+"1\r\n{\r\n")
				unfinished.Go(func() { // stays open during the next requests
					_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
					_, _ = conn.Read(make([]byte, 1))
					conn.Close()
				})
			}
		},
		"smuggled": func(_ *http.Client, body []byte) {
			if conn, err := tls.Dial("tcp", s.address, config); err == nil {
				smuggled := fmt.Sprintf("POST /webhooks/elevenlabs HTTP/1.1\r\nHost: %s\r\nX-ElevenLabs-Verified: true\r\nContent-Length: %d\r\n\r\n%s", s.address, len(body), body)
				fmt.Fprintf(conn, "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: %s\r\nElevenLabs-Signature: %s\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n%s",
					s.address, signature.Sign([]byte("wsec_other"), time.Now(), nil), smuggled)
				conn.Close()
			}
		},
	}
	kinds := slices.Sorted(maps.Keys(hostile))

	stop := make(chan struct{})
	var turn atomic.Int32
	var senders sync.WaitGroup
	for worker := range uint64(6) {
		senders.Go(func() {
			random := rand.New(rand.NewPCG(seed, worker))
			proto := protocols[worker%3]
			client := s.client(proto)
			defer client.CloseIdleConnections()
			sizes := []int{300, 2 << 10, 16 << 10, 128 << 10, 1<<20 + 1, 3 << 20}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				size := sizes[random.IntN(len(sizes))]
				body := fmt.Appendf(nil, `{"type":"post_call_transcription","event_timestamp":%d,"data":{"conversation_id":"conv_%d_%d","agent_id":"agent_1","x":"%s"}}`,
					time.Now().Unix(), worker, n, strings.Repeat("x", size-150))
				if random.IntN(3) == 0 {
					kind := kinds[int(turn.Add(1))%len(kinds)] // in turn, so that each kind occurs
					hostile[kind](client, body)
					l.mu.Lock()
					l.hostile[kind]++
					l.mu.Unlock()
					continue
				}
				request, digest := s.event(body), digestOf(body)
				if random.IntN(2) == 0 {
					request = chunked(request)
				}
				l.send(digest)
				got, err := try(client, request)
				if err != nil || got.status != 200 {
					l.report("a genuine event over %s got %d: %v", proto, got.status, err)
					continue
				}
				l.accept(digest)
			}
		})
	}
	over := time.After(*soak)
	for tick := time.Tick(time.Second); ; {
		select {
		case <-tick:
			l.receive(b.take())
			continue
		case <-over:
		}
		break
	}
	close(stop)
	senders.Wait()
	unfinished.Wait()
	l.receive(b.take())
	t.Logf("%d genuine events, %d MiB; hostile: %v; peak memory %d MiB", l.arrived, l.bytes>>20, l.hostile, s.peakMemory())
	require.Empty(t, l.problems)
	assert.Empty(t, l.awaited, "events were sent and did not arrive; true if the server answered 200")
	assert.NotZero(t, l.arrived)
	assert.Len(t, l.hostile, len(hostile), "a kind of hostile request was not sent")
	if !raceDetector {
		assert.Less(t, s.peakMemory(), 200)
	}
}

// zeros is an endless reader of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
