package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestAGroupByItselfOrWithAnUnknownCommandIsAnError(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, "no command is given: give one of\n"},
		{nil, "\n  doctor       Checks the whole way of an event, and names a remedy for every failure\n"},
		{nil, "\nsee `elevenlabs --help`"},
		{[]string{"nope"}, `there is no command "nope": give one of `},
		{[]string{"snd", "https://example.com/", "--all"}, `there is no command "snd" (did you mean send?): give one of `},
		{[]string{"webhooks", "rotat"}, `there is no command "rotat" (did you mean rotate?): give one of `},
		{[]string{"nope", "--json"}, "; see `elevenlabs --help`"},
		{[]string{"bogus", "--help"}, `there is no command "bogus": give`},
		{[]string{"webhooks", "--json", "bgs", "-h"}, `there is no command "bgs": give`},
		{[]string{"webhooks", "help", "no"}, `there is no command "no": give one of`},
		{[]string{"webhooks", "help", "list", "x"}, `there is no command "x": give one of`},
		{[]string{"webhooks", "--json", "--"}, "no command is given: give one of\n  attach "},
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

// The pages are those of the repository, so that no link leads nowhere.
func TestTheHelpOfEachCommandEndsWithALinkToItsPage(t *testing.T) {
	for _, test := range []struct {
		page string
		args []string
	}{
		{"README.md", []string{"--help"}},
		{"README.md", []string{"version", "--help"}},
		{"init.md", []string{"init", "--help"}},
		{"send.md", []string{"help", "send"}},
		{"sign.md", []string{"sign", "--help"}},
		{"verify.md", []string{"verify", "-h"}},
		{"doctor.md", []string{"doctor", "--help"}},
		{"status.md", []string{"status", "--help"}},
		{"tail.md", []string{"tail", "--help"}},
		{"listen.md", []string{"listen", "--help"}},
		{"inbox.md", []string{"inbox", "redeliver", "--help"}},
		{"webhooks.md", []string{"webhooks", "--help"}},
		{"webhooks.md", []string{"webhooks", "create", "--help"}},
	} {
		outcome := run(clitest.Stopped, "", test.args...)
		assert.NoError(t, outcome.Err)
		assert.Regexp(t, `\nFull documentation is available at:\n`+docs+regexp.QuoteMeta(test.page)+`\n$`, outcome.Stdout, test.args)
		assert.NotContains(t, outcome.Stdout, "caddyserver.com")
		assert.FileExists(t, "../../../docs/cli/"+test.page)
	}
}

func TestAnUnknownFlagOfAnyCommandNamesThoseThatAreNear(t *testing.T) {
	for _, args := range [][]string{{"send", "https://example.com/", "--jsom"}, {"webhooks", "list", "--jsom"}, {"status", "--jsom"}} {
		outcome := run(clitest.Stopped, "", args...)
		assert.ErrorContains(t, outcome.Err, "unknown flag: --jsom (did you mean --json?): see `elevenlabs "+args[0])
	}
}

// A placeholder is a noun that can stand for the value: pflag takes the word in
// backquotes, or else the type.
func TestThePlaceholdersInTheHelpAreNouns(t *testing.T) {
	nouns := []string{
		"adapter", "address", "domain", "duration", "durations", "events", "file", "folder", "format", "host:address", "id", "length", "name", "name=value",
		"number", "path", "path=value", "region", "result", "state", "time", "type", "url", "value", "way",
	}
	root := &cobra.Command{Use: "elevenlabs"}
	AddCommands(root, clitest.Stopped)
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if placeholder, _ := pflag.UnquoteUsage(flag); placeholder != "" {
				assert.Contains(t, nouns, placeholder, "%s --%s", cmd.CommandPath(), flag.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			each(sub)
		}
	}
	each(root)
}

func TestTheShellCompletesTheValuesOfFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string // among others
	}{
		{[]string{"tail", "--result", ""}, []string{"accepted", "rejected", "ignored", "failed"}},
		{[]string{"tail", "--type", ""}, []string{"post_call_audio", "flows_generation"}},
		{[]string{"inbox", "list", "--state", ""}, []string{"waiting", "delivering", "delivered", "dead"}},
		{[]string{"inbox", "redeliver", "--type", ""}, []string{"post_call_audio"}},
		{[]string{"inbox", "schema", ""}, []string{"sqlite", "postgres"}},
		{[]string{"inbox", "show", ""}, nil},
		{[]string{"webhooks", "list", "--region", ""}, []string{"eu", "in", "sg", "us"}},
		{[]string{"init", "--region", ""}, []string{"eu", "in", "sg", "us"}},
		{[]string{"init", ""}, nil},
		{[]string{"doctor", "--region", ""}, []string{"eu", "in", "sg", "us"}},
		{[]string{"webhooks", "attach", "gateway", "--events", "transcript,a"}, []string{"transcript,audio", "transcript,agent_qa"}},
		{[]string{"webhooks", "create", "--events", ""}, []string{"audio", "flows"}},
		{[]string{"webhooks", "detach", "gateway", "--events", ""}, []string{"flows"}},
		{[]string{"webhooks", "update", "gateway", "--events", ""}, []string{"flows"}},
		{[]string{"webhooks", "attach", "gateway", "--transcript-format", ""}, []string{"json", "opentelemetry"}},
		{[]string{"status", ""}, nil},
		{[]string{"tail", ""}, nil},
	} {
		outcome := run(clitest.Stopped, "", append([]string{"__complete"}, test.args...)...)
		assert.NoError(t, outcome.Err)
		completions, directive, _ := strings.Cut(outcome.Stdout, ":")
		assert.Equal(t, "4\n", directive, "no names of files")
		assert.Subset(t, strings.Fields(completions), test.want, test.args)
		assert.Equal(t, test.want == nil, completions == "", test.args)
	}
}

// pasted is a secret that the user gives where a name or a path belongs.
const pasted = "wsec_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestASecretGivenAsANameOrAPathIsNotRepeated(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	t.Setenv("ELEVENLABS_API_KEY", "sk_0123456789abcdef0123456789abcdef0123456789abcdef")
	env := clitest.Stopped
	env.API = noAPI{}
	env.Admin = func(_ context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
		return nil, fmt.Errorf("no admin endpoint: %v", ask)
	}
	env.Inspect = func(file, adapter string) cmdutil.Config {
		return cmdutil.Config{File: file, Problem: fmt.Errorf("no file %s, no adapter %s", file, adapter)}
	}
	root := &cobra.Command{Use: "elevenlabs"}
	AddCommands(root, env)
	positional := map[string][]string{"init": {"--backend", "localhost:1", "--dir", t.TempDir()}, "show": {"1"}, "redeliver": {"1"}, "forget": {"conv_1", "--yes"}, "send": {"https://example.invalid/"}, "sign": {"none"}, "enable": {"x"}, "disable": {"x"}, "update": {"x"}, "delete": {"x"}, "attach": {"x"}, "detach": {"x"}, "rotate": {"x"}}
	tried := 0
	check := func(args ...string) {
		t.Helper()
		tried++
		outcome := run(env, "", args...)
		if outcome.Err != nil {
			assert.NotContains(t, outcome.Err.Error(), pasted[len("wsec_"):], args)
		}
		assert.NotContains(t, outcome.Stderr, pasted[len("wsec_"):], args)
	}
	var each func(*cobra.Command, []string)
	each = func(cmd *cobra.Command, path []string) {
		check(append(slices.Clone(path), pasted)...)
		check(append(slices.Clone(path), "--"+pasted)...)
		if !cmd.HasSubCommands() {
			cmd.Flags().VisitAll(func(flag *pflag.Flag) {
				if flag.Value.Type() != "bool" {
					check(append(append(slices.Clone(path), positional[cmd.Name()]...), "--"+flag.Name, pasted)...)
				}
			})
		}
		for _, sub := range cmd.Commands() {
			each(sub, append(slices.Clone(path), sub.Name()))
		}
	}
	each(root, nil)
	assert.Greater(t, tried, 100)

	outcome := run(env, "{}", "sign", "-", "--secret-env", pasted)
	assert.ErrorContains(t, outcome.Err, "--secret-env has what looks like the value itself")
	outcome = run(env, "", "verify", "--body", pasted, "--header", "x")
	assert.ErrorIs(t, outcome.Err, os.ErrNotExist, "the cause stays")
	assert.ErrorContains(t, outcome.Err, "open (a secret): no such file")
}

// noAPI rejects every request.
type noAPI struct{}

func (noAPI) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
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
