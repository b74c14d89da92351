package doctor

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestDoctorAsksTheRunningServer(t *testing.T) {
	const failing = `[{"handler":"SECRET","failures_in_row":9,"last_delivery":"HOUR","last_failure":{"ended":"MINUTE",FAILURE},"config":[{}]}]`
	failure := func(fields string) func(*patient) {
		return func(p *patient) { p.running = strings.ReplaceAll(failing, "FAILURE", fields) }
	}
	answer := func(text string) func(*patient) { return func(p *patient) { p.running = text } }
	for _, test := range []struct {
		name   string
		status status
		says   string
		spoil  func(*patient)
	}{
		{"all is well", statusOK, "SECRET: failures in a row: 0; last genuine event: 1 minute ago", func(*patient) {}},
		{"the secret of another webhook, here and there", statusFail, "SECRET: failures in a row: 9, the last 1 minute ago: signature_mismatch; last genuine event: 1 hour ago\n      Remedy: Give the server the secret of this very webhook", failure(`"reason":"signature_mismatch"`)},
		{"an application that answers 500", statusFail, "backend_answer 500; last genuine event: 1 hour ago\n      Remedy: Look into the application's log", failure(`"reason":"backend_answer","upstream_status":500`)},
		{"an application that does not listen", statusFail, "backend_unreachable; last genuine event: 1 hour ago\n      Remedy: Keep the application running", failure(`"reason":"backend_unreachable"`)},
		{"an unknown reason", statusFail, "of_next_year; last genuine event: 1 hour ago\n      Remedy: Look into the application's log, and into Caddy's.", failure(`"reason":"of_next_year"`)},
		{"nothing came", statusWarn, "SECRET: last genuine event: none since Caddy started, so nothing proves that the secret is the webhook's\n      Remedy: Make a test call", answer(`[{"handler":"SECRET","config":[{}]}]`)},
		{"failures, and never a genuine event", statusFail, "signature_mismatch; last genuine event: none since Caddy started", answer(`[{"handler":"SECRET","failures_in_row":1,"last_failure":{"ended":"MINUTE","reason":"signature_mismatch"}}]`)},
		{"report_only", statusWarn, "SECRET: report_only is on, and has forwarded 4 that would have been rejected\n      Remedy: Remove it", func(p *patient) {
			p.first().ReportOnly = true
			p.running = `[{"handler":"SECRET","last_delivery":"HOUR","would_reject":4,"config":[{},{"report_only":true}]}]`
		}},
		{"report_only in the server only", statusFail, "SECRET: report_only is on in the running server, and not in the configuration\n      Remedy: Load the configuration: caddy reload --config ", answer(`[{"handler":"SECRET","last_delivery":"HOUR","config":[{"report_only":true}]}]`)},
		{"another configuration", statusFail, "the running server has no such elevenlabs_webhook", answer(`[{"handler":"OTHER"}]`)},
		{"a server without a handler", statusFail, "the running server has no such elevenlabs_webhook", answer(`[]`)},
		{"another webhook that fails", statusOK, "SECRET: failures in a row: 0", answer(`[{"handler":"OTHER","failures_in_row":9,"last_failure":{}},{"handler":"SECRET","last_delivery":"HOUR"}]`)},
		{"every webhook where the configuration has no handler", statusFail, "OTHER: failures in a row: 9", func(p *patient) {
			p.config.Handlers, p.args = nil, []string{"--url", doctorURL}
			p.running = `[{"handler":"OTHER","failures_in_row":9,"last_failure":{}}]`
		}},
		{"no admin endpoint in the configuration", statusSkip, "the configuration turns Caddy's admin endpoint off, so nothing tells whether real events fail", func(p *patient) { p.config.Admin = "" }},
		{"no Caddy", statusSkip, "the running server cannot be asked: connection refused\n      Remedy: Run doctor on the machine", func(p *patient) { p.adminErr = errors.New("connection refused") }},
		{"no admin endpoint", statusSkip, "the running server cannot be asked: invalid character", answer("<html>")},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			test.spoil(p)
			got := p.run()
			lines := line(got, "running")
			assert.Regexp(t, `(?m)^`+string(test.status)+`\s`, lines, got.Stdout)
			assert.Contains(t, lines, test.says)
			if test.status == statusFail {
				assert.Equal(t, 2, got.Code)
			}
		})
	}
}

func TestDoctorWithoutAConfigurationAsksTheServerThatAFlagNames(t *testing.T) {
	p := newPatient(t)
	t.Chdir(t.TempDir())
	asked := ""
	env := cmdutil.Env{Now: time.Now, Admin: func(ctx context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
		asked = ask.Address
		return p.admin(ctx, ask)
	}}
	got := clitest.Run(NewCmdDoctor, env, "", "doctor", "--url", "https://127.0.0.1:1/")
	assert.Contains(t, line(got, "running"), "skip  running      there is no configuration that says where Caddy's admin endpoint is; --address says it")
	assert.Empty(t, asked)
	got = clitest.Run(NewCmdDoctor, env, "", "doctor", "--url", "https://127.0.0.1:1/", "--address", "localhost:2020")
	assert.Contains(t, line(got, "running"), "ok    running      SECRET: failures in a row: 0")
	assert.Equal(t, "localhost:2020", asked)
}
