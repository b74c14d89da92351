package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// inspectText inspects a Caddyfile. In it, "$" stands for the directive with a secret
// and an upstream.
func inspectText(t *testing.T, text string) cmdutil.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	text = strings.ReplaceAll(text, "$", "{\nsecret {env.TEST_SECRET}\nreverse_proxy localhost:3000\n}")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return inspect(file, "")
}

func TestInspectFindsTheHandlerWhereverItStands(t *testing.T) {
	tests := []struct {
		name, text   string
		hosts, paths []string
		listen       []uint
		plain        bool
	}{
		{"handle", "a.test {\nhandle /hook {\nelevenlabs_webhook $\n}\n}", []string{"a.test"}, []string{"/hook"}, []uint{443}, false},
		{"matcher", "a.test {\nelevenlabs_webhook /hook $\n}", []string{"a.test"}, []string{"/hook"}, []uint{443}, false},
		{"route in route", "a.test {\nroute {\nroute /hook {\nelevenlabs_webhook $\n}\n}\n}", []string{"a.test"}, []string{"/hook"}, []uint{443}, false},
		{"named route", "&(hook) {\nelevenlabs_webhook $\n}\na.test {\nhandle /hook {\ninvoke hook\n}\n}", []string{"a.test"}, []string{"/hook"}, []uint{443}, false},
		{"handle_errors", "a.test {\nhandle_errors {\nelevenlabs_webhook $\n}\n}", []string{"a.test"}, nil, []uint{443}, false},
		{"handle_response", "a.test {\nreverse_proxy localhost:1 {\n@x status 404\nhandle_response @x {\nelevenlabs_webhook $\n}\n}\n}", []string{"a.test"}, nil, []uint{443}, false},
		{"several hosts and paths", "a.test, b.test {\n@m path /x /y\nelevenlabs_webhook @m $\n}", []string{"a.test", "b.test"}, []string{"/x", "/y"}, []uint{443}, false},
		{"another port", "a.test:8443 {\nelevenlabs_webhook /hook $\n}", []string{"a.test"}, []string{"/hook"}, []uint{8443}, false},
		{"plain HTTP", "http://a.test {\nelevenlabs_webhook /hook $\n}", []string{"a.test"}, []string{"/hook"}, []uint{80}, true},
		{"plain HTTP at another port", "http://a.test:8080 {\nelevenlabs_webhook /hook $\n}", []string{"a.test"}, []string{"/hook"}, []uint{8080}, true},
		{"without a host", ":8080 {\nelevenlabs_webhook /hook $\n}", nil, []string{"/hook"}, []uint{8080}, true},
		{"without automatic HTTPS", "{\nauto_https off\n}\na.test:8443 {\nelevenlabs_webhook /hook $\n}", []string{"a.test"}, []string{"/hook"}, []uint{8443}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := inspectText(t, test.text)
			require.NoError(t, config.Problem)
			require.Len(t, config.Handlers, 1)
			h := config.Handlers[0]
			assert.Equal(t, "TEST_SECRET", h.Name)
			assert.Equal(t, test.hosts, h.Hosts)
			assert.Equal(t, test.paths, h.Paths)
			assert.Equal(t, test.listen, h.Listen)
			assert.Equal(t, test.plain, h.Plain)
			assert.Equal(t, []cmdutil.ConfigSecret{{Text: "{env.TEST_SECRET}", Value: testSecret}}, h.Secrets)
			assert.Equal(t, []cmdutil.ConfigUpstream{{Text: "localhost:3000", Network: "tcp", Address: "localhost:3000"}}, h.Upstreams)
		})
	}
}

func TestInspectFindsSeveralAndNone(t *testing.T) {
	config := inspectText(t, "a.test {\nelevenlabs_webhook /x $\nelevenlabs_webhook /y $\n}\nb.test:8443 {\n@m path /z /zz\nelevenlabs_webhook @m $\n}")
	require.NoError(t, config.Problem)
	paths := make([][]string, 0, len(config.Handlers))
	for _, h := range config.Handlers {
		paths = append(paths, h.Paths)
	}
	assert.ElementsMatch(t, [][]string{{"/x"}, {"/y"}, {"/z", "/zz"}}, paths)

	config = inspectText(t, "a.test {\nrespond 200\n}")
	require.NoError(t, config.Problem)
	assert.Empty(t, config.Handlers)
}

