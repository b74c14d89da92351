package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

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
		send(t, s.client("HTTP/1.1"), s.signed([]byte(transcript), realSecret, time.Now()))
		b.take()
		findings, got := s.checked()
		assert.Equal(t, 0, got.code, got.stdout)
		for check, text := range findings {
			if check == "dns" || check == "missing" || check == "webhook" {
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
		assert.Contains(t, findings["running"], "ELEVENLABS_WEBHOOK_SECRET: failures in a row: 0; last genuine event: ")
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
		assert.ElementsMatch(t, []string{"handler", "bypass", "endpoint", "forged"}, failed(findings), got.stdout)
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

// What real events say is in the running server only: its secret and the shell's agree.
func TestDoctorAsksTheRunningServer(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", realSecret)
	config := "{\nservers {\ntrusted_proxies static 127.0.0.0/8 ::1/128\n}\n}\n" + site(`
		handle /webhooks/elevenlabs {
			elevenlabs_webhook {
				secret {env.ELEVENLABS_WEBHOOK_SECRET}
				reverse_proxy `+newBackend(t).address()+`
			}
		}`)
	s := start(t, config)
	findings, got := s.checked()
	assert.Equal(t, 0, got.code, got.stdout)
	assert.Contains(t, findings["running"], "warn: ELEVENLABS_WEBHOOK_SECRET: last genuine event: none since Caddy started, so nothing proves that the secret is the webhook's")

	client := s.client("HTTP/1.1")
	for range 2 {
		request := s.signed([]byte(transcript), otherSecret, time.Now())
		request.Header.Set("X-Forwarded-For", "34.67.146.145") // an address of ElevenLabs
		require.Equal(t, http.StatusUnauthorized, send(t, client, request).status)
	}
	findings, got = s.checked()
	assert.Equal(t, 2, got.code, got.stdout)
	assert.Equal(t, []string{"running"}, failed(findings), got.stdout)
	assert.Contains(t, findings["running"], "failures in a row: 2, the last ")
	assert.Contains(t, findings["running"], ": signature_mismatch; last genuine event: none since Caddy started / Give the server the secret of this very webhook")

	require.Equal(t, http.StatusOK, send(t, client, s.signed([]byte(transcript), realSecret, time.Now())).status)
	findings, got = s.checked()
	assert.Equal(t, 0, got.code, got.stdout)
	assert.Contains(t, findings["running"], "ok: ELEVENLABS_WEBHOOK_SECRET: failures in a row: 0; last genuine event: ")

	t.Run("the file is not what runs", func(t *testing.T) {
		s.reload(strings.Replace(config, "elevenlabs_webhook {", "elevenlabs_webhook {\nreport_only", 1))
		s.write(config)
		findings, got := s.checked()
		assert.Equal(t, 2, got.code, got.stdout)
		assert.Contains(t, findings["running"], "report_only is on in the running server, and not in the configuration / Load the configuration: caddy reload --config "+s.file)

		s.write(strings.Replace(config, "SECRET}", "SECRET} new-name", 1))
		findings, _ = s.checked()
		assert.Contains(t, findings["running"], "fail: the running server has no such elevenlabs_webhook")
	})
	client.CloseIdleConnections()
}

// A website and the webhook are one application, which takes a slash at the end as
// Express does.
func TestDoctorFindsWaysPastTheHandler(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", realSecret)
	const handler = `
		handle /webhooks/elevenlabs%s {
			elevenlabs_webhook {
				secret {env.ELEVENLABS_WEBHOOK_SECRET}
				reverse_proxy %s
			}
		}
		handle {
			reverse_proxy %[2]s
		}`
	b := newBackend(t)

	t.Run("without the recipe", func(t *testing.T) {
		s := start(t, site(fmt.Sprintf(handler, "", b.address())))
		findings, got := s.checked()
		assert.Equal(t, 2, got.code, got.stdout)
		assert.ElementsMatch(t, []string{"bypass", "spellings"}, failed(findings), got.stdout)
		assert.Contains(t, findings["bypass"], "a POST to localhost, path /webhooks/elevenlabs/, reaches "+b.address()+" past elevenlabs_webhook, with the client's own X-ElevenLabs-* headers / Write a star")
		assert.Contains(t, findings["spellings"], "a forged event is accepted at other spellings of the path: /webhooks/elevenlabs/ (200 OK), ")
		b.take()

		_, got = s.checked("--no-send")
		assert.Equal(t, 2, got.code, got.stdout)
		assert.Empty(t, b.take(), "--no-send must keep forged events from the application")
	})

	t.Run("without elevenlabs_strip", func(t *testing.T) {
		s := start(t, site(fmt.Sprintf(handler, "*", b.address())))
		findings, _ := s.checked("--no-send")
		assert.Equal(t, []string{"bypass"}, failed(findings))
		assert.Contains(t, findings["bypass"], "other paths of localhost lead to "+b.address()+", with the client's own X-ElevenLabs-* headers / Put elevenlabs_strip into the site")
	})

	t.Run("the recipe", func(t *testing.T) {
		application := newBackend(t)
		application.status = http.StatusNotFound // of /webhooks;x/elevenlabs, which Caddy's path matcher does not know
		s := start(t, site("elevenlabs_strip\n"+fmt.Sprintf(handler, "*", application.address())))
		findings, got := s.checked()
		assert.Contains(t, findings["url"], s.url()+" is not on port 443", "the URL is found without --url")
		assert.Contains(t, findings["bypass"], "ok: ")
		assert.Contains(t, findings["spellings"], "ok: a forged event is accepted at none of 15 other spellings of the path", got.stdout)
		for _, d := range application.take() {
			assert.Equal(t, d.path == "/webhooks/elevenlabs", d.header.Get("X-ElevenLabs-Verified") == "true", d.path)
		}
	})

	t.Run("a limit of the site", func(t *testing.T) {
		s := start(t, site("request_body {\nmax_size 10MB\n}\n"+fmt.Sprintf(handler, "", b.address())))
		_, got := s.checked("--no-send")
		assert.Contains(t, got.stdout, "request_body in front allows 10 MB, less than max_size, which is 100 MiB")
	})
}

// A site without a host speaks plain HTTP to a proxy in front.
func TestDoctorOfASiteWithoutAHost(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", realSecret)
	b := newBackend(t)
	config := `:$PORT {
		handle /webhooks/elevenlabs {
			elevenlabs_webhook {
				secret {env.ELEVENLABS_WEBHOOK_SECRET}
				reverse_proxy ` + b.address() + `
			}
		}
	}`
	public := func(s *server) []string {
		return []string{"doctor", "--config", s.file, "--url", "https://hooks.example.com/webhooks/elevenlabs", "--resolve", "hooks.example.com:127.0.0.1:" + strings.TrimPrefix(s.address, "localhost:")}
	}

	s := start(t, config)
	got := elevenlabs(t, "", public(s)...)
	assert.Equal(t, 0, got.code, got.stdout)
	assert.Contains(t, got.stdout, "skip  endpoint     elevenlabs_webhook answers: 403 Forbidden, insecure_transport, since this machine is not in trusted_proxies")
	assert.Empty(t, b.take())
	got = elevenlabs(t, "", "doctor", "--config", s.file)
	assert.Equal(t, 0, got.code, got.stdout)
	assert.Contains(t, got.stdout, "names no host for the webhook\n      Remedy: Give the webhook's URL by --url")

	s = start(t, "{\nservers {\ntrusted_proxies static private_ranges\n}\n}\n"+config)
	got = elevenlabs(t, "", public(s)...)
	assert.Equal(t, 0, got.code, got.stdout)
	assert.Contains(t, got.stdout, "answers, by plain HTTP, as to a proxy in front")
	assert.Contains(t, got.stdout, "ok    signed       a signed event passes: 200 OK")
	assert.Len(t, b.take(), 1)
}
