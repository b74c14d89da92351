package cli

import (
	"maps"
	"os"
	"path/filepath"
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
func TestTranscriptsInTheDocumentationAreThoseOfTheGoldenFiles(t *testing.T) {
	pages := []string{"../../../README.md"}
	for _, pattern := range []string{"*.md", "*/*.md"} {
		found, err := filepath.Glob("../../../docs/" + pattern)
		require.NoError(t, err)
		pages = append(pages, found...)
	}
	type shown struct{ page, command, output string }
	var all []shown
	for _, page := range pages {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, block := range consoleBlock.FindAllSubmatch(content, -1) {
			for _, one := range transcript.FindAllSubmatch(block[1], -1) {
				all = append(all, shown{page, string(one[1]), string(one[2])})
			}
		}
	}
	held := map[string]string{
		"status":                                "operate/testdata/status/failing.txt",
		"tail --once":                           "operate/testdata/tail/once.txt",
		"webhooks list --agent agent_1,agent_2": "webhooks/testdata/webhooks/list.txt",
		"webhooks create --name gateway --url " + "https://hooks.example.com/webhooks/elevenlabs" + " --secret-out /etc/caddy/secret --attach": "webhooks/testdata/webhooks/create_attached.txt",
		"webhooks update gateway --retries --header X-Env=prod --events speech_to_text,flows":                                                  "webhooks/testdata/webhooks/update_some.txt",
		"webhooks disable gateway":                        "webhooks/testdata/webhooks/disable.txt",
		"webhooks enable gateway":                         "webhooks/testdata/webhooks/enable_not_taken.txt",
		"webhooks attach gateway --events speech_to_text": "webhooks/testdata/webhooks/attach_to_workspace.txt",
		"webhooks attach gateway --agent agent_1 --agent agent_2 --replace --events audio": "webhooks/testdata/webhooks/attach_to_agents.txt",
		"webhooks detach gateway --events flows":                                           "webhooks/testdata/webhooks/detach_events.txt",
		"webhooks detach other --agent agent_1":                                            "webhooks/testdata/webhooks/detach_agent.txt",
		"webhooks delete other --agent agent_1,agent_2":                                    "webhooks/testdata/webhooks/delete_in_use.txt",
		"webhooks delete gateway --yes":                                                    "webhooks/testdata/webhooks/delete.txt",
		"webhooks rotate wh_old --secret-out /etc/caddy/secret --agent agent_1,agent_2":    "webhooks/testdata/webhooks/rotate_agents_named.txt",
		"webhooks rotate wh_old --switch-to wh_new_1 --agent agent_1 --agent agent_2":      "webhooks/testdata/webhooks/rotate_switch.txt",
		"webhooks rotate wh_old --finish --agent agent_1 --agent agent_2 --yes":            "webhooks/testdata/webhooks/rotate_finish.txt",
	}
	unused := maps.Clone(held)
	for _, one := range all {
		require.Contains(t, held, one.command, "%s: no golden file holds this transcript", one.page)
		printed, err := os.ReadFile(held[one.command])
		require.NoError(t, err)
		delete(unused, one.command)
		output, _, cut := strings.Cut(one.output, "…\n") // the rest is left out
		if cut {
			assert.True(t, strings.HasPrefix(string(printed), output) && len(output) > 100, "%s: %s is now\n%s", one.page, one.command, printed)
			continue
		}
		assert.Equal(t, strings.TrimRight(string(printed), "\n"), strings.TrimRight(output, "\n"), "%s: %s", one.page, one.command)
	}
	assert.Empty(t, unused, "in no page")
}
