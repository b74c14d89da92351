package caddymodule

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

func TestBadInboxesNameTheLineAndTheOption(t *testing.T) {
	for _, test := range []struct {
		name, options string
		line          string
		err           string
	}{
		{"no reverse_proxy", "inbox", "5", "inbox: it needs a reverse_proxy inside"},
		{"bad name", "inbox Calls\nreverse_proxy a:1", "5", "inbox: the name \"Calls\" must be 1 to 64 of a to z"},
		{"two names", "inbox a b\nreverse_proxy a:1", "5", "argument count"},
		{"twice", "inbox {\n}\ninbox\nreverse_proxy a:1", "7", "inbox is set twice"},
		{"unknown option", "inbox {\nretries 3\n}\nreverse_proxy a:1", "6", `unrecognized subdirective "inbox retries"`},
		{"option twice", "inbox {\nlimit 1GiB\nlimit 2GiB\n}\nreverse_proxy a:1", "7", "inbox limit is set twice"},
		{"block in an option", "inbox {\nlimit 1GiB {\nx\n}\n}\nreverse_proxy a:1", "", "inbox limit takes no block"},
		{"no database", "inbox {\ndatabase\n}\nreverse_proxy a:1", "6", "argument count"},
		{"concurrency a word", "inbox {\nconcurrency many\n}\nreverse_proxy a:1", "6", `inbox concurrency: "many" is not a number`},
		{"concurrency zero", "inbox {\nconcurrency 0\n}\nreverse_proxy a:1", "6", "inbox concurrency: must be greater than zero"},
		{"concurrency too high", "inbox {\nconcurrency 1001\n}\nreverse_proxy a:1", "6", "inbox concurrency: the count must be from 1 to 1000"},
		{"timeout without unit", "inbox {\ntimeout 60\n}\nreverse_proxy a:1", "6", "inbox timeout: time: missing unit"},
		{"timeout zero", "inbox {\ntimeout 0s\n}\nreverse_proxy a:1", "6", "inbox timeout: must be greater than zero"},
		{"no pause", "inbox {\nretry\n}\nreverse_proxy a:1", "6", "argument count"},
		{"a pause of zero", "inbox {\nretry 1s 0s\n}\nreverse_proxy a:1", "6", "inbox retry: must be greater than zero"},
		{"give_up zero", "inbox {\ngive_up 0s\n}\nreverse_proxy a:1", "6", "inbox give_up: must be greater than zero"},
		{"retention negative", "inbox {\nretention -1h\n}\nreverse_proxy a:1", "6", "inbox retention: must not be less than zero"},
		{"retention of the dead zero", "inbox {\nretention 1h 0s\n}\nreverse_proxy a:1", "6", "inbox retention: must be greater than zero"},
		{"retention of three", "inbox {\nretention 1h 2h 3h\n}\nreverse_proxy a:1", "6", "argument count"},
		{"limit a word", "inbox {\nlimit all\n}\nreverse_proxy a:1", "6", `inbox limit: "all" is not a size`},
		{"limit zero", "inbox {\nlimit 0\n}\nreverse_proxy a:1", "6", "inbox limit: must be greater than zero"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := adapt(":80 {\n\troute {\n\t\televenlabs_webhook {\nsecret {env.TEST_SECRET}\n" + test.options + "\n}\n}\n}\n")
			require.ErrorContains(t, err, test.err)
			if test.line != "" {
				assert.Contains(t, err.Error(), "Caddyfile:"+test.line)
			}
		})
	}
}

// withInbox is a configuration of two webhooks with these inboxes.
func withInbox(t *testing.T, first, second string) *caddy.Config {
	t.Helper()
	text, err := adapt("{\nadmin off\n}\nhttp://localhost:0 {\nelevenlabs_webhook /1 {\nsecret {env.TEST_SECRET}\n" + first +
		"\n}\nelevenlabs_webhook /2 {\nsecret {env.TEST_SECRET}\n" + second + "\n}\n}\n")
	require.NoError(t, err)
	var config *caddy.Config
	require.NoError(t, json.Unmarshal([]byte(text), &config))
	return config
}

