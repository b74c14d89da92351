package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const downloads = "https://github.com/caddy-elevenlabs/caddy-elevenlabs/releases/latest/download/"

// scripts are the blocks of sh in the documentation that do more than call caddy.
// Each says what runs it, or why nothing here can.
var scripts = []struct{ page, begins, note string }{
	{"README.md", "curl -LO ", ".ci/release runs it, on the files that it made"},
	{"README.md", "export ELEVENLABS_WEBHOOK_SECRET=wsec_demo\ngo run ./xcaddy run", "CI runs it"},
	{"README.md", "go test ./...", "CI runs it"},
	{"README.md", "body=", "TestCaddyfileExampleAsTheREADMETriesIt, and CI"},
	{"docs/install.md", "curl -LO " + downloads + "caddy-elevenlabs_linux_amd64.tar.gz", "the same as the README's"},
	{"docs/install.md", "curl -LO " + downloads + "checksums.txt\n", ".ci/release runs it, on the files that it made"},
	{"docs/install.md", "curl -LO " + downloads + "checksums.txt.sigstore.json", "needs a signature, which only the workflow can make"},
	{"docs/install.md", "curl -LO " + downloads + "caddy-elevenlabs_linux_amd64.deb", ".ci/release runs it, on the file that it made"},
	{"docs/install.md", "curl -LO " + downloads + "caddy-elevenlabs_linux_amd64.rpm", "needs a system of rpm; .ci/release looks into the file"},
	{"docs/install.md", "go tool -modfile=.ci/release.mod goreleaser release", ".ci/release runs it, and publishes nothing"},
	{"docs/install.md", "docker run", "needs Docker; .ci/release runs the command and the health check of the image"},
	{"docs/install.md", "go build -o caddy ./xcaddy", "TestMain builds the server so"},
	{"docs/install.md", "xcaddy build", "needs the module to be published; CI runs build.sh"},
	{"docs/try.md", "ssh -N", "needs another machine"},
	{"docs/cli/listen.md", "ssh -N", "needs another machine; TestListenThroughATunnelThatBreaksAndComesBack does what SSH would"},
	{"docs/try.md", "cloudflared tunnel", "needs a company's tunnel; TestTheTunnelsCaddyfile sends what one would"},
	{"docs/try.md", "ss -ltnp", "TestASecondServerStartsBesideOneThatGoRunLeft"},
	{"docs/applications.md", "python3 -m uvicorn", "TestApplicationsInTheDocumentation"},
	{"docs/applications.md", "python3 -m flask", "TestApplicationsInTheDocumentation"},
	{"docs/applications.md", "python3 manage.py", "TestApplicationsInTheDocumentation"},
	{"docs/applications.md", "node app.mjs", "TestApplicationsInTheDocumentation"},
	{"docs/applications.md", "php -d", "TestApplicationsInTheDocumentation"},
	{"CONTRIBUTING.md", "go test ./...", "CI runs it"},
	{"CONTRIBUTING.md", "go list -m -u", "asks the module proxy, whose answers change"},
	{"CONTRIBUTING.md", "git tag", "publishes"},
	{"CONTRIBUTING.md", "go tool -modfile=.ci/tools.mod gofumpt", "CI runs it"},
	{"docs/cli/README.md", "eval", "TestCompletionAndManPages"},
	{"docs/deploy/aws-load-balancer.md", "curl -i -X POST -A", "TestPagesAskAsAPythonClient"},
	{"docs/deploy/aws-load-balancer.md", "curl -i http", "TestAWSLoadBalancersAnswersToItsOwnMachine"},
	{"docs/deploy/cloudflare.md", "curl", "TestPagesAskAsAPythonClient"},
	{"docs/deploy/compose.md", "cd examples/compose", "needs Docker"},
	{"docs/deploy/compose.md", "docker compose logs", "needs Docker"},
	{"docs/deploy/systemd.md", "xcaddy/build.sh", "needs root; CI runs build.sh"},
	{"docs/deploy/systemd.md", "caddy-elevenlabs elevenlabs webhooks rotate", "TestRotationOfACredentialOfSystemd"},
	{"docs/deploy/systemd.md", "systemctl reload caddy-elevenlabs\ncaddy", "TestRotationOfACredentialOfSystemd"},
	{"docs/deploy/systemd.md", "systemctl", "needs systemd"},
	{"docs/deploy/systemd.md", "journalctl", "needs systemd"},
	{"docs/reference/admin-api.md", "curl", "TestTheAdminAPIsCommands"},
	{"docs/reference/metrics.md", "curl", "TestTheAdminAPIsCommands"},
	{"docs/rotate.md", "chown caddy", "TestRotationOfASecretInTheEnvironment, with a user that has no name"},
	{"docs/rotate.md", "install -m 600", "needs root and a user caddy"},
	{"docs/guarantees.md", "go test ./xcaddy -run Soak", "takes ten minutes; the tests run it for 15 seconds"},
	{"docs/inbox.md", "curl", "TestABackupOfTheInboxIsRestoredAsTheDocumentationSays"},
	{"docs/inbox.md", "umask", "TestABackupOfTheInboxIsRestoredAsTheDocumentationSays"},
	{"docs/inbox.md", "rm -f", "TestABackupOfTheInboxIsRestoredAsTheDocumentationSays"},
	{"docs/inbox.md", "pg_dump", "TestABackupOfAPostgresInboxIsRestoredAsTheDocumentationSays"},
	{"docs/inbox.md", "pg_restore", "TestABackupOfAPostgresInboxIsRestoredAsTheDocumentationSays"},
	{"docs/sign.md", "umask", "TestThePagesCommandMakesAKey"},
	{"docs/inspector.md", "curl", "TestInspectorShowsNothingToWhoHasNotSignedIn"},
	{"docs/troubleshoot.md", "curl -i -X POST", "TestTroubleshootingAsksTheURL"},
}

