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

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
)

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```\n")
	transcript   = regexp.MustCompile(`(?m)^\$ caddy elevenlabs ((?:status|tail|listen|inbox|webhooks)\b.*)\n((?:[^$\n].*\n|\n)*)`)
)

// Tests of the built server run those of the other commands.
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
		"status":                          "operate/testdata/status/failing.txtar",
		"status --address localhost:2019": "operate/testdata/status/inbox_busy.txtar",
		"status --config Caddyfile":       "operate/testdata/status/destinations_left.txtar",
		"tail --once":                     "operate/testdata/tail/once.txtar",
		"listen --since 2h --forward-to http://localhost:3000/hook": "listen/testdata/mixed.txtar",
		"inbox list":                   "inbox/testdata/list.txtar",
		"inbox list --search 5b1cdaee": "inbox/testdata/list_destinations.txtar",
		"inbox redeliver --to archive --since 48h --yes": "inbox/testdata/redeliver_to.txtar",
		"inbox show 1043": "inbox/testdata/show.txtar",
		"inbox redeliver --state dead --since 2h --yes": "inbox/testdata/redeliver_state.txtar",
		"inbox discard 977 976":                         "inbox/testdata/discard.txtar",
		"inbox stats":                                   "inbox/testdata/stats.txtar",
		"inbox redeliver 977 978 979":                   "inbox/testdata/redeliver_some.txtar",
		"inbox forget conv_3701kb2s --yes":              "inbox/testdata/forget.txtar",
		"inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 24h --dry-run":                                                   "backfill/testdata/dry_run.txtar",
		"inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 24h --audio":                                                     "backfill/testdata/sent_audio.txtar",
		"webhooks list --agent agent_1,agent_2":                                                                                                "webhooks/testdata/list.txtar",
		"webhooks create --name gateway --url " + "https://hooks.example.com/webhooks/elevenlabs" + " --secret-out /etc/caddy/secret --attach": "webhooks/testdata/create_attached.txtar",
		"webhooks update gateway --retries --header X-Env=prod --events speech_to_text,flows":                                                  "webhooks/testdata/update_some.txtar",
		"webhooks disable gateway":                        "webhooks/testdata/disable.txtar",
		"webhooks enable gateway":                         "webhooks/testdata/enable_not_taken.txtar",
		"webhooks attach gateway --events speech_to_text": "webhooks/testdata/attach_to_workspace.txtar",
		"webhooks attach gateway --agent agent_1 --agent agent_2 --replace --events audio": "webhooks/testdata/attach_to_agents.txtar",
		"webhooks detach gateway --events flows":                                           "webhooks/testdata/detach_events.txtar",
		"webhooks detach other --agent agent_1":                                            "webhooks/testdata/detach_agent.txtar",
		"webhooks delete other --agent agent_1,agent_2":                                    "webhooks/testdata/delete_in_use.txtar",
		"webhooks delete gateway --yes":                                                    "webhooks/testdata/delete.txtar",
		"webhooks rotate wh_old --secret-out /etc/caddy/secret --agent agent_1,agent_2":    "webhooks/testdata/rotate_agents_named.txtar",
		"webhooks rotate wh_old --switch-to wh_new_1 --agent agent_1 --agent agent_2":      "webhooks/testdata/rotate_switch.txtar",
		"webhooks rotate wh_old --finish --agent agent_1 --agent agent_2 --yes":            "webhooks/testdata/rotate_finish.txtar",
	}
	unused := maps.Clone(held)
	for _, one := range all {
		require.Contains(t, held, one.command, "%s: no golden file holds this transcript", one.page)
		printed := clitest.ReadCase(t, held[one.command]).Part("output")
		delete(unused, one.command)
		output, _, cut := strings.Cut(one.output, "…\n") // the rest is left out
		if cut {
			lines := strings.SplitAfter(printed, "\n")
			require.Greater(t, len(lines), strings.Count(output, "\n"), "%s: %s", one.page, one.command)
			printed = strings.Join(lines[:strings.Count(output, "\n")], "")
		}
		printed, output = strings.TrimRight(printed, "\n"), strings.TrimRight(output, "\n")
		if *clitest.Update && printed != output {
			rewrite(t, one.page, one.command+"\n"+output, one.command+"\n"+printed)
			continue
		}
		assert.Equal(t, printed, output, "%s: %s", one.page, one.command)
	}
	assert.Empty(t, unused, "in no page")
}

func rewrite(t *testing.T, page, old, text string) {
	t.Helper()
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(page, []byte(strings.Replace(string(content), old, text, 1)), 0o644))
}