func TestHandlersOfOneInboxMustDeliverAlike(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	t.Setenv("TEST_DATABASE", " "+a+"\n")
	in := func(name, database, rest string) string {
		return "inbox " + name + " {\ndatabase " + database + "\n}\nreverse_proxy localhost:" + rest
	}
	for _, test := range []struct {
		name, first, second, err string
	}{
		{"equal", in("", a, "1"), in("", a, "1"), ""},
		{"equal by a placeholder", in("", a, "1"), in("", "{env.TEST_DATABASE}", "1"), ""},
		{"equal by another spelling of the path", in("", a, "1"), in("", dir+"/./a.db", "1"), ""},
		{"another name", in("", a, "1"), in("other", a, "2"), ""},
		{"another name and database", in("", a, "1"), in("other", b, "2"), ""},
		{"another backend", in("", a, "1"), in("", a, "2"), `two handlers deliver the inbox "default" differently`},
		{"other options", in("", a, "1"), in("", a, "1\ntolerance 40m"), ""},
		{"other options of the inbox", in("", a, "1"), "inbox {\ndatabase " + a + "\ntimeout 5s\n}\nreverse_proxy localhost:1", "differently"},
		{"another key to sign with", in("", a, "1"), in("", a, "1\nsign {env.TEST_SIGN_KEY}"), "differently"},
		{"another database", in("", a, "1"), in("", b, "1"), `two databases have an inbox "default"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := caddy.Validate(withInbox(t, test.first, test.second))
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
			assert.NoFileExists(t, a, "a configuration that is only checked opens nothing")
			assert.Empty(t, allDatabases(), "and leaves nothing")
		})
	}
}

func TestAnInboxNeedsADatabaseThatCanBeNamed(t *testing.T) {
	t.Setenv("TEST_EMPTY", " ")
	t.Setenv("TEST_URL", "postgres://caddy:hidden@localhost:99999/inbox")
	for _, test := range []struct{ database, err string }{
		{"{env.TEST_UNSET}", "TEST_UNSET"},
		{"{env.TEST_EMPTY}", "it is empty"},
		{"{file./nonexistent/url}", "/nonexistent/url does not exist"},
		{"{env.TEST_URL}", "the URL of the database postgres://localhost:99999/inbox cannot be read"},
	} {
		inbox := "inbox {\ndatabase " + test.database + "\n}\nreverse_proxy localhost:1"
		err := caddy.Validate(withInbox(t, inbox, inbox))
		require.ErrorContains(t, err, test.err)
		assert.ErrorContains(t, err, "inbox: database: ")
		assert.NotContains(t, err.Error(), "hidden")
	}
}

func TestAnInboxHasTheDocumentedDefaults(t *testing.T) {
	h := &Handler{Inbox: &Inbox{}}
	h.setDefaults()
	defaults, err := json.Marshal(h.Inbox)
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"name": "default", "concurrency": 16, "timeout": 60000000000, "limit": 10737418240, "give_up": 259200000000000,
		"retry": [5000000000, 30000000000, 120000000000, 600000000000, 1800000000000, 3600000000000],
		"retention": {"delivered": 259200000000000, "dead": 2592000000000000}
	}`, string(defaults))
}

func TestADeliveredEventIsRememberedWhileItCanBeRepeated(t *testing.T) {
	for _, test := range []struct {
		delivered, tolerance, want time.Duration
	}{
		{0, time.Minute, time.Hour},
		{0, 2 * time.Hour, 2*time.Hour + 5*time.Minute},
		{72 * time.Hour, 2 * time.Hour, 72 * time.Hour},
	} {
		h := &Handler{
			Tolerance: Tolerance{Past: caddy.Duration(test.tolerance)},
			Inbox:     &Inbox{Retention: InboxRetention{Delivered: new(caddy.Duration(test.delivered))}},
		}
		h.setDefaults()
		assert.Equal(t, test.want, h.inboxOptions(h.Inbox.InboxDelivery).Remember)
	}
}

func TestTheStoredRequestIsMadeAnewAsItWas(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/a%2Fb?q=1", nil)
	r.RemoteAddr = "10.0.0.1:4000"
	r.Header = http.Header{"Accept": {"a", "b"}, "Elevenlabs-Signature": {"t=1,v0=ab"}}
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, ServerName: "hooks.example.com", NegotiatedProtocol: "h2"}
	local := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 443}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "34.67.146.145")
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)

	text, err := json.Marshal(toStore(r))
	require.NoError(t, err)
	var request stored.Request
	require.NoError(t, json.Unmarshal(text, &request))
	anew, err := restoreRequest(t.Context(), request, httptest.NewRecorder())
	require.NoError(t, err)

	assert.Equal(t, r.Host, anew.Host)
	assert.Equal(t, "/a%2Fb?q=1", anew.RequestURI)
	assert.Equal(t, r.URL.RequestURI(), anew.URL.RequestURI())
	assert.Equal(t, r.Header, anew.Header)
	assert.Equal(t, r.RemoteAddr, anew.RemoteAddr)
	assert.Equal(t, local.String(), anew.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	assert.Equal(t, "34.67.146.145", clientIP(anew))
	assert.Equal(t, true, caddyhttp.GetVar(anew.Context(), caddyhttp.TrustedProxyVarKey))
	assert.True(t, anew.TLS.HandshakeComplete)
	repl := anew.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for placeholder, want := range map[string]string{
		"{http.request.scheme}":          "https",
		"{http.request.tls.version}":     "tls1.3",
		"{http.request.tls.server_name}": "hooks.example.com",
		"{http.request.tls.proto}":       "h2",
		"{http.request.local.port}":      "443",
		"{http.request.uri}":             "/a%2Fb?q=1",
	} {
		assert.Equal(t, want, repl.ReplaceAll(placeholder, ""), placeholder)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Sun, 29 Nov 2026 12:01:00 GMT": time.Minute,
		"Sun, 29 Nov 2026 11:00:00 GMT": 0,
	} {
		assert.Equal(t, want, retryAfterOf(http.Header{"Retry-After": {value}}, now), value)
	}
}

