package caddymodule

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func adapt(text string) (string, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "", err
	}
	var indented bytes.Buffer
	err = json.Indent(&indented, config, "", "\t")
	return indented.String(), err
}

// Each golden file has a Caddyfile, a line of hyphens, and the JSON that the Caddyfile
// adapts to. Caddy must be able to provision the JSON.
func TestCaddyfilesAdaptToTheGoldenJSON(t *testing.T) {
	files, err := filepath.Glob("testdata/caddyfile/*.caddyfiletest")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			input, want, found := strings.Cut(string(content), "----------\n")
			require.True(t, found)
			got, err := adapt(input)
			require.NoError(t, err)
			assert.Equal(t, strings.TrimSpace(want), got)
			assert.NotContains(t, got, testSecret)

			var config caddy.Config
			require.NoError(t, caddy.StrictUnmarshalJSON([]byte(got), &config))
			require.NoError(t, caddy.Validate(&config))
		})
	}
}

func TestBadCaddyfilesNameTheLineAndTheOption(t *testing.T) {
	const secret = "secret {env.TEST_SECRET}"
	tests := []struct {
		name, options string
		line          string
		err           []string
	}{
		{"no secret", "max_size 1MiB", "3", []string{"secret: at least one is required"}},
		{"no block content", "", "3", []string{"secret: at least one is required"}},
		{"secret without value", "secret", "4", []string{"argument count"}},
		{"secret empty", `secret ""` + "\n" + secret, "4", []string{"secret: it is empty"}},
		{"secret name not ASCII, not the last", "secret {env.TEST_SECRET} schlüssel\n" + secret, "4", []string{"secret", "printable ASCII"}},
		{"reverse_proxy with a path", secret + "\nreverse_proxy /hook localhost:1", "5", []string{"takes no matcher"}},
		{"reverse_proxy with a named matcher", secret + "\nreverse_proxy @hook localhost:1", "5", []string{"takes no matcher"}},
		{"reverse_proxy with a wildcard", secret + "\nreverse_proxy * localhost:1", "5", []string{"takes no matcher"}},
		{"secret of three words", "secret a b c", "4", []string{"argument count"}},
		{"secret name not ASCII", "secret {env.TEST_SECRET} schlüssel", "4", []string{"secret", "printable ASCII"}},
		{"two secrets in a line", "secret {env.TEST_SECRET} {env.TEST_OLD_SECRET}", "4", []string{"secret: a second secret stands in place of the name: write each secret in a line of its own"}},
		{"two literal secrets in a line", "secret wsec_one wsec_two", "4", []string{"secret: a second secret stands in place of the name"}},
		{"max_size negative", secret + "\nmax_size -1", "5", []string{"max_size", "not a size"}},
		{"max_size zero", secret + "\nmax_size 0", "5", []string{"max_size", "greater than zero"}},
		{"max_size a word", secret + "\nmax_size big", "5", []string{"max_size", "not a size"}},
		{"max_size missing", secret + "\nmax_size", "5", []string{"argument count"}},
		{"max_size above all numbers", secret + "\nmax_size 9999999TiB", "5", []string{"max_size", "too large"}},
		{"memory_buffer zero", secret + "\nmemory_buffer 0MB", "5", []string{"memory_buffer", "greater than zero"}},
		{"memory_buffer above max_size", secret + "\nmemory_buffer 2MiB\nmax_size 1MiB", "5", []string{"memory_buffer", "max_size"}},
		{"memory_buffer above max_size, other order", secret + "\nmax_size 1MiB\nmemory_buffer 2MiB", "6", []string{"memory_buffer", "max_size"}},
		{"memory_buffer above the default max_size", secret + "\nmemory_buffer 101MiB", "5", []string{"memory_buffer", "max_size"}},
		{"memory_limit zero", secret + "\nmemory_limit 0", "5", []string{"memory_limit", "greater than zero"}},
		{"memory_limit a word", secret + "\nmemory_limit half", "5", []string{"memory_limit", "not a size"}},
		{"spool_limit zero", secret + "\nspool_limit 0", "5", []string{"spool_limit", "greater than zero"}},
		{"read_timeout zero", secret + "\nread_timeout 0s", "5", []string{"read_timeout", "greater than zero"}},
		{"read_timeout negative", secret + "\nread_timeout -1s", "5", []string{"read_timeout", "greater than zero"}},
		{"read_timeout without unit", secret + "\nread_timeout 60", "5", []string{"read_timeout", "missing unit"}},
		{"tolerance zero", secret + "\ntolerance 0s", "5", []string{"tolerance", "greater than zero"}},
		{"tolerance future zero", secret + "\ntolerance 30m 0s", "5", []string{"tolerance", "greater than zero"}},
		{"tolerance of three", secret + "\ntolerance 1m 2m 3m", "5", []string{"argument count"}},
		{"source_ips unknown region", secret + "\nsource_ips us mars", "5", []string{"source_ips", `"mars"`, "singapore_residency"}},
		{"source_ips bad CIDR", secret + "\nsource_ips 10.0.0.0/33", "5", []string{"source_ips", "10.0.0.0/33"}},
		{"source_ips empty", secret + "\nsource_ips", "5", []string{"argument count"}},
		{"events empty", secret + "\nevents", "5", []string{"argument count"}},
		{"events a placeholder", secret + "\nevents audio {env.TYPE}", "5", []string{"events", `"{env.TYPE}"`, "{$NAME}"}},
		{"events an empty name", secret + "\nevents \"\"", "5", []string{"events", `""`}},
		{"retries a word", secret + "\nretries many", "5", []string{"retries", "many"}},
		{"retries negative", secret + "\nretries -1", "5", []string{"retries", "0 to 10"}},
		{"retries too many", secret + "\nretries 11", "5", []string{"retries", "0 to 10"}},
		{"retries pause zero", secret + "\nretries 3 0s", "5", []string{"retries", "greater than zero"}},
		{"allow_http with a value", secret + "\nallow_http yes", "5", []string{"argument count"}},
		{"unknown", secret + "\nmax_sise 1MiB", "5", []string{`unrecognized subdirective "max_sise"`}},
		{"repeated", secret + "\nmax_size 1MiB\nmax_size 1MiB", "6", []string{"max_size is set twice"}},
		{"reverse_proxy repeated", secret + "\nreverse_proxy a:1\nreverse_proxy b:1", "6", []string{"reverse_proxy is set twice"}},
		{"reverse_proxy's own errors", secret + "\nreverse_proxy a:1 {\nnonsense\n}", "6", []string{"nonsense"}},
		{"a block where none belongs", secret + "\nevents a {\nb\n}", "", []string{"events takes no block"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := adapt(":80 {\n\troute {\n\t\televenlabs_webhook {\n" + test.options + "\n}\n}\n}\n")
			require.Error(t, err)
			if test.line != "" {
				assert.Contains(t, err.Error(), "Caddyfile:"+test.line)
			}
			for _, part := range test.err {
				assert.Contains(t, err.Error(), part)
			}
		})
	}
	_, err := adapt(":80 {\n\televenlabs_webhook /path wrong\n}\n")
	require.ErrorContains(t, err, "Caddyfile:2")
}