// In sh, caddy is checked against the tree of commands that the server has, and
// what else there is has a row in scripts.
func TestScriptsInTheDocumentation(t *testing.T) {
	runtimeOf(t, "sh")
	used := map[int]bool{}
	for _, b := range blocksOf(t, "sh") {
		check := exec.Command("sh", "-n")
		check.Stdin = strings.NewReader(b.text)
		output, err := check.CombinedOutput()
		require.NoError(t, err, "%s: %s\n%s", b.page, b.text, output)
		if onlyCaddy(b.text) {
			continue
		}
		row := slices.IndexFunc(scripts, func(row struct{ page, begins, note string }) bool {
			return row.page == b.page && strings.HasPrefix(b.text, row.begins)
		})
		if assert.GreaterOrEqual(t, row, 0, "%s: is this run by a test, or is there a reason why it cannot be? Say so in the table scripts:\n%s", b.page, b.text) {
			assert.NotEmpty(t, scripts[row].note)
			used[row] = true
		}
	}
	for i, row := range scripts {
		assert.True(t, used[i], "%s has no block that begins with %s", row.page, row.begins)
	}
}

// onlyCaddy reports whether each line of a script calls caddy, sets a variable
// or is a comment.
func onlyCaddy(script string) bool {
	for line := range strings.Lines(strings.ReplaceAll(script, "\\\n", " ")) {
		if !lineOfCaddy.MatchString(strings.TrimSpace(line)) {
			return false
		}
	}
	return true
}

var lineOfCaddy = regexp.MustCompile(`^(#.*|export \w+=\S+|((\w+=\S+ )?(\./)?|docker compose exec (-T )?caddy )caddy(-elevenlabs)? .*)?$`)

func TestEachCommandInTheDocumentationExists(t *testing.T) {
	found := 0
	for _, p := range allPages(t) {
		for _, b := range p.blocks {
			if b.language != "sh" && b.language != "console" {
				continue
			}
			for _, words := range callsOfCaddy(b.text) {
				found++
				assert.NoError(t, checkCall(words, true), "%s: caddy %s", p.name, strings.Join(words, " "))
			}
		}
		for _, code := range inlineCode.FindAllString(p.prose, -1) {
			if strings.HasPrefix(code, "`caddy ") {
				for _, words := range callsOfCaddy(strings.Trim(code, "`")) {
					assert.NoError(t, checkCall(words, false), "%s: caddy %s", p.name, strings.Join(words, " "))
				}
			}
		}
	}
	assert.NotZero(t, found)
}

