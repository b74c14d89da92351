package caddymodule

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestTheAdminEndpointsAddressIsAsInCaddysOwnCommands(t *testing.T) {
	for _, test := range []struct{ address, dials, says string }{
		{address: "localhost:2020", dials: "tcp localhost:2020"},
		{address: ":2020", dials: "tcp :2020"},
		{address: "[::1]:2020", dials: "tcp [::1]:2020"},
		{address: "tcp4/127.0.0.1:2020", dials: "tcp4 127.0.0.1:2020"},
		{address: "unix//run/caddy/admin.sock", dials: "unix /run/caddy/admin.sock"},
		{address: "unix//run/caddy/admin.sock|0220", dials: "unix /run/caddy/admin.sock"},
		{address: "localhost", says: "it has no port; give one such as localhost:2019"},
		{address: "::1", says: "it has no port"},
		{address: "localhost:0", says: "it has no port"},
		{address: "http://localhost:2019", says: "it is a URL"},
		{address: "https://localhost:2019/", says: "it is a URL"},
		{address: "localhost:2019/", says: `"localhost:2019" is no network`},
		{address: "localhost:admin", says: "invalid start port"},
		{address: "localhost:99999", says: "invalid start port"},
		{address: "localhost:2019-2021", says: "it has several ports"},
		{address: "udp/localhost:2019", says: `"udp" is no network`},
		{address: "fd/3", says: `"fd" is no network`},
		{address: "unix/", says: "it has no path"},
	} {
		place, err := parseAdminAddress(test.address)
		if test.says != "" {
			assert.ErrorContains(t, err, test.says, test.address)
			assert.ErrorContains(t, err, "unix//run/caddy/admin.sock", "each error says what is right")
			continue
		}
		require.NoError(t, err, test.address)
		assert.Equal(t, test.dials, place.Network+" "+place.JoinHostPort(0))
	}
}

func TestOnlyTheAdminEndpointsAnswerIsTaken(t *testing.T) {
	for _, test := range []struct {
		name         string
		status       int
		mediaType    string
		body, accept string
		says         string
	}{
		{"a list", 200, "application/json", "[]", "application/json", ""},
		{"a stream", 200, "text/event-stream", "", "text/event-stream", ""},
		{"a list, by default", 200, "application/json", "[]", "", ""},
		{"with a parameter", 200, "text/event-stream; charset=utf-8", "", "text/event-stream", ""},
		{"a web site", 200, "text/html; charset=utf-8", "<html>", "application/json", "another server, or a Caddy without this module, answered 200 OK with text/html (--address"},
		{"a list in place of a stream", 200, "application/json", "[]", "text/event-stream", "a Caddy without this module, answered 200 OK with application/json"},
		{"no type", 200, "", "", "text/event-stream", "a Caddy without this module, answered 200 OK (--address"},
		{"another path", 404, "text/plain", "404 page not found", "application/json", "a Caddy without this module, answered 404 Not Found with text/plain"},
		{"a redirect", 308, "", "", "application/json", "a Caddy without this module, answered 308 Permanent Redirect"},
		{"an error in JSON", 400, "application/json", `{"error":"limit must be a number above 0\nx"}`, "application/json", `it answered 400: "limit must be a number above 0\nx"`},
		{"another's error in JSON", 400, "application/json", `{"detail":"x"}`, "application/json", "another server"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "/elevenlabs/status", r.URL.Path)
				assert.Equal(t, "http://"+r.Host, r.Header.Get("Origin"))
				w.Header()["Content-Type"] = nil
				if test.mediaType != "" {
					w.Header().Set("Content-Type", test.mediaType)
				}
				w.Header().Set("Location", "/elevenlabs/status")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			address := server.Listener.Addr().String()
			response, err := askAdmin(t.Context(), cmdutil.AdminRequest{Address: address, URI: "/elevenlabs/status", Header: http.Header{"Accept": {test.accept}}})
			if test.says == "" {
				require.NoError(t, err)
				assert.NoError(t, response.Body.Close())
				return
			}
			assert.ErrorContains(t, err, "asking Caddy's admin endpoint at "+address+": ")
			assert.ErrorContains(t, err, test.says)
		})
	}
}

func TestTheAdminEndpointMayBeASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "127.0.0.1", r.Host)
		w.Header().Set("Content-Type", "application/json")
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	response, err := askAdmin(t.Context(), cmdutil.AdminRequest{Address: "unix/" + path + "|0200", URI: "/elevenlabs/status", Header: http.Header{"Accept": {"application/json"}}})
	require.NoError(t, err)
	assert.NoError(t, response.Body.Close())
}

func TestAServerThatNeverAnswersIsNotWaitedForWithoutEnd(t *testing.T) {
	defer func(d time.Duration) { askTimeout = d }(askTimeout)
	askTimeout = 50 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0") // nothing accepts
	require.NoError(t, err)
	defer listener.Close()
	_, err = askAdmin(t.Context(), cmdutil.AdminRequest{Address: listener.Addr().String(), URI: "/elevenlabs/status"})
	assert.ErrorContains(t, err, "is Caddy running?")
	assert.ErrorContains(t, err, "timeout awaiting response headers")
}

func TestAnInterruptEndsTheWaitForAnAnswer(t *testing.T) {
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-asked
		interrupt()
	}()
	_, err := askAdmin(ctx, cmdutil.AdminRequest{Address: server.Listener.Addr().String(), URI: "/"})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestTheAdminEndpointsAddressMayStandInAConfigurationFile(t *testing.T) {
	for _, test := range []struct{ file, address, says string }{
		{"{\n\tadmin localhost:2020\n}\n", "localhost:2020", ""},
		{"{\n\tdebug\n}\n", "localhost:2019", ""},
		{"{\n\tadmin off\n}\n", "", "switches Caddy's admin endpoint off"},
		{"{\n\tnot_an_option\n}\n", "", "finding the admin endpoint's address in --config"},
	} {
		file := filepath.Join(t.TempDir(), "Caddyfile")
		require.NoError(t, os.WriteFile(file, []byte(test.file), 0o600))
		address, err := adminAddress("", file, "")
		assert.Equal(t, test.address, address)
		if test.says == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, test.says)
		}
		address, err = adminAddress("localhost:1", file, "")
		assert.NoError(t, err, "the file is not read")
		assert.Equal(t, "localhost:1", address)
	}
}

func TestAChangeIsPostedToTheAdminEndpointAndItsErrorIsAnAdminError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, []string{"POST", "application/json", `{"events":[1]}`}, []string{r.Method, r.Header.Get("Content-Type"), string(sent)})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":"there is no such event"}`)
	}))
	defer server.Close()
	_, err := askAdmin(t.Context(), cmdutil.AdminRequest{Address: server.Listener.Addr().String(), URI: "/", Post: []byte(`{"events":[1]}`)})
	answer, ok := errors.AsType[*cmdutil.AdminError](err)
	require.True(t, ok, err)
	assert.Equal(t, 404, answer.Status)
	assert.ErrorContains(t, err, "it answered 404: there is no such event")
}
