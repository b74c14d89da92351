package caddymodule

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// The status contract: any 2xx becomes exactly 200, and every other status passes.
func TestBackendsAnswerBecomes200OrPassesUnchanged(t *testing.T) {
	for backend, client := range map[int]int{
		200: 200, 201: 200, 202: 200, 203: 200, 204: 200, 205: 200, 206: 200, 226: 200, 299: 200,
		301: 301, 302: 302, 304: 304, 307: 307, 400: 400, 401: 401, 404: 404, 408: 408, 413: 413, 429: 429,
		500: 500, 502: 502, 503: 503, 504: 504, 599: 599,
	} {
		t.Run(strconv.Itoa(backend), func(t *testing.T) {
			h, logs := provision(t, &Handler{})
			calls := 0
			res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				calls++
				w.Header().Set("X-Backend", "kept")
				w.WriteHeader(backend)
				_, _ = io.WriteString(w, "answer") // a 304 takes none
				return nil
			}))
			require.NoError(t, res.err)
			assert.Equal(t, client, res.Code)
			assert.Equal(t, "kept", res.Header().Get("X-Backend"))
			if backend != http.StatusNotModified {
				assert.Equal(t, "answer", res.Body.String())
			}
			assert.Equal(t, 1, calls, "an answer is never repeated, whatever its code")
			if client == 200 {
				assert.Zero(t, logs.Len())
			} else {
				require.Equal(t, 1, logs.Len())
				assert.Equal(t, int64(backend), logs.All()[0].ContextMap()["status"])
				assert.Equal(t, "conv_1", logs.All()[0].ContextMap()["event"].(map[string]any)["conversation_id"])
			}
		})
	}
}

// statuses is a ResponseWriter that records all statuses, informational ones too.
type statuses struct {
	http.ResponseWriter
	written []int
}

func (s *statuses) WriteHeader(status int) { s.written = append(s.written, status) }

// midAttempt returns an answerWriter in the middle of an attempt.
func midAttempt(w http.ResponseWriter) *answerWriter {
	return newAnswerWriter(w, caddyhttp.PrepareRequest(newRequest(transcript), caddy.NewReplacer(), w, nil))
}

func TestInformationalAnswersAreNotFinal(t *testing.T) {
	client := new(statuses)
	w := midAttempt(client)
	w.WriteHeader(http.StatusEarlyHints)
	assert.Zero(t, w.status)
	w.WriteHeader(http.StatusAccepted)
	assert.Equal(t, http.StatusAccepted, w.status)
	assert.Equal(t, []int{103, 200}, client.written)
}

func TestAnswersWithoutWriteHeaderAre200(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter){
		"Write":    func(w http.ResponseWriter) { _, _ = io.WriteString(w, "ok") },
		"ReadFrom": func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(http.NoBody) },
		"nothing":  func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := provision(t, &Handler{})
			calls := 0
			res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				calls++
				write(w)
				if name == "nothing" {
					return nil
				}
				return caddyhttp.Error(http.StatusBadGateway, errors.New("broke off"))
			}))
			assert.Equal(t, 200, res.Code)
			assert.Equal(t, 1, calls, "nothing is repeated once something is written")
		})
	}
}

// Caddy answers 200 if no handler follows, so the event would be lost silently.
func TestEventsWithoutABackendFail(t *testing.T) {
	h, logs := provision(t, &Handler{})
	res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		caddyhttp.SetVar(r.Context(), "unhandled", true) // as the end of Caddy's chain does
		return nil
	}))
	assert.Equal(t, 500, res.status())
	require.ErrorIs(t, res.err, errNoHandler)
	assert.Equal(t, zapcore.ErrorLevel, logs.All()[0].Level)
}

// reverse_proxy's transport may read the body after the backend has answered or the
// connection has failed, and it reads the request's trailers when the body ends. The
// race detector finds a write in between.
func TestTheRequestDoesNotChangeWhileATransportMayReadIt(t *testing.T) {
	for name, answers := range map[string][]error{
		"answered early":        {nil},
		"connection failed":     {caddyhttp.Error(http.StatusBadGateway, io.EOF), nil},
		"connections that fail": {caddyhttp.Error(http.StatusBadGateway, io.EOF), caddyhttp.Error(http.StatusBadGateway, io.EOF)},
	} {
		t.Run(name, func(t *testing.T) {
			var transports sync.WaitGroup
			defer transports.Wait()
			h, _ := provision(t, &Handler{Retries: Retries{Count: new(len(answers) - 1)}})
			attempt := 0
			serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				transports.Go(func() { assert.Nil(t, r.Trailer) })
				attempt++
				if answers[attempt-1] == nil {
					w.WriteHeader(http.StatusOK)
				}
				return answers[attempt-1]
			}))
			assert.Equal(t, len(answers), attempt)
		})
	}
}

