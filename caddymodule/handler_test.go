package caddymodule

import (
	"context"
	"crypto/tls"
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

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
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
	_ = os.Setenv("TEST_SIGN_KEY", signKey)
	_ = os.Setenv("TEST_OLD_SIGN_KEY", oldSignKey)
	os.Exit(m.Run())
}

// provision provisions a handler whose clock stands at signedAt, and returns its log.
func provision(t testing.TB, h *Handler) (*Handler, *observer.ObservedLogs) {
	t.Helper()
	forgetUnused()
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
	h.setLogger(zap.New(core))
	t.Cleanup(func() {
		assert.NoError(t, h.Cleanup())
		forgetUnused()
		assert.Zero(t, spool.Held(), "bytes held after the test")
		left, err := filepath.Glob(filepath.Join(h.SpoolDir, "*"))
		assert.NoError(t, err)
		assert.Empty(t, left, "temporary files left")
	})
	return h, logs
}

// newRequest returns a signed event over HTTPS, as Caddy's server passes it on.
func newRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/webhooks/elevenlabs", strings.NewReader(body))
	r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	r.Header.Set(signature.HeaderName, signature.Sign([]byte(testSecret), signedAt, []byte(body)))
	r.RemoteAddr = "34.67.146.145:4711"
	return r
}

// response is what the client and the backend saw of a request.
type response struct {
	*httptest.ResponseRecorder
	err   error
	event *event
	repl  *caddy.Replacer

	upstream     http.Header // nil if the request did not reach the backend
	upstreamBody []byte
	length       int64
}

// serve runs a request through the handler. The backend answers 200.
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
	res.event = eventOf(r.Context())
	return res
}

// status returns the status that Caddy's server answers.
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

func TestBodiesAreForwardedWithALengthAndWithoutTrailersOrExpect(t *testing.T) {
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
	tests := []struct {
		events    []string
		body      string
		forwarded bool
	}{
		{[]string{"post_call_transcription", "call_initiation_failure"}, transcript, true},
		{[]string{"post_call_transcription", "call_initiation_failure"}, `{"type":"post_call_audio"}`, false},
		{[]string{"post_call_transcription", "call_initiation_failure"}, `{"data":{}}`, false},
		{[]string{"transcript"}, transcript, true}, // the name of a subscription
		{[]string{"audio", "transcript"}, `{"type":"post_call_transcription_otel"}`, true},
		{[]string{"transcript"}, `{"type":"post_call_audio"}`, false},
		{[]string{"of_next_year"}, `{"type":"of_next_year"}`, true}, // in no vocabulary
		{[]string{"agent_qa"}, `{"type":"agent_qa"}`, true},         // whose types are unknown
	}
	for _, test := range tests {
		h, logs := provision(t, &Handler{Events: test.events})
		res := serve(t, h, newRequest(test.body))
		require.NoError(t, res.err)
		assert.Equal(t, 200, res.Code)
		assert.Equal(t, test.forwarded, res.upstream != nil, "%v %s", test.events, test.body)
		assert.Equal(t, test.forwarded, logs.Len() == 0, "the handler logs an event that it does not forward")
	}
}

func TestAPanickingBackendLeavesNoBodyBehind(t *testing.T) {
	h, _ := provision(t, &Handler{MemoryBuffer: 1})
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			assert.NotZero(t, spool.Held())
			panic(http.ErrAbortHandler)
		}))
	})
	assert.Zero(t, spool.Held())
}

func TestASecondHandlerVerifiesAgain(t *testing.T) {
	first, _ := provision(t, &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: "first"}}})
	second, _ := provision(t, &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: "second"}}})
	var seen http.Header
	res := serveWith(t, first, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		body, err := r.GetBody() // serveWith has read the first
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

// Each handler must record its own view of a request: the inner one has other secrets
// and other retries.
func TestNestedHandlersKeepTheirRecordsApart(t *testing.T) {
	once, never := 1, 0
	first, _ := provision(t, &Handler{Retries: Retries{Count: &once}, Secrets: []Secret{
		{Value: "{env.TEST_SECRET}", Name: "first"},
	}})
	second, _ := provision(t, &Handler{Retries: Retries{Count: &never}, Secrets: []Secret{
		{Value: "{env.TEST_OLD_SECRET}", Name: "old"}, {Value: "{env.TEST_SECRET}", Name: "second"},
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	calls := 0
	res := serveWith(t, first, newRequest(transcript).WithContext(ctx), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		body, err := r.GetBody() // serveWith has read the first
		assert.NoError(t, err)
		r.Body = body
		return second.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			calls++
			return caddyhttp.Error(http.StatusBadGateway, errors.New("connection refused"))
		}))
	}))
	assert.Equal(t, http.StatusBadGateway, res.status())
	assert.Equal(t, 2, calls, "the first handler's retries are used up")
	last := deliveryLog.Last(deliveries.Filter{Limit: 3})
	for i, want := range []struct {
		name     string
		attempts int
	}{{"second", 1}, {"second", 1}, {"first", 4}} { // each GetBody counts too
		assert.Equal(t, want.name, last[i].SecretName)
		assert.Equal(t, want.attempts, last[i].Attempts)
	}
}
