package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func requireRejected(t testing.TB, res *response, reason string, status int) {
	t.Helper()
	require.Error(t, res.err)
	assert.Equal(t, status, res.status())
	assert.Equal(t, reason, res.Header().Get("X-ElevenLabs-Rejection"))
	assert.Equal(t, reason, res.placeholder(t, "rejection"))
	assert.Equal(t, "false", res.placeholder(t, "verified"))
	assert.Nil(t, res.upstream, "the backend was reached")
}

// unreadable is a body that fails the test if the handler reads it.
type unreadable struct{ t testing.TB }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type timeoutError struct{ error }

func (timeoutError) Timeout() bool { return true }

// Each case is a reason of facts.Rejections.
func TestEachRejectionHasItsReasonAndStatus(t *testing.T) {
	signedBy := func(secret string, at time.Time) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(signature.HeaderName, signature.Sign([]byte(secret), at, []byte(transcript)))
		}
	}
	tests := []struct {
		reason   string
		status   int
		unread   bool // rejected before the body was read
		handler  Handler
		change   func(*http.Request)
		header   map[string]string // of the response
		passes   bool              // report_only forwards it
		logLevel zapcore.Level
	}{
		{
			reason: "method_not_allowed", status: 405, unread: true, header: map[string]string{"Allow": "POST"},
			change: func(r *http.Request) { r.Method = http.MethodGet },
		},
		{
			reason: "insecure_transport", status: 403, unread: true, passes: true,
			change: func(r *http.Request) { r.TLS = nil },
		},
		{
			reason: "early_data", status: 425, unread: true, passes: true,
			change: func(r *http.Request) { r.TLS.HandshakeComplete = false },
		},
		{
			reason: "source_not_allowed", status: 403, unread: true, passes: true,
			handler: Handler{SourceIPs: []string{"elevenlabs"}},
			change:  func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" },
		},
		{
			reason: "signature_missing", status: 400, unread: true, passes: true,
			change: func(r *http.Request) { r.Header.Del(signature.HeaderName) },
		},
		{
			reason: "signature_malformed", status: 400, unread: true, passes: true,
			change: func(r *http.Request) {
				r.Header.Add(signature.HeaderName, r.Header.Get(signature.HeaderName))
			},
		},
		{
			reason: "signature_mismatch", status: 401, passes: true,
			change: signedBy("wsec_other", signedAt),
		},
		{
			reason: "timestamp_stale", status: 403, passes: true,
			change: signedBy(testSecret, signedAt.Add(-30*time.Minute-time.Second)),
		},
		{
			reason: "timestamp_future", status: 403, passes: true,
			change: signedBy(testSecret, signedAt.Add(5*time.Minute+time.Second)),
		},
		{
			reason: "body_too_large", status: 413, unread: true,
			handler: Handler{MaxSize: int64(len(transcript)) - 1},
		},
		{
			reason: "body_too_large", status: 413,
			handler: Handler{MaxSize: int64(len(transcript)) - 1},
			change:  func(r *http.Request) { r.ContentLength = -1 },
		},
		{
			reason: "body_too_large", status: 413, // by request_body before us
			change: func(r *http.Request) {
				r.Body = io.NopCloser(failing{caddyhttp.Error(http.StatusRequestEntityTooLarge, &http.MaxBytesError{})})
			},
		},
		{
			reason: "body_incomplete", status: 400,
			change: func(r *http.Request) { r.Body = io.NopCloser(failing{io.ErrUnexpectedEOF}) },
		},
		{
			reason: "body_incomplete", status: 400, // shorter than declared
			change: func(r *http.Request) { r.ContentLength++ },
		},
		{
			reason: "body_timeout", status: 408,
			change: func(r *http.Request) { r.Body = io.NopCloser(failing{os.ErrDeadlineExceeded}) },
		},
		{
			reason: "body_timeout", status: 408,
			change: func(r *http.Request) { r.Body = io.NopCloser(failing{timeoutError{io.ErrNoProgress}}) },
		},
		{
			reason: "overloaded", status: 503, header: map[string]string{"Retry-After": "5"},
			handler: Handler{SpoolLimit: 1}, logLevel: zapcore.ErrorLevel,
		},
		{
			reason: "spool_failed", status: 503, header: map[string]string{"Retry-After": "5"},
			handler: Handler{MemoryBuffer: 1}, logLevel: zapcore.ErrorLevel,
		},
	}
	for _, test := range tests {
		for _, reportOnly := range []bool{false, true} {
			name := test.reason
			if reportOnly {
				name += "/report_only"
			}
			t.Run(name, func(t *testing.T) {
				h := test.handler
				h.ReportOnly = reportOnly
				provisioned, logs := provision(t, &h)
				if test.reason == "spool_failed" {
					provisioned.SpoolDir = filepath.Join(h.SpoolDir, "gone")
				}
				r := newRequest(transcript)
				if goesOn := reportOnly && test.passes; test.unread && !goesOn {
					r.Body = io.NopCloser(unreadable{t})
				}
				if test.change != nil {
					test.change(r)
				}
				res := serve(t, provisioned, r)

				if reportOnly && test.passes {
					require.NoError(t, res.err)
					assert.Equal(t, 200, res.Code)
					assert.Equal(t, transcript, string(res.upstreamBody))
					assert.Equal(t, "false", res.upstream.Get("X-ElevenLabs-Verified"))
					assert.Equal(t, test.reason, res.upstream.Get("X-ElevenLabs-Rejection"))
					assert.Equal(t, test.reason, res.placeholder(t, "rejection"))
					assert.Empty(t, res.upstream.Get("X-ElevenLabs-Event-Type"), "the body proves nothing")
					matched, err := MatchEvent{}.MatchWithError(requestOf(res))
					require.NoError(t, err)
					assert.False(t, matched)
				} else {
					requireRejected(t, res, test.reason, test.status)
					for name, value := range test.header {
						assert.Equal(t, value, res.Header().Get(name))
					}
				}
				entries := logs.FilterField(zap.String("reason", test.reason)).All()
				require.Len(t, entries, 1)
				level := zapcore.WarnLevel
				if test.logLevel != 0 {
					level = test.logLevel
				}
				assert.Equal(t, level, entries[0].Level)
				assert.Contains(t, entries[0].ContextMap(), "client_ip")
				assertTellsNoSecret(t, logs, res)
			})
		}
	}
}