func TestOnlyTheBeginningOfAnAnswerIsKeptAndAsText(t *testing.T) {
	w := &recorder{header: http.Header{}}
	for _, part := range []string{"\x00a\xff", strings.Repeat("b", maxAnswer), "c"} {
		n, err := w.Write([]byte(part))
		require.NoError(t, err)
		assert.Len(t, part, n)
	}
	assert.Equal(t, "�a�"+strings.Repeat("b", maxAnswer-3), w.text())
}

func TestEachErrorOfTheInboxHasItsReasonForABypass(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{inbox.ErrFull, bypassFull},
		{inbox.ErrDiskFull, bypassDisk},
		{context.DeadlineExceeded, bypassTimeout},
		{inbox.ErrClosed, bypassError},
		{inbox.ErrUnreachable, bypassError},
	} {
		assert.Equal(t, test.want, bypassReason(test.err))
		assert.Contains(t, bypassReasons, test.want)
	}
}

// attemptOf makes one attempt to deliver an event through this reverse_proxy.
func attemptOf(t *testing.T, proxy string, body testBody) inbox.Outcome {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}}) // reverse_proxy needs the app of events
	require.NoError(t, err)
	h := &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}"}}, ReverseProxyRaw: json.RawMessage(proxy)}
	require.NoError(t, h.Provision(ctx))
	t.Cleanup(func() { assert.NoError(t, h.Cleanup()) })
	return queueFor(h).current().deliverStored(t.Context(), claimOf(body), body)
}

// claimOf returns the claim of an event with a body.
func claimOf(body testBody) *inbox.Claim {
	return &inbox.Claim{
		Event: inbox.Event{ID: body.digest(), Fields: "{}", Request: `{"host":"localhost","uri":"/","header":{}}`}, Seq: 1, Size: body.Size(), Attempt: 1,
	}
}

// testBody is a body and the digest that its event has.
type testBody interface {
	eventBody
	digest() string
}

// damaged is the body of an event that the database cannot read.
type damaged struct{}

func (damaged) Size() int64    { return 2 }
func (damaged) digest() string { return "" }
func (damaged) NewReader() io.ReadCloser {
	return io.NopCloser(iotest.ErrReader(errors.New("a damaged page")))
}

// whole is a body that can be read.
type whole string

func (w whole) Size() int64              { return int64(len(w)) }
func (w whole) NewReader() io.ReadCloser { return io.NopCloser(strings.NewReader(string(w))) }

func (w whole) digest() string {
	digest := sha256.Sum256([]byte(w))
	return hex.EncodeToString(digest[:])
}

// other is a body that was changed in the database.
type other string

func (o other) Size() int64              { return int64(len(o)) }
func (o other) NewReader() io.ReadCloser { return whole(o).NewReader() }
func (o other) digest() string           { return whole("{}").digest() }

