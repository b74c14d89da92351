package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func requireDelivered(t testing.TB, b *backend, body []byte) delivery {
	t.Helper()
	deliveries := b.take()
	require.Len(t, deliveries, 1)
	d := deliveries[0]
	assert.Equal(t, digestOf(body), d.digest, "the backend got other bytes")
	assert.Equal(t, int64(len(body)), d.length, "the backend got another Content-Length")
	assert.Empty(t, d.encoding, "the backend got chunks")
	assert.Equal(t, "true", d.header.Get("X-ElevenLabs-Verified"))
	assert.Equal(t, digestOf(body), d.header.Get("X-ElevenLabs-Event-Id"))
	assert.Equal(t, digestOf(body), d.header.Get("Idempotency-Key"))
	assert.Equal(t, "end-to-end", d.header.Get("X-ElevenLabs-Secret-Name"))
	return d
}

func TestEventsOfEachSizeArriveIntactOverEachProtocol(t *testing.T) {
	b := newBackend(t)
	s := start(t, webhook(b.address(), "max_size 2MiB"))
	for _, proto := range protocols {
		client := s.client(proto)
		for _, size := range []int{0, 1, 120, 4096, 100_000, 1 << 20, 1<<20 + 1, 2 << 20} {
			for _, framing := range []string{"Content-Length", "chunked"} {
				t.Run(fmt.Sprintf("%s/%d/%s", proto, size, framing), func(t *testing.T) {
					body := []byte(transcript)
					if size != 120 {
						body = audio(size + 200)[:size]
					}
					request := s.event(body)
					if framing == "chunked" {
						request = chunked(request)
					}
					got := send(t, client, request)
					assert.Equal(t, proto, got.proto)
					assert.Equal(t, 200, got.status)
					d := requireDelivered(t, b, body)
					if size == 120 {
						assert.Equal(t, "post_call_transcription", d.header.Get("X-ElevenLabs-Event-Type"))
						assert.Equal(t, "conv_1", d.header.Get("X-ElevenLabs-Conversation-Id"))
						assert.Equal(t, "agent_1", d.header.Get("X-ElevenLabs-Agent-Id"))
						assert.Equal(t, "1739537297", d.header.Get("X-ElevenLabs-Event-Timestamp"))
					}
				})
			}
		}
		client.CloseIdleConnections()
	}
}

func TestAudioOf64MiBArrivesIntactInLittleMemory(t *testing.T) {
	const size = 64 << 20
	b := newBackend(t)
	s := start(t, webhook(b.address(), "spool_limit 2GiB")) // sixteen bodies at once exceed the default
	body := audio(size)
	idle := s.peakMemory()
	send(t, s.client("HTTP/1.1"), s.event([]byte(transcript)))
	b.take()

	for _, test := range []struct {
		concurrent, most int // MiB above idle
	}{{1, 40}, {16, 40}} {
		t.Run(fmt.Sprint(test.concurrent, " at once"), func(t *testing.T) {
			s.resetPeakMemory()
			client := s.client("HTTP/1.1")
			var all sync.WaitGroup
			for range test.concurrent {
				all.Go(func() {
					got, err := try(client, chunked(s.event(body)))
					assert.NoError(t, err)
					assert.Equal(t, 200, got.status)
				})
			}
			all.Wait()
			deliveries := b.take()
			require.Len(t, deliveries, test.concurrent)
			for _, d := range deliveries {
				assert.Equal(t, digestOf(body), d.digest)
				assert.Equal(t, "post_call_audio", d.header.Get("X-ElevenLabs-Event-Type"))
			}
			peak := s.peakMemory()
			t.Logf("peak memory: %d MiB, %d MiB above idle", peak, peak-idle)
			if !raceDetector {
				assert.LessOrEqual(t, peak-idle, test.most)
			}
			client.CloseIdleConnections()
		})
	}
}

// closingBackend starts a backend that answers one request of each connection. When the
// next request arrives, it closes the connection without an answer, like a server whose
// keep-alive has just ended.
func closingBackend(t testing.TB) (address string, served, cut *atomic.Int32) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	served, cut = new(atomic.Int32), new(atomic.Int32)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				request, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				served.Add(1)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				if _, err := reader.ReadByte(); err == nil {
					cut.Add(1)
				}
			}()
		}
	}()
	return listener.Addr().String(), served, cut
}