func TestEventsAreForwardedAgainWhileTheConnectionFails(t *testing.T) {
	refused := caddyhttp.Error(http.StatusBadGateway, errors.New("dial: connection refused"))
	tests := []struct {
		name   string
		fails  int
		err    error
		count  int
		calls  int
		status int
	}{
		{"502 once", 1, refused, 3, 2, 200},
		{"502 as often as there are retries", 3, refused, 3, 4, 200},
		{"502 once more than that", 4, refused, 3, 4, 502},
		{"503, no upstream", 1, caddyhttp.Error(http.StatusServiceUnavailable, errors.New("no upstreams")), 3, 2, 200},
		{"retries 0", 1, refused, 0, 1, 502},
		{"timeout", 1, caddyhttp.Error(http.StatusGatewayTimeout, errors.New("timeout")), 3, 1, 504},
		{"error route of the backend's own", 1, caddyhttp.Error(http.StatusNotFound, errors.New("not found")), 3, 1, 404},
		{"an error that is no HandlerError", 1, errors.New("oops"), 3, 1, 200},
	}
	for _, test := range tests {
		for _, memory := range []int64{0, 1} { // small and spilled
			t.Run(test.name, func(t *testing.T) {
				h, logs := provision(t, &Handler{MemoryBuffer: memory, Retries: Retries{Count: &test.count}})
				calls := 0
				res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
					if calls++; calls <= test.fails {
						return test.err
					}
					w.WriteHeader(http.StatusAccepted)
					return nil
				}))
				assert.Equal(t, test.calls, calls)
				assert.Equal(t, test.status, res.status())
				assert.Equal(t, transcript, string(res.upstreamBody), "the last attempt saw the whole body")
				if test.status != 200 {
					require.Equal(t, 1, logs.Len())
					assert.Equal(t, int64(test.calls), logs.All()[0].ContextMap()["attempts"])
				}
			})
		}
	}
}

// With handle_response and lb_retry_match, an answer of the backend ends as an error.
func TestAnswersThatEndAsErrorsAreNotRepeated(t *testing.T) {
	h, _ := provision(t, &Handler{})
	calls := 0
	res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		calls++
		r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Set(statusCodePlaceholder, 503)
		return caddyhttp.Error(http.StatusServiceUnavailable, errors.New("handled"))
	}))
	assert.Equal(t, 503, res.status())
	assert.Equal(t, 1, calls)
}

func TestEachAttemptStartsFromTheSameRequestAndResponse(t *testing.T) {
	h, _ := provision(t, &Handler{})
	calls := 0
	r := newRequest(transcript)
	r.Header.Set("X-Kept", "1")
	res := serveWith(t, h, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		calls++
		assert.Equal(t, "/webhooks/elevenlabs", r.URL.Path)
		assert.Equal(t, http.MethodPost, r.Method)
		assert.Equal(t, []string{"1"}, r.Header.Values("X-Kept"))
		assert.Equal(t, "true", r.Header.Get("X-ElevenLabs-Verified"))
		assert.Empty(t, w.Header().Values("X-Added"))
		r.URL.Path, r.Method = "/rewritten", http.MethodPut
		r.Header.Add("X-Kept", "2")
		w.Header().Add("X-Added", "1")
		if calls < 4 {
			return caddyhttp.Error(http.StatusBadGateway, errors.New("refused"))
		}
		return nil
	}))
	require.NoError(t, res.err)
	assert.Equal(t, 4, calls)
	assert.Equal(t, []string{"1"}, res.Header().Values("X-Added"))
}

// Retries go on after the client has left, since the event is verified and ElevenLabs
// may not retry it.
func TestRetriesGoOnAfterTheClientLeftForALimitedTime(t *testing.T) {
	for _, test := range []struct {
		name    string
		fails   int
		pause   time.Duration
		forged  bool
		calls   int
		result  string
		failure *facts.Failure
	}{
		{"delivered meanwhile", 1, time.Second, false, 2, "client left before the backend answered", facts.ClientLeft},
		{"never delivered", 99, time.Second, false, 4, "event not delivered", facts.NotDelivered}, // after 0, 1, 5 and 21 seconds
		{"forged", 99, time.Second, true, 1, "event not delivered", facts.NotDelivered},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, logs := provision(t, &Handler{ReportOnly: true, Retries: Retries{Count: new(10), Pause: caddy.Duration(test.pause)}})
				ctx, leave := context.WithCancel(context.Background())
				r := newRequest(transcript).WithContext(ctx)
				if test.forged {
					r.Header.Del(signature.HeaderName)
				}
				calls := 0
				serveWith(t, h, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
					calls++
					leave()
					if calls <= test.fails {
						return caddyhttp.Error(http.StatusBadGateway, errors.New("refused"))
					}
					w.WriteHeader(http.StatusOK)
					return nil
				}))
				assert.Equal(t, test.calls, calls)
				last := deliveryLog.Last(deliveries.Filter{Limit: 1})[0]
				assert.Equal(t, test.failure.Code, last.Reason)
				assert.Equal(t, 1, logs.FilterMessage(test.result).Len())
			})
		})
	}
}

