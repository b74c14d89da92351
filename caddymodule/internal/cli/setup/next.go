package setup

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// show prints the Caddyfile that is not written. With --json, the error says enough.
func (o *options) show(cmd *cobra.Command, f *folder) error {
	if cmdutil.WantsJSON(cmd) {
		return nil
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "# init would have written this to %s:\n%s", f.path(caddyfileName), o.caddyfile())
	return err
}

// printNext prints the commands that follow. The id is that of a new webhook.
func (o *options) printNext(cmd *cobra.Command, f *folder, id string) error {
	if cmdutil.WantsJSON(cmd) {
		return nil
	}
	config, secret := workspace.ShellQuoted(f.path(caddyfileName)), workspace.ShellQuoted(f.path(secretName))
	program := cmdutil.Program(cmd)
	var text strings.Builder
	next := func(about, command string) { fmt.Fprintf(&text, "\n%s\n  %s\n", about, command) }
	next("If Caddy runs as another user, such as caddy, let it read the secret:", "chown caddy "+secret)
	next("Start Caddy:", program+" run --config "+config)
	send := program + " elevenlabs send " + o.url() + " --secret-file " + secret
	if o.onlyHere() {
		send += " --insecure"
	}
	next("Then, in another terminal, send a test event to your application:", send)
	if id != "" && !o.webhook.Attached() {
		next("When that is ok, let ElevenLabs send the events of all agents; --agent names one:", o.workspace.CommandLine("attach", id))
	}
	next("If something is wrong, this names the remedy:", program+" elevenlabs doctor --config "+config)
	_, err := fmt.Fprint(cmd.OutOrStdout(), text.String())
	return err
}
