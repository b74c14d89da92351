package webhooks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

// TestWebhooksPrints runs each case in testdata, as text and as JSON. A case has the
// command, the set-up at ElevenLabs, the files that the command reads, the output,
// and the requests that change something at ElevenLabs.
//
// To add a case, write its command and its set-up, and run go test -update.
func TestWebhooksPrints(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			want := clitest.ReadCase(t, file)
			text, json := runCase(t, want), runCase(t, want, "--json")
			assert.Equal(t, text.code, json.code)
			assert.Equal(t, text.requests, json.requests)

			got := clitest.Case{Command: want.Command, Code: text.code}
			for _, p := range want.Parts {
				if p.Name == "set-up" || strings.HasSuffix(p.Name, ".txt") {
					got.Parts = append(got.Parts, p)
				}
			}
			got.Parts = append(got.Parts, clitest.Part{Name: "output", Text: text.output}, clitest.Part{Name: "json", Text: json.output}, clitest.Part{Name: "requests", Text: text.requests})
			clitest.Golden(t, file, got)
		})
	}
}

// ran is the result of a case.
type ran struct {
	code             int
	output, requests string
}

// runCase runs a case with a fake of ElevenLabs of its own.
func runCase(t *testing.T, c clitest.Case, more ...string) ran {
	t.Helper()
	e := newElevenLabs(t)
	e.setUp(t, c.Part("set-up"))
	work, etc := t.TempDir(), t.TempDir() // etc is /etc/caddy in the case
	for _, p := range c.Parts {
		if strings.HasSuffix(p.Name, ".txt") {
			text := strings.ReplaceAll(p.Text, "the API key", elevenlabstest.Key)
			require.NoError(t, os.WriteFile(filepath.Join(work, p.Name), []byte(text), 0o600))
		}
	}
	args := strings.Fields(strings.ReplaceAll(c.Command, "/etc/caddy", etc))
	here, err := os.Getwd()
	require.NoError(t, err)
	require.NoError(t, os.Chdir(work))
	got := e.run(append(args[1:], more...)...)
	require.NoError(t, os.Chdir(here))

	output := strings.ReplaceAll(got.Text(), etc, "/etc/caddy")
	assert.Empty(t, got.Stderr)
	assert.NotContains(t, output, elevenlabstest.Key)
	assert.NotContains(t, output, "hidden", "it is the value of a header")
	if !strings.Contains(c.Command, "--print-secret") {
		assert.NotContains(t, output, "wsec_")
	}
	if secret, err := os.ReadFile(filepath.Join(etc, "secret")); err == nil {
		assert.Equal(t, "wsec_new_1", string(secret))
	} else {
		assert.NotContains(t, output, "/etc/caddy/secret")
	}
	return ran{got.Code, output, strings.Join(append(e.changes, ""), "\n")}
}

// setUp sets up ElevenLabs by lines such as
//
//	webhook {"webhook_id": "wh_1"}        a webhook in the workspace
//	settings {"post_call_webhook_id": …}  the workspace's setting for events after calls
//	agent agent_1 {…}                     an agent's, or none
//	fault 403 GET /v1/…                   the answer to a request
//	env KEY                               the API key in an environment variable
func (e *elevenLabs) setUp(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch verb {
		case "webhook":
			e.Add(object(t, rest))
		case "settings":
			e.SetSettings(object(t, rest))
		case "agent":
			id, settings, found := strings.Cut(rest, " ")
			if !found {
				e.SetAgent(id, nil)
				continue
			}
			e.SetAgent(id, object(t, settings))
		case "fault":
			status, request, _ := strings.Cut(rest, " ")
			code, err := strconv.Atoi(status)
			require.NoError(t, err, line)
			e.faults[request] = code
		case "env":
			t.Setenv(rest, elevenlabstest.Key)
		default:
			require.Fail(t, "there is no such set-up: "+line)
		}
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &value), text)
	return value
}
