// Package cli is the command line `caddy elevenlabs`. It does not import Caddy:
// what it needs from Caddy comes in a cmdutil.Env.
package cli

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/doctor"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/listen"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/operate"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/send"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/setup"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/webhooks"
)

// Short and Long describe the command that holds the others.
const (
	Short = "Tests, explains and manages ElevenLabs webhooks"
	Long  = `Tests, explains and manages ElevenLabs webhooks.

Every command takes --json, for one JSON object a line on standard output.

Exit codes:
  0  everything is as expected
  1  the command was used wrongly, or could not begin
  2  the check failed: the output says what failed, and why

Commands never take signing secrets, API keys and passwords as arguments, which other users
of the machine could see. They read them from an environment variable, a file, or
standard input ("-").
`
)

const examples = `  caddy elevenlabs init
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --all
  caddy elevenlabs verify --explain <captured.http
  caddy elevenlabs doctor --config /etc/caddy/Caddyfile
  caddy elevenlabs listen --forward-to http://localhost:3000/hook
  caddy elevenlabs inbox list --state dead
  caddy elevenlabs webhooks list`

// AddCommands puts the commands under their parent.
func AddCommands(parent *cobra.Command, env cmdutil.Env) {
	parent.Example = examples
	cmdutil.JSONFlag(parent)
	cmdutil.SuggestFlags(parent)
	cmdutil.Group(parent,
		setup.NewCmdInit(env),
		send.NewCmdSend(env),
		send.NewCmdSign(env),
		verify.NewCmdVerify(env),
		doctor.NewCmdDoctor(env),
		operate.NewCmdStatus(env),
		operate.NewCmdTail(env),
		listen.NewCmdListen(env),
		inbox.NewCmdInbox(env),
		webhooks.NewCmdWebhooks(env),
		newCmdVersion(),
	)
	linkToDocs(parent)
	hideSecrets(parent)
}

// docs is where the pages about the commands are.
const docs = "https://github.com/caddy-elevenlabs/caddy-elevenlabs/blob/main/docs/cli/"

// linkToDocs makes the help of each command end with a link to its page, where Caddy's
// own help has one to Caddy's.
func linkToDocs(parent *cobra.Command) {
	help := parent.HelpTemplate()
	link := func(cmd *cobra.Command, page string) {
		cmd.SetHelpTemplate(help + "\nFull documentation is available at:\n" + docs + page + "\n")
	}
	link(parent, "README.md")
	for _, cmd := range parent.Commands() {
		if cmd.Name() != "version" { // which is in README.md
			link(cmd, cmd.Name()+".md")
		}
	}
}
