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
	assert.Equal(t, digestOf(body), d.digest, "the backend got the very bytes")
	assert.Equal(t, int64(len(body)), d.length, "with a Content-Length")
	assert.Empty(t, d.encoding, "not chunked")
	assert.Equal(t, "true", d.header.Get("X-ElevenLabs-Verified"))
	assert.Equal(t, digestOf(body), d.header.Get("X-ElevenLabs-Event-Id"))
	assert.Equal(t, digestOf(body), d.header.Get("Idempotency-Key"))
	assert.Equal(t, "end-to-end", d.header.Get("X-ElevenLabs-Secret-Name"))
	return d
}

func TestEventsArriveIntactOverEachProtocolAtEachSize(t *testing.T) {
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
	s := start(t, webhook(b.address(), "spool_limit 2GiB")) // sixteen at once are above the default
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

// rudeBackend answers one request a connection, and closes it without an answer
// when the next one arrives, as a server does whose keep-alive has just ended.
func rudeBackend(t testing.TB) (address string, served, cut *atomic.Int32) {
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

func TestEventsSurviveABackendThatClosesKeptAliveConnections(t *testing.T) {
	address, served, cut := rudeBackend(t)
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
			assert.NotZero(t, cut.Load(), "the backend did cut connections")
		})
	}
	// net/http by itself repeats small ones, since they have an Idempotency-Key
	t.Run("not without retries, when spilled", func(t *testing.T) {
		s := start(t, webhook(address, "retries 0"))
		var failed int
		for range 6 {
			if send(t, s.client("HTTP/1.1"), s.event(audio(3<<20))).status == 502 {
				failed++
			}
		}
		assert.NotZero(t, failed, "or the test above proves nothing")
	})
}

func TestEventsSurviveABackendThatIsDownForASecond(t *testing.T) {
	for name, body := range map[string][]byte{"small": []byte(transcript), "spilled": audio(3 << 20)} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			down := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			s := start(t, webhook(down, "retries 4")) // the last is to spare, if the machine stands still
			b.comeUp(t, down, time.Second)
			client := s.client("HTTP/2.0")
			assert.Equal(t, 200, send(t, client, s.event(body)).status)
			requireDelivered(t, b, body)
		})
	}
}

func TestABackendThatStaysDownIsA502AndLogged(t *testing.T) {
	s := start(t, webhook(fmt.Sprintf("127.0.0.1:%d", freePort(t)), "retries 2 10ms"))
	assert.Equal(t, 502, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	s.awaitLog("event not delivered")
	assert.Contains(t, s.log.String(), `"attempts":3`)
	assert.Contains(t, s.log.String(), `"conversation_id":"conv_1"`)
}

func TestEventsAreDeliveredThoughTheClientLeaves(t *testing.T) {
	body := audio(2 << 20)
	arrived, answered := make(chan struct{}), make(chan error)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, digestOf(body), digestOf(got))
		arrived <- struct{}{}
		select {
		case <-r.Context().Done(): // Caddy has broken off
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
		require.NoError(t, <-answered, "the backend was left, too")
		s.eventually("the log", func() bool {
			return strings.Count(s.log.String(), "client left before the backend answered") == i+1
		})
	}
}

// Some clients read no more of an answer than its status.
func TestAClientThatLeavesOnceItHasTheStatusHasHadItsAnswer(t *testing.T) {
	released := make(chan struct{})
	for name, test := range map[string]struct {
		status  int
		streams bool
		want    []any
	}{
		"a stream":       {200, true, []any{"accepted", nil}},
		"a long answer":  {200, false, []any{"accepted", nil}},
		"a long refusal": {500, false, []any{"failed", "backend_answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			talkative := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if !test.streams {
					w.Header().Set("Content-Length", "100000000")
				}
				w.WriteHeader(test.status)
				for r.Context().Err() == nil { // until Caddy breaks off, which has no one left to tell
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
				_, err = response.Body.Read(make([]byte, 1)) // it comes once the server knows that the status is out
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				client.CloseIdleConnections()
				<-released
				s.eventually("the account of it", func() bool { return len(shown(t, s, "/elevenlabs/deliveries")) == i+1 })
				d := shown(t, s, "/elevenlabs/deliveries")[0]
				assert.Equal(t, test.want, []any{d["result"], d["reason"]}, proto)
			}
			assert.NotContains(t, s.log.String(), "client left before the backend answered")
		})
	}
}

// While the rest of the body is still on its way to it.
func TestABackendMayAnswerBeforeItHasReadTheBody(t *testing.T) {
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

// How retries meets Caddy's own: Caddy's load balancing comes first, each time
// within one attempt of ours, and an answer is never repeated by us.
func TestRetriesWithCaddysOwn(t *testing.T) {
	rude, served, cut := rudeBackend(t)
	good := newBackend(t)
	down := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	busy := newBackend(t)
	busy.status = 503
	tests := []struct {
		name, upstreams, options string
		status                   int
		check                    func(t *testing.T)
	}{
		{"lb_retries goes on to the next upstream when one refuses", down + " " + good.address(), "lb_policy round_robin\nlb_retries 2", 200, func(t *testing.T) {
			require.Len(t, good.take(), 1)
		}},
		{"lb_retry_match without request_buffers sends no body twice; our next attempt does", rude, "lb_retries 2\nlb_retry_match method POST", 200, func(t *testing.T) {
			assert.NotZero(t, served.Load())
		}},
		{"request_buffers needs none of ours", rude, "lb_retries 2\nlb_retry_match method POST\nrequest_buffers 8MiB", 200, func(t *testing.T) {
			assert.NotZero(t, served.Load())
		}},
		{"an answer that lb_retry_match gave up on passes", busy.address(), "lb_retries 1\nlb_retry_match `{rp.status_code} == 503`\nrequest_buffers 8MiB", 503, func(t *testing.T) {
			assert.Len(t, busy.take(), 2, "one try and one of Caddy's own retries, none of ours")
		}},
		{"an answer that handle_response makes an error passes", busy.address(), "@busy status 503\nhandle_response @busy {\nerror 503\n}", 503, func(t *testing.T) {
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
				for range 2 { // the second finds a kept-alive connection
					good.take()
					busy.take()
					assert.Equal(t, test.status, send(t, client, s.event(body)).status, name)
				}
				test.check(t)
			}
		})
	}
}

func TestBackendsAnswersKeepTheContract(t *testing.T) {
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	for status, want := range map[int]int{200: 200, 201: 200, 202: 200, 204: 200, 302: 302, 404: 404, 422: 422, 500: 500, 502: 502, 503: 503} {
		b.mu.Lock()
		b.status = status
		b.mu.Unlock()
		for _, proto := range protocols {
			assert.Equal(t, want, send(t, s.client(proto), s.event([]byte(transcript))).status, "%d over %s", status, proto)
			assert.Len(t, b.take(), 1, "%d is not repeated", status)
		}
	}
}

// A body that was begun before a reload counts against spool_limit after it,
// and is finished by the handler that began it.
func TestSpoolLimitHoldsAcrossReloads(t *testing.T) {
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
	assert.Equal(t, 200, send(t, client, event()).status, "there is room again")
	client.CloseIdleConnections()
	conn.Close()
}
