package doctor

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// beside answers every path except the webhook's, which alone is protected.
func beside(other http.HandlerFunc) func(*patient) {
	return func(p *patient) {
		protected := p.handler
		p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI == "/webhooks/elevenlabs" {
				protected.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Via", "1.1 Caddy") // as of an application behind Caddy
			other(w, r)
		})
	}
}

func TestDoctorLooksForWaysPastTheHandler(t *testing.T) {
	answer := func(status int) http.HandlerFunc { return clitest.Answering(status).ServeHTTP }
	bypass := func(b cmdutil.ConfigBypass) func(*patient) {
		return func(p *patient) {
			b.Upstream = "localhost:3000"
			p.first().Bypasses = []cmdutil.ConfigBypass{b}
		}
	}
	const stripSite = "Put elevenlabs_strip into the site, as docs/deploy/website.md shows."
	const recipe = "Write a star behind the webhook's path, and elevenlabs_strip into the site, as docs/deploy/website.md shows."
	for _, test := range []struct {
		name, check string
		status      status
		says        string
		spoil       func(*patient)
	}{
		{"an application that takes a slash at the end", "spellings", statusFail, "a forged event is accepted at other spellings of the path: /webhooks/elevenlabs/ (200 OK)\n      Remedy: " + recipe, beside(func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != "/webhooks/elevenlabs/" {
				w.WriteHeader(http.StatusNotFound)
			}
		})},
		{"an application that believes the header", "spellings", statusFail, "/WEBHOOKS/ELEVENLABS (200 OK)", beside(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-ElevenLabs-Verified") != "true" {
				w.WriteHeader(http.StatusForbidden)
			}
		})},
		{"a server that ignores what follows a semicolon", "spellings", statusFail, "path: /webhooks;x/elevenlabs (200 OK)\n", beside(func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != "/webhooks;x/elevenlabs" {
				w.WriteHeader(http.StatusNotFound)
			}
		})},
		{"an application that fails", "spellings", statusWarn, "a forged event fails at other spellings of the path, past elevenlabs_webhook: /webhooks/elevenlabs/ (500 Internal Server Error), ", beside(answer(500))},
		{"a server that closes the connection", "spellings", statusSkip, "15 of 15 other spellings of the path get no answer", beside(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })},
		{"a Caddy that has nothing there", "spellings", statusOK, "at none of 15", beside(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Via")
			w.Header().Set("Server", "Caddy")
		})},
		{"a file server", "spellings", statusFail, "/webhooks/elevenlabs/ (200 OK)", beside(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Via")
			_, _ = w.Write([]byte("<html>"))
		})},
		{"another server without a proxy", "spellings", statusFail, "/webhooks/elevenlabs/ (200 OK)", beside(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Via")
			w.Header().Set("Server", "gunicorn")
		})},
		{"other paths are not found", "spellings", statusOK, "a forged event is accepted at none of 15 other spellings of the path", beside(answer(404))},
		{"other paths redirect", "spellings", statusOK, "at none of 15", beside(answer(308))},
		{"--no-send", "spellings", statusSkip, "left out by --no-send, since events there may reach the application", func(p *patient) { p.args = []string{"--no-send"} }},
		{"the URL itself is open", "spellings", statusSkip, "left out, since elevenlabs_webhook does not reject the forged event at the URL itself", func(p *patient) { p.handler = answer(200) }},

		{"nothing", "bypass", statusOK, "no other route of the configuration brings events or their headers to the application", func(*patient) {}},
		{"another spelling", "bypass", statusFail, "a POST to hooks.example.com, path /webhooks/elevenlabs/, reaches localhost:3000 past elevenlabs_webhook, with the client's own X-ElevenLabs-* headers\n      Remedy: " + recipe, bypass(cmdutil.ConfigBypass{Host: doctorHost, Path: "/webhooks/elevenlabs/"})},
		{"another spelling, without the headers", "bypass", statusFail, "past elevenlabs_webhook\n      Remedy: " + recipe, bypass(cmdutil.ConfigBypass{Host: doctorHost, Path: "/webhooks/elevenlabs/", Stripped: true})},
		{"a path that is rewritten", "bypass", statusFail, "Remedy: Answer 404 there: a route rewrites this path", bypass(cmdutil.ConfigBypass{Host: doctorHost, Path: "/api/webhooks/elevenlabs"})},
		{"another site", "bypass", statusFail, "a POST to any host, path /webhooks/elevenlabs, reaches localhost:3000 past elevenlabs_webhook, with the client's own X-ElevenLabs-* headers\n      Remedy: Answer 404 there. Or put", bypass(cmdutil.ConfigBypass{Path: "/webhooks/elevenlabs", OtherSite: true})},
		{"another site, without the headers", "bypass", statusWarn, "Remedy: Answer 404 there, or let the application check", bypass(cmdutil.ConfigBypass{Host: "b.test", Path: "/webhooks/elevenlabs", OtherSite: true, Stripped: true})},
		{"the headers only", "bypass", statusFail, "other paths of hooks.example.com lead to localhost:3000, with the client's own X-ElevenLabs-* headers\n      Remedy: " + stripSite, bypass(cmdutil.ConfigBypass{Host: doctorHost})},
		{"an error route", "bypass", statusWarn, "an error route of hooks.example.com forwards requests that fail before elevenlabs_webhook to localhost:3000, with the client's own X-ElevenLabs-* headers\n      Remedy: " + stripSite, bypass(cmdutil.ConfigBypass{Host: doctorHost, Error: true})},
		{"no handler", "bypass", statusSkip, "unknown without a configuration that has the handler", func(p *patient) { p.config.Handlers, p.args = nil, []string{"--url", doctorURL} }},

		{"a limit of the site", "handler", statusWarn, "request_body in front allows 10 MB, less than max_size, which is 100 MiB: Caddy answers larger events with 413, and neither status nor tail shows them\n      Remedy: Raise it for the webhook's path", func(p *patient) { p.first().BodyLimit, p.first().MaxSize = 10_000_000, 100<<20 }},
		{"a limit of the site that is large enough", "handler", statusOK, "", func(p *patient) { p.first().BodyLimit, p.first().MaxSize = 200<<20, 100<<20 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			test.spoil(p)
			got := p.run()
			lines := line(got, test.check)
			assert.Regexp(t, `(?m)^`+string(test.status)+`\s`, lines, got.Stdout)
			assert.Contains(t, lines, test.says)
			if test.status == statusFail {
				assert.Equal(t, 2, got.Code)
			}
			if test.status == statusOK {
				assert.NotContains(t, lines, "Remedy")
			}
		})
	}
}

func TestDoctorSendsEachSpellingOnce(t *testing.T) {
	p := newPatient(t)
	var asked []string
	beside(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.RequestURI)
		assert.Equal(t, "true", r.Header.Get("X-ElevenLabs-Verified"))
		w.WriteHeader(http.StatusNotFound)
	})(p)
	p.run()
	assert.Len(t, asked, 15)
	assert.Contains(t, asked, "/x/%2e%2e/webhooks/elevenlabs")
	assert.Contains(t, asked, "//webhooks/elevenlabs")
	assert.NotContains(t, strings.Join(asked, " "), "?")
}
