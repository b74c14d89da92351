package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

const (
	testSecret = "wsec_test"
	transcript = `{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"agent_1","conversation_id":"conv_1"}}`
)

var signedAt = time.Unix(1_795_421_654, 0)

func TestMain(m *testing.M) {
	_ = os.Setenv("TEST_SECRET", testSecret)
	_ = os.Setenv("TEST_OLD_SECRET", "wsec_old")
	os.Exit(m.Run())
}

// provision makes a handler whose clock stands at signedAt, and which keeps its
// log for the test to read.
func provision(t testing.TB, h *Handler) (*Handler, *observer.ObservedLogs) {
	t.Helper()
	if h.Secrets == nil {
		h.Secrets = []Secret{{Value: "{env.TEST_SECRET}"}}
	}
	if h.SpoolDir == "" {
		h.SpoolDir = t.TempDir()
	}
	if h.now == nil {
		h.now = func() time.Time { return signedAt }
	}
	if h.Retries.Pause == 0 {
		h.Retries.Pause = caddy.Duration(time.Millisecond)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	require.NoError(t, h.Provision(ctx))
	require.NoError(t, h.Validate())
	core, logs := observer.New(zapcore.DebugLevel)
	h.logger = zap.New(core)
	h.refusals = sampled(h.logger)
	t.Cleanup(func() {
		assert.Zero(t, spool.Held(), "bytes held after the test")
		left, err := filepath.Glob(filepath.Join(h.SpoolDir, "*"))
		assert.NoError(t, err)
		assert.Empty(t, left, "temporary files left")
	})
	return h, logs
}

// newRequest is a signed event over HTTPS, as Caddy's server hands it over.
func newRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/webhooks/elevenlabs", strings.NewReader(body))
	r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	r.Header.Set(signature.HeaderName, signature.Sign([]byte(testSecret), signedAt, []byte(body)))
	r.RemoteAddr = "34.67.146.145:4711"
	return r
}

// response is what came of a request: the client's and the backend's view.
type response struct {
	*httptest.ResponseRecorder
	err   error
	event *event
	repl  *caddy.Replacer

	upstream     http.Header // nil if the request did not get there
	upstreamBody []byte
	length       int64
}

// serve runs a request through the handler in front of a backend that answers
// 200.
func serve(t testing.TB, h *Handler, r *http.Request) *response {
	t.Helper()
	return serveWith(t, h, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	}))
}

func serveWith(t testing.TB, h *Handler, r *http.Request, next caddyhttp.Handler) *response {
	t.Helper()
	repl := caddy.NewReplacer()
	res := &response{ResponseRecorder: httptest.NewRecorder(), repl: repl}
	r = caddyhttp.PrepareRequest(r, repl, res, nil)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, strings.Split(r.RemoteAddr, ":")[0])
	if r.Header.Get("Test-Trusted-Proxy") != "" {
		caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)
	}
	res.err = h.ServeHTTP(res, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		var err error
		res.upstreamBody, err = io.ReadAll(r.Body)
		assert.NoError(t, err)
		res.upstream, res.length = r.Header.Clone(), r.ContentLength
		return next.ServeHTTP(w, r)
	}))
	res.event = eventOf(r)
	return res
}

// status is what Caddy's server answers.
func (res *response) status() int {
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](res.err); ok {
		return handlerErr.StatusCode
	}
	return res.Code
}

func (res *response) placeholder(t testing.TB, name string) string {
	t.Helper()
	value, known := res.repl.GetString("http.elevenlabs." + name)
	require.True(t, known, "placeholder %s", name)
	return value
}

func requireRejected(t testing.TB, res *response, reason string, status int) {
	t.Helper()
	require.Error(t, res.err)
	assert.Equal(t, status, res.status())
	assert.Equal(t, reason, res.Header().Get("X-ElevenLabs-Rejection"))
	assert.Equal(t, reason, res.placeholder(t, "rejection"))
	assert.Equal(t, "false", res.placeholder(t, "verified"))
	assert.Nil(t, res.upstream, "the backend was reached")
}

// unreadable is a body that must not be read.
type unreadable struct{ t testing.TB }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type timeoutError struct{ error }