func TestErrorsOfTheCaddyfileDoNotRepeatASecretInAWrongPlace(t *testing.T) {
	const destination = "inbox {\ndestination a {\n$\n}\n}"
	for _, line := range []string{
		"sign " + signKey + " " + oldSignKey,
		"sign {env.TEST_SIGN_KEY}\n" + oldSignKey,
		"sign {env.TEST_SIGN_KEY} {\n" + oldSignKey + "\n}",
		"secret {env.TEST_SECRET} name wsec_AgICAgICAgIC",
		"secret {env.TEST_SECRET} wsec_AgICAgICAgIC",
		"secret {env.TEST_SECRET}\nwsec_AgICAgICAgIC",
		"events\nwsec_AgICAgICAgIC x",
		"max_size wsec_AgICAgICAgIC",
		strings.Replace(destination, "$", "sign "+signKey+" "+oldSignKey, 1),
		strings.Replace(destination, "$", "sign {env.TEST_SIGN_KEY}\n"+oldSignKey, 1),
		"reverse_proxy localhost:1 {\n" + oldSignKey + "\n}",
	} {
		_, err := adapt(":80 {\nelevenlabs_webhook {\n" + line + "\n}\n}\n")
		require.Error(t, err, line)
		assert.NotContains(t, err.Error(), "AgIC", line)
		assert.Contains(t, err.Error(), "Caddyfile:", line)
	}
	_, err := adapt(":80 {\nelevenlabs_webhook " + oldSignKey + " {\n}\n}\n")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "AgIC")
}

func TestBadJSONNamesTheOption(t *testing.T) {
	negative := -1
	secrets := []Secret{{Value: "{env.TEST_SECRET}"}}
	withDestination := func(d *Destination) *Handler {
		return &Handler{Secrets: secrets, Inbox: &Inbox{Destinations: []*Destination{d}}}
	}
	for _, test := range []struct {
		option  string
		handler *Handler
	}{
		{"secret", &Handler{}},
		{"max_size", &Handler{Secrets: secrets, MaxSize: -1}},
		{"memory_buffer", &Handler{Secrets: secrets, MemoryBuffer: 2, MaxSize: 1}},
		{"memory_limit", &Handler{Secrets: secrets, MemoryLimit: -1}},
		{"spool_limit", &Handler{Secrets: secrets, SpoolLimit: -1}},
		{"spool_dir", &Handler{Secrets: secrets, SpoolDir: "/nonexistent/folder"}},
		{"read_timeout", &Handler{Secrets: secrets, ReadTimeout: -1}},
		{"tolerance", &Handler{Secrets: secrets, Tolerance: Tolerance{Future: -1}}},
		{"source_ips", &Handler{Secrets: secrets, SourceIPs: []string{"mars"}}},
		{"events", &Handler{Secrets: secrets, Events: []string{"{env.TYPE}"}}},
		{"inbox destination events: crm", withDestination(&Destination{Name: "crm", Events: []string{""}})},
		{"inbox destination agents: crm", withDestination(&Destination{Name: "crm", Agents: []string{"{env.AGENT}"}})},
		{"retries", &Handler{Secrets: secrets, Retries: Retries{Count: &negative}}},
	} {
		require.ErrorContains(t, test.handler.Validate(), test.option+": ", test.option)
	}
}

