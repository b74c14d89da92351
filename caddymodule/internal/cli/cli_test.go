package cli

import (
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

func TestAGroupByItselfOrWithAnUnknownCommandIsAnError(t *testing.T) {
	for want, args := range map[string][]string{
		"which command? say one of ":                      {},
		`there is no command "nope": say one of `:         {"nope"},
		`there is no command "snd": say one of `:          {"snd", "https://example.com/", "--all"},
		"`elevenlabs --help` tells more":                  {"nope", "--json"},
		`there is no command "bogus": say`:                {"bogus", "--help"},
		`there is no command "bgs": say`:                  {"webhooks", "--json", "bgs", "-h"},
		`there is no command "no": say one of`:            {"webhooks", "help", "no"},
		`there is no command "x": say one of`:             {"webhooks", "help", "list", "x"},
		"which command? say one of attach":                {"webhooks", "--json", "--"},
		`there is no command "https://example.com/": say`: {"https://example.com/"},
	} {
		outcome := run(stopped, "", args...)
		assert.ErrorContains(t, outcome.err, want)
		assert.Equal(t, 1, outcome.code)
		assert.Empty(t, outcome.stdout)
	}
}

func TestAGroupHelpsWithItselfAndItsCommands(t *testing.T) {
	for says, args := range map[string][]string{
		"caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --all": {"--help"},
		"Lists, creates, changes, attaches and rotates":                             {"webhooks", "--help"},
		"webhooks rotate gateway":                                                   {"webhooks", "--json", "-h"},
		"Lists, creates, changes, attaches":                                         {"webhooks", "help"},
		"list --agent agent_0123":                                                   {"webhooks", "help", "list"},
		"--forge stale":                                                             {"help", "send"},
	} {
		outcome := run(stopped, "", args...)
		assert.NoError(t, outcome.err, args)
		assert.Contains(t, outcome.stdout, says)
	}
}

func TestEveryCommandHasHelpWithExamplesAndJSON(t *testing.T) {
	root := &cobra.Command{Use: "elevenlabs"}
	AddCommands(root, stopped)
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			check(sub)
		}
		path := cmd.CommandPath()
		assert.NotNil(t, cmd.RunE, path)
		assert.NotNil(t, cmd.InheritedFlags().Lookup("json"), path)
		if !cmd.HasSubCommands() {
			assert.NotEmpty(t, cmd.Short, path)
			assert.NotEmpty(t, cmd.Long, path)
			assert.NotEmpty(t, cmd.Example, path)
		}
	}
	for _, sub := range root.Commands() {
		check(sub)
	}
}

func TestExitCodes(t *testing.T) {
	assert.Equal(t, 0, ExitCode(nil))
	assert.Equal(t, 1, ExitCode(errors.New("used wrongly")))
	assert.Equal(t, 2, ExitCode(fmt.Errorf("%w: 1 of 2", errCheckFailed)))
}
