package doctor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

func TestDoctorFindsNothingWrongWhereAllIsWell(t *testing.T) {
	p := newPatient(t)
	got := p.run()
	assert.Equal(t, 0, got.Code, got.Err)
	assert.Empty(t, got.Stderr)
	assert.NotContains(t, got.Stdout, "Remedy", got.Stdout)
}

// Each check has a row that makes it fail; in the test above all of them pass.
func TestDoctorFindsWhatIsWrong(t *testing.T) {
	answer := func(status int, header ...string) func(*patient) {
		return func(p *patient) { p.handler = clitest.Answering(status, header...) }
	}
	tests := []struct {
		name, check string
		status      status
		says        string
		spoil       func(*patient)
	}{
		{"a configuration that does not load", "config", statusFail, "Caddyfile does not load: no … here", func(p *patient) {
			p.config.Problem = errors.New("no " + doctorSecret + "\nhere")
		}},
		{"an error that quotes other secrets", "config", statusFail, "no … or … or … or …", func(p *patient) {
			p.first().Secrets = append(p.first().Secrets, cmdutil.ConfigSecret{Text: "hunter2hunter2", Literal: true, Value: "hunter2hunter2"})
			p.config.Problem = errors.New("no hunter2hunter2 or whsec_x or sk_0123 or " + strings.Repeat("0aF", 11))
		}},
		{"an error that steers the terminal", "config", statusFail, `\x1b[2J`, func(p *patient) { p.config.Problem = errors.New("\x1b[2J") }},
		{"no handler", "handler", statusFail, "there is no elevenlabs_webhook in Caddyfile", func(p *patient) {
			p.config.Handlers, p.args = nil, []string{"--url", doctorURL}
		}},
		{"no handler, since it does not load", "handler", statusSkip, "does not load", func(p *patient) {
			p.config.Handlers, p.config.Problem, p.args = nil, errors.New("broken"), []string{"--url", doctorURL}
		}},
		{"the handler of another path", "handler", statusFail, "no elevenlabs_webhook in Caddyfile is for https://hooks.example.com/webhook", func(p *patient) {
			p.args = []string{"--url", "https://hooks.example.com/webhook"}
		}},
		{"the handler of another host", "handler", statusFail, "no elevenlabs_webhook", func(p *patient) {
			p.first().Hosts, p.args = []string{"*.example.net"}, []string{"--url", doctorURL}
		}},
		{"report_only", "handler", statusWarn, "report_only", func(p *patient) { p.first().ReportOnly = true }},
		{"a type that is not known", "handler", statusWarn, "events names transcripts, which this version does not know: if it is mistyped, Caddy drops the events that were meant\n      Remedy: Correct it. The names are: post_call_transcription, ", func(p *patient) {
			p.first().UnknownTypes = []string{"transcripts"}
		}},
		{"allow_http", "handler", statusWarn, "allow_http", func(p *patient) { p.first().AllowHTTP = true }},

		{"a literal secret", "secret", statusWarn, "secret 1 \"main\" is written out in the configuration", func(p *patient) {
			p.first().Secrets[0] = cmdutil.ConfigSecret{Text: doctorSecret, Literal: true, Name: "main", Value: doctorSecret}
		}},
		{"a secret that is not there", "secret", statusFail, "secret 1 ({env.SECRET}) cannot be read: not set", func(p *patient) {
			p.first().Secrets[0] = cmdutil.ConfigSecret{Text: "{env.SECRET}", Problem: errors.New("not set")}
		}},
		{"a file that is not there", "secret", statusFail, "secret 1 ({file./run/secret}) cannot be read: the file /run/secret does not exist: create it, or correct the path\n      Remedy: Set it where Caddy runs.", func(p *patient) {
			p.first().Secrets[0] = cmdutil.ConfigSecret{Text: "{file./run/secret}", Problem: errors.New("the file /run/secret does not exist: create it, or correct the path")}
		}},
		{"a secret for a variable's name", "secret", statusFail, "1 ({env.…}) cannot be read: no {env.…}", func(p *patient) {
			p.first().Secrets[0] = cmdutil.ConfigSecret{Text: "{env." + doctorSecret + "}", Problem: errors.New("no {env." + doctorSecret + "}")}
		}},
		{"a second secret that is wrong", "secret", statusFail, "secret 2 (", func(p *patient) {
			p.first().Secrets = append(p.first().Secrets, cmdutil.ConfigSecret{Text: "{env.OLD}", Value: "'" + doctorSecret + "'"})
		}},
		{"an empty variable, and no configuration", "secret", statusFail, "the secret in the environment variable ELEVENLABS_WEBHOOK_SECRET is blank", func(p *patient) {
			p.config.Handlers, p.args = nil, []string{"--url", doctorURL}
			p.t.Setenv("ELEVENLABS_WEBHOOK_SECRET", "")
		}},
		{"an empty variable that is named", "secret", statusFail, "the secret in the environment variable BLANK is blank", func(p *patient) {
			p.t.Setenv("BLANK", " \n")
			p.args = []string{"--secret-env", "BLANK"}
		}},
		{"another secret than the configuration's", "secret", statusFail, "the secret in the environment variable OTHER is not one of the configuration's", func(p *patient) {
			p.t.Setenv("OTHER", doctorSecret+"0")
			p.args = []string{"--secret-env", "OTHER"}
		}},

		{"keys to sign with", "sign", statusOK, "sign 1 ({env.KEY}) has the right form", func(p *patient) { p.signWith("whsec_" + strings.Repeat("AQEB", 8)) }},
		{"a key with a line end", "sign", statusWarn, "sign 1 ({env.KEY}) has blanks or line ends around it", func(p *patient) { p.signWith("whsec_" + strings.Repeat("AQEB", 8) + "\n\n") }},
		{"a key in quotes", "sign", statusFail, "sign 1 ({env.KEY}) has quotes around it", func(p *patient) { p.signWith("'whsec_" + strings.Repeat("AQEB", 8) + "'") }},
		{"a key that is too short", "sign", statusFail, "sign 1 ({env.KEY}) is wrong: it has 3 bytes after base64 is decoded, and must have from 24 to 64\n      Remedy: The whole key is whsec_", func(p *patient) { p.signWith("whsec_AQEB") }},
		{"the webhook's secret as a key", "sign", statusFail, "sign 1 ({env.KEY}) is wrong: it begins with wsec_", func(p *patient) { p.signWith(doctorSecret) }},
		{"a literal key", "sign", statusWarn, "sign 1 is written out in the configuration", func(p *patient) {
			p.first().SignKeys = []cmdutil.ConfigSecret{{Text: "whsec_x", Literal: true, Value: "whsec_x"}}
		}},
		{"a second key that is not there", "sign", statusFail, "sign 2 ({env.OLD_KEY}) cannot be read: not set", func(p *patient) {
			p.signWith("whsec_" + strings.Repeat("AQEB", 8))
			p.first().SignKeys = append(p.first().SignKeys, cmdutil.ConfigSecret{Text: "{env.OLD_KEY}", Problem: errors.New("not set")})
		}},
		{"the first key of a second destination", "sign", statusFail, "destination archive: sign 1 ({env.ARCHIVE_KEY}) cannot be read: not set", func(p *patient) {
			p.signWith("whsec_" + strings.Repeat("AQEB", 8))
			p.first().SignKeys[0].Name = "crm"
			p.first().SignKeys = append(p.first().SignKeys, cmdutil.ConfigSecret{Text: "{env.ARCHIVE_KEY}", Name: "archive", Problem: errors.New("not set")})
		}},
		{"an error that quotes a key without its prefix", "config", statusFail, "does not load: no … here", func(p *patient) {
			p.signWith("AQEBAQEB")
			p.config.Problem = errors.New("no AQEBAQEB here")
		}},

		{"an upstream that does not listen", "upstream", statusFail, "localhost:3000 does not listen: ", func(p *patient) {
			p.first().Upstreams[0].Address = closedPort(p.t)
		}},
		{"a socket that is not there", "upstream", statusFail, "unix//run/app.sock does not listen: ", func(p *patient) {
			p.first().Upstreams[0] = cmdutil.ConfigUpstream{Text: "unix//run/app.sock", Network: "unix", Address: filepath.Join(p.t.TempDir(), "none")}
		}},
		{"an upstream that is not known", "upstream", statusSkip, "{x}:1 is known only when a request comes", func(p *patient) {
			p.first().Upstreams[0] = cmdutil.ConfigUpstream{Text: "{x}:1"}
		}},
		{"no upstream", "upstream", statusWarn, "no reverse_proxy", func(p *patient) { p.first().Upstreams = nil }},

		{"plain HTTP", "url", statusFail, "http://hooks.example.com/webhooks/elevenlabs does not begin with https://", func(p *patient) {
			p.first().Plain, p.first().Listen = true, []uint{80}
		}},

		{"another port than the usual", "url", statusWarn, "https://hooks.example.com:8443/webhooks/elevenlabs is not on port 443", func(p *patient) { p.first().Listen = []uint{8443} }},

		{"no certificate for the name", "connection", statusOK, "127.0.0.1:443 answers", func(p *patient) { p.refused = true }},
		{"no certificate for the name", "certificate", statusFail, "remote error: tls: internal error\n      Remedy: The server may have no certificate for hooks.example.com", func(p *patient) { p.refused = true }},
		{"a certificate for another name", "certificate", statusFail, "valid for other.example.com, not hooks.example.com", func(p *patient) {
			p.names = []string{"other.example.com"}
		}},
		{"a certificate that has expired", "certificate", statusFail, "has expired", func(p *patient) {
			p.from, p.to = p.now.Add(-48*time.Hour), p.now.Add(-time.Hour)
		}},
		{"an authority that is not known", "certificate", statusFail, "unknown authority", func(p *patient) { p.trusted = false }},
		{"a certificate that is not renewed", "certificate", statusWarn, "its renewal is overdue", func(p *patient) {
			p.from, p.to = p.now.Add(-80*24*time.Hour), p.now.Add(10*24*time.Hour)
		}},
		{"a certificate that nobody looked at", "certificate", statusWarn, "by --insecure", func(p *patient) {
			p.trusted, p.args = false, []string{"--insecure"}
		}},

		{"a redirect", "endpoint", statusFail, "redirects to https://www.example.com/ (308 Permanent Redirect)", answer(308, "Location", "https://www.example.com/")},
		{"a redirect to what steers the terminal", "endpoint", statusFail, `redirects to "/\u009b2J" (302`, answer(302, "Location", "/\u009b2J")},
		{"another path", "endpoint", statusFail, "404 Not Found, but not from elevenlabs_webhook", answer(404)},
		{"an application without verification", "endpoint", statusFail, "a request without a signature is accepted: 200 OK", answer(200)},
		{"report_only at work", "endpoint", statusWarn, "forwarded by report_only", func(p *patient) {
			p.handler, p.first().ReportOnly = clitest.Answering(200), true
		}},
		{"another reason", "endpoint", statusFail, "rejected for another reason: 403 Forbidden, source_not_allowed\n      Remedy: If source_ips has only", answer(403, delivery.HeaderRejection, "source_not_allowed")},
		{"a failure in front", "endpoint", statusFail, "502 Bad Gateway", answer(502)},

		{"the server's clock ahead", "clock", statusFail, "the server's clock is 31m0s ahead of the one here, more than the tolerance", func(p *patient) { p.handler = clocked(p.now.Add(31*time.Minute), p.handler) }},
		{"the server's clock behind", "clock", statusFail, "the server's clock is 6m0s behind", func(p *patient) { p.handler = clocked(p.now.Add(-6*time.Minute), p.handler) }},
		{"clocks a little apart", "clock", statusWarn, "the server's clock is 1m1s ahead", func(p *patient) { p.handler = clocked(p.now.Add(61*time.Second), p.handler) }},
		{"clocks apart, within a wider tolerance", "clock", statusWarn, "31m0s ahead", func(p *patient) {
			p.handler, p.first().Past = clocked(p.now.Add(31*time.Minute), p.handler), time.Hour
		}},
		{"a server without a clock", "clock", statusSkip, "no Date", func(p *patient) {
			inner := p.handler
			p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Date"] = nil
				inner.ServeHTTP(w, r)
			})
		}},

		{"a forgery accepted", "forged", statusFail, "is not rejected as such: 200 OK", answer(200)},
		{"a forgery let through by report_only", "forged", statusWarn, "forwarded by report_only", func(p *patient) {
			p.handler, p.first().ReportOnly = clitest.Answering(200), true
		}},
		{"a forgery, redirected", "forged", statusFail, "301 Moved Permanently, to /\n      Remedy: The HTTP client that ElevenLabs uses turns the POST into a GET", answer(301, "Location", "/")},
		{"a forgery that finds nothing", "forged", statusFail, "404 Not Found\n      Remedy: Compare the URL's path with the Caddyfile's", answer(404)},
		{"a forgery that something in front fails at", "forged", statusFail, "502 Bad Gateway\n      Remedy: Something in front of elevenlabs_webhook fails", answer(502)},
		{"a forgery refused for an unknown reason", "forged", statusFail, "403 Forbidden, nonsense\n      Remedy: Something other than elevenlabs_webhook", answer(403, delivery.HeaderRejection, "nonsense")},
		{"a forgery refused by another verifier", "forged", statusSkip, "rejected, but not by elevenlabs_webhook: 401 Unauthorized", answer(401)},
		{"a forgery that would reach the application", "forged", statusSkip, "left out by --no-send", func(p *patient) {
			p.handler, p.first().ReportOnly, p.args = clitest.Answering(200), true, []string{"--no-send"}
		}},
		{"a forgery refused by something else", "forged", statusFail, "403 Forbidden, source_not_allowed", answer(403, delivery.HeaderRejection, "source_not_allowed")},

		{"another secret at the server", "signed", statusFail, "401 Unauthorized, signature_mismatch\n      Remedy: Give the server the secret of this very webhook", func(p *patient) {
			p.handler = clitest.Protected("wsec_another", p.now, clitest.Answering(200))
		}},
		{"an application that is down", "signed", statusFail, "502 Bad Gateway\n      Remedy: The application does not listen", func(p *patient) {
			p.handler = clitest.Protected(doctorSecret, p.now, clitest.Answering(502))
		}},
		{"an application that is slow", "signed", statusFail, "504 Gateway Timeout\n      Remedy: The application takes too long", func(p *patient) {
			p.handler = clitest.Protected(doctorSecret, p.now, clitest.Answering(504))
		}},
		{"an application that refuses", "signed", statusFail, "422 Unprocessable Entity\n      Remedy: The application answers so", func(p *patient) {
			p.handler = clitest.Protected(doctorSecret, p.now, clitest.Answering(422))
		}},
		{"an event type that is not handed on", "signed", statusOK, "a signed event passes", func(p *patient) {
			p.first().Events = []string{"of_next_year", "post_call_audio"}
			inner := p.handler
			p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(p.t, err)
				if len(body) > 2 { // not that of a request without a signature
					assert.Contains(p.t, string(body), `"type": "post_call_audio"`)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				inner.ServeHTTP(w, r)
			})
		}},
		{"event types that cannot be made", "signed", statusSkip, "events has only types without a sample: of_next_year", func(p *patient) {
			p.first().Events = []string{"of_next_year"}
		}},
		{"no secret", "signed", statusSkip, "no secret", func(p *patient) {
			p.first().Secrets[0] = cmdutil.ConfigSecret{Text: "{env.SECRET}", Problem: errors.New("not set")}
		}},
		{"--no-send", "signed", statusSkip, "--no-send", func(p *patient) { p.args = []string{"--no-send"} }},
	}
	for _, test := range tests {
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
			if test.status == statusFail || test.status == statusWarn {
				assert.Contains(t, lines, "      Remedy: ")
			}
			assert.NotContains(t, got.Stdout+got.Stderr, doctorSecret[len(facts.SecretPrefix):], "the secret is not printed")
			assert.NotContains(t, got.Stdout+got.Stderr, "AQEBAQEB", "nor a key to sign with")
		})
	}
}

