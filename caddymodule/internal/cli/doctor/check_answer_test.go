package doctor

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
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
	// A rejection with the status of an error route.
	route := func(status int) func(*patient) {
		return func(p *patient) {
			protected := clitest.Protected(doctorSecret, p.now, says(200, ""))
			p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				protected.ServeHTTP(answer, r)
				maps.Copy(w.Header(), answer.Header())
				if answer.Code != http.StatusOK {
					answer.Code = status
				}
				w.WriteHeader(answer.Code)
			})
		}
	}
	const routeRemedy = "\n      Remedy: A route of handle_errors or intercept answers so. Let it keep the status, as in: respond {err.status_code}."
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
		{"an event that no destination takes", "signed", "ok    signed       a signed event passes, and no destination of the inbox takes it: their agents and matchers choose others: 200 OK, in 0 ms\n", func(p *patient) {
			behind(says(200, ""))(p)
			p.withInbox(cmdutil.ConfigInbox{Database: "postgres://db.example.com/events", Destinations: []string{"crm"}}, "")
		}},
		{"an error route that answers 200", "endpoint", "FAIL  endpoint     a request without a signature is rejected (signature_missing) and yet answered 200 OK, so ElevenLabs takes a rejected event for delivered" + routeRemedy, route(200)},
		{"an error route that answers 204", "forged", "FAIL  forged       an event with a forged signature is rejected (signature_mismatch) and yet answered 204 No Content, so ElevenLabs takes a rejected event for delivered" + routeRemedy, route(204)},
		{"an error route with a status of its own", "endpoint", "ok    endpoint     a request without a signature is rejected: 404 Not Found, signature_missing", route(404)},
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
