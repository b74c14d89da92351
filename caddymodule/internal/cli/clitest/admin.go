package clitest

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// Admin returns an Admin of an Env that asks a handler, which stands for the admin
// endpoint.
func Admin(t *testing.T, handler http.Handler) func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return func(ctx context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+ask.URI, nil)
		if err != nil {
			return nil, err
		}
		request.Header = ask.Header
		response, err := server.Client().Do(request)
		if err != nil {
			return nil, err
		}
		err = cmdutil.CheckAnswer(response, cmp.Or(ask.Header.Get("Accept"), "application/json"), func(answer string) string {
			return "another server answered " + answer
		})
		if err != nil {
			_ = response.Body.Close()
			return nil, err
		}
		return response, nil
	}
}