func clocked(now time.Time, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		next.ServeHTTP(w, r)
	})
}

// closedPort is an address at which nothing listens.
func closedPort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func TestDoctorSendsTheSignedEventOnceAndNoneWithNoSend(t *testing.T) {
	for _, test := range []struct {
		args []string
		want int
	}{{nil, 1}, {[]string{"--no-send"}, 0}} {
		p := newPatient(t)
		events := 0
		p.handler = clitest.Protected(doctorSecret, p.now, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { events++ }))
		p.args = test.args
		got := p.run()
		assert.Equal(t, 0, got.Code, got.Stdout)
		assert.Equal(t, test.want, events)
	}
}

func TestDoctorSendsNothingMoreToAnUnprotectedApplicationWithoutSending(t *testing.T) {
	p := newPatient(t)
	requests := 0
	p.handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ })
	p.run("--no-send")
	assert.Equal(t, 1, requests, "the request that tells what answers, and no other")
}

func TestDoctorSaysWhyItGetsNoAnswer(t *testing.T) {
	p := newPatient(t)
	p.args = []string{"--resolve", doctorHost + ":" + closedPort(t)}
	got := p.run()
	assert.Contains(t, line(got, "connection"), "FAIL")
	assert.Contains(t, line(got, "connection"), "connection refused")
	for _, check := range []string{"certificate", "endpoint", "clock", "forged", "signed"} {
		assert.Contains(t, line(got, check), "skip", got.Stdout)
	}
	assert.Equal(t, 2, got.Code)
}