func TestInspectFindsUpstreams(t *testing.T) {
	const before, after = "a.test {\nhandle /other {\nreverse_proxy other:1\n}\nhandle /hook {\n", "\n}\nhandle {\nreverse_proxy other:2\n}\n}"
	secret := "elevenlabs_webhook {\nsecret {env.TEST_SECRET}\n%\n}\n"
	inside := func(proxy string) string { return before + strings.ReplaceAll(secret, "%", proxy) + after }
	behind := func(rest string) string { return before + strings.ReplaceAll(secret, "%", "") + rest + after }
	tcp := func(address string) cmdutil.ConfigUpstream {
		return cmdutil.ConfigUpstream{Text: address, Network: "tcp", Address: address}
	}
	of := func(destination string, u cmdutil.ConfigUpstream) cmdutil.ConfigUpstream {
		u.Destination = destination
		return u
	}
	tests := []struct {
		name, text string
		want       []cmdutil.ConfigUpstream
	}{
		{"inside", inside("reverse_proxy app:3000 [::1]:3001"), []cmdutil.ConfigUpstream{tcp("app:3000"), tcp("[::1]:3001")}},
		{"unix socket", inside("reverse_proxy unix//run/app.sock"), []cmdutil.ConfigUpstream{{Text: "unix//run/app.sock", Network: "unix", Address: "/run/app.sock"}}},
		{"placeholder", inside("reverse_proxy {http.request.header.X}:3000"), []cmdutil.ConfigUpstream{{Text: "{http.request.header.X}:3000"}}},
		{"dynamic", inside("reverse_proxy {\ndynamic a app 3000\n}"), []cmdutil.ConfigUpstream{{Text: "dynamic upstreams"}}},
		{"behind it", behind("@audio elevenlabs_event post_call_audio\nreverse_proxy @audio audio:3001\nreverse_proxy app:3000"), []cmdutil.ConfigUpstream{tcp("audio:3001"), tcp("app:3000")}},
		{"deeper behind it", behind("route {\nhandle {\nreverse_proxy app:3000\n}\n}"), []cmdutil.ConfigUpstream{tcp("app:3000")}},
		{"none", behind("respond 200"), nil},
		{"of destinations", inside("inbox {\ndestination crm {\nreverse_proxy app:3000\n}\ndestination archive {\nreverse_proxy app:3000 app:3001\n}\n}"), []cmdutil.ConfigUpstream{
			of("crm", tcp("app:3000")), of("archive", tcp("app:3000")), of("archive", tcp("app:3001")),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := inspectText(t, test.text)
			require.NoError(t, config.Problem)
			require.Len(t, config.Handlers, 1)
			assert.Equal(t, test.want, config.Handlers[0].Upstreams)
		})
	}
}

func TestInspectReadsTheHandlersOptions(t *testing.T) {
	config := inspectText(t, "a.test {\nelevenlabs_webhook {\nsecret wsec_literal old\nsecret {env.NOT_SET}\ntolerance 1h\nevents audio of_next_year\nsign {env.TEST_SIGN_KEY}\nsign whsec_literal\nallow_http\nreport_only\n}\n}")
	require.Error(t, config.Problem)
	assert.NotContains(t, config.Problem.Error(), "wsec_literal")
	require.Len(t, config.Handlers, 1, "also where Caddy does not load the configuration")
	h := config.Handlers[0]
	assert.Equal(t, cmdutil.ConfigSecret{Text: "wsec_literal", Literal: true, Name: "old", Value: "wsec_literal"}, h.Secrets[0])
	assert.Equal(t, "{env.NOT_SET}", h.Secrets[1].Text)
	require.Error(t, h.Secrets[1].Problem)
	assert.Equal(t, []cmdutil.ConfigSecret{
		{Text: "{env.TEST_SIGN_KEY}", Value: signKey}, {Text: "whsec_literal", Literal: true, Value: "whsec_literal"},
	}, h.SignKeys)
	assert.Equal(t, time.Hour, h.Past)
	assert.Equal(t, 5*time.Minute, h.Future)
	assert.True(t, h.AllowHTTP && h.ReportOnly)
	assert.Equal(t, []string{"post_call_audio", "of_next_year"}, h.Events)
}

