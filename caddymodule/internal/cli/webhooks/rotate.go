package webhooks

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// rotateOptions are the options of `rotate`.
type rotateOptions struct {
	w           *workspace.Workspace
	creation    creation
	switchTo    string
	finish, yes bool
}

func newCmdRotate(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate <webhook>",
		Short: "Changes a webhook's secret, in three steps and without a gap",
		Long: `Changes a webhook's secret. ElevenLabs cannot change a secret, so a new webhook takes
the place of the old one. This takes three steps, and loses no event: meanwhile
Caddy knows both secrets.

1. "rotate <old> --secret-out <file>" creates a webhook like the old one: its name,
   its URL and, as far as ElevenLabs shows them, its headers and retries. The new
   webhook gets no events yet, since Caddy would reject them. Put its secret into
   the Caddyfile, with the lines that are printed, and reload Caddy. The "send"
   command that is printed checks whether Caddy accepts the new secret.

2. "rotate <old> --switch-to <new id>" attaches the new webhook wherever the old one
   is attached: to the workspace, to the agents named by --agent, and to the events
   of the workspace. For a moment those go to both webhooks, so an event may come
   twice, but is not lost. After an interruption, the same command does the rest. If
   something still uses the old webhook that the command cannot change, it says so,
   with exit code 2. Change programs that name a webhook by its id yourself: those
   for speech to text, flows or dubbing.

3. "rotate <old> --finish" deletes the old webhook, if nothing uses it any more. Do
   this an hour later: ElevenLabs retries failed events for about 45 minutes, signed
   with the old secret. Then remove the old secret's line from the Caddyfile.

With --print-secret, the secret is for an environment variable. Caddy sees it only
after a restart, and cannot be reached for a moment: --secret-out is better. Caddy's
user must be able to read the file.
` + webhookArgument + `
From step 2 on, give the id.`,
		Example: `  caddy elevenlabs webhooks rotate gateway --secret-out /etc/caddy/elevenlabs-secret-2
  caddy elevenlabs webhooks rotate wh_old --switch-to wh_new --agent agent_0123
  caddy elevenlabs webhooks rotate wh_old --finish --agent agent_0123`,
		Args: cmdutil.OneArgument,
	}
	w := workspace.Flags(cmd, env)
	r := &rotateOptions{w: w, creation: creation{w: w, sink: secretSinkFlags(cmd)}}
	flags := cmd.Flags()
	w.AgentFlag(cmd, "the old webhook may be attached to the agent with this `id`")
	flags.StringVar(&r.creation.name, "name", "", "the new webhook's `name` (default: the old one's)")
	r.creation.flags = addHeaderFlags(cmd, w, " (default: the old one's, if ElevenLabs shows them)")
	flags.BoolVar(&r.creation.retries, "retries", false, "let ElevenLabs retry transcripts after failures (default: as the old one, if ElevenLabs shows that)")
	flags.StringVar(&r.switchTo, "switch-to", "", "attach the new webhook with this `id` in place of the old one")
	flags.BoolVar(&r.finish, "finish", false, "delete the old webhook")
	cmdutil.YesFlag(cmd, &r.yes)
	for _, flag := range []string{"secret-out", "print-secret", "name", "header", "header-file", "retries"} {
		cmd.MarkFlagsMutuallyExclusive(flag, "switch-to", "finish")
	}
	cmd.MarkFlagsMutuallyExclusive("secret-out", "print-secret")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) }
	return cmd
}

func (r *rotateOptions) run(cmd *cobra.Command, argument string) error {
	if err := cmdutil.RejectEmpty(cmd, "switch-to", "name", "secret-out"); err != nil {
		return err
	}
	switch {
	case r.finish:
		return r.deleteOld(cmd, argument)
	case r.switchTo != "":
		return switchOver(cmd, r.w, argument, r.switchTo)
	}
	return createReplacement(cmd, &r.creation, argument)
}

// deleteOld deletes the old webhook.
func (r *rotateOptions) deleteOld(cmd *cobra.Command, argument string) error {
	old, err := r.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	if err := refuse(cmd, old.ID, "delete", unknownEvents(old)); err != nil {
		return err
	}
	if !slices.ContainsFunc(r.w.Webhooks, func(webhook elevenlabs.Webhook) bool {
		return webhook.ID != old.ID && webhook.URL == old.URL
	}) {
		return errors.New("no other webhook has its URL: begin without --finish, or use `delete`")
	}
	if err := deleteUnused(cmd, r.w, old, r.yes); err != nil {
		return err
	}
	if cmdutil.WantsJSON(cmd) {
		return nil
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "\nNow remove its secret's line from the Caddyfile, and reload Caddy.")
	return err
}
