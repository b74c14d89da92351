package webhooks

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// detachOptions are the options of `detach`.
type detachOptions struct {
	w      *workspace.Workspace
	events []string
}

func newCmdDetach(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "detach <webhook>",
		Short: "Points events at a webhook no more",
		Long: `Points events at a webhook no more.

Without --events, the command removes the webhook from the workspace's setting for
events after calls. With --agent, it removes the webhook from the agent's setting,
and the agent then uses the workspace's. To change which of these events a webhook
gets, use "attach --events".

With --events, ElevenLabs no longer sends the webhook these events of the
workspace: ` + workspaceEvents + `
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks detach gateway
  caddy elevenlabs webhooks detach gateway --agent agent_0123
  caddy elevenlabs webhooks detach gateway --events speech_to_text`,
		Args: cmdutil.OneArgument,
	}
	o := &detachOptions{w: workspace.Flags(cmd, env)}
	o.w.AgentFlag(cmd, "detach it from the agent with this `id`, instead of the workspace")
	cmd.Flags().Var(cmdutil.Words{Values: &o.events}, "events", "the `events` of the workspace, with commas between them")
	cmdutil.Complete(cmd, "events", facts.WorkspaceSubscriptions)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *detachOptions) run(cmd *cobra.Command, argument string) error {
	postCall, events, err := splitEvents(o.events)
	if err != nil {
		return err
	}
	if len(postCall) > 0 {
		return errors.New("--events takes only events of the workspace here: set those after calls by `attach --events`, or detach without --events")
	}
	webhook, err := o.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	var steps []step
	var refused []string
	if len(events) > 0 {
		refused = unknownEvents(webhook)
		if missing := without(events, webhook.Events); refused == nil && len(missing) > 0 {
			refused = append(refused, "these events are not sent to it: "+strings.Join(missing, ", "))
		}
		steps = append(steps, eventsStep(o.w, webhook, without(webhook.Events, events), "detach", webhook.ID, "--events", strings.Join(events, ",")))
	}
	for _, s := range workspace.Slots(len(o.w.Agents) == 0 && len(events) == 0, o.w.Agents) {
		settings, err := o.w.Read(cmd, s)
		if err != nil {
			return err
		}
		switch settings.WebhookID {
		case webhook.ID:
		case "":
			refused = append(refused, fmt.Sprintf("no webhook is attached to the %s", s))
		default:
			refused = append(refused, fmt.Sprintf("the %s go to %s", s, o.w.Label(settings.WebhookID)))
		}
		steps = append(steps, step{
			name: "detach", what: fmt.Sprintf("detach it from the %s", s),
			command: o.w.CommandLine(append([]string{"detach", webhook.ID}, s.Flags()...)...),
			run: func(ctx context.Context) error {
				settings.WebhookID = ""
				return o.w.Write(ctx, s, settings)
			},
		})
	}
	if err := refuse(cmd, webhook.ID, "detach", refused); err != nil {
		return err
	}
	return runSteps(cmd, webhook.ID, steps)
}