func TestEventIsRetriedIfTheBackendClosesAKeptAliveConnection(t *testing.T) {
	t.Parallel()
	address, served, cut := closingBackend(t)
	for name, body := range map[string][]byte{"small": []byte(transcript), "spilled": audio(3 << 20)} {
		t.Run(name, func(t *testing.T) {
			served.Store(0)
			cut.Store(0)
			s := start(t, webhook(address, ""))
			client := s.client("HTTP/1.1")
			for range 10 {
				assert.Equal(t, 200, send(t, client, s.event(body)).status)
			}
			assert.EqualValues(t, 10, served.Load())
			assert.NotZero(t, cut.Load(), "the backend closed no connection")
		})
	}
	// net/http itself repeats requests with small bodies, since they have an Idempotency-Key.
	t.Run("spilled, without retries", func(t *testing.T) {
		s := start(t, webhook(address, "retries 0"))
		var failed int
		for range 6 {
			if send(t, s.client("HTTP/1.1"), s.event(audio(3<<20))).status == 502 {
				failed++
			}
		}
		assert.NotZero(t, failed, "without a failure here, the cases above prove nothing")
	})
}

func TestEventIsRetriedIfTheBackendIsDownForASecond(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{"small": []byte(transcript), "spilled": audio(3 << 20)} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			down := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			s := start(t, webhook(down, "retries 4")) // one more than needed, in case the machine is slow
			b.comeUp(t, down, time.Second)
			client := s.client("HTTP/2.0")
			assert.Equal(t, 200, send(t, client, s.event(body)).status)
			requireDelivered(t, b, body)
		})
	}
}

func TestBackendThatStaysDownIsA502AndLogged(t *testing.T) {
	t.Parallel()
	s := start(t, webhook(fmt.Sprintf("127.0.0.1:%d", freePort(t)), "retries 2 10ms"))
	assert.Equal(t, 502, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	s.awaitLog("event not delivered")
	assert.Contains(t, s.log.String(), `"attempts":3`)
	assert.Contains(t, s.log.String(), `"conversation_id":"conv_1"`)
}

func TestEventIsDeliveredAfterTheClientHasLeft(t *testing.T) {
	t.Parallel()
	body := audio(2 << 20)
	arrived, answered := make(chan struct{}), make(chan error)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, digestOf(body), digestOf(got))
		arrived <- struct{}{}
		select {
		case <-r.Context().Done(): // Caddy broke off
		case <-time.After(time.Second):
		}
		answered <- r.Context().Err()
	}))
	defer slow.Close()
	s := start(t, webhook(slow.Listener.Addr().String(), ""))
	for i, proto := range protocols {
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-arrived
			leave()
		}()
		client := s.client(proto)
		_, err := try(client, s.event(body).WithContext(ctx))
		require.ErrorIs(t, err, context.Canceled)
		client.CloseIdleConnections()
		require.NoError(t, <-answered, "Caddy closed the connection to the backend")
		s.eventually("the log", func() bool {
			return strings.Count(s.log.String(), "client left before the backend answered") == i+1
		})
	}
}

// A client may read only the status of an answer. The event then counts by that status.
func TestClientThatLeavesAfterTheStatusIsNotAFailure(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	for name, test := range map[string]struct {
		status  int
		streams bool
		want    []any
	}{
		"a stream":      {200, true, []any{"accepted", nil}},
		"a long answer": {200, false, []any{"accepted", nil}},
		"a long error":  {500, false, []any{"failed", "backend_answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			talkative := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if !test.streams {
					w.Header().Set("Content-Length", "100000000")
				}
				w.WriteHeader(test.status)
				for r.Context().Err() == nil { // until Caddy breaks off, since the client has gone
					if _, err := io.WriteString(w, strings.Repeat("ok, and ", 1000)); err != nil {
						break
					}
					if test.streams {
						_ = http.NewResponseController(w).Flush()
					}
				}
				released <- struct{}{}
			}))
			defer talkative.Close()
			s := start(t, webhook(talkative.Listener.Addr().String(), ""))
			for i, proto := range protocols {
				client := s.client(proto)
				response, err := client.Do(s.event([]byte(transcript)))
				require.NoError(t, err)
				assert.Equal(t, test.status, response.StatusCode)
				_, err = response.Body.Read(make([]byte, 1)) // the body comes after the server has flushed the status
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				client.CloseIdleConnections()
				<-released
				s.eventually("the delivery to be recorded", func() bool { return len(shown(t, s, "/elevenlabs/deliveries")) == i+1 })
				d := shown(t, s, "/elevenlabs/deliveries")[0]
				assert.Equal(t, test.want, []any{d["result"], d["reason"]}, proto)
			}
			assert.NotContains(t, s.log.String(), "client left before the backend answered")
		})
	}
}

