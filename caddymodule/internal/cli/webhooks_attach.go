package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// slot is a place for the one webhook that gets the events after calls: the
// workspace's, or an agent's own, which goes before it.
type slot struct{ agent string }

// slotsOf returns the workspace's slot and those of agents.
func slotsOf(workspace bool, agents []string) []slot {
	var slots []slot
	if workspace {
		slots = append(slots, slot{})
	}
	for _, agent := range agents {
		slots = append(slots, slot{agent})
	}
	return slots
}

func (s slot) String() string {
	if s.agent == "" {
		return "events after calls in the workspace"
	}
	return "events after calls of agent " + s.agent
}

// flags are those that name the slot to attach and detach.
func (s slot) flags() []string {
	if s.agent == "" {
		return nil
	}
	return []string{"--agent", s.agent}
}

func (w *workspace) read(cmd *cobra.Command, s slot) (settings elevenlabs.PostCall, err error) {
	err = cmdutil.Wait(cmd, "reading settings", func(ctx context.Context) error {
		if s.agent == "" {
			settings, err = w.client.PostCall(ctx)
		} else {
			settings, err = w.client.AgentPostCall(ctx, s.agent)
		}
		return err
	})
	return settings, err
}

func (w *workspace) write(ctx context.Context, s slot, settings elevenlabs.PostCall) error {
	if s.agent == "" {
		return w.client.UpdatePostCall(ctx, settings)
	}
	return w.client.UpdateAgentPostCall(ctx, s.agent, settings)
}

// attacher puts a webhook into slots.
type attacher struct {
	w       *workspace
	format  string
	events  []string // after calls; none are to stay as they are
	replace bool
	taken   string // what to do where another webhook is attached, and replace is not set
}

// attachFlags adds the flags that say how a webhook is attached.
func (w *workspace) attachFlags(cmd *cobra.Command) *attacher {
	a := &attacher{w: w}
	cmd.Flags().StringVar(&a.format, "transcript-format", "", "send transcripts in this `format`: "+strings.Join(transcriptFormats, " or "))
	return a
}

// transcriptFormats are those of the event post_call_transcription, and of
// post_call_transcription_otel.
var transcriptFormats = []string{"json", "opentelemetry"}

// check finds out what is wrong with the flags, before anything is asked.
func (a *attacher) check(cmd *cobra.Command, slots []slot) error {
	if err := cmdutil.RejectEmpty(cmd, "transcript-format"); err != nil {
		return err
	}
	if a.format != "" && !slices.Contains(transcriptFormats, a.format) {
		return fmt.Errorf("--transcript-format is to be %s", strings.Join(transcriptFormats, " or "))
	}
	if len(slots) == 0 && (a.format != "" || a.replace || len(a.events) > 0) {
		return errors.New("what is said of events after calls goes with attaching: to the workspace, or to an --agent")
	}
	return nil
}

// place is a slot for a webhook to be attached to, and its settings as they are
// to be, but for the webhook's id.
type place struct {
	slot     slot
	settings elevenlabs.PostCall
	instead  string // the webhook whose place is taken
}

// plan reads the slots. Those that another webhook has are refused, but to
// --replace.
func (a *attacher) plan(cmd *cobra.Command, slots []slot, id string) ([]place, error) {
	var places []place
	var refused []string
	for _, s := range slots {
		settings, err := a.w.read(cmd, s)
		if err != nil {
			return nil, err
		}
		p := place{slot: s, settings: settings}
		if settings.WebhookID != "" && settings.WebhookID != id {
			p.instead = settings.WebhookID
			if !a.replace {
				refused = append(refused, fmt.Sprintf("the %s go to %s: %s", s, a.w.label(p.instead), a.taken))
			}
		}
		if a.format != "" {
			p.settings.TranscriptFormat = a.format
		}
		if len(a.events) > 0 {
			p.settings.Events = a.events
		}
		if len(p.settings.Events) == 0 {
			p.settings.Events = postCallEvents[:1]
		}
		places = append(places, p)
	}
	return places, refuse(cmd, id, "attach", refused)
}

