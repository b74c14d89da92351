package webhooks

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// step is one of the changes at ElevenLabs that a command makes in order.
type step struct {
	name, what string
	// command makes this change alone. It is printed if the step is left.
	command string
	run     func(context.Context) error
}

// stepLine is a line of the output.
type stepLine struct {
	Step      string `json:"step"`
	Status    string `json:"status"` // done, left or refused
	Detail    string `json:"detail"`
	WebhookID string `json:"webhook_id"`
	Secret    string `json:"secret,omitempty"`
	Command   string `json:"command,omitempty"`
}

func (l stepLine) print(cmd *cobra.Command) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, l)
	}
	text := fmt.Sprintf("%s  %s\n", l.Status, l.Detail)
	if l.Secret != "" {
		text += fmt.Sprintf("      %s\n", l.Secret)
	}
	if l.Command != "" {
		text += fmt.Sprintf("      %s\n", l.Command)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// runSteps makes changes to a webhook, or for it, until one fails or the user
// interrupts the command. It then prints the steps that are left, with the commands
// that make them.
func runSteps(cmd *cobra.Command, id string, steps []step) error {
	ctx := cmd.Context()
	for i, s := range steps {
		err := ctx.Err()
		if err == nil {
			err = s.run(ctx)
		}
		if err == nil {
			if err := (stepLine{Step: s.name, Status: "done", Detail: s.what, WebhookID: id}).print(cmd); err != nil {
				return err
			}
			continue
		}
		for _, rest := range steps[i:] {
			line := stepLine{Step: rest.name, Status: "left", Detail: rest.what, WebhookID: id, Command: rest.command}
			if err := line.print(cmd); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			err = cmdutil.ErrInterrupted
		}
		return err
	}
	return nil
}

// refuse prints why a command does not make its changes, if there are reasons.
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

// disabled is a reason to refuse: ElevenLabs drops events for a disabled webhook.
func disabled(webhook elevenlabs.Webhook) []string {
	if webhook.IsDisabled || webhook.IsAutoDisabled {
		return []string{workspace.Label(webhook) + " is disabled: enable it first"}
	}
	return nil
}

// unknownEvents is a reason to refuse: setting the events of a webhook whose events
// are unknown would remove them.
func unknownEvents(webhooks ...elevenlabs.Webhook) []string {
	var unknown []string
	for _, webhook := range webhooks {
		if webhook.Events == nil {
			unknown = append(unknown, fmt.Sprintf("it is unknown which events of the workspace go to %s: only an administrator's API key sees them", workspace.Label(webhook)))
		}
	}
	return unknown
}

// eventsStep sets which events of the workspace go to a webhook.
func eventsStep(w *workspace.Workspace, webhook elevenlabs.Webhook, events []string, command ...string) step {
	events = append([]string{}, events...) // nil would leave them
	what := "send it no events of the workspace"
	if len(events) > 0 {
		what = "send it these events of the workspace: " + strings.Join(events, ", ")
	}
	return step{name: "events", what: what, command: w.CommandLine(command...), run: func(ctx context.Context) error {
		return w.Client.UpdateWebhook(ctx, webhook.ID, elevenlabs.WebhookUpdate{Name: webhook.Name, IsDisabled: webhook.IsDisabled, Events: events})
	}}
}

// makeChange makes one change to a webhook. ElevenLabs requires its name, and
// whether it is disabled, with each change.
func makeChange(cmd *cobra.Command, w *workspace.Workspace, webhook elevenlabs.Webhook, name, what string, change elevenlabs.WebhookUpdate) error {
	if change.Name == "" {
		change.Name = webhook.Name
	}
	return runSteps(cmd, webhook.ID, []step{{
		name: name, what: workspace.Label(webhook) + ": " + what,
		run: func(ctx context.Context) error { return w.Client.UpdateWebhook(ctx, webhook.ID, change) },
	}})
}
