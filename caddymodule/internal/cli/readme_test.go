package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Those of the other commands are run by the tests of the built server.
func TestTranscriptsInTheREADMEAreThoseOfTheGoldenFiles(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	for command, file := range map[string]string{
		"status":                                "status/failing.txt",
		"tail --once":                           "tail/once.txt",
		"webhooks list --agent agent_1,agent_2": "webhooks/list.txt",
		"webhooks create --name gateway --url " + testURL + " --secret-out /etc/caddy/secret --attach": "webhooks/create_attached.txt",
		"webhooks rotate wh_old --secret-out /etc/caddy/secret --agent agent_1,agent_2":                "webhooks/rotate_agents_named.txt",
	} {
		printed, err := os.ReadFile("testdata/" + file)
		require.NoError(t, err)
		_, shown, found := strings.Cut(string(readme), "$ caddy elevenlabs "+command+"\n")
		require.True(t, found, command)
		shown, _, _ = strings.Cut(shown, "```\n")
		shown, _, _ = strings.Cut(shown, "…\n") // the rest is left out
		assert.True(t, strings.HasPrefix(string(printed), shown) && len(shown) > 100, "%s is now\n%s", command, printed)
	}
}
