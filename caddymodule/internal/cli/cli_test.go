package cli

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestAGroupByItselfOrWithAnUnknownCommandIsAnError(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, "no command is given: give one of "},
		{[]string{"nope"}, `there is no command "nope": give one of `},
		{[]string{"snd", "https://example.com/", "--all"}, `there is no command "snd": give one of `},
		{[]string{"nope", "--json"}, "; see `elevenlabs --help`"},
		{[]string{"bogus", "--help"}, `there is no command "bogus": give`},
		{[]string{"webhooks", "--json", "bgs", "-h"}, `there is no command "bgs": give`},
		{[]string{"webhooks", "help", "no"}, `there is no command "no": give one of`},
		{[]string{"webhooks", "help", "list", "x"}, `there is no command "x": give one of`},
		{[]string{"webhooks", "--json", "--"}, "no command is given: give one of attach"},
		{[]string{"https://example.com/"}, `there is no command "https://example.com/": give`},
	} {
		outcome := run(clitest.Stopped, "", test.args...)
		assert.ErrorContains(t, outcome.Err, test.says)
		assert.Equal(t, 1, outcome.Code)
		assert.Empty(t, outcome.Stdout)
	}
}

func TestAGroupHelpsWithItselfAndItsCommands(t *testing.T) {
	for _, test := range []struct {
		says string
		args []string
	}{
		{"caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --all", []string{"--help"}},
		{"Lists, creates, changes, attaches and rotates", []string{"webhooks", "--help"}},
		{"webhooks rotate gateway", []string{"webhooks", "--json", "-h"}},
		{"Lists, creates, changes, attaches", []string{"webhooks", "help"}},
		{"list --agent agent_0123", []string{"webhooks", "help", "list"}},
		{"--forge stale", []string{"help", "send"}},
	} {
		outcome := run(clitest.Stopped, "", test.args...)
		assert.NoError(t, outcome.Err, test.args)
		assert.Contains(t, outcome.Stdout, test.says)
	}
}

func TestEveryCommandHasHelpWithExamplesAndJSON(t *testing.T) {
	root := &cobra.Command{Use: "elevenlabs"}
	AddCommands(root, clitest.Stopped)
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

func TestWhatIsReadGivesWayToAnInterrupt(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	for _, args := range [][]string{
		{"sign", "-"},
		{"verify"},
		{"verify", "--body", "-", "--header", "x"},
		{"send", "https://example.com/", "--file", "-"},
		{"send", "https://example.com/", "--secret-file", "-"},
		{"webhooks", "list", "--api-key-file", "-"},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		stdin, _ := io.Pipe()
		root := &cobra.Command{Use: "elevenlabs", SilenceErrors: true, SilenceUsage: true}
		AddCommands(root, clitest.Stopped)
		root.SetIn(stdin)
		root.SetArgs(args)
		time.AfterFunc(10*time.Millisecond, interrupt)
		assert.ErrorIs(t, root.ExecuteContext(ctx), cmdutil.ErrInterrupted, args)
	}
}

// run runs all of `caddy elevenlabs` in process.
func run(env cmdutil.Env, stdin string, args ...string) clitest.Outcome {
	root := &cobra.Command{Use: "elevenlabs", SilenceErrors: true, SilenceUsage: true}
	AddCommands(root, env)
	var stdout, stderr bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	err := root.Execute()
	return clitest.Outcome{Stdout: stdout.String(), Stderr: stderr.String(), Err: err, Code: cmdutil.ExitCode(err)}
}
