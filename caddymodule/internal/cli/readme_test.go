package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```\n")
	transcript   = regexp.MustCompile(`(?m)^\$ caddy elevenlabs ((?:status|tail|webhooks)\b.*)\n((?:[^$\n].*\n|\n)*)`)
)

// Those of the other commands are run by the tests of the built server.
func TestTranscriptsInTheREADMEAreThoseOfTheGoldenFiles(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	shown := map[string]string{}
	for _, block := range consoleBlock.FindAllSubmatch(readme, -1) {
		for _, one := range transcript.FindAllSubmatch(block[1], -1) {
			shown[string(one[1])] = string(one[2])
		}
	}
	held := map[string]string{
		"status":                                "status/failing.txt",
		"tail --once":                           "tail/once.txt",
		"webhooks list --agent agent_1,agent_2": "webhooks/list.txt",
		"webhooks create --name gateway --url " + testURL + " --secret-out /etc/caddy/secret --attach": "webhooks/create_attached.txt",
		"webhooks update gateway --retries --header X-Env=prod --events speech_to_text,flows":          "webhooks/update_some.txt",
		"webhooks disable gateway":                        "webhooks/disable.txt",
		"webhooks enable gateway":                         "webhooks/enable_not_taken.txt",
		"webhooks attach gateway --events speech_to_text": "webhooks/attach_to_workspace.txt",
		"webhooks attach gateway --agent agent_1 --agent agent_2 --replace --events audio": "webhooks/attach_to_agents.txt",
		"webhooks detach gateway --events flows":                                           "webhooks/detach_events.txt",
		"webhooks detach other --agent agent_1":                                            "webhooks/detach_agent.txt",
		"webhooks delete other --agent agent_1,agent_2":                                    "webhooks/delete_in_use.txt",
		"webhooks delete gateway --yes":                                                    "webhooks/delete.txt",
		"webhooks rotate wh_old --secret-out /etc/caddy/secret --agent agent_1,agent_2":    "webhooks/rotate_agents_named.txt",
		"webhooks rotate wh_old --switch-to wh_new_1 --agent agent_1 --agent agent_2":      "webhooks/rotate_switch.txt",
		"webhooks rotate wh_old --finish --agent agent_1 --agent agent_2 --yes":            "webhooks/rotate_finish.txt",
	}
	for command, output := range shown {
		require.Contains(t, held, command, "no golden file holds this transcript")
		printed, err := os.ReadFile("testdata/" + held[command])
		require.NoError(t, err)
		delete(held, command)
		output, _, cut := strings.Cut(output, "…\n") // the rest is left out
		if cut {
			assert.True(t, strings.HasPrefix(string(printed), output) && len(output) > 100, "%s is now\n%s", command, printed)
			continue
		}
		assert.Equal(t, strings.TrimRight(string(printed), "\n"), strings.TrimRight(output, "\n"), command)
	}
	assert.Empty(t, held, "not in the README")
}
