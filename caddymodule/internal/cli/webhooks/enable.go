package webhooks

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// enableOptions are the options of `enable` and of `disable`.
type enableOptions struct {
	env cmdutil.Env
	w   *workspace.Workspace
}

func newCmdEnable(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable <webhook>",
		Short: "Enables a webhook that is disabled",
		Long: `Enables a webhook that somebody disabled, or that ElevenLabs disabled since its
deliveries failed. Fix the cause first: "list" shows the last failure, and
"caddy elevenlabs doctor" looks for the cause.

The command then checks whether ElevenLabs enabled the webhook. If ElevenLabs keeps
it disabled, the exit code is 2.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks enable gateway
  caddy elevenlabs webhooks enable https://hooks.example.com/webhooks/elevenlabs`,
		Args: cmdutil.OneArgument,
	}
	o := &enableOptions{env: env, w: workspace.Flags(cmd, env)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.enable(cmd, args[0]) }
	return cmd
}

func newCmdDisable(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable <webhook>",
		Short: "Disables a webhook: ElevenLabs calls it no more",
		Long: `Disables a webhook: ElevenLabs does not call it until it is enabled again. Events
that occur meanwhile are lost. Settings that point at the webhook stay.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks disable gateway`,
		Args:    cmdutil.OneArgument,
	}
	o := &enableOptions{env: env, w: workspace.Flags(cmd, env)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.disable(cmd, args[0]) }
	return cmd
}

func (o *enableOptions) enable(cmd *cobra.Command, argument string) error {
	webhook, err := o.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	id := webhook.ID
	if err := makeChange(cmd, o.w, webhook, "enable", "enable it", elevenlabs.WebhookUpdate{IsDisabled: false}); err != nil {
		return err
	}
	if err := o.w.List(cmd); err != nil {
		return err
	}
	if webhook, err = o.w.Find(id); err != nil {
		return err
	}
	if !webhook.IsDisabled && !webhook.IsAutoDisabled {
		return nil
	}
	health, _ := workspace.HealthOf(webhook, o.env.Now())
	line := stepLine{Step: "enable", Status: "left", WebhookID: id, Detail: fmt.Sprintf("ElevenLabs still has it %s: enable it in the dashboard, at Settings, Webhooks", health)}
	if err := line.print(cmd); err != nil {
		return err
	}
	return fmt.Errorf("%w: webhook %s was enabled, but is still %s", cmdutil.ErrCheckFailed, id, health)
}

func (o *enableOptions) disable(cmd *cobra.Command, argument string) error {
	webhook, err := o.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	return makeChange(cmd, o.w, webhook, "disable", "disable it", elevenlabs.WebhookUpdate{IsDisabled: true})
}