func TestParsingTouchesNoDisk(t *testing.T) {
	dir := t.TempDir()
	anHourAgo := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(dir, anHourAgo, anHourAgo))
	for _, spoolDir := range []string{dir, "/nonexistent/folder"} {
		_, err := adapt(":80 {\n\troute {\n\t\televenlabs_webhook {\nsecret {file./nonexistent/secret}\nspool_dir " + spoolDir + "\n}\n}\n}\n")
		require.NoError(t, err, "the server has the files, the machine that adapts need not")
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.True(t, info.ModTime().Equal(anHourAgo), "parsing makes not even a temporary file")
}

func TestDefaultMemoryBufferIsClampedToMaxSize(t *testing.T) {
	h, _ := provision(t, &Handler{MaxSize: 1000})
	assert.Equal(t, int64(1000), h.MemoryBuffer)
	require.NoError(t, h.Validate())
}

func setMemoryLimit(t *testing.T, limit int64) {
	before := debug.SetMemoryLimit(limit)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	setMemoryLimit(t, math.MaxInt64)
	h := new(Handler)
	h.setDefaults()
	defaults, err := json.Marshal(h)
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"tolerance": {"past": 1800000000000, "future": 300000000000},
		"max_size": 104857600, "memory_buffer": 1048576, "memory_limit": 134217728, "spool_limit": 1073741824,
		"read_timeout": 60000000000, "retries": {"count": 3, "pause": 100000000}
	}`, string(defaults))
}

func TestMemoryFollowsGosMemoryLimit(t *testing.T) {
	for _, test := range []struct{ limit, memoryLimit, bodies int64 }{
		{math.MaxInt64, 128 << 20, math.MaxInt64 / 2 / requestMemory}, // none
		{2 << 30, 128 << 20, 21_845},
		{1 << 30, 128 << 20, 10_922},
		{512 << 20, 64 << 20, 5_461},
		{1 << 20, 128 << 10, 100},
	} {
		setMemoryLimit(t, test.limit)
		h, _ := provision(t, &Handler{})
		assert.Equal(t, test.memoryLimit, h.MemoryLimit, "with a limit of %d", test.limit)
		assert.Equal(t, test.bodies, h.maxBodies, "with a limit of %d", test.limit)
	}
}

func TestHandlerUnmarshalsWithoutTheDirectivesHelper(t *testing.T) {
	h := new(Handler)
	require.NoError(t, h.UnmarshalCaddyfile(caddyfile.NewTestDispenser(`elevenlabs_webhook {
		secret {env.TEST_SECRET} production
		reverse_proxy localhost:3000
	}`)))
	assert.Equal(t, []Secret{{"{env.TEST_SECRET}", "production"}}, h.Secrets)
	assert.JSONEq(t, `{"upstreams": [{"dial": "localhost:3000"}]}`, string(h.ReverseProxyRaw))
}

func TestReverseProxyTakesNoOtherHandlersOptions(t *testing.T) {
	err := caddy.Validate(configOf(t, `{"secrets": [{"value": "{env.TEST_SECRET}"}], "reverse_proxy": {"body": "hello"}}`))
	require.ErrorContains(t, err, "reverse_proxy")
}

func configOf(t testing.TB, handler string) *caddy.Config {
	t.Helper()
	var config caddy.Config
	require.NoError(t, json.Unmarshal([]byte(`{"apps": {"http": {"servers": {"s": {"routes": [{"handle": [
		`+strings.Replace(handler, "{", `{"handler": "elevenlabs_webhook", `, 1)+`
	]}]}}}}}`), &config))
	return &config
}

func TestOptionsThatCanLoseEventsLogAWarning(t *testing.T) {
	destinations := &Inbox{Limit: 1 << 40, Destinations: []*Destination{{Events: []string{"audio"}}, {Events: []string{"audios", "audio", "audios"}}}}
	for says, test := range map[string]struct {
		handler *Handler
		fields  map[string]any
	}{
		"spool_limit cannot hold one body":  {&Handler{Events: []string{"audio"}, MaxSize: 10, SpoolLimit: 5}, map[string]any{"max_size": int64(10), "spool_limit": int64(5)}},
		"events names types":                {&Handler{SpoolLimit: 1 << 40, Events: []string{"transcripts", "post_call_audio"}}, map[string]any{"types": []any{"transcripts"}}},
		"does not know: if one is mistyped": {&Handler{SpoolLimit: 1 << 40, Inbox: destinations}, map[string]any{"types": []any{"audios"}}},
	} {
		core, logs := observer.New(zapcore.WarnLevel)
		test.handler.logger = zap.New(core)
		test.handler.warn()
		require.Equal(t, 1, logs.Len(), says)
		assert.Contains(t, logs.All()[0].Message, says)
		assert.Equal(t, test.fields, logs.All()[0].ContextMap())
	}
}
