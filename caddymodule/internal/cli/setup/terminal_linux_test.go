package setup

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/terminaltest"
)

// turn is an answer that the user types to a question.
type turn struct {
	question, answer string
	hidden           bool // the terminal does not show the answer
}

// Keys that end a command. Ctrl-C comes as a signal, which cancels the context.
const ctrlC, ctrlD = "\x03", "\x04"

var (
	domainTurn  = turn{question: "Domain, such as hooks.example.com:", answer: "hooks.example.com"}
	backendTurn = turn{question: "Application [localhost:3000]:"}
	inboxTurn   = turn{question: "Keep events in an inbox, yes or no [yes]:"}
	secretTurn  = turn{question: "Secret:", answer: " " + secret + " ", hidden: true}
	noSecret    = turn{question: "Secret:", hidden: true}
	keyTurn     = turn{question: "API key:", answer: elevenlabstest.Key, hidden: true}
)

// atTerminal runs init in a folder, and answers its questions.
func atTerminal(t *testing.T, env cmdutil.Env, dir, flags string, turns ...turn) (outcome clitest.Outcome, shown string) {
	t.Helper()
	user := terminaltest.Sit(t)
	root := clitest.Root(NewCmdInit, env)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout bytes.Buffer
	root.SetIn(user.Inside)
	root.SetErr(user.Inside)
	root.SetOut(&stdout)
	root.SetArgs(append(strings.Fields("init "+flags), "--dir", dir))
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	for _, one := range turns {
		user.Await(one.question)
		if one.hidden {
			user.AwaitHidden()
		}
		switch one.answer {
		case ctrlC:
			interrupt()
		case ctrlD:
			user.Type(ctrlD)
		default:
			user.Type(one.answer + "\n")
		}
	}
	var err error
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second):
		require.Fail(t, "it waits for another answer", "%s", user.Shown())
	}
	shown = user.Shown()
	for _, hidden := range []string{secret[5:], elevenlabstest.Key, "wsec_new_1"} {
		assert.NotContains(t, shown+stdout.String(), hidden)
	}
	return clitest.Outcome{Stdout: stdout.String(), Err: err, Code: cmdutil.ExitCode(err)}, shown
}

func TestInitAsksForWhatNoFlagSaysAndShowsNoSecret(t *testing.T) {
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET"))
	listener, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	defer listener.Close()
	listening := listener.Addr().String()
	for name, test := range map[string]struct {
		flags           string
		turns           []turn
		shows, lacks    []string
		file, lacksFile string
	}{
		"each answer by Enter": {
			turns: []turn{domainTurn, backendTurn, inboxTurn, secretTurn},
			shows: []string{"It overwrites nothing", "What you type is not\nshown."}, file: "\n\t\t\tinbox\n",
		},
		"wrong answers first": {
			turns: []turn{
				{question: "Domain", answer: "https://hooks.example.com"},
				domainTurn,
				{question: "Application", answer: "nope"},
				{question: "Application", answer: "https://hooks.example.com"},
				{question: "Application", answer: listening},
				{question: "inbox, yes or no", answer: "perhaps"},
				{question: "inbox, yes or no", answer: "no"},
				{question: "Secret:", answer: elevenlabstest.Key, hidden: true},
				secretTurn,
			},
			shows: []string{"without https:// and without a path", "must have a port", "the address of Caddy itself", "type yes or no", "the secret begins with sk_: it is an API key"},
			lacks: []string{"nothing listens at"},
			file:  "reverse_proxy " + listening, lacksFile: "inbox",
		},
		"an application that is not there": {
			turns: []turn{domainTurn, {question: "Application", answer: "127.0.0.1:1"}, inboxTurn, secretTurn},
			shows: []string{"nothing listens at 127.0.0.1:1 yet: start your application"}, file: "reverse_proxy 127.0.0.1:1\n",
		},
		"a try on this machine, which needs a secret": {
			turns: []turn{{question: "Domain", answer: "localhost:8443"}, backendTurn, inboxTurn, noSecret, secretTurn},
			shows: []string{"A signing secret for the try", "the secret is blank"}, file: "\nlocalhost:8443 {",
		},
		"the rest by flags": {
			flags: "--domain other.example.com --backend localhost:1 --inbox=false",
			turns: []turn{secretTurn},
			lacks: []string{"Domain", "Application [", "inbox, yes"}, file: "other.example.com {", lacksFile: "inbox",
		},
	} {
		t.Run(name, func(t *testing.T) {
			env, _ := environment(t)
			dir := t.TempDir()
			outcome, shown := atTerminal(t, env, dir, test.flags, test.turns...)
			require.NoError(t, outcome.Err, shown)
			files := filesIn(t, dir)
			assert.Equal(t, secret, files[secretName])
			for _, part := range test.shows {
				assert.Contains(t, shown, part)
			}
			for _, part := range test.lacks {
				assert.NotContains(t, shown, part)
			}
			assert.Contains(t, files[caddyfileName], test.file)
			if test.lacksFile != "" {
				assert.NotContains(t, files[caddyfileName], test.lacksFile)
			}
		})
	}
}

