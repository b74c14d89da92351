package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checked runs `caddy elevenlabs doctor`, and returns its findings by check.
func (s *server) checked(args ...string) (map[string]string, outcome) {
	s.t.Helper()
	all := append([]string{"doctor", "--json", "--config", s.file, "--resolve", "localhost:127.0.0.1"}, s.trust()...)
	got := elevenlabs(s.t, "", append(all, args...)...)
	findings := map[string]string{}
	for _, f := range objects[struct{ Check, Status, Detail, Remedy string }](s.t, got) {
		findings[f.Check] = strings.TrimSuffix(f.Status+": "+f.Detail+" / "+f.Remedy, " / ")
	}
	return findings, got
}

// failed returns the names of the checks that failed.
func failed(findings map[string]string) (names []string) {
	for name, text := range findings {
		if strings.HasPrefix(text, "fail: ") {
			names = append(names, name)
		}
	}
	return names
}

func TestDoctorOfTheServer(t *testing.T) {
	const handler = `
		handle /webhooks/elevenlabs {
			elevenlabs_webhook {
				secret {env.ELEVENLABS_WEBHOOK_SECRET}
				reverse_proxy %s
			}
		}`
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", realSecret)

	t.Run("all is well", func(t *testing.T) {
		b := newBackend(t)
		s := start(t, site(fmt.Sprintf(handler, b.address())))
		findings, got := s.checked()
		assert.Equal(t, 0, got.code, got.stdout)
		for check, text := range findings {
			if check == "dns" || check == "webhook" {
				assert.True(t, strings.HasPrefix(text, "skip: "), "%s %s", check, text)
				continue
			}
			if check == "url" {
				assert.True(t, strings.HasPrefix(text, "warn: "+s.url()+" is not on port 443"), text)
				continue
			}
			assert.True(t, strings.HasPrefix(text, "ok: "), "%s %s", check, text)
		}
		assert.Contains(t, findings["signed"], "a signed event passes: 200 OK")
		require.Len(t, b.take(), 1, "doctor must send one event to the backend")

		_, got = s.checked("--no-send")
		assert.Equal(t, 0, got.code, got.stdout)
		assert.Empty(t, b.take())
	})

	t.Run("the application is stopped", func(t *testing.T) {
		s := start(t, site(fmt.Sprintf(handler, fmt.Sprint("127.0.0.1:", freePort(t)))))
		findings, got := s.checked()
		assert.Equal(t, 2, got.code)
		assert.ElementsMatch(t, []string{"upstream", "signed"}, failed(findings), got.stdout)
		assert.Contains(t, findings["upstream"], "connection refused / Start the application")
		assert.Contains(t, findings["signed"], "502 Bad Gateway / The application does not listen")
	})

	t.Run("another secret", func(t *testing.T) {
		b := newBackend(t)
		s := start(t, site(fmt.Sprintf(handler, b.address())))
		t.Setenv("ELEVENLABS_WEBHOOK_SECRET", otherSecret) // for the command only, which reads the configuration with it
		findings, got := s.checked()
		assert.Equal(t, 2, got.code)
		assert.Equal(t, []string{"signed"}, failed(findings), got.stdout)
		assert.Contains(t, findings["signed"], "401 Unauthorized, signature_mismatch / Give the server the secret of this very webhook")
		assert.Empty(t, b.take())
	})

	t.Run("a way around the handler", func(t *testing.T) {
		b := newBackend(t)
		s := start(t, site(fmt.Sprintf(handler, b.address())+"\nreverse_proxy "+b.address()))
		findings, got := s.checked("--url", s.url()+"/")
		assert.Equal(t, 2, got.code)
		assert.ElementsMatch(t, []string{"handler", "endpoint", "forged"}, failed(findings), got.stdout)
		assert.Contains(t, findings["endpoint"], "a request without a signature is accepted: 200 OK")
		assert.Contains(t, findings["forged"], "not rejected as such: 200 OK / Whoever finds the URL can send events")
	})

	t.Run("the server is stopped", func(t *testing.T) {
		s := start(t, site(fmt.Sprintf(handler, newBackend(t).address())))
		s.kill()
		findings, got := s.checked()
		assert.Equal(t, 2, got.code)
		assert.Equal(t, []string{"connection"}, failed(findings), got.stdout)
	})
}
