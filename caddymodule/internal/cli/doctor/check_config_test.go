package doctor

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

func TestDoctorLooksAtAddresses(t *testing.T) {
	for target, want := range map[string]finding{
		"https://203.0.113.7/":            {Status: statusOK, Detail: "203.0.113.7 is 203.0.113.7"},
		"https://[2001:db8::1]/":          {Status: statusFail, Detail: "2001:db8::1 has no IPv4 address, and ElevenLabs connects only over IPv4 (it has 2001:db8::1)"},
		"https://10.1.2.3/":               {Status: statusWarn, Detail: "10.1.2.3 is 10.1.2.3 here, which is not a public address"},
		"https://127.0.0.1:8443/webhooks": {Status: statusWarn, Detail: "127.0.0.1 is 127.0.0.1 here, which is not a public address"},
		"https://no..name/":               {Status: statusFail, Detail: "no..name does not resolve: lookup no..name: no such host"},
	} {
		parsed, err := url.Parse(target)
		require.NoError(t, err)
		got := (&examination{options: options{connection: new(delivery.Connection)}, url: parsed}).checkDNS(t.Context())
		require.Len(t, got, 1)
		assert.Equal(t, want.Status, got[0].Status, target)
		assert.Equal(t, want.Detail, got[0].Detail)
	}
	p := newPatient(t)
	assert.Contains(t, line(p.run(), "dns"), "skip  dns          left out by --resolve")
}

func TestDoctorExaminesSecrets(t *testing.T) {
	for secret, want := range map[string]finding{
		doctorSecret:                     {Status: statusOK, Detail: "has the right form"},
		" \n":                            {Status: statusFail, Detail: "blank"},
		`"` + doctorSecret + `"`:         {Status: statusFail, Detail: "quotes around it"},
		"'" + doctorSecret + "'\n":       {Status: statusFail, Detail: "quotes around it"},
		"{env.SECRET}":                   {Status: statusFail, Detail: "placeholder"},
		"${SECRET}":                      {Status: statusFail, Detail: "placeholder"},
		"wsec_0011 " + doctorSecret[9:]:  {Status: statusFail, Detail: "blanks or line ends in it"},
		"wsec_0011\n" + doctorSecret[9:]: {Status: statusFail, Detail: "blanks or line ends in it"},
		"\ufeff" + doctorSecret:          {Status: statusFail, Detail: "not plain ASCII"},
		"whsec_" + doctorSecret[5:]:      {Status: statusFail, Detail: "another service's"},
		"sk_" + doctorSecret[5:]:         {Status: statusFail, Detail: "an API key of ElevenLabs"},
		doctorSecret[5:]:                 {Status: statusWarn, Detail: "does not begin with wsec_"},
		"wsec_demo":                      {Status: statusWarn, Detail: "has only 9 characters"},
		doctorSecret + "\n":              {Status: statusWarn, Detail: "blanks or line ends around it"},
	} {
		got := examine("it", secret)
		require.Len(t, got, 1)
		assert.Equal(t, want.Status, got[0].Status, "%q", secret)
		assert.Contains(t, got[0].Detail, want.Detail, "%q", secret)
	}
}

func TestDoctorComparesNoSecretWithOneThatItCannotRead(t *testing.T) {
	p := newPatient(t)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", doctorSecret)
	p.first().Secrets[0] = cmdutil.ConfigSecret{Text: "{file./secret}", Problem: errors.New("permission denied")}
	got := p.run()
	assert.Contains(t, line(got, "secret"), "permission denied")
	assert.NotContains(t, line(got, "secret"), "not one of the configuration's")
}