// requestOf returns a request whose event is that of the response.
func requestOf(res *response) *http.Request {
	r := caddyhttp.PrepareRequest(newRequest(""), caddy.NewReplacer(), nil, nil)
	caddyhttp.SetVar(r.Context(), eventVar, res.event)
	return r
}

func assertTellsNoSecret(t testing.TB, logs *observer.ObservedLogs, res *response) {
	t.Helper()
	var said bytes.Buffer
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, entry := range logs.All() {
		line, err := encoder.EncodeEntry(entry.Entry, entry.Context)
		require.NoError(t, err)
		said.Write(line.Bytes())
	}
	if res.err != nil {
		said.WriteString(res.err.Error())
	}
	_ = res.Header().Write(&said)
	_, mac, _ := strings.Cut(signature.Sign([]byte(testSecret), signedAt, []byte(transcript)), "v0=")
	for _, secret := range []string{testSecret, mac, "agent_1"} {
		assert.NotContains(t, said.String(), secret)
	}
}

func TestForgedEventsOfIgnoredTypesAreRejected(t *testing.T) {
	h, _ := provision(t, &Handler{Events: []string{"post_call_transcription"}})
	r := newRequest(`{"type":"post_call_audio"}`)
	r.Header.Set(signature.HeaderName, signature.Sign([]byte("wsec_other"), signedAt, []byte(`{"type":"post_call_audio"}`)))
	requireRejected(t, serve(t, h, r), "signature_mismatch", 401)
}

func TestAFloodOfForgeriesDoesNotFloodTheLog(t *testing.T) {
	h, logs := provision(t, &Handler{})
	for range 900 {
		r := newRequest(transcript)
		r.RemoteAddr = "203.0.113.7:4711" // not an address of ElevenLabs, which would count as a failure
		r.Header.Set(signature.HeaderName, signature.Sign([]byte("wsec_other"), signedAt, []byte(transcript)))
		serve(t, h, r)
	}
	assert.Equal(t, 10, logs.Len())

	r := newRequest(transcript)
	r.Header.Set(signature.HeaderName, signature.Sign([]byte(testSecret), signedAt.Add(-time.Hour), []byte(transcript)))
	serve(t, h, r)
	stale := logs.FilterField(zap.String("reason", "timestamp_stale")).All()
	require.Len(t, stale, 1, "another reason is still logged")
}

func TestAClockThatIsWrongByAnHourIsNamedAsTheLikelyCause(t *testing.T) {
	for _, test := range []struct {
		reason string
		wrong  time.Duration
		hint   string
	}{
		{"timestamp_stale", time.Hour, "this machine's clock is probably 1h0m0s ahead, except if this is a retry or a replay: set it"},
		{"timestamp_future", -time.Hour, "this machine's clock is probably 1h0m0s behind: set it"},
	} {
		h, logs := provision(t, &Handler{now: func() time.Time { return signedAt.Add(test.wrong) }})
		requireRejected(t, serve(t, h, newRequest(transcript)), test.reason, 403)
		rejected := logs.FilterField(zap.String("reason", test.reason)).All()
		require.Len(t, rejected, 1)
		assert.Equal(t, test.wrong, rejected[0].ContextMap()["signature_age"])
		assert.Equal(t, test.hint, rejected[0].ContextMap()["hint"])
	}
}