// The backend's answer can come while Caddy still sends the rest of the body.
func TestBackendMayAnswerBeforeItHasReadTheBody(t *testing.T) {
	t.Parallel()
	hasty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1_900_000)
		w.WriteHeader(http.StatusAccepted)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer hasty.Close()
	s := start(t, webhook(hasty.Listener.Addr().String(), ""))
	for _, proto := range protocols {
		client := s.client(proto)
		for range 20 {
			assert.Equal(t, 200, send(t, client, s.event(audio(2<<20))).status)
		}
	}
}

// Caddy's own retries happen within each attempt of the handler. The handler never
// retries after an answer.
func TestRetriesTogetherWithThoseOfReverseProxy(t *testing.T) {
	t.Parallel()
	closing, served, cut := closingBackend(t)
	good := newBackend(t)
	down := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	busy := newBackend(t)
	busy.status = 503
	tests := []struct {
		name, upstreams, options string
		status                   int
		check                    func(t *testing.T)
	}{
		{"lb_retries goes on to the next upstream if one is down", down + " " + good.address(), "lb_policy round_robin\nlb_retries 2", 200, func(t *testing.T) {
			require.Len(t, good.take(), 1)
		}},
		{"lb_retry_match without request_buffers sends no body twice; the next attempt of the handler does", closing, "lb_retries 2\nlb_retry_match method POST", 200, func(t *testing.T) {
			assert.NotZero(t, served.Load())
		}},
		{"with request_buffers, the handler needs no other attempt", closing, "lb_retries 2\nlb_retry_match method POST\nrequest_buffers 8MiB", 200, func(t *testing.T) {
			assert.NotZero(t, served.Load())
		}},
		{"an answer that lb_retry_match gave up on reaches the client", busy.address(), "lb_retries 1\nlb_retry_match `{rp.status_code} == 503`\nrequest_buffers 8MiB", 503, func(t *testing.T) {
			assert.Len(t, busy.take(), 2, "one try and one of Caddy's own retries")
		}},
		{"an answer that handle_response makes an error reaches the client", busy.address(), "@busy status 503\nhandle_response @busy {\nerror 503\n}", 503, func(t *testing.T) {
			assert.Len(t, busy.take(), 1)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, webhook(test.upstreams+" {\n"+test.options+"\n}", ""))
			client := s.client("HTTP/1.1")
			for name, body := range map[string][]byte{"small": []byte(transcript), "spilled": audio(2 << 20)} {
				served.Store(0)
				cut.Store(0)
				for range 2 { // the second event uses a kept-alive connection
					good.take()
					busy.take()
					assert.Equal(t, test.status, send(t, client, s.event(body)).status, name)
				}
				test.check(t)
			}
		})
	}
}

func TestBackendsStatusReachesTheClientExceptThat2xxBecomes200(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	for status, want := range map[int]int{200: 200, 201: 200, 202: 200, 204: 200, 302: 302, 404: 404, 422: 422, 500: 500, 502: 502, 503: 503} {
		b.mu.Lock()
		b.status = status
		b.mu.Unlock()
		for _, proto := range protocols {
			assert.Equal(t, want, send(t, s.client(proto), s.event([]byte(transcript))).status, "%d over %s", status, proto)
			assert.Len(t, b.take(), 1, "the handler retried after %d", status)
		}
	}
}

// A body that began to arrive before a reload still counts for spool_limit after it. The
// handler that began to read it also forwards it.
func TestSpoolLimitOutlastsAReload(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	config := webhook(b.address(), "spool_limit 3MiB\nmemory_buffer 1MiB")
	s := start(t, config)
	body := audio(2 << 20)
	half := len(body) - 100_000

	config1 := s.tlsConfig()
	config1.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", s.address, config1)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s: %s\r\n\r\n",
		s.address, len(body), signature.HeaderName, signature.Sign([]byte(secret), time.Now(), body))
	_, err = conn.Write(body[:half])
	require.NoError(t, err)

	client := s.client("HTTP/2.0")
	event := func() *http.Request { return s.event(body) }
	s.eventually("the first body to be held", func() bool { return s.held() >= int64(half) })
	assert.Equal(t, 503, send(t, client, event()).status)
	s.reload(config)
	got := s.sendAfterReload(client, event)
	assert.Equal(t, 503, got.status)
	assert.Equal(t, "overloaded", got.header.Get("X-ElevenLabs-Rejection"))
	assert.Equal(t, "5", got.header.Get("Retry-After"))
	b.take()

	_, err = conn.Write(body[half:])
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, 200, response.StatusCode)
	requireDelivered(t, b, body)
	assert.Equal(t, 200, send(t, client, event()).status, "the first body still counts")
	client.CloseIdleConnections()
	conn.Close()
}
