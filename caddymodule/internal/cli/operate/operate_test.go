package operate

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// adminEnv is a host whose admin endpoint is a handler.
func adminEnv(t *testing.T, admin http.HandlerFunc) cmdutil.Env {
	t.Helper()
	server := httptest.NewServer(admin)
	t.Cleanup(server.CloseClientConnections)
	return cmdutil.Env{
		Now: func() time.Time { return noon },
		Admin: func(ctx context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+ask.URI, nil)
			if err != nil {
				return nil, err
			}
			request.Header = ask.Header
			response, err := http.DefaultClient.Do(request)
			if err == nil && response.StatusCode >= 400 {
				return nil, &cmdutil.AdminError{Status: response.StatusCode, Message: "it answered " + response.Status}
			}
			return response, err
		},
	}
}

// showing answers with a value. Of inboxes it knows nothing, as an older Caddy.
func showing(t *testing.T, value any) http.HandlerFunc { return showingBoth(t, value, nil) }

func showingBoth(t *testing.T, value, inboxes any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/elevenlabs/inbox":
			assert.NoError(t, json.NewEncoder(w).Encode(value))
		case inboxes == nil:
			http.NotFound(w, r)
		default:
			assert.NoError(t, json.NewEncoder(w).Encode(inboxes))
		}
	}
}

// indented is a value as JSON for people.
func indented(t *testing.T, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	require.NoError(t, err)
	return string(text)
}
