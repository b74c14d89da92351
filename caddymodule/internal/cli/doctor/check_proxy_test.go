package doctor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

// A site such as :8080, behind a load balancer that ends TLS.
func TestDoctorChecksASiteBehindAProxyAsFarAsCanBe(t *testing.T) {
	for _, test := range []struct {
		name    string
		trusted bool
		args    []string
		want    map[string]string
	}{
		{"without a URL", false, nil, map[string]string{
			"url":        "skip  url          Caddyfile names no host for the webhook\n      Remedy: Give the webhook's URL by --url, as in ElevenLabs's settings. --resolve <host>:127.0.0.1:<port> leads",
			"connection": "skip", "certificate": "skip", "endpoint": "skip", "forged": "skip", "spellings": "skip", "signed": "skip", "running": "ok", "bypass": "ok",
		}},
		{"the public URL, past the proxy", true, []string{"--url", doctorURL, "--resolve", doctorHost + ":ADDRESS"}, map[string]string{
			"url": "ok", "connection": "ok    connection   ADDRESS answers, by plain HTTP, as to a proxy in front\n",
			"certificate": "skip  certificate  left out, since the proxy in front has it\n",
			"endpoint":    "ok", "forged": "ok", "spellings": "ok", "signed": "ok",
		}},
		{"the public URL, from a machine that is not trusted", false, []string{"--url", doctorURL, "--resolve", doctorHost + ":ADDRESS"}, map[string]string{
			"connection": "ok", "certificate": "skip",
			"endpoint":  "skip  endpoint     elevenlabs_webhook answers: 403 Forbidden, insecure_transport, since this machine is not in trusted_proxies\n      Remedy: Leave out --resolve, and give the public URL by --url",
			"forged":    "skip  forged       left out, since elevenlabs_webhook takes plain HTTP only from an address in trusted_proxies, and this machine has none\n",
			"spellings": "skip", "signed": "skip", "clock": "ok",
		}},
		{"the address itself", true, []string{"--url", "http://ADDRESS/webhooks/elevenlabs"}, map[string]string{
			"url":        "skip  url          http://ADDRESS/webhooks/elevenlabs is not the public URL: the configuration names no host, so a proxy in front must end TLS\n      Remedy: Give the public URL by --url",
			"connection": "ok    connection   ADDRESS answers, by plain HTTP", "certificate": "skip", "endpoint": "ok", "signed": "ok",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			p.first().Hosts, p.first().Plain, p.first().Listen = nil, true, []uint{8080}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !test.trusted || r.Header.Get("X-Forwarded-Proto") != "https" {
					clitest.Answering(403, delivery.HeaderRejection, "insecure_transport").ServeHTTP(w, r)
					return
				}
				p.handler.ServeHTTP(w, r)
			}))
			defer server.Close()
			address := server.Listener.Addr().String()
			got := p.runArgs(strings.Fields(strings.ReplaceAll(strings.Join(test.args, " "), "ADDRESS", address))...)
			assert.Equal(t, 0, got.Code, got.Stdout)
			for check, want := range test.want {
				lines := strings.ReplaceAll(line(got, check), address, "ADDRESS")
				assert.True(t, strings.HasPrefix(lines, want), "%s\n%s", want, lines)
			}
		})
	}
}
