package setup

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

const secret = "wsec_00112233445566778899aabbccddeeff"

// usual are the flags of most tests.
const usual = " --domain hooks.example.com --backend localhost:3000"

// environment is one whose configurations load, and whose API is a fake.
func environment(t *testing.T) (cmdutil.Env, *elevenlabstest.Server) {
	t.Helper()
	api := elevenlabstest.New(t)
	env := clitest.Stopped
	env.API = api
	env.Inspect = func(file, _ string) cmdutil.Config {
		_, err := os.Stat(file)
		return cmdutil.Config{File: file, Problem: err, Handlers: []cmdutil.ConfigHandler{{}}}
	}
	return env, api
}

// initIn runs init for a folder.
func initIn(t *testing.T, env cmdutil.Env, dir, command string) clitest.Outcome {
	t.Helper()
	got := clitest.Run(NewCmdInit, env, "", append(strings.Fields("init "+command), "--dir", dir)...)
	assert.NotContains(t, got.Text()+got.Stderr, secret[5:])
	assert.NotContains(t, got.Text()+got.Stderr, elevenlabstest.Key)
	assert.NotContains(t, got.Text()+got.Stderr, "wsec_new_1")
	return got
}

func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		files[entry.Name()] = string(text)
	}
	return files
}

func TestInitWritesTheCaddyfileThatTheFlagsSay(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	for flags, parts := range map[string]struct{ has, lacks []string }{
		usual:                                   {has: []string{"hooks.example.com {\n\thandle /webhooks/elevenlabs {\n", "\t\t\tinbox\n", "\t\t\treverse_proxy localhost:3000\n", "\n\thandle {\n\t\trespond 404\n\t}\n"}, lacks: []string{"skip_install_trust"}},
		usual + " --inbox=false":                {has: []string{"reverse_proxy"}, lacks: []string{"inbox"}},
		usual + " --path /hook":                 {has: []string{"handle /hook {"}},
		" --domain localhost:8443 --backend 80": {has: []string{"{\n\t# For a try on this machine", "auto_https disable_redirects", "\nlocalhost:8443 {\n", "reverse_proxy localhost:80\n"}},
	} {
		env, _ := environment(t)
		dir := t.TempDir()
		got := initIn(t, env, dir, flags)
		require.NoError(t, got.Err, flags)
		files := filesIn(t, dir)
		require.Len(t, files, 2)
		assert.Equal(t, secret, files[secretName])
		assert.Contains(t, files[caddyfileName], "\t\t\tsecret {file."+filepath.Join(dir, secretName)+"}\n")
		assert.NotContains(t, files[caddyfileName], secret)
		for _, part := range parts.has {
			assert.Contains(t, files[caddyfileName], part)
		}
		for _, part := range parts.lacks {
			assert.NotContains(t, files[caddyfileName], part)
		}
		assert.Contains(t, got.Stdout, "ok    config       "+filepath.Join(dir, "Caddyfile")+" loads\n")
		assert.Contains(t, got.Stdout, "skip  connection   left out")
		assert.Contains(t, got.Stdout, "  caddy run --config "+filepath.Join(dir, "Caddyfile")+"\n")
		assert.Contains(t, got.Stdout, "  caddy elevenlabs send https://")
	}
}