func TestInitAtATerminalTakesTheSecretOfTheEnvironmentAndSaysSo(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	env, _ := environment(t)
	dir := t.TempDir()
	outcome, shown := atTerminal(t, env, dir, usual, inboxTurn)
	require.NoError(t, outcome.Err, shown)
	assert.Contains(t, shown, "The secret comes from the environment variable ELEVENLABS_WEBHOOK_SECRET.\n")
	assert.Equal(t, secret, filesIn(t, dir)[secretName])
}

func TestInitAtATerminalCreatesTheWebhookIfThereIsNoSecret(t *testing.T) {
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET"))
	require.NoError(t, os.Unsetenv("ELEVENLABS_API_KEY"))
	for answer, attached := range map[string][2]string{"": {}, "all": {"wh_new_1", ""}, "agent_1": {"", "wh_new_1"}} {
		env, api := environment(t)
		api.SetAgent("agent_1", nil)
		dir := t.TempDir()
		outcome, shown := atTerminal(t, env, dir, usual, inboxTurn, noSecret,
			turn{question: "API key:", answer: secret, hidden: true},
			turn{question: "API key:", answer: "sk_another", hidden: true},
			keyTurn, turn{question: "Agents [none]:", answer: answer})
		require.NoError(t, outcome.Err, shown)
		assert.Contains(t, shown, "this is a signing secret: give an API key")
		assert.Equal(t, "wsec_new_1", filesIn(t, dir)[secretName])
		assert.Equal(t, attached[0], text(api.Settings()["post_call_webhook_id"]))
		assert.Equal(t, attached[1], text(api.Agent("agent_1")["post_call_webhook_id"]))
	}
}

func TestInitAtATerminalSaysAtOnceThatAFileIsThere(t *testing.T) {
	env, _ := environment(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/Caddyfile", []byte("precious"), 0o644))
	outcome, shown := atTerminal(t, env, dir, "", domainTurn, backendTurn, inboxTurn)
	require.ErrorContains(t, outcome.Err, "init overwrites nothing")
	before, _, _ := strings.Cut(shown, "Domain")
	assert.Contains(t, before, "is there already: init will only show")
	assert.NotContains(t, shown, "Secret")
	assert.Equal(t, map[string]string{caddyfileName: "precious"}, filesIn(t, dir))
}

// The end of the input, by Ctrl-D, counts too.
func TestAnInterruptAtAnyQuestionLeavesNothing(t *testing.T) {
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET"))
	require.NoError(t, os.Unsetenv("ELEVENLABS_API_KEY"))
	all := []turn{domainTurn, backendTurn, inboxTurn, noSecret, keyTurn, {question: "Agents [none]:"}}
	for i := range all {
		for _, key := range []string{ctrlC, ctrlD} {
			if key == ctrlD && all[i].hidden {
				continue // term.ReadPassword ignores it
			}
			env, api := environment(t)
			dir := t.TempDir()
			turns := append([]turn{}, all[:i+1]...)
			turns[i].answer = key
			outcome, _ := atTerminal(t, env, dir, "", turns...)
			require.ErrorIs(t, outcome.Err, cmdutil.ErrInterrupted, "%q at %s", key, all[i].question)
			assert.Empty(t, filesIn(t, dir))
			assert.Nil(t, api.Webhook("wh_new_1"))
		}
	}
}