func TestEventsAreDeliveredThoughTheClientLeaves(t *testing.T) {
	h, logs := provision(t, &Handler{})
	ctx, leave := context.WithCancel(context.Background())
	r := newRequest(transcript).WithContext(ctx)
	res := serveWith(t, h, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		leave()
		assert.NoError(t, r.Context().Err(), "the backend is still asked")
		w.WriteHeader(http.StatusOK)
		return nil
	}))
	require.NoError(t, res.err)
	assert.Equal(t, transcript, string(res.upstreamBody))
	require.Equal(t, 1, logs.Len())
	assert.Equal(t, "client left before the backend answered", logs.All()[0].Message)
}

func TestErrorRoutesGetALiveContextAndNoHeadersOfTheEvent(t *testing.T) {
	for _, next := range []caddyhttp.HandlerFunc{
		func(http.ResponseWriter, *http.Request) error {
			return caddyhttp.Error(http.StatusGatewayTimeout, errors.New("timeout"))
		},
		func(_ http.ResponseWriter, r *http.Request) error {
			caddyhttp.SetVar(r.Context(), "unhandled", true)
			return nil
		},
	} {
		h, _ := provision(t, &Handler{})
		r := caddyhttp.PrepareRequest(newRequest(transcript), caddy.NewReplacer(), nil, nil)
		require.Error(t, h.ServeHTTP(discard{http.Header{}}, r, next))
		assert.NoError(t, r.Context().Err())
		for name := range r.Header {
			assert.NotContains(t, []string{"X-Elevenlabs-Verified", "Idempotency-Key"}, name)
		}
	}
}

// lazy is a ResponseWriter that sends nothing before the first write, as encode does.
type lazy struct {
	discard
	written, sent bool
}

func (l *lazy) Write(p []byte) (int, error) {
	l.written = true
	return len(p), nil
}

func (l *lazy) FlushError() error {
	l.sent = l.written
	return nil
}

func TestTheHeadOfALongAnswerIsSentWithItsFirstBytes(t *testing.T) {
	sender := &lazy{discard: discard{http.Header{}}}
	w := midAttempt(sender)
	_, err := w.Write(make([]byte, netHTTPBuffer+1))
	require.NoError(t, err)
	assert.Equal(t, statusSent, w.state)
	assert.True(t, sender.sent)
}

func TestEventsWithoutABackendFailThoughAHandlerBetweenSays200(t *testing.T) {
	h, logs := provision(t, &Handler{})
	res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		caddyhttp.SetVar(r.Context(), "unhandled", true)
		w.WriteHeader(http.StatusOK) // as templates does, which buffers
		return nil
	}))
	require.NoError(t, res.err)
	assert.Equal(t, 500, res.Code)
	assert.Equal(t, facts.NoHandler.Sentence, logs.All()[0].ContextMap()["error"])
}

func TestAProxyBeforeTheBackendDoesNotDisableRetries(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: errors.New("reset")}
	for _, failure := range []error{reset, reverseproxy.NewDialError(reset), io.EOF, errors.New("no upstreams available")} {
		h, _ := provision(t, &Handler{})
		calls := 0
		res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Set(statusCodePlaceholder, 200) // forward_auth
			if calls++; calls < 3 {
				return caddyhttp.Error(http.StatusBadGateway, failure)
			}
			w.WriteHeader(http.StatusOK)
			return nil
		}))
		assert.Equal(t, 200, res.status(), failure)
		assert.Equal(t, 3, calls)
	}
}

func TestForgeriesForwardedByReportOnlyDoNotFloodTheLog(t *testing.T) {
	h, logs := provision(t, &Handler{ReportOnly: true})
	for range 50 {
		r := newRequest(transcript)
		r.Header.Del("ElevenLabs-Signature")
		serveWith(t, h, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusUnauthorized) // the backend verifies by itself
			return nil
		}))
	}
	assert.Equal(t, 20, logs.Len(), "ten of each message")
}

func TestDeliveryOutlivesTheClientForALimitedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, leave := context.WithCancel(context.Background())
		ctx, delivered := detach(client, disconnectTimeout)
		defer delivered()
		leave()
		synctest.Wait()
		time.Sleep(disconnectTimeout - time.Nanosecond)
		synctest.Wait()
		assert.NoError(t, ctx.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Error(t, ctx.Err())
	})
	synctest.Test(t, func(t *testing.T) { // synctest fails if a goroutine or timer is left
		client, leave := context.WithCancel(context.Background())
		ctx, delivered := detach(client, disconnectTimeout)
		leave()
		synctest.Wait()
		delivered()
		synctest.Wait()
		assert.Error(t, ctx.Err())
	})
	synctest.Test(t, func(t *testing.T) { // handlers around ours go on with the request
		client, leave := context.WithCancel(context.Background())
		ctx, delivered := detach(client, disconnectTimeout)
		delivered()
		synctest.Wait()
		assert.NoError(t, ctx.Err())
		leave()
		synctest.Wait()
		assert.Error(t, ctx.Err())
	})
}