// refuse prints why a command does not do what it could.
func refuse(cmd *cobra.Command, id, step string, reasons []string) error {
	for _, reason := range reasons {
		line := stepLine{Step: step, Status: "refused", Detail: reason, WebhookID: id}
		if err := line.print(cmd); err != nil {
			return err
		}
	}
	if len(reasons) > 0 {
		return fmt.Errorf("%w: nothing was changed", cmdutil.ErrCheckFailed)
	}
	return nil
}

// steps attach a webhook to the places.
func (a *attacher) steps(places []place, id string) []step {
	steps := make([]step, 0, len(places))
	for _, p := range places {
		what := fmt.Sprintf("attach it to the %s: %s", p.slot, strings.Join(p.settings.Events, ", "))
		if p.settings.TranscriptFormat != "" {
			what += "; transcripts as " + p.settings.TranscriptFormat
		}
		if p.instead != "" {
			what += "; in place of " + a.w.label(p.instead)
		}
		again := append([]string{"attach", id}, p.slot.flags()...)
		if len(a.events) > 0 {
			again = append(again, "--events", strings.Join(a.events, ","))
		}
		if a.format != "" {
			again = append(again, "--transcript-format", a.format)
		}
		if a.replace {
			again = append(again, "--replace")
		}
		steps = append(steps, step{
			name: "attach", what: what, again: a.w.commandLine(again...),
			run: func(ctx context.Context) error {
				p.settings.WebhookID = id
				return a.w.write(ctx, p.slot, p.settings)
			},
		})
	}
	return steps
}

// disabled says that a webhook is, for what is sent to it is lost.
func disabled(webhook elevenlabs.Webhook) []string {
	if webhook.IsDisabled || webhook.IsAutoDisabled {
		return []string{label(webhook) + " is disabled: enable it first"}
	}
	return nil
}

// unknownEvents says of which webhooks the events of the workspace are not known.
// To set those of such a webhook would take from it what it has.
func unknownEvents(webhooks ...elevenlabs.Webhook) []string {
	var unknown []string
	for _, webhook := range webhooks {
		if webhook.Events == nil {
			unknown = append(unknown, fmt.Sprintf("it is not known which events of the workspace go to %s: ElevenLabs tells that to administrators only, so use an API key of one", label(webhook)))
		}
	}
	return unknown
}

// eventsStep sets which events of the workspace go to a webhook.
func (w *workspace) eventsStep(webhook elevenlabs.Webhook, events []string, again ...string) step {
	events = append([]string{}, events...) // nil would leave them
	what := "send it no events of the workspace"
	if len(events) > 0 {
		what = "send it these events of the workspace: " + strings.Join(events, ", ")
	}
	return step{name: "events", what: what, again: w.commandLine(again...), run: func(ctx context.Context) error {
		return w.client.UpdateWebhook(ctx, webhook.ID, elevenlabs.WebhookUpdate{Name: webhook.Name, IsDisabled: webhook.IsDisabled, Events: events})
	}}
}

func webhooksAttachCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attach <webhook>",
		Short: "Points events at a webhook",
		Long: `Points events at a webhook, which otherwise is never called.

Without --events, the events after calls in the whole workspace go to it; with
--agent, those of that agent, whatever the workspace has. Each has a place for
one webhook: that of another is taken only with --replace. The events that are
set there stay as they are, or begin with "transcript"; --events sets them anew.

Events of the workspace are added to those that the webhook has: up to ten
webhooks can have the same.

` + eventsHelp + "\n" + webhookArgument,
		Example: `  caddy elevenlabs webhooks attach gateway
  caddy elevenlabs webhooks attach gateway --events transcript,audio,call_initiation_failure
  caddy elevenlabs webhooks attach gateway --agent agent_0123 --transcript-format opentelemetry --replace
  caddy elevenlabs webhooks attach gateway --events speech_to_text`,
		Args: cmdutil.OneArgument,
	}
	w := workspaceFlags(cmd, env)
	w.agentFlags(cmd, "attach it to the agent of this `id`, instead of the workspace")
	a := w.attachFlags(cmd)
	a.taken = "--replace takes its place"
	cmd.Flags().BoolVar(&a.replace, "replace", false, "take the place of another webhook, where one is attached")
	var events []string
	cmd.Flags().Var(cmdutil.Words{Values: &events}, "events", "the `events`, with commas between them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		postCall, ofWorkspace, err := splitEvents(events)
		if err != nil {
			return err
		}
		a.events = postCall
		slots := slotsOf(len(w.agents) == 0 && (len(postCall) > 0 || len(ofWorkspace) == 0), w.agents)
		if err := a.check(cmd, slots); err != nil {
			return err
		}
		webhook, err := w.open(cmd, args[0])
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
		places, err := a.plan(cmd, slots, webhook.ID)
		if err != nil {
			return err
		}
		var steps []step
		if len(ofWorkspace) > 0 {
			steps = append(steps, w.eventsStep(webhook, appendNew(webhook.Events, ofWorkspace...), "attach", webhook.ID, "--events", strings.Join(ofWorkspace, ",")))
		}
		return runSteps(cmd, webhook.ID, append(steps, a.steps(places, webhook.ID)...))
	}
	return cmd
}

func webhooksDetachCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "detach <webhook>",
		Short: "Points events at a webhook no longer",
		Long: `Points events at a webhook no longer.

Without --events, it is taken out of the settings for events after calls of the
workspace, or of the agent by --agent, for which then those of the workspace hold.
Which of these events it gets is set by "attach --events".

With --events, these events of the workspace are no longer sent to it: ` + strings.Join(workspaceEvents, ", ") + `.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks detach gateway
  caddy elevenlabs webhooks detach gateway --agent agent_0123
  caddy elevenlabs webhooks detach gateway --events speech_to_text`,
		Args: cmdutil.OneArgument,
	}
	w := workspaceFlags(cmd, env)
	w.agentFlags(cmd, "detach it from the agent of this `id`, instead of the workspace")
	var events []string
	cmd.Flags().Var(cmdutil.Words{Values: &events}, "events", "the `events` of the workspace, with commas between them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		postCall, ofWorkspace, err := splitEvents(events)
		if err != nil {
			return err
		}
		if len(postCall) > 0 {
			return errors.New("--events is to have only events of the workspace here: set those after calls anew by `attach --events`, or detach without --events")
		}
		webhook, err := w.open(cmd, args[0])
		if err != nil {
			return err
		}
		return w.detach(cmd, webhook, slotsOf(len(w.agents) == 0 && len(ofWorkspace) == 0, w.agents), ofWorkspace)
	}
	return cmd
}

func (w *workspace) detach(cmd *cobra.Command, webhook elevenlabs.Webhook, slots []slot, events []string) error {
	var steps []step
	var refused []string
	if len(events) > 0 {
		refused = unknownEvents(webhook)
		if missing := without(events, webhook.Events); refused == nil && len(missing) > 0 {
			refused = append(refused, "these events are not sent to it: "+strings.Join(missing, ", "))
		}
		steps = append(steps, w.eventsStep(webhook, without(webhook.Events, events), "detach", webhook.ID, "--events", strings.Join(events, ",")))
	}
	for _, s := range slots {
		settings, err := w.read(cmd, s)
		if err != nil {
			return err
		}
		switch settings.WebhookID {
		case webhook.ID:
		case "":
			refused = append(refused, fmt.Sprintf("no webhook is attached to the %s", s))
		default:
			refused = append(refused, fmt.Sprintf("the %s go to %s", s, w.label(settings.WebhookID)))
		}
		steps = append(steps, step{
			name: "detach", what: fmt.Sprintf("detach it from the %s", s),
			again: w.commandLine(append([]string{"detach", webhook.ID}, s.flags()...)...),
			run: func(ctx context.Context) error {
				settings.WebhookID = ""
				return w.write(ctx, s, settings)
			},
		})
	}
	if err := refuse(cmd, webhook.ID, "detach", refused); err != nil {
		return err
	}
	return runSteps(cmd, webhook.ID, steps)
}