func TestInspectFindsTheAdminEndpoint(t *testing.T) {
	for text, want := range map[string]string{
		"": caddy.DefaultAdminListen, "{\nadmin localhost:2020\n}\n": "localhost:2020", "{\nadmin off\n}\n": "",
		"{\nadmin unix//run/admin.sock\n}\n": "unix//run/admin.sock", "{\nnonsense\n}\n": caddy.DefaultAdminListen,
	} {
		assert.Equal(t, want, inspectText(t, text+"a.test {\nelevenlabs_webhook $\n}\n").Admin, text)
	}
}

// doctor shows these words for the secret, and for the configuration.
func TestInspectSaysWhyAFileGivesNoSecret(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	two := filepath.Join(dir, "two")
	require.NoError(t, os.WriteFile(two, []byte("wsec_1\nwsec_2\n"), 0o600))
	for _, test := range []struct{ value, says string }{
		{"{file." + dir + "/none}", "the file " + dir + "/none does not exist"},
		{"{file." + dir + "}", dir + " is a directory"},
		{"{file." + empty + "}", "the file " + empty + " is empty"},
		{"{file." + two + "}", "has more than one line"},
		{"wsec_…", `"wsec_…", which stands for a secret in the documentation`},
		{"{file.wsec_pasted}", "the secret itself seems to stand in place of a name"},
	} {
		config := inspectText(t, "a.test {\nelevenlabs_webhook {\nsecret "+test.value+"\n}\n}")
		require.ErrorContains(t, config.Problem, test.says)
		require.Len(t, config.Handlers, 1)
		require.ErrorContains(t, config.Handlers[0].Secrets[0].Problem, test.says)
		assert.NotContains(t, config.Problem.Error()+config.Handlers[0].Secrets[0].Problem.Error(), "pasted")
	}
}

func TestInspectSaysWhyAConfigurationDoesNotLoad(t *testing.T) {
	for _, test := range []struct{ text, problem string }{
		{"a.test {\nelevenlabs_webhook {\nnonsense\n}\n}", `unrecognized subdirective "nonsense"`},
		{"a.test {\nelevenlabs_webhook {\nallow_http\n}\n}", "at least one is required"},
		{"a.test {\ntls /nonexistent /nonexistent\nelevenlabs_webhook $\n}", "/nonexistent"},
	} {
		assert.ErrorContains(t, inspectText(t, test.text).Problem, test.problem)
	}
	assert.Error(t, inspect("/nonexistent/Caddyfile", "").Problem)

	file := filepath.Join(t.TempDir(), "caddy.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"apps":{"http":{"servers":{"s":{"nonsense":1}}}}}`), 0o600))
	assert.ErrorContains(t, inspect(file, "").Problem, "nonsense")
	require.NoError(t, os.WriteFile(file, []byte(`{"apps":{"http":{"servers":{"s":1}}}}`), 0o600))
	assert.Error(t, inspect(file, "").Problem)
	require.NoError(t, os.WriteFile(file, []byte(`{"apps":{"http":{"servers":{"s":{"listen":[":443"],"routes":[{"match":[{"host":["a.test"],"path":["/hook"]}],"handle":[{"handler":"elevenlabs_webhook","secrets":[{"value":"{env.TEST_SECRET}"}]}]}]}}}}}`), 0o600))
	config := inspect(file, "")
	require.NoError(t, config.Problem)
	require.Len(t, config.Handlers, 1)
}

// doctor may run as another user than the server. It must not leave files that the
// server then cannot write.
func TestInspectWritesNothing(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("XDG_DATA_HOME", folder)
	t.Setenv("XDG_CONFIG_HOME", folder)
	t.Setenv("TMPDIR", folder)
	logs := filepath.Join(folder, "logs")
	config := inspectText(t, "localhost {\nlog {\noutput file "+logs+"/access.log\n}\nelevenlabs_webhook $\n}")
	require.NoError(t, config.Problem)
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, entry := range entries {
		assert.True(t, strings.HasPrefix(entry.Name(), "TestInspect"), entry.Name()) // the test's own folder
	}
	assert.NoDirExists(t, logs)
}