func TestDoctorFindsTheURLInTheConfiguration(t *testing.T) {
	tests := []struct {
		name    string
		handler cmdutil.ConfigHandler
		want    string
	}{
		{"usual", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook"}, Listen: []uint{443}}, "https://a.test/hook"},
		{"another port", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook"}, Listen: []uint{8443}}, "https://a.test:8443/hook"},
		{"several ports", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook"}, Listen: []uint{80, 8443, 443}}, "https://a.test/hook"},
		{"plain HTTP", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook"}, Listen: []uint{8080}, Plain: true}, "http://a.test:8080/hook"},
		{"an IPv6 address", cmdutil.ConfigHandler{Hosts: []string{"::1"}, Paths: []string{"/hook"}, Listen: []uint{443}}, "https://[::1]/hook"},
		{"every path that begins so", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook*"}, Listen: []uint{443}}, "https://a.test/hook"},
		{"a path, and all below it", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook", "/hook/*"}, Listen: []uint{443}}, "https://a.test/hook"},
		{"a path, with a slash or without", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook", "/hook/"}, Listen: []uint{443}}, "https://a.test/hook"},
		{"a path with a slash", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook/"}, Listen: []uint{443}}, "https://a.test/hook/"},
		{"two paths", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook", "/hook2"}, Listen: []uint{443}}, ""},
		{"every path", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/*"}, Listen: []uint{443}}, ""},
		{"every path that ends so", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"*/hook"}, Listen: []uint{443}}, ""},
		{"a star alone", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"*"}, Listen: []uint{443}}, ""},
		{"no host", cmdutil.ConfigHandler{Paths: []string{"/hook"}, Listen: []uint{443}}, ""},
		{"two hosts", cmdutil.ConfigHandler{Hosts: []string{"a.test", "b.test"}, Paths: []string{"/hook"}, Listen: []uint{443}}, ""},
		{"a wildcard host", cmdutil.ConfigHandler{Hosts: []string{"*.test"}, Paths: []string{"/hook"}, Listen: []uint{443}}, ""},
		{"no path", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Listen: []uint{443}}, ""},
		{"a wildcard path", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook/*"}, Listen: []uint{443}}, ""},
		{"a placeholder", cmdutil.ConfigHandler{Hosts: []string{"{env.HOST}"}, Paths: []string{"/hook"}, Listen: []uint{443}}, ""},
		{"a unix socket", cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook"}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := urlOf(test.handler)
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.want != "", ok)
		})
	}
}

func TestDoctorTakesTheHandlerOfTheURLsPortIfThereIsOne(t *testing.T) {
	handler := func(ports ...uint) cmdutil.ConfigHandler {
		return cmdutil.ConfigHandler{Hosts: []string{"a.test"}, Paths: []string{"/hook"}, Listen: ports}
	}
	config := cmdutil.Config{Handlers: []cmdutil.ConfigHandler{handler(9443), handler(80, 8443), handler(443)}}
	for target, want := range map[string]int{
		"https://a.test/hook": 2, "https://a.test:8443/hook": 1, "http://a.test/hook": 1, "https://a.test:1/hook": 0,
	} {
		e := &examination{options: options{env: cmdutil.Env{Now: time.Now}, target: target, connection: new(delivery.Connection)}, config: &config}
		require.NoError(t, e.findURL())
		assert.Same(t, &config.Handlers[want], e.handler, target)
	}
}

func TestDoctorAsksForTheURLWhereThereAreSeveral(t *testing.T) {
	p := newPatient(t)
	second := p.config.Handlers[0]
	second.Paths = []string{"/other"}
	p.config.Handlers = append(p.config.Handlers, second)
	file := filepath.Join(t.TempDir(), "Caddyfile")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	env := cmdutil.Env{Now: time.Now, Admin: p.admin, Inspect: func(_, _ string) cmdutil.Config { return p.config }}

	got := clitest.Run(NewCmdDoctor, env, "", "doctor", "--config", file)
	assert.Equal(t, 0, got.Code, "this is no failure: %s", got.Stdout)
	assert.Contains(t, line(got, "url"), "skip")
	assert.Contains(t, line(got, "url"), "Remedy: Give the webhook's URL by --url")
	for _, check := range []string{"dns", "connection", "certificate", "endpoint", "clock", "forged", "signed"} {
		assert.Contains(t, line(got, check), "skip", got.Stdout)
	}
	assert.Equal(t, 2, strings.Count(line(got, "handler"), "\n"), "both are looked at")
}

func TestDoctorWithoutAConfigurationHasTheURLAndTheVariable(t *testing.T) {
	p := newPatient(t)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	target, trust := clitest.Server(t, clitest.Protected(clitest.Secret, p.now, clitest.Answering(200)))
	t.Chdir(t.TempDir())
	env := cmdutil.Env{Now: func() time.Time { return p.now }}
	got := clitest.Run(NewCmdDoctor, env, "", append([]string{"doctor", "--url", target}, trust...)...)
	assert.Equal(t, 0, got.Code, got.Stdout)
	for check, want := range map[string]string{
		"config": "skip", "handler": "skip", "upstream": "skip", "secret": "warn", "dns": "warn", "endpoint": "ok", "forged": "ok", "signed": "ok",
	} {
		assert.True(t, strings.HasPrefix(line(got, check), want), got.Stdout)
	}
}

func TestDoctorTakesTheCaddyfileThatIsHere(t *testing.T) {
	p := newPatient(t)
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("Caddyfile", nil, 0o600))
	inspected := ""
	env := cmdutil.Env{Now: time.Now, Admin: p.admin, Inspect: func(file, _ string) cmdutil.Config {
		inspected = file
		return cmdutil.Config{File: file, Admin: "localhost:2019"}
	}}
	clitest.Run(NewCmdDoctor, env, "", "doctor")
	assert.Equal(t, "Caddyfile", inspected)
}

func TestDoctorSaysHowItIsUsed(t *testing.T) {
	newPatient(t)
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("x.json", nil, 0o600))
	for _, test := range []struct {
		name string
		args []string
		says string
	}{
		{"nothing to look at", nil, "there is no Caddyfile here"},
		{"no such file", []string{"--config", "none"}, "reading --config"},
		{"no URL", []string{"--url", "hooks.example.com"}, "is not a URL"},
		{"an empty URL", []string{"--config", "x.json", "--url", ""}, "--url is empty"},
		{"an empty file name", []string{"--config", ""}, "--config is empty"},
		{"no such CA", []string{"--url", doctorURL, "--ca", "none"}, "reading --ca"},
		{"another host to resolve", []string{"--url", doctorURL, "--resolve", "x:127.0.0.1"}, "--resolve must be hooks.example.com:"},
		{"a host to resolve without a URL", []string{"--config", "x.json", "--resolve", "x:127.0.0.1"}, "--resolve needs a URL"},
		{"no such secret", []string{"--url", doctorURL, "--secret-file", "none"}, "reading --secret-file"},
		{"no such variable", []string{"--url", doctorURL, "--secret-env", "NONE"}, "NONE is not set"},
		{"both from standard input", []string{"--url", doctorURL, "--secret-file", "-", "--api-key-file", "-"}, "only one thing"},
		{"no time at all", []string{"--url", doctorURL, "--timeout", "0s"}, "--timeout"},
		{"an argument", []string{doctorURL}, "unknown command"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := clitest.Run(NewCmdDoctor, cmdutil.Env{Now: time.Now, Inspect: func(string, string) cmdutil.Config { return cmdutil.Config{} }}, "", append([]string{"doctor"}, test.args...)...)
			require.Error(t, got.Err)
			assert.ErrorContains(t, got.Err, test.says)
			assert.Equal(t, 1, got.Code)
			assert.Empty(t, got.Stdout)
		})
	}
}

func TestDoctorSaysOfWhichDestinationABackendIs(t *testing.T) {
	p := newPatient(t)
	p.first().Upstreams[0].Destination = "crm"
	p.first().Upstreams = append(p.first().Upstreams,
		cmdutil.ConfigUpstream{Destination: "archive", Text: "127.0.0.1:1", Network: "tcp", Address: "127.0.0.1:1"},
		cmdutil.ConfigUpstream{Destination: "search", Text: "dynamic upstreams"})
	lines := line(p.run("--no-send"), "upstream")
	assert.Contains(t, lines, "ok    upstream     destination crm: localhost:3000 listens\n")
	assert.Contains(t, lines, "FAIL  upstream     destination archive: 127.0.0.1:1 does not listen: ")
	assert.Contains(t, lines, "skip  upstream     destination search: dynamic upstreams is known only when a request comes")
}