var (
	callOfCaddy = regexp.MustCompile(`(?m)(?:^|[\s"(/])caddy(?:-elevenlabs)? ((?:[^|;&)<>#\n"']|"[^"\n]*"|'[^'\n]*')+)`)
	shellWord   = regexp.MustCompile(`(?:[^\s"']|"[^"]*"|'[^']*')+`)
	commandName = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// callsOfCaddy returns the words behind each caddy in a script.
func callsOfCaddy(script string) (calls [][]string) {
	script = strings.ReplaceAll(script, "\\\n", " ")
	if strings.Contains(script, "$ ") { // a transcript: what is printed calls nothing
		commands, _ := prompts(script)
		script = strings.Join(commands, "\n")
	}
	for _, match := range callOfCaddy.FindAllStringSubmatch(script, -1) {
		words := shellWord.FindAllString(match[1], -1)
		for i, word := range words {
			words[i] = strings.NewReplacer(`"`, "", `'`, "").Replace(word)
		}
		for len(words) > 0 && words[0] == "caddy" { // a user or a container of that name
			words = words[1:]
		}
		if len(words) > 0 && commandName.MatchString(words[0]) {
			calls = append(calls, words)
		}
	}
	return calls
}

// caddysOwn are the commands that Caddy adds to its tree by itself. Their pages'
// commands are run by TestCompletionAndManPages.
var caddysOwn = []string{"completion", "manpage"}

// checkCall finds an error in a call of caddy, without running it. A call that is
// not whole may lack arguments and values of flags.
func checkCall(words []string, whole bool) error {
	root := &cobra.Command{Use: "caddy"}
	for name, registered := range caddycmd.Commands() {
		command := &cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}}
		if registered.CobraFunc != nil {
			registered.CobraFunc(command)
		} else {
			command.Flags().AddGoFlagSet(registered.Flags)
		}
		root.AddCommand(command)
	}
	for _, name := range caddysOwn {
		root.AddCommand(&cobra.Command{Use: name, DisableFlagParsing: true, Run: func(*cobra.Command, []string) {}})
	}
	command, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	command.InitDefaultHelpFlag()
	err = command.ParseFlags(rest)
	if _, ok := errors.AsType[*pflag.ValueRequiredError](err); ok && !whole {
		return nil
	}
	if err != nil {
		return err
	}
	args := command.Flags().Args()
	if command.DisableFlagParsing {
		args = rest
	}
	if command.HasSubCommands() && len(args) > 0 {
		return fmt.Errorf("%s has no command %q", command.CommandPath(), args[0])
	}
	if help, _ := command.Flags().GetBool("help"); help || !whole {
		return nil
	}
	return errors.Join(command.ValidateArgs(args), command.ValidateRequiredFlags())
}

func TestCallsAreChecked(t *testing.T) {
	for _, test := range []struct {
		script string
		whole  bool
		wrong  string // empty if nothing is
	}{
		{"caddy elevenlabs send https://hooks.example.com/ --all", true, ""},
		{"X=y ./caddy run --config Caddyfile &", true, ""},
		{"caddy elevenlabs send https://hooks.example.com/ --al", true, "unknown flag"},
		{"caddy elevenlabs sent https://hooks.example.com/", true, `no command "sent"`},
		{"caddy rum", true, "unknown command"},
		{"caddy elevenlabs send", true, "argument"},
		{"caddy elevenlabs send", false, ""},
		{"caddy elevenlabs send --minutes", false, ""},
		{"caddy elevenlabs send --minuets", false, "unknown flag"},
		{"caddy elevenlabs webhooks creat", false, `no command "creat"`},
		{`curl -H "$(caddy elevenlabs sign body.json --nope)" https://x`, true, "unknown flag"},
		{"caddy elevenlabs send \\\n  https://hooks.example.com/ \\\n  --nope", true, "unknown flag"},
		{"docker compose exec caddy " + "caddy elevenlabs doctor --nope", true, "unknown flag"},
		{"caddy-elevenlabs elevenlabs doctor --nope", true, "unknown flag"},
		{"journalctl -u caddy-elevenlabs -f", true, ""},
		{"caddy elevenlabs verify <captured.http 2>log # --nope", true, ""},
		{"$ caddy elevenlabs status\ncaddy nope\n", true, ""},
		{"chown caddy /etc/caddy/secret", true, ""},
	} {
		t.Run(test.script, func(t *testing.T) {
			var err error
			for _, words := range callsOfCaddy(test.script) {
				err = errors.Join(err, checkCall(words, test.whole))
			}
			if test.wrong == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.wrong)
			}
		})
	}
}