func TestMoreBodiesThanMemoryAllowsAreRejected(t *testing.T) {
	h, logs := provision(t, &Handler{})
	h.maxBodies = 1
	var second *response
	first := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		second = serve(t, h, newRequest(transcript)) // while the first is in flight
		w.WriteHeader(http.StatusOK)
		return nil
	}))
	assert.Equal(t, 200, first.Code)
	requireRejected(t, second, "overloaded", 503)
	entries := logs.FilterField(zap.String("reason", "overloaded")).All()
	require.Len(t, entries, 1)
	assert.Equal(t, "too many bodies are in flight", entries[0].ContextMap()["error"])
	assert.Equal(t, 200, serve(t, h, newRequest(transcript)).Code, "afterwards")
}

func TestAQuarterOfTheBodiesIsReservedForElevenLabs(t *testing.T) {
	h, _ := provision(t, &Handler{})
	h.maxBodies = 8
	stranger := newRequest(transcript)
	stranger.RemoteAddr = strangersAddress
	addresses := slices.Repeat([]string{strangersAddress}, 6)
	// each request is in flight while the next one comes
	var inFlight func(addresses []string, most func())
	inFlight = func(addresses []string, most func()) {
		if len(addresses) == 0 {
			most()
			return
		}
		r := newRequest(transcript)
		r.RemoteAddr = addresses[0]
		res := serveWith(t, h, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			inFlight(addresses[1:], most)
			w.WriteHeader(http.StatusOK)
			return nil
		}))
		assert.Equal(t, 200, res.Code)
	}
	inFlight(addresses, func() {
		requireRejected(t, serve(t, h, stranger), "overloaded", 503)
		assert.Equal(t, 200, serve(t, h, newRequest(transcript)).Code)
	})
	inFlight(append(addresses, newRequest("").RemoteAddr, newRequest("").RemoteAddr), func() {
		requireRejected(t, serve(t, h, newRequest(transcript)), "overloaded", 503)
	})
}

func TestAFloodOfForgeriesDoesNotSilenceTheLogAboutElevenLabs(t *testing.T) {
	h, logs := provision(t, &Handler{MaxSize: int64(len(transcript)) - 1})
	fromElevenLabs := func() int {
		return logs.FilterMessage("webhook rejected: body_too_large").FilterField(zap.Bool("from_elevenlabs", true)).Len()
	}
	for range 50 {
		r := newRequest(transcript)
		r.RemoteAddr = strangersAddress
		serve(t, h, r)
	}
	assert.Zero(t, fromElevenLabs())
	serve(t, h, newRequest(transcript))
	assert.Equal(t, 1, fromElevenLabs())
	for range 50 {
		serve(t, h, newRequest(transcript))
	}
	assert.Equal(t, 10, fromElevenLabs(), "sampled as well")
}

func TestA5xxIsAnErrorOnlyIfTheServerHasErrorRoutes(t *testing.T) {
	routes := func(handlers ...caddyhttp.MiddlewareHandler) caddyhttp.RouteList {
		return caddyhttp.RouteList{{Handlers: handlers}}
	}
	handled := &caddyhttp.HTTPErrorConfig{Routes: routes()}
	withErrors := &caddyhttp.Subroute{Errors: handled}
	for _, test := range []struct {
		name    string
		server  *caddyhttp.Server
		isError bool
	}{
		{"none", &caddyhttp.Server{}, false},
		{"none, with other subroutes", &caddyhttp.Server{Errors: new(caddyhttp.HTTPErrorConfig), Routes: routes(&caddyhttp.Subroute{Routes: routes(&Handler{})})}, false},
		{"of the server", &caddyhttp.Server{Errors: handled}, true},
		{"of a subroute", &caddyhttp.Server{Routes: routes(&Handler{}, withErrors)}, true},
		{"of a subroute in a subroute", &caddyhttp.Server{Routes: routes(&caddyhttp.Subroute{Routes: routes(withErrors)})}, true},
		{"of a named route", &caddyhttp.Server{NamedRoutes: map[string]*caddyhttp.Route{"a": {Handlers: []caddyhttp.MiddlewareHandler{withErrors}}}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _ := provision(t, &Handler{SpoolLimit: 1})
			w := httptest.NewRecorder()
			r := caddyhttp.PrepareRequest(newRequest(transcript), caddy.NewReplacer(), w, test.server)
			caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "34.67.146.145")
			err := h.ServeHTTP(w, r, nil)
			assert.Equal(t, "overloaded", w.Header().Get("X-ElevenLabs-Rejection"))
			assert.Equal(t, "5", w.Header().Get("Retry-After"))
			assert.Equal(t, []string{"rejected", "overloaded"}, []string{string(lastDelivery(t).Result), lastDelivery(t).Reason})
			if test.isError {
				var handlerErr caddyhttp.HandlerError
				require.ErrorAs(t, err, &handlerErr)
				assert.Equal(t, 503, handlerErr.StatusCode)
				return
			}
			assert.NoError(t, err)
			assert.Equal(t, 503, w.Code)
			assert.Empty(t, w.Body)
		})
	}
}
