package caddymodule

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

func newInspector(t *testing.T, i *Inspector) *Inspector {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	require.NoError(t, i.Provision(ctx))
	return i
}

// visit asks for a page as a user, or as nobody if the name is empty.
func (i *Inspector) visit(t *testing.T, method, path, user string, options ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	for _, option := range options {
		option(r)
	}
	repl := caddy.NewReplacer()
	if user != "" {
		repl.Set("http.auth.user.id", user)
	}
	r = caddyhttp.PrepareRequest(r, repl, w, new(caddyhttp.Server))
	require.NoError(t, i.ServeHTTP(w, r, nil))
	return w
}

func TestNothingIsShownUnlessSomebodyHasSignedIn(t *testing.T) {
	o := openInbox(t)
	o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	i := newInspector(t, new(Inspector))
	certificate := &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}
	verified := func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}}}
	}
	nameless := &x509.Certificate{SerialNumber: big.NewInt(4711), URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org"}}}
	verifiedNameless := func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{nameless}, VerifiedChains: [][]*x509.Certificate{{nameless}}}
	}
	claimed := func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
		r.Header.Set("Remote-User", "alice")
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.RemoteAddr = "127.0.0.1:1"
		r.SetBasicAuth("alice", "x")
	}
	stream := func(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }
	program := func(r *http.Request) { r.Header.Set("Accept", "application/json") }
	for _, path := range []string{"/", "/events", "/events/1", "/events/1/body", "/events/1/audio", "/deliveries", "/assets/style.css", "/nothing"} {
		for _, option := range []func(*http.Request){claimed, stream, program} {
			w := i.visit(t, http.MethodGet, path, "", option)
			assert.Equal(t, http.StatusForbidden, w.Code, path)
			assert.Equal(t, notSignedIn, strings.TrimSuffix(w.Body.String(), "\n"), path)
		}
	}
	assert.Equal(t, http.StatusForbidden, i.visit(t, http.MethodPost, "/forget", "").Code)
	assert.Contains(t, i.visit(t, http.MethodGet, "/", "bob").Body.String(), "bob")
	assert.Contains(t, i.visit(t, http.MethodGet, "/", "", verified).Body.String(), "CN=alice")
	assert.Contains(t, i.visit(t, http.MethodGet, "/", "", verifiedNameless).Body.String(), "certificate 4711")
	open := newInspector(t, &Inspector{AllowUnauthenticated: true})
	assert.Equal(t, http.StatusOK, open.visit(t, http.MethodGet, "/events", "").Code)
}

func TestProgramsGetWhatTheAdminEndpointSends(t *testing.T) {
	o := openInbox(t)
	seq := o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	i := newInspector(t, new(Inspector))
	program := func(r *http.Request) { r.Header.Set("Accept", "application/json") }

	var events []stored.Event
	w := i.visit(t, http.MethodGet, "/events?limit=1", "bob", program)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &events))
	assert.Equal(t, seq, events[0].Seq)
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "same-origin", w.Header().Get("Cross-Origin-Resource-Policy"), "no page of another site plays a recording, or learns how long it is")

	var detail stored.Detail
	w = i.visit(t, http.MethodGet, "/events/1", "bob", program)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &detail))
	assert.Equal(t, "REDACTED", detail.Request.Header.Get("Authorization"))

	open := newInspector(t, &Inspector{AllowUnauthenticated: true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, open.ServeHTTP(w, r, nil))
	}))
	t.Cleanup(server.Close)
	response := ask(t, http.MethodGet, server.URL+"/events/1/body", http.Header{})
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, `{"n":1}`, string(body))
	assert.Equal(t, "application/octet-stream", response.Header.Get("Content-Type"))

	for path, want := range map[string]int{"/events?state=typo": http.StatusBadRequest, "/events/99": http.StatusNotFound, "/events/x": http.StatusBadRequest} {
		w := i.visit(t, http.MethodGet, path, "bob", program)
		var answer struct{ Error string }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), path)
		assert.Equal(t, want, w.Code, path)
		assert.NotEmpty(t, answer.Error, path)
	}
}

func TestPagesKnowTheirBasePath(t *testing.T) {
	for _, test := range []struct{ original, path, want string }{
		{"/", "/", ""},
		{"/events/5", "/events/5", ""},
		{"/inspect/events", "/events", "/inspect"},
		{"/inspect/", "/", "/inspect"},
		{"/inspect", "/", "/inspect"},
		{"/a/b/events/5/body", "/events/5/body", "/a/b"},
		{"//inspect/events", "/events", "/inspect"}, // a link to //inspect/ would lead to a host of that name
		{"///inspect", "/", "/inspect"},
		{"//", "/", ""},
		{"/elsewhere", "/rewritten", ""},
		{"/elsewhere", "/", "/elsewhere"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		original := *r
		original.URL = &url.URL{Path: test.original}
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, original))
		r.URL = &url.URL{Path: test.path}
		assert.Equal(t, test.want, basePath(r), test.original)
	}
}

func TestAStreamOfTheInspectorEndsWhenItsServerShutsDown(t *testing.T) {
	i := newInspector(t, &Inspector{AllowUnauthenticated: true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, i.ServeHTTP(w, r, nil))
	}))
	t.Cleanup(server.Close)
	var streams [2]*http.Response
	for n := range streams {
		streams[n] = ask(t, http.MethodGet, server.URL+"/deliveries", http.Header{"Accept": {"text/event-stream"}})
		require.Equal(t, "text/event-stream", streams[n].Header.Get("Content-Type"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, server.Config.Shutdown(ctx))
	for _, stream := range streams {
		_, err := io.ReadAll(stream.Body)
		assert.NoError(t, err, "the stream ended")
	}
}

func TestAQuietStreamLastsOverHTTP2(t *testing.T) { // not parallel: it changes how streams are
	openInbox(t)
	write, position := streamWriteTimeout, positionEvery
	t.Cleanup(func() { streamWriteTimeout, positionEvery = write, position })
	streamWriteTimeout, positionEvery = 500*time.Millisecond, 2*time.Second
	i := newInspector(t, &Inspector{AllowUnauthenticated: true})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, i.ServeHTTP(w, r, nil))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/events", nil)
	require.NoError(t, err)
	request.Header.Set("Accept", "text/event-stream")
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	require.Equal(t, 2, response.ProtoMajor)
	lines := bufio.NewScanner(response.Body)
	for range 4 { // two positions, each with an empty line after it
		require.True(t, lines.Scan(), "%v", lines.Err())
	}
}

func TestTheInspectorsOptionsAreParsed(t *testing.T) {
	for block, want := range map[string]string{
		"":                            "",
		"{\nread_only\n}":             `"read_only": true`,
		"{\nallow_unauthenticated\n}": `"allow_unauthenticated": true`,
	} {
		config, err := adapt(":80 {\nrespond 404\nelevenlabs_inspector " + block + "\nbasic_auth {\na $2a$14$x\n}\n}\n")
		require.NoError(t, err)
		assert.Contains(t, config, want)
		auth, inspect, respond := strings.Index(config, "authentication"), strings.Index(config, "elevenlabs_inspector"), strings.Index(config, "static_response")
		assert.True(t, auth < inspect && inspect < respond, "after the sign-in, before other answers")
	}
	for _, block := range []string{"x y", "{\ntypo\n}", "{\nread_only yes\n}"} {
		_, err := adapt(":80 {\nelevenlabs_inspector " + block + "\n}\n")
		assert.Error(t, err, block)
	}
}