func (timeoutError) Timeout() bool { return true }

// One row of the design's table each.
func TestEachRejectionHasItsReasonAndStatus(t *testing.T) {
	signedBy := func(secret string, at time.Time) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(signature.HeaderName, signature.Sign([]byte(secret), at, []byte(transcript)))
		}
	}
	tests := []struct {
		reason   string
		status   int
		unread   bool // refused with nothing of the body read
		handler  Handler
		change   func(*http.Request)
		header   map[string]string // of the response
		passes   bool              // goes through with report_only
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
					assert.Empty(t, res.upstream.Get("X-ElevenLabs-Event-Type"), "nothing unproven is told")
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

// requestOf is a request in the state that the handler left res in.
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

// One row of the design's table each, as a header and as a placeholder.
func TestVerifiedEventsComeWithTheirIdentity(t *testing.T) {
	const conversation = `{"type":"post_call_transcription","event_timestamp":"1739537297","data":{"agent_id":"agent_1","conversation_id":"conv_1"}}`
	const transcription = `{"type":"speech_to_text_transcription","data":{"request_id":"req_1"}}`
	const voice = `{"type":"voice_removed","data":{"voice_id":"voice_1"}}`
	digest := sha256.Sum256([]byte(conversation))
	id := hex.EncodeToString(digest[:])

	tests := []struct {
		header, placeholder, body, value string
	}{
		{"X-ElevenLabs-Verified", "verified", conversation, "true"},
		{"X-ElevenLabs-Event-Type", "event_type", conversation, "post_call_transcription"},
		{"X-ElevenLabs-Event-Id", "event_id", conversation, id},
		{"Idempotency-Key", "", conversation, id},
		{"X-ElevenLabs-Event-Timestamp", "event_timestamp", conversation, "1739537297"},
		{"X-ElevenLabs-Signed-At", "signed_at", conversation, "1795421654"},
		{"X-ElevenLabs-Secret-Name", "secret_name", conversation, "production"},
		{"X-ElevenLabs-Conversation-Id", "conversation_id", conversation, "conv_1"},
		{"X-ElevenLabs-Agent-Id", "agent_id", conversation, "agent_1"},
		{"X-ElevenLabs-Request-Id", "request_id", transcription, "req_1"},
		{"X-ElevenLabs-Voice-Id", "voice_id", voice, "voice_1"},
	}
	for _, test := range tests {
		t.Run(test.header, func(t *testing.T) {
			h, logs := provision(t, &Handler{Secrets: []Secret{{Value: "{env.TEST_OLD_SECRET}", Name: "old"}, {Value: "{env.TEST_SECRET}", Name: "production"}}})
			r := newRequest(test.body)
			sent := r.Header.Get(signature.HeaderName)
			res := serve(t, h, r)
			require.NoError(t, res.err)
			assert.Equal(t, 200, res.Code)
			assert.Equal(t, []string{test.value}, res.upstream.Values(test.header))
			if test.placeholder != "" {
				assert.Equal(t, test.value, res.placeholder(t, test.placeholder))
			}
			assert.Equal(t, test.body, string(res.upstreamBody))
			assert.Equal(t, sent, res.upstream.Get(signature.HeaderName), "the signature goes on untouched")
			assert.Empty(t, res.upstream.Values("X-ElevenLabs-Rejection"))
			assert.Zero(t, logs.Len(), "an accepted event is not worth a line")
		})
	}
}

func TestPlaceholdersAreEmptyUntilVerifiedAndUnknownOnesUnknown(t *testing.T) {
	r := caddyhttp.PrepareRequest(newRequest(""), caddy.NewReplacer(), nil, nil)
	newEvent(r)
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, row := range identity {
		value, known := repl.GetString("http.elevenlabs." + row.placeholder)
		assert.True(t, known, row.placeholder)
		assert.Empty(t, value, row.placeholder)
	}
	_, known := repl.Get("http.elevenlabs.typo")
	assert.False(t, known)
}

func TestSignedBodiesThatCannotBeReadAreForwardedWithoutTheHeaders(t *testing.T) {
	for name, body := range map[string]string{
		"empty":            "",
		"not JSON":         "hello",
		"not an object":    `["post_call_transcription"]`,
		"no type":          `{"data":{}}`,
		"type with a CR":   `{"type":"a\r\nX-Evil: 1"}`,
		"type too long":    `{"type":"` + strings.Repeat("a", 257) + `"}`,
		"type not ASCII":   `{"type":"é"}`,
		"type of a number": `{"type":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := provision(t, &Handler{})
			res := serve(t, h, newRequest(body))
			require.NoError(t, res.err)
			assert.Equal(t, body, string(res.upstreamBody))
			assert.Equal(t, int64(len(body)), res.length)
			assert.Equal(t, "true", res.upstream.Get("X-ElevenLabs-Verified"))
			assert.Empty(t, res.upstream.Values("X-ElevenLabs-Event-Type"))
			assert.Empty(t, res.upstream.Values("X-Evil"))
		})
	}
}

func TestUnknownTypesAreForwardedWithTheirNameAndIds(t *testing.T) {
	h, _ := provision(t, &Handler{})
	res := serve(t, h, newRequest(`{"type":"of_next_year","data":{"agent_id":"a"}}`))
	require.NoError(t, res.err)
	assert.Equal(t, "of_next_year", res.upstream.Get("X-ElevenLabs-Event-Type"))
	assert.Equal(t, "a", res.upstream.Get("X-ElevenLabs-Agent-Id"))
}

func TestClientsCannotSetOurHeadersInAnySpelling(t *testing.T) {
	spoofed := []string{
		"X-Elevenlabs-Verified", "x-elevenlabs-verified", "X-ELEVENLABS-Secret-Name", "X-Elevenlabs-Voice-Id",
		"X_ElevenLabs_Verified", "X-Elevenlabs_Event-Type", "X.ElevenLabs.Verified", "x~elevenlabs~verified",
		"X-Elevenlabs", "X-Elevenlabs-Not-Invented-Yet", "Idempotency-Key", "idempotency_key",
	}
	for _, reportOnly := range []bool{false, true} {
		h, _ := provision(t, &Handler{ReportOnly: reportOnly})
		r := newRequest(transcript)
		if reportOnly {
			r.Header.Del(signature.HeaderName)
		}
		for _, name := range spoofed {
			r.Header[name] = []string{"spoofed", "twice"}
		}
		res := serve(t, h, r)
		require.NoError(t, res.err)
		for name, values := range res.upstream {
			assert.NotContains(t, values, "spoofed", name)
		}
	}
}

func TestClientsCannotHaveOurHeadersRemovedByTheProxy(t *testing.T) {
	h, _ := provision(t, &Handler{ReportOnly: true})
	r := newRequest(transcript)
	r.Header.Del(signature.HeaderName)
	r.Header.Add("Connection", "close")
	r.Header.Add("Connection", "X-ElevenLabs-Verified, X-ElevenLabs-Rejection")
	res := serve(t, h, r)
	require.NoError(t, res.err)
	assert.Equal(t, "false", res.upstream.Get("X-ElevenLabs-Verified"))
	assert.Empty(t, res.upstream.Values("Connection"))
}

func TestRejectedRequestsKeepNoSpoofedHeaders(t *testing.T) {
	h, _ := provision(t, &Handler{})
	r := newRequest(transcript)
	r.Header.Set("X-ElevenLabs-Verified", "true")
	r.Header.Del(signature.HeaderName)
	header := r.Header
	requireRejected(t, serve(t, h, r), "signature_missing", 400)
	assert.Empty(t, header.Values("X-ElevenLabs-Verified"), "error routes see them")
}

func TestBodiesGoOnWithALengthAndWithoutTrailersOrExpectations(t *testing.T) {
	for _, size := range []int{0, 1, 5000, 3 << 20} {
		h, _ := provision(t, &Handler{})
		body := strings.Repeat("x", size)
		r := newRequest(body)
		r.ContentLength = -1 // chunked
		r.TransferEncoding = []string{"chunked"}
		r.Trailer = http.Header{"X-Elevenlabs-Verified": {"true"}}
		r.Header.Set("Trailer", "X-Elevenlabs-Verified")
		r.Header.Set("Expect", "100-continue")
		res := serveWith(t, h, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			assert.Nil(t, r.TransferEncoding)
			assert.Empty(t, r.Trailer)
			for range 2 {
				again, err := r.GetBody()
				assert.NoError(t, err)
				bytes, err := io.ReadAll(again)
				assert.NoError(t, err)
				assert.Len(t, bytes, size)
			}
			return nil
		}))
		require.NoError(t, res.err)
		assert.Equal(t, int64(size), res.length)
		assert.Equal(t, body, string(res.upstreamBody))
		assert.Empty(t, res.upstream.Values("Trailer"))
		assert.Empty(t, res.upstream.Values("Expect"))
	}
}

func TestCompressedBodiesAreVerifiedAndForwardedAsSent(t *testing.T) {
	h, _ := provision(t, &Handler{})
	const gzipped = "\x1f\x8b\x08\x00 not to be unpacked"
	r := newRequest(gzipped)
	r.Header.Set("Content-Encoding", "gzip")
	res := serve(t, h, r)
	require.NoError(t, res.err)
	assert.Equal(t, gzipped, string(res.upstreamBody))
	assert.Equal(t, "gzip", res.upstream.Get("Content-Encoding"))
}

func TestOtherEventsAreAnsweredAndNotForwarded(t *testing.T) {
	for body, forwarded := range map[string]bool{
		transcript:                   true,
		`{"type":"post_call_audio"}`: false,
		`{"data":{}}`:                false,
	} {
		h, logs := provision(t, &Handler{Events: []string{"post_call_transcription", "call_initiation_failure"}})
		res := serve(t, h, newRequest(body))
		require.NoError(t, res.err)
		assert.Equal(t, 200, res.Code)
		assert.Equal(t, forwarded, res.upstream != nil, body)
		assert.Equal(t, forwarded, logs.Len() == 0, "what is not forwarded is logged")
	}
}

func TestForgedEventsOfOtherTypesAreRefused(t *testing.T) {
	h, _ := provision(t, &Handler{Events: []string{"post_call_transcription"}})
	r := newRequest(`{"type":"post_call_audio"}`)
	r.Header.Set(signature.HeaderName, signature.Sign([]byte("wsec_other"), signedAt, []byte(`{"type":"post_call_audio"}`)))
	requireRejected(t, serve(t, h, r), "signature_mismatch", 401)
}

func TestPanicsBelowLeaveNothingBehind(t *testing.T) {
	h, _ := provision(t, &Handler{MemoryBuffer: 1})
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			assert.NotZero(t, spool.Held())
			panic(http.ErrAbortHandler)
		}))
	})
	assert.Zero(t, spool.Held())
}

func TestASecondHandlerOnTheWayVerifiesAnew(t *testing.T) {
	first, _ := provision(t, &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: "first"}}})
	second, _ := provision(t, &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: "second"}}})
	var seen http.Header
	res := serveWith(t, first, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		body, err := r.GetBody()
		assert.NoError(t, err)
		r.Body = body
		return second.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			seen = r.Header.Clone()
			return nil
		}))
	}))
	require.NoError(t, res.err)
	assert.Equal(t, []string{"second"}, seen.Values("X-ElevenLabs-Secret-Name"))
	assert.Equal(t, "second", res.placeholder(t, "secret_name"))
}

func TestAFloodOfForgeriesDoesNotFloodTheLog(t *testing.T) {
	h, logs := provision(t, &Handler{})
	for range 900 {
		r := newRequest(transcript)
		r.Header.Set(signature.HeaderName, signature.Sign([]byte("wsec_other"), signedAt, []byte(transcript)))
		serve(t, h, r)
	}
	assert.Equal(t, 10, logs.Len())

	r := newRequest(transcript)
	r.Header.Set(signature.HeaderName, signature.Sign([]byte(testSecret), signedAt.Add(-time.Hour), []byte(transcript)))
	serve(t, h, r)
	stale := logs.FilterField(zap.String("reason", "timestamp_stale")).All()
	require.Len(t, stale, 1, "another reason is still logged")
	assert.Equal(t, time.Hour, stale[0].ContextMap()["signature_age"])
	assert.Contains(t, stale[0].ContextMap()["hint"], "clock")
}
