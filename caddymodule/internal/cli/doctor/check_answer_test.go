package doctor

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

func TestDoctorShowsWhyTheApplicationSaysNo(t *testing.T) {
	const page = "<!DOCTYPE html><html><body><h1>Log in</h1></body></html>"
	says := func(status int, body string, header ...string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	behind := func(application http.Handler) func(*patient) {
		return func(p *patient) { p.handler = clitest.Protected(doctorSecret, p.now, application) }
	}
	instead := func(answers http.Handler) func(*patient) { return func(p *patient) { p.handler = answers } }
	for _, test := range []struct {
		name, check string
		says        string
		spoil       func(*patient)
	}{
		{"a JSON error", "signed", "422 Unprocessable Entity\n      | {\"detail\": \"no field x\"}\n      Remedy: The application answers so", behind(says(422, `{"detail": "no field x"}`))},
		{"a redirect", "signed", "FAIL  signed       a signed event does not pass: 301 Moved Permanently, to /login\n      | moved\n      Remedy: The HTTP client that ElevenLabs uses turns", behind(says(301, "moved", "Location", "/login"))},
		{"a redirect that steers the terminal", "signed", `to "/\u009b2J"`, behind(says(302, "", "Location", "/\u009b2J"))},
		{"an answer that steers the terminal", "signed", `      | "\x1b[2J"`, behind(says(500, "\x1b[2J"))},
		{"an answer with a secret", "signed", "      | no …\n", behind(says(500, "no "+doctorSecret))},
		{"a long answer", "signed", "      | 4\n      | 5\n      | …\n", behind(says(500, "1\n2\n3\n4\n5\n6\n7\n"))},
		{"a page to log in", "signed", "warn  signed       a signed event gets an HTML page, which may be one to log in, or against bots: 200 OK\n      Remedy: Let POST requests for this path pass the login", behind(says(200, page))},
		{"a good answer", "signed", "ok    signed       a signed event passes: 200 OK, in 0 ms\n", behind(says(200, "thank you"))},
		{"an inbox", "signed", "ok    signed       a signed event is in the inbox, which delivers it to the application: 200 OK, in 0 ms\n", behind(says(200, "", delivery.HeaderInbox, "stored"))},
		{"an inbox that cannot store", "signed", "warn  signed       a signed event passes, but the inbox could not store it: 200 OK, in 0 ms\n      Remedy: Look into Caddy's log", behind(says(200, "", delivery.HeaderInbox, "bypassed"))},
		{"a page to log in, in front", "endpoint", "FAIL  endpoint     a request without a signature gets an HTML page: 200 OK\n      | Log in\n      Remedy: Let POST requests for this path pass the login", instead(says(200, page))},
		{"a page to log in, in front", "forged", "not rejected as such: 200 OK\n      | Log in\n", instead(says(200, page))},
		{"another server", "endpoint", "404 Not Found, but not from elevenlabs_webhook, which would say signature_missing\n      | Cannot POST /webhooks/elevenlabs\n", instead(says(404, "<html><pre>Cannot POST /webhooks/elevenlabs</pre>"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			test.spoil(p)
			got := p.run()
			assert.Contains(t, line(got, test.check), test.says)
			assert.NotContains(t, got.Stdout, strings.TrimPrefix(doctorSecret, "wsec_"))
			assert.NotContains(t, got.Stdout, "\x1b")
		})
	}
}
