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
			return http.DefaultClient.Do(request)
		},
	}
}

func showing(t *testing.T, value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		assert.NoError(t, json.NewEncoder(w).Encode(value))
	}
}

// indented is a value as JSON for people.
func indented(t *testing.T, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	require.NoError(t, err)
	return string(text)
}
