package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// spellings are paths that some framework takes for the webhook's.
var spellings = []string{
	"/webhooks/elevenlabs",
	"/webhooks/elevenlabs/",
	"//webhooks/elevenlabs",
	"/webhooks//elevenlabs",
	"/Webhooks/ELEVENLABS",
	"/webhooks/%65levenlabs",
	"/webhooks%2Felevenlabs",
	"/webhooks/elevenlabs%2F",
	"/./webhooks/elevenlabs",
	"/x/../webhooks/elevenlabs",
	"/x/%2e%2e/webhooks/elevenlabs",
	"/webhooks/elevenlabs.json",
	"/webhooks/elevenlabs;x=1",
	"/webhooks;x/elevenlabs",
	"/webhooks/elevenlabs?x=1",
	"/webhooks/elevenlabs%00",
	"/webhooks/elevenlabs%20",
}

// A website and the webhook are one application. Real frameworks decide which spellings
// they take for the webhook: none may get there unverified with a header of ours.
func TestNoSpellingOfThePathReachesTheApplicationUnverified(t *testing.T) {
	t.Parallel() // it mostly waits
	recipe := findBlock(t, "docs/deploy/website.md", "caddyfile", "example.com").text
	for _, a := range applications {
		if a.page != "docs/applications.md" {
			continue
		}
		t.Run(a.heading, func(t *testing.T) {
			t.Parallel()
			address, output := a.start(t)
			s := start(t, strings.NewReplacer(
				"example.com {", "https://$ADDRESS {\n\ttls internal", "localhost:3000", address, "ELEVENLABS_WEBHOOK_SECRET", "WEBHOOK_SECRET",
			).Replace(recipe))
			client := s.client("HTTP/1.1")
			body := []byte(transcript)
			for _, path := range spellings {
				request := s.event(body)
				request.URL = &url.URL{Scheme: "https", Host: s.address, Opaque: "//" + s.address + path}
				request.Header.Set(signature.HeaderName, signature.Sign([]byte("wsec_other"), time.Now(), body))
				for _, name := range []string{"X-ElevenLabs-Verified", "X-ElevenLabs-Event-Type", "X-ElevenLabs-Event-Id"} {
					request.Header.Set(name, "spoofed")
				}
				request.Header.Set("Idempotency-Key", digestOf(body))
				_, err := try(client, request)
				require.NoError(t, err, path)
			}
			assert.NotContains(t, output.String(), "spoofed")
			assert.NotContains(t, output.String(), digestOf(body))

			got := send(t, client, s.event(body))
			require.Equal(t, http.StatusOK, got.status, got.body)
			s.eventually("the genuine event", func() bool { return strings.Contains(output.String(), digestOf(body)) })
			client.CloseIdleConnections()
		})
	}
}

// What Caddy's path matcher with a star takes for the webhook's path.
func TestTheRecipeVerifiesEachSpellingThatCaddyKnows(t *testing.T) {
	t.Parallel() // it mostly waits
	app := newBackend(t)
	recipe := findBlock(t, "docs/deploy/website.md", "caddyfile", "example.com").text
	s := start(t, strings.NewReplacer(
		"example.com {", "https://$ADDRESS {\n\ttls internal", "localhost:3000", app.address(), "ELEVENLABS_WEBHOOK_SECRET", "WEBHOOK_SECRET",
	).Replace(recipe))
	client := s.client("HTTP/1.1")
	for _, path := range spellings {
		request := s.event([]byte(transcript))
		request.URL = &url.URL{Scheme: "https", Host: s.address, Opaque: "//" + s.address + path}
		request.Header.Del(signature.HeaderName)
		request.Header.Set("X-ElevenLabs-Verified", "true")
		got := send(t, client, request)
		reached := app.take()
		if path == "/webhooks;x/elevenlabs" { // which the page names
			require.Len(t, reached, 1)
			assert.Empty(t, reached[0].header.Get("X-ElevenLabs-Verified"))
			continue
		}
		assert.Equal(t, "signature_missing", got.header.Get("X-ElevenLabs-Rejection"), path)
		assert.Empty(t, reached, path)
	}
	client.CloseIdleConnections()
}

// Caddy's request_body rejects a request before our handler runs.
func TestStripWorksBeforeOtherDirectivesReject(t *testing.T) {
	t.Parallel()
	app := newBackend(t)
	s := start(t, site("elevenlabs_strip\nrequest_body {\nmax_size 10\n}\nhandle /webhooks/elevenlabs {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nreverse_proxy "+app.address()+"\n}\n}\nhandle_errors {\nrequest_header -Content-Length\nreverse_proxy "+app.address()+" {\nmethod GET\n}\n}"))
	client := s.client("HTTP/1.1")
	request := s.event([]byte(transcript))
	request.Header.Set("X-ElevenLabs-Verified", "true")
	send(t, client, request)
	reached := app.take()
	require.Len(t, reached, 1)
	assert.Empty(t, reached[0].header.Get("X-ElevenLabs-Verified"))
	client.CloseIdleConnections()
}
