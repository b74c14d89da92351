package webhooks

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// attachOptions are the options of `attach`.
type attachOptions struct {
	w      *workspace.Workspace
	attach *attachment
	events []string
}

func newCmdAttach(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attach <webhook>",
		Short: "Points events at a webhook",
		Long: `Points events at a webhook. ElevenLabs never calls a webhook that nothing points at.

Without --events, the events after calls in the whole workspace go to the webhook.
With --agent, those of that agent do, whatever the workspace has. Each of these
settings holds one webhook, and only --replace takes the place of another. The
setting keeps its events, or gets "transcript" if it has none. --events sets them.

Events of the workspace are added to those that the webhook has. Up to ten webhooks
can have the same.

` + eventsHelp + "\n" + webhookArgument,
		Example: `  caddy elevenlabs webhooks attach gateway
  caddy elevenlabs webhooks attach gateway --events transcript,audio,call_initiation_failure
  caddy elevenlabs webhooks attach gateway --agent agent_0123 --transcript-format opentelemetry --replace
  caddy elevenlabs webhooks attach gateway --events speech_to_text`,
		Args: cmdutil.OneArgument,
	}
	o := &attachOptions{w: workspace.Flags(cmd, env)}
	o.w.AgentFlag(cmd, "attach it to the agent with this `id`, instead of the workspace")
	o.attach = attachmentFlags(cmd, o.w)
	o.attach.taken = "--replace takes its place"
	o.attach.needs = "--transcript-format and --replace need events after calls, or --agent"
	cmd.Flags().BoolVar(&o.attach.replace, "replace", false, "take the place of another webhook, if one is attached")
	cmd.Flags().Var(cmdutil.Words{Values: &o.events}, "events", "the `events`, with commas between them")
	cmdutil.Complete(cmd, "events", subscriptions)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *attachOptions) run(cmd *cobra.Command, argument string) error {
	postCall, ofWorkspace, err := splitEvents(o.events)
	if err != nil {
		return err
	}
	o.attach.events = postCall
	slots := workspace.Slots(len(o.w.Agents) == 0 && (len(postCall) > 0 || len(ofWorkspace) == 0), o.w.Agents)
	if err := o.attach.check(cmd, slots); err != nil {
		return err
	}
	webhook, err := o.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	refused := disabled(webhook)
	if len(ofWorkspace) > 0 {
		refused = append(refused, unknownEvents(webhook)...)
	}
	if err := refuse(cmd, webhook.ID, "attach", refused); err != nil {
		return err
	}
	places, err := o.attach.plan(cmd, slots, webhook.ID)
	if err != nil {
		return err
	}
	var steps []step
	if len(ofWorkspace) > 0 {
		steps = append(steps, eventsStep(o.w, webhook, appendNew(webhook.Events, ofWorkspace...), "attach", webhook.ID, "--events", strings.Join(ofWorkspace, ",")))
	}
	return runSteps(cmd, webhook.ID, append(steps, o.attach.steps(places, webhook.ID)...))
}