func TestDoctorConnectsByIPv4AsElevenLabsDoes(t *testing.T) {
	newPatient(t)
	t.Chdir(t.TempDir())
	got := clitest.Run(NewCmdDoctor, cmdutil.Env{Now: time.Now}, "", "doctor", "--url", "https://[::1]:9/")
	assert.Contains(t, line(got, "connection"), "no suitable address", got.Stdout)
	assert.Equal(t, 2, got.Code)
}

func TestDoctorPrints(t *testing.T) {
	for name, test := range map[string]struct {
		setUp string
		spoil func(*patient)
	}{
		"well": {"All is well.", func(*patient) {}},
		"ill": {`The application's socket does not exist.
The second secret has quotes around it.
The server has another secret, so that real events fail, and its clock is 2 minutes
ahead.`, func(p *patient) {
			p.running = `[{"handler":"SECRET","failures_in_row":4,"last_delivery":"HOUR","last_failure":{"ended":"MINUTE","reason":"signature_mismatch"},"config":[{}]}]`
			p.first().Upstreams[0] = cmdutil.ConfigUpstream{Text: "unix//run/app.sock", Network: "unix", Address: "/nonexistent/app.sock"}
			p.first().Secrets = append(p.first().Secrets, cmdutil.ConfigSecret{Text: "{env.OLD_SECRET}", Name: "old", Value: `"` + doctorSecret + `"`})
			p.handler = clocked(p.now.Add(2*time.Minute), clitest.Protected("wsec_another", p.now, clitest.Answering(200)))
		}},
		"beside": {`A website and the webhook are one application, which takes a slash at the end.
The site limits bodies to 10 MB. A test call was made an hour ago.`, func(p *patient) {
			p.first().MaxSize, p.first().BodyLimit = 100<<20, 10_000_000
			p.first().Bypasses = []cmdutil.ConfigBypass{
				{Host: doctorHost, Path: "/webhooks/elevenlabs/", Upstream: "localhost:3000"},
				{Host: "www.example.com", Path: "/webhooks/elevenlabs", Upstream: "localhost:3000", Stripped: true, OtherSite: true},
			}
			p.running = `[{"handler":"SECRET","last_delivery":"HOUR","config":[{}]}]`
			beside(func(w http.ResponseWriter, r *http.Request) {
				if r.RequestURI != "/webhooks/elevenlabs/" {
					w.WriteHeader(http.StatusNotFound)
				}
			})(p)
		}},
		"refused": {`The application rejects POSTs without its CSRF token, and says so in a page.`, func(p *patient) {
			p.handler = clitest.Protected(doctorSecret, p.now, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, "<!DOCTYPE html>\n<html><head><style>p {}</style></head><body>\n<h1>Forbidden</h1>\n<p>CSRF verification failed.</p>\n")
			}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			p.now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) // not the real time, so that only the given clock counts
			p.from, p.to = p.now.Add(-24*time.Hour), p.now.Add(89*24*time.Hour)
			p.handler = clitest.Protected(doctorSecret, p.now, clitest.Answering(200))
			test.spoil(p)
			p.golden(name, test.setUp)
		})
	}
}
