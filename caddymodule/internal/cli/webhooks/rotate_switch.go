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

// switchOver attaches the new webhook wherever the old one is attached.
func switchOver(cmd *cobra.Command, w *workspace.Workspace, from, to string) error {
	old, err := w.Open(cmd, from)
	if err != nil {
		return err
	}
	next, err := w.Find(to)
	if err != nil {
		return err
	}
	var refused []string
	switch {
	case next.ID == old.ID:
		refused = append(refused, "the old webhook and the new one are the same")
	case next.URL != old.URL:
		refused = append(refused, fmt.Sprintf("%s has another URL, %s", workspace.Label(next), next.URL))
	default:
		refused = append(disabled(next), unknownEvents(old, next)...)
	}
	if err := refuse(cmd, next.ID, "switch", refused); err != nil {
		return err
	}
	command := []string{"rotate", old.ID, "--switch-to", next.ID}
	for _, agent := range w.Agents {
		command = append(command, "--agent", agent)
	}
	steps, err := switchSteps(cmd, w, old, next, command)
	if err != nil {
		return err
	}
	if err := runSteps(cmd, next.ID, steps); err != nil {
		return err
	}
	return reportRest(cmd, w, old.ID, command)
}

// switchSteps attach the new webhook in place of the old one. They begin with the
// slots, which hold one webhook each. Events of the workspace can go to several
// webhooks, so the old one loses them last.
func switchSteps(cmd *cobra.Command, w *workspace.Workspace, old, to elevenlabs.Webhook, command []string) ([]step, error) {
	var steps []step
	for _, s := range workspace.Slots(true, w.Agents) {
		settings, err := w.Read(cmd, s)
		if err != nil {
			return nil, err
		}
		if settings.WebhookID != old.ID {
			continue
		}
		settings.WebhookID = to.ID
		steps = append(steps, step{
			name: "attach", what: fmt.Sprintf("attach it to the %s: %s", s, orDash(settings.Events)), command: w.CommandLine(command...),
			run: func(ctx context.Context) error { return w.Write(ctx, s, settings) },
		})
	}
	if len(old.Events) > 0 {
		steps = append(steps, eventsStep(w, to, appendNew(to.Events, old.Events...), command...))
		off := eventsStep(w, old, []string{}, command...)
		off.what = workspace.Label(old) + ": " + off.what
		steps = append(steps, off)
	}
	return steps, nil
}

// reportRest reports what still uses the old webhook.
func reportRest(cmd *cobra.Command, w *workspace.Workspace, old string, command []string) error {
	if err := w.List(cmd); err != nil {
		return err
	}
	webhook, err := w.Find(old)
	if err != nil {
		return err
	}
	if unknown := unknownEvents(webhook); unknown != nil {
		line := stepLine{Step: "switch", Status: "left", WebhookID: old, Detail: unknown[0]}
		if err := line.print(cmd); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", cmdutil.ErrCheckFailed, unknown[0])
	}
	for _, usage := range webhook.Usage {
		line := stepLine{Step: "switch", Status: "left", WebhookID: old, Detail: workspace.Label(webhook) + " is still in use by " + usage + ": change it in the dashboard"}
		if usage == workspace.AgentUsage {
			line.Detail = workspace.Label(webhook) + " is still attached to agents: name each by --agent"
			line.Command = w.CommandLine(command...) + " --agent …"
		}
		if err := line.print(cmd); err != nil {
			return err
		}
	}
	if len(webhook.Usage) > 0 {
		return fmt.Errorf("%w: webhook %s is still in use by %s", cmdutil.ErrCheckFailed, old, strings.Join(webhook.Usage, ", "))
	}
	line := stepLine{Step: "switch", Status: "done", WebhookID: old, Detail: "nothing uses " + workspace.Label(webhook) + " any more"}
	if webhook.Usage == nil {
		line.Detail += ", as far as this API key can see"
	}
	return line.print(cmd)
}