func TestInitWithoutATerminalNamesWhatIsMissingOrWrong(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	t.Setenv("KEY_IN_PLACE_OF_SECRET", elevenlabstest.Key)
	t.Setenv("BLANK", " \n")
	for flags, says := range map[string]string{
		"":                                                        "give --domain: there is no terminal to ask at",
		"--domain hooks.example.com":                              "give --backend: there is no terminal to ask at",
		"--domain nope --backend 3000":                            "--domain: the domain must be whole",
		"--domain a.com --backend nope":                           "--backend: the application's address must have a port",
		usual + " --path nope":                                    "--path: the path must be like",
		usual + " --domain=":                                      "--domain is given twice",
		"--domain= --backend 3000":                                "--domain is empty",
		usual + " --secret-env NOT_SET":                           "NOT_SET is not set",
		usual + " --secret-env BLANK":                             "BLANK is blank",
		usual + " --secret-file none":                             "reading --secret-file: open none",
		usual + " --attach":                                       "--attach needs --create-webhook",
		usual + " --api-key-file key.txt":                         "--api-key-file needs --create-webhook",
		usual + " --secret-env KEY_IN_PLACE_OF_SECRET":            "reading the environment variable KEY_IN_PLACE_OF_SECRET: the secret begins with sk_: it is an API key",
		usual + " --create-webhook --secret-env X":                "--create-webhook, not both",
		usual + " --create-webhook --api-key-env NOT_SET":         "NOT_SET is not set",
		usual + " --create-webhook --events nope":                 `there is no event "nope"`,
		usual + " --create-webhook --events audio":                "need --attach or --agent",
		"--domain localhost:8443 --backend 3000 --create-webhook": "ElevenLabs cannot call localhost",
		"--domain localhost:8443 --backend 8443":                  "--backend: this is the address of Caddy itself",
		usual + " --create-webhook --name=":                       "--name is empty",
		usual + " extra":                                          "unknown command",
	} {
		env, api := environment(t)
		dir := t.TempDir()
		got := initIn(t, env, dir, flags)
		require.ErrorContains(t, got.Err, says, flags)
		assert.Equal(t, 1, got.Code, flags)
		assert.Empty(t, got.Stdout, flags)
		assert.Empty(t, filesIn(t, dir), flags)
		assert.Empty(t, api.Requests(), flags)
	}
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET"))
	env, _ := environment(t)
	got := initIn(t, env, t.TempDir(), usual)
	assert.ErrorContains(t, got.Err, "ELEVENLABS_WEBHOOK_SECRET is not set: set it, name another by --secret-env or a file by --secret-file, or give --create-webhook")
	got = initIn(t, env, filepath.Join(t.TempDir(), "none"), usual)
	assert.ErrorContains(t, got.Err, "make it first")
	odd := filepath.Join(t.TempDir(), "{x}")
	require.NoError(t, os.Mkdir(odd, 0o755))
	got = initIn(t, env, odd, usual)
	assert.ErrorContains(t, got.Err, "cannot have in a path")
}

func TestInitOverwritesNothingAndCreatesNothingIfAFileIsThere(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	for _, name := range []string{caddyfileName, secretName} {
		for _, kind := range []string{"a file", "a link to nothing"} {
			for _, flags := range []string{usual, usual + " --create-webhook --attach"} {
				env, api := environment(t)
				dir := t.TempDir()
				there := filepath.Join(dir, name)
				if kind == "a file" {
					require.NoError(t, os.WriteFile(there, []byte("precious"), 0o644))
				} else {
					require.NoError(t, os.Symlink(filepath.Join(dir, "nothing"), there))
				}
				got := initIn(t, env, dir, flags)
				require.EqualError(t, got.Err, there+" is there already, and init overwrites nothing: move it away, or name another folder by --dir")
				assert.Equal(t, 1, got.Code)
				assert.Contains(t, got.Stdout, "# init would have written this to "+filepath.Join(dir, caddyfileName)+":\nhooks.example.com {\n")
				assert.Empty(t, api.Requests())
				if kind == "a file" {
					assert.Equal(t, map[string]string{name: "precious"}, filesIn(t, dir))
				} else {
					assert.NoFileExists(t, filepath.Join(dir, "nothing"))
				}
			}
		}
	}
}

// A file that comes between the look and the writing stays as it is too.
func TestBothFilesAreWrittenOrNone(t *testing.T) {
	for _, name := range []string{caddyfileName, secretName} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("precious"), 0o644))
		f, err := openFolder(dir)
		require.NoError(t, err)
		err = f.write("new", func() error { return f.writeSecret(secret) })
		require.ErrorIs(t, err, os.ErrExist)
		assert.Equal(t, map[string]string{name: "precious"}, filesIn(t, dir))
	}
}

func TestInitPrintsJSON(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	env, _ := environment(t)
	got := initIn(t, env, t.TempDir(), usual+" --json")
	require.NoError(t, got.Err)
	for line := range strings.Lines(got.Stdout) {
		assert.True(t, json.Valid([]byte(line)), line)
	}
	assert.Contains(t, got.Stdout, `"status":"done","step":"caddyfile"`)
	assert.Contains(t, got.Stdout, `"check":"config","status":"ok"`)
}

