package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A tunnel sends plain HTTP from this machine, under a host name that Caddy does
// not know before.
func TestTheTunnelsCaddyfile(t *testing.T) {
	b := newBackend(t)
	config := findBlock(t, "docs/try.md", "caddyfile", "http://:8080 {").text
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	s := start(t, strings.NewReplacer(":8080", ":$PORT", "localhost:3000", b.address()).Replace(config))
	throughTunnel := func(request *http.Request) answer {
		request.URL.Scheme, request.Host = "http", "quiet-river.trycloudflare.com"
		request.Header.Set("X-Forwarded-Proto", "https")
		return send(t, http.DefaultClient, request)
	}
	require.Equal(t, 200, throughTunnel(s.event([]byte(transcript))).status)
	require.Len(t, b.take(), 1)
	requireRefused(t, b, throughTunnel(s.signed([]byte(transcript), "wsec_other", time.Now())), 401, "signature_mismatch")
	wrong := s.event([]byte(transcript))
	wrong.URL.Path = "/"
	assert.Equal(t, 404, throughTunnel(wrong).status)
}
