package webhooks

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

// stepsIn returns the names of the steps that are done, and of those left.
func stepsIn(t *testing.T, output []byte) (steps [2]string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(output))
	for decoder.More() {
		var line stepLine
		require.NoError(t, decoder.Decode(&line))
		i := slices.Index([]string{"done", "left"}, line.Status)
		require.GreaterOrEqual(t, i, 0, line)
		steps[i] = strings.TrimPrefix(steps[i]+","+line.Step, ",")
	}
	return steps
}

// subscribers are the webhooks that get an event, wherever it is asked for.
func subscribers(e *elevenLabs) map[string][]string {
	all := map[string][]string{}
	for _, id := range []string{"wh_old", "wh_new_1"} {
		events, _ := e.Webhook(id)["events"].([]any)
		for _, event := range events {
			all[event.(string)] = append(all[event.(string)], id)
		}
	}
	for place, settings := range map[string]map[string]any{"workspace": e.Settings(), "agent_1": e.Agent("agent_1")} {
		if id, ok := settings["post_call_webhook_id"].(string); ok {
			all[place] = append(all[place], id)
		}
	}
	return all
}

// TestARotationLosesNoEvent watches, at every request of a whole rotation, that
// each event has a webhook to go to, and that none goes to the new one before
// the switch, since its secret may not be in the Caddyfile yet.
func TestARotationLosesNoEvent(t *testing.T) {
	e := newElevenLabs(t)
	e.Add(map[string]any{"webhook_id": "wh_old", "events": []any{"speech_to_text", "flows"}})
	e.SetSettings(attached("wh_old", "transcript"))
	e.SetAgent("agent_1", attached("wh_old", "audio"))
	places := []string{"speech_to_text", "flows", "workspace", "agent_1"}
	switching := false
	watch := func(change string) {
		now := subscribers(e)
		for _, place := range places {
			assert.NotEmpty(t, now[place], "before %s", change)
			if !switching {
				assert.Equal(t, []string{"wh_old"}, now[place], "before %s", change)
			}
		}
	}
	e.arrived = watch

	file := filepath.Join(t.TempDir(), "secret")
	got := e.run("rotate", "gateway", "--secret-out", file, "--retries", "--agent", "agent_1")
	require.NoError(t, got.Err)
	watch("the end")
	assert.Equal(t, true, e.Webhook("wh_new_1")["retry_enabled"])

	// the test runs the commands that were printed
	commands := regexp.MustCompile(`(?m)^ +caddy elevenlabs webhooks (.*)$`).FindAllStringSubmatch(got.Stdout, -1)
	require.Len(t, commands, 2)
	switching = true
	got = e.run(strings.Fields(commands[0][1])...)
	require.NoError(t, got.Err, got.Stdout)
	for _, place := range places {
		assert.Equal(t, []string{"wh_new_1"}, subscribers(e)[place])
	}
	got = e.run(append(strings.Fields(commands[1][1]), "--yes")...)
	require.NoError(t, got.Err, got.Stdout)
	assert.Nil(t, e.Webhook("wh_old"))
	watch("the end")
}

func TestASwitchThatBrokeOffIsFinishedByGivingItAgain(t *testing.T) {
	for _, fault := range []string{"PATCH /v1/convai/settings", "PATCH /v1/convai/agents/agent_1", "PATCH /v1/workspace/webhooks/wh_new_1", "PATCH /v1/workspace/webhooks/wh_old"} {
		e := newElevenLabs(t)
		rotating(e)
		e.faults[fault] = 400
		got := e.run("rotate", "wh_old", "--switch-to", "wh_new_1", "--agent", "agent_1")
		require.Error(t, got.Err)
		assert.Equal(t, 1, got.Code)
		assert.Contains(t, got.Stdout, "caddy elevenlabs webhooks rotate wh_old --switch-to wh_new_1 --agent agent_1\n")
		delete(e.faults, fault)
		got = e.run("rotate", "wh_old", "--switch-to", "wh_new_1", "--agent", "agent_1")
		require.NoError(t, got.Err)
		assert.Equal(t, "wh_new_1", e.Settings()["post_call_webhook_id"])
		assert.Equal(t, "wh_new_1", e.Agent("agent_1")["post_call_webhook_id"])
		assert.ElementsMatch(t, []any{"speech_to_text", "flows"}, e.Webhook("wh_new_1")["events"])
		assert.Empty(t, e.Webhook("wh_old")["events"])
	}
}

func TestTheCommandsThatArePrintedAreForAShell(t *testing.T) {
	e := newElevenLabs(t)
	rotating(e)
	e.SetAgent("an agent", attached("wh_old", "audio"))
	e.faults["PATCH /v1/convai/settings"] = 400
	got := clitest.Run(NewCmdWebhooks, e.env(), elevenlabstest.Key, "webhooks", "rotate", "wh_old", "--switch-to", "wh_new_1", "--agent", "an agent", "--api-key-file", "-")
	require.Error(t, got.Err)
	left := strings.Count(got.Stdout, "left  ")
	assert.Equal(t, 4, left)
	assert.Equal(t, left, strings.Count(got.Stdout, "caddy elevenlabs webhooks rotate wh_old --switch-to wh_new_1 --agent 'an agent'\n"), got.Stdout)
}

func TestASwitchDoesNotSayThatNothingIsLeftIfThatIsNotKnown(t *testing.T) {
	e := newElevenLabs(t)
	rotating(e)
	e.arrived = func(change string) {
		if change == "PATCH /v1/workspace/webhooks/wh_old" { // the last
			forMember(e)
		}
	}
	got := e.run("rotate", "wh_old", "--switch-to", "wh_new_1", "--agent", "agent_1")
	require.ErrorContains(t, got.Err, `it is unknown which events of the workspace go to "gateway" (wh_old)`)
	assert.Equal(t, 2, got.Code)
	assert.NotContains(t, got.Stdout, "nothing uses")
}

func TestOnlyWebhooksThatSignAreRotated(t *testing.T) {
	e := newElevenLabs(t)
	e.Add(map[string]any{"webhook_id": "wh_1", "auth_type": "oauth2"})
	file := filepath.Join(t.TempDir(), "secret")
	got := e.run("rotate", "wh_1", "--secret-out", file)
	require.ErrorContains(t, got.Err, "webhook wh_1 has no signing secret: its kind of authentication is oauth2")
	assert.Equal(t, 1, got.Code)
	assert.Empty(t, e.changes)
	assert.NoFileExists(t, file)
}

func TestARotationIsNotFinishedBeforeItBegan(t *testing.T) {
	e := newElevenLabs(t)
	addOne(e)
	got := e.run("rotate", "wh_1", "--finish", "--yes")
	require.ErrorContains(t, got.Err, "no other webhook has its URL")
	assert.Equal(t, 1, got.Code)
	assert.NotNil(t, e.Webhook("wh_1"))
}

func TestTheCaddyfileLineOfAnOddPathIsOneWord(t *testing.T) {
	e := newElevenLabs(t)
	addOne(e)
	file := filepath.Join(t.TempDir(), "new secret")
	got := e.run("rotate", "wh_1", "--secret-out", file)
	require.NoError(t, got.Err)
	assert.Contains(t, got.Stdout, "\tsecret `{file."+file+"}` new\n")
	assert.Contains(t, got.Stdout, " --secret-file '"+file+"'\n")
}