func TestInitFailsTheCheckOfFilesThatAreWritten(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	env, _ := environment(t)
	env.Inspect = func(file, _ string) cmdutil.Config {
		return cmdutil.Config{File: file, Problem: errors.New("no such module")}
	}
	dir := t.TempDir()
	got := initIn(t, env, dir, usual)
	require.ErrorIs(t, got.Err, cmdutil.ErrCheckFailed)
	assert.Equal(t, 2, got.Code)
	assert.Contains(t, got.Stdout, "FAIL  config")
	assert.Contains(t, got.Stdout, "\nStart Caddy:\n")
	assert.Len(t, filesIn(t, dir), 2)
}

func TestInitCreatesTheWebhookAndAttachesItOnlyIfAsked(t *testing.T) {
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	for flags, test := range map[string]struct {
		settings, agent string
		next            bool
	}{
		"":                           {next: true},
		" --attach --events audio":   {settings: "wh_new_1"},
		" --agent agent_1 --retries": {agent: "wh_new_1"},
		" --name other --region eu":  {next: true},
	} {
		env, api := environment(t)
		api.SetAgent("agent_1", nil)
		dir := t.TempDir()
		got := initIn(t, env, dir, usual+" --create-webhook"+flags)
		require.NoError(t, got.Err, flags)
		files := filesIn(t, dir)
		assert.Equal(t, "wsec_new_1", files[secretName])
		assert.Contains(t, files[caddyfileName], "hooks.example.com {")
		assert.Equal(t, "https://hooks.example.com/webhooks/elevenlabs", api.Webhook("wh_new_1")["webhook_url"])
		assert.Equal(t, test.settings, text(api.Settings()["post_call_webhook_id"]))
		assert.Equal(t, test.agent, text(api.Agent("agent_1")["post_call_webhook_id"]))
		assert.Equal(t, test.next, strings.Contains(got.Stdout, "  caddy elevenlabs webhooks attach wh_new_1"), got.Stdout)
	}
}

func text(value any) string {
	text, _ := value.(string)
	return text
}

func TestInitLeavesNoFileIfTheWebhookIsNotCreated(t *testing.T) {
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	for name, test := range map[string]struct {
		flags   string
		prepare func(*elevenlabstest.Server)
	}{
		"not permitted":      {"", func(api *elevenlabstest.Server) { api.Lacks("webhooks_write") }},
		"the answer is lost": {"", func(api *elevenlabstest.Server) { api.Fault(api.Lose) }},
		"the place is taken": {" --attach", func(api *elevenlabstest.Server) {
			api.Add(map[string]any{"webhook_id": "wh_1", "name": "other", "webhook_url": "https://other.example.com/"})
			api.SetSettings(map[string]any{"post_call_webhook_id": "wh_1"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			env, api := environment(t)
			test.prepare(api)
			dir := t.TempDir()
			got := initIn(t, env, dir, usual+" --create-webhook"+test.flags)
			require.Error(t, got.Err)
			assert.Empty(t, filesIn(t, dir))
		})
	}
}

// The secret is stored by then, and would be lost with the files.
func TestInitKeepsTheFilesIfOnlyTheAttachingFails(t *testing.T) {
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	env, api := environment(t)
	env.API = refusing{api}
	dir := t.TempDir()
	got := initIn(t, env, dir, usual+" --create-webhook --attach")
	require.Error(t, got.Err)
	assert.Contains(t, got.Stdout, "left  attach it to the events after calls in the workspace")
	files := filesIn(t, dir)
	assert.Equal(t, "wsec_new_1", files[secretName])
	assert.Contains(t, files, caddyfileName)
}

// refusing refuses to attach.
type refusing struct{ http.RoundTripper }

func (r refusing) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPatch {
		return &http.Response{StatusCode: http.StatusForbidden, Body: http.NoBody, Request: request}, nil
	}
	return r.RoundTripper.RoundTrip(request)
}

func TestAnInterruptBeforeTheWritingLeavesNothing(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	env, _ := environment(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	dir := t.TempDir()
	got := clitest.RunWith(ctx, NewCmdInit, env, strings.NewReader(""), io.Discard, append(strings.Fields("init"+usual), "--dir", dir)...)
	require.ErrorIs(t, got.Err, cmdutil.ErrInterrupted)
	assert.Empty(t, filesIn(t, dir))
}
