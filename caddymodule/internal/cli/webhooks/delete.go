package webhooks

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// deleteOptions are the options of `delete`.
type deleteOptions struct {
	w   *workspace.Workspace
	yes bool
}

func newCmdDelete(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete <webhook>",
		Short: "Deletes a webhook that nothing uses",
		Long: `Deletes a webhook that nothing uses, and its secret, for good. If something uses the
webhook, the command refuses, with exit code 2, and says what does: detach it there
first, or attach another webhook in its place.

Only an administrator's API key sees what uses a webhook, and not which agents. Name
the agents that may use it by --agent.

The command asks before it deletes. Without a terminal to ask at, it needs --yes.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks delete gateway-old
  caddy elevenlabs webhooks delete gateway-old --agent agent_0123 --yes`,
		Args: cmdutil.OneArgument,
	}
	o := &deleteOptions{w: workspace.Flags(cmd, env)}
	o.w.AgentFlag(cmd, "also check whether the agent with this `id` uses it")
	cmdutil.YesFlag(cmd, &o.yes)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *deleteOptions) run(cmd *cobra.Command, argument string) error {
	webhook, err := o.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	return deleteUnused(cmd, o.w, webhook, o.yes)
}

// deleteUnused deletes a webhook if nothing uses it.
func deleteUnused(cmd *cobra.Command, w *workspace.Workspace, webhook elevenlabs.Webhook, yes bool) error {
	uses, err := w.Uses(cmd)
	if err != nil {
		return fmt.Errorf("it is unknown whether anything uses webhook %s: %w", webhook.ID, err)
	}
	var refused []string
	for _, u := range uses[webhook.ID] {
		refused = append(refused, "in use for "+u.String())
	}
	if len(webhook.Usage) > 0 {
		refused = append(refused, "in use, as ElevenLabs says, by "+strings.Join(webhook.Usage, ", "))
	}
	if err := refuse(cmd, webhook.ID, "delete", refused); err != nil {
		return err
	}
	if !yes {
		if err := cmdutil.Confirm(cmd, fmt.Sprintf("Delete the webhook %s for %s? Its secret goes with it.", workspace.Label(webhook), webhook.URL)); err != nil {
			return err
		}
	}
	err = cmdutil.Wait(cmd, "deleting", func(ctx context.Context) error { return w.Client.DeleteWebhook(ctx, webhook.ID) })
	if answer, ok := errors.AsType[*elevenlabs.Error](err); ok && answer.Code == "webhook_in_use" {
		return refuse(cmd, webhook.ID, "delete", []string{"in use, as ElevenLabs says, but only an administrator's API key sees by what: name the agents that may use it by --agent"})
	}
	if err != nil {
		return err
	}
	return stepLine{Step: "delete", Status: "done", Detail: "delete the webhook " + workspace.Label(webhook), WebhookID: webhook.ID}.print(cmd)
}