func TestOnlyAnAnswerOf2xxTakesAnEventFromTheInbox(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		status, _ := strconv.Atoi(r.Header.Get("Answer"))
		w.WriteHeader(status)
	}))
	t.Cleanup(backend.Close)
	proxy := func(status int, responses string) string {
		return fmt.Sprintf(`{"upstreams":[{"dial":%q}],"headers":{"request":{"set":{"Answer":["%d"]}}}%s}`, strings.TrimPrefix(backend.URL, "http://"), status, responses)
	}
	const silent = `,"handle_response":[{"routes":[{"handle":[{"handler":"headers","response":{"set":{"X":["1"]}}}]}]}]`
	for _, test := range []struct {
		name, proxy string
		body        testBody
		want        inbox.Outcome
	}{
		{"204", proxy(204, ""), whole("{}"), inbox.Outcome{Taken: true, Status: 204}},
		{"500", proxy(500, ""), whole("{}"), inbox.Outcome{Status: 500, Reason: "backend_answer"}},
		{"500, and handle_response answers nothing", proxy(500, silent), whole("{}"), inbox.Outcome{Status: 500, Reason: "no_handler"}},
		{"200, and handle_response answers nothing", proxy(200, silent), whole("{}"), inbox.Outcome{Taken: true, Status: 200}},
		{"no connection", `{"upstreams":[{"dial":"127.0.0.1:1"}]}`, whole("{}"), inbox.Outcome{Unreachable: true, Reason: "backend_unreachable"}},
		{"an empty body", proxy(200, ""), whole(""), inbox.Outcome{Taken: true, Status: 200}},
		{"a body that cannot be read", proxy(200, ""), damaged{}, inbox.Outcome{Reason: "handler_error"}},
		{"a body that is not the one that was verified", proxy(200, ""), other("[]"), inbox.Outcome{Reason: "handler_error"}},
		{"a large one", proxy(200, ""), other(strings.Repeat("x", 3<<20)), inbox.Outcome{Reason: "handler_error"}},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, attemptOf(t, test.proxy, test.body)) })
	}
}

func TestAnAttemptEndsAsTheContextWithoutItsCause(t *testing.T) {
	parent, interrupt := context.WithCancelCause(t.Context())
	ctx, cancel := withoutCause(parent)
	defer cancel()
	interrupt(inbox.ErrInterrupted)
	<-ctx.Done()
	assert.Equal(t, context.Canceled, context.Cause(ctx), "reverse_proxy takes any other error for a fault of the backend")

	parent, cancelParent := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancelParent()
	late, cancelLate := withoutCause(parent)
	defer cancelLate()
	<-late.Done()
	assert.Equal(t, context.DeadlineExceeded, late.Err())
}

func TestProxiesDifferNotByTheNamesOfTheirGroups(t *testing.T) {
	const one, same, other = `{"a":[{"group":"group3"},{"group":"group4"},{"group":"group3"}]}`,
		`{ "a":[{"group":"group7"},{"group":"group9"},{"group":"group7"}]}`, `{"a":[{"group":"group7"},{"group":"group9"},{"group":"group9"}]}`
	assert.True(t, sameProxy(json.RawMessage(one), json.RawMessage(same)))
	assert.False(t, sameProxy(json.RawMessage(one), json.RawMessage(other)))
	assert.False(t, sameProxy(json.RawMessage(one), json.RawMessage(`{"a":[]}`)))
}

func TestThePathOfADatabaseIsOneForAllItsNames(t *testing.T) {
	dir := realPath(t.TempDir())
	file := filepath.Join(dir, "a.db")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Symlink(file, filepath.Join(dir, "b.db")))
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "folder")))
	for _, name := range []string{"a.db", "b.db", "folder/a.db", "folder/../folder/b.db"} {
		path, err := filePath(filepath.Join(dir, "folder", "..") + "/" + name)
		require.NoError(t, err)
		assert.Equal(t, file, path, name)
	}
	path, err := filePath(dir + "/folder/new.db")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "new.db"), path)
	_, err = filePath("mysql://caddy:hidden@localhost/inbox")
	require.ErrorContains(t, err, "postgres://")
	assert.NotContains(t, err.Error(), "hidden")
}

func TestHeadersKeepEveryByte(t *testing.T) {
	r := newRequest(transcript)
	r.Header = http.Header{"X-Text": {"é"}, "X-Bytes": {"caf\xe9", "b"}}
	r.URL.RawQuery = "q=\xe9"
	text, err := json.Marshal(toStore(r))
	require.NoError(t, err)
	var request stored.Request
	require.NoError(t, json.Unmarshal(text, &request))
	anew, err := restoreRequest(t.Context(), request, httptest.NewRecorder())
	require.NoError(t, err)
	assert.Equal(t, r.Header, anew.Header)
	assert.Equal(t, "q=\xe9", anew.URL.RawQuery)
}
