package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The Caddyfile of examples/several-agents, with two webhooks at one URL.
func TestAFailingWebhookDoesNotHideBehindAnotherAtItsURL(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-ElevenLabs-Secret-Name") == "sales" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(backend.Close)
	t.Setenv("ELEVENLABS_SECRET_SUPPORT", "wsec_support")
	t.Setenv("ELEVENLABS_SECRET_SALES", "wsec_sales")
	example, err := os.ReadFile("../examples/several-agents/Caddyfile")
	require.NoError(t, err)
	_, site, found := strings.Cut(string(example), "\nlocalhost:8443 {\n")
	require.True(t, found)
	require.Contains(t, site, "localhost:3000")
	s := start(t, "https://$ADDRESS {\n\ttls internal\n"+strings.ReplaceAll(site, "localhost:3000", backend.Listener.Addr().String()))
	client := s.client("HTTP/2.0")
	for range 3 {
		require.Equal(t, 500, send(t, client, s.signed([]byte(transcript), "wsec_sales", time.Now())).status)
		require.Equal(t, 200, send(t, client, s.signed([]byte(transcript), "wsec_support", time.Now())).status)
	}

	metrics := s.get("/metrics")
	for secret, failures := range map[string]int{"support": 0, "sales": 3, "": 0} {
		assert.Contains(t, metrics, fmt.Sprintf("caddy_elevenlabs_webhook_consecutive_failures{handler=\"support,sales\",secret=%q} %d\n", secret, failures))
	}
	assert.Contains(t, metrics, `caddy_elevenlabs_webhook_last_success_timestamp_seconds{handler="support,sales",secret="sales"} 0`)
	o := elevenlabs(t, "", "status", "--address", s.admin)
	assert.Equal(t, 2, o.code, "deliveries fail")
	assert.Contains(t, o.stdout, "failures in a row   3")
	status := shown(t, s, "/elevenlabs/status")[0]
	assert.EqualValues(t, 3, status["failures_in_row"])
	secrets := status["secrets"].([]any)
	names := make([]any, 0, 2*len(secrets))
	for _, secret := range secrets {
		names = append(names, secret.(map[string]any)["secret"], secret.(map[string]any)["failures_in_row"])
	}
	assert.Equal(t, []any{"support", 0., "sales", 3., nil, 0.}, names)
	s.awaitLog("webhook deliveries fail")
	warned := s.logged("webhook deliveries fail")
	require.Len(t, warned, 1)
	assert.Equal(t, []any{"sales", 3.}, []any{warned[0]["secret"], warned[0]["failures_in_row"]})
}
