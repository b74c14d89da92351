package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// transcriptFormats are those of the event post_call_transcription, and of
// post_call_transcription_otel.
var transcriptFormats = []string{"json", "opentelemetry"}

// subscriptions are the events of both kinds.
var subscriptions = slices.Concat(facts.PostCallSubscriptions, facts.WorkspaceSubscriptions)

// attachment says how a webhook is put into slots.
type attachment struct {
	w       *workspace.Workspace
	format  string
	events  []string // after calls; empty keeps those of the slot
	replace bool
	taken   string // the remedy if another webhook is attached, and replace is not set
	needs   string // the error if there is no slot for format, events or replace
}

// attachmentFlags adds the flags that say how a webhook is attached.
func attachmentFlags(cmd *cobra.Command, w *workspace.Workspace) *attachment {
	a := &attachment{w: w}
	cmd.Flags().StringVar(&a.format, "transcript-format", "", "send transcripts in this `format`: "+strings.Join(transcriptFormats, " or "))
	cmdutil.Complete(cmd, "transcript-format", transcriptFormats)
	return a
}

// check returns an error if the flags are wrong. It sends no request.
func (a *attachment) check(cmd *cobra.Command, slots []workspace.Slot) error {
	if err := cmdutil.RejectEmpty(cmd, "transcript-format"); err != nil {
		return err
	}
	if a.format != "" && !slices.Contains(transcriptFormats, a.format) {
		return fmt.Errorf("--transcript-format must be %s%s", strings.Join(transcriptFormats, " or "), cmdutil.DidYouMean(a.format, transcriptFormats))
	}
	if len(slots) == 0 && (a.format != "" || a.replace || len(a.events) > 0) {
		return errors.New(a.needs)
	}
	return nil
}

// place is a slot for a webhook, with the settings that it will have except for the
// webhook's id.
type place struct {
	slot     workspace.Slot
	settings elevenlabs.PostCall
	instead  string // the webhook that is replaced
}

// plan reads the slots. It refuses those that another webhook has, unless --replace
// is given.
func (a *attachment) plan(cmd *cobra.Command, slots []workspace.Slot, id string) ([]place, error) {
	var places []place
	var refused []string
	for _, s := range slots {
		settings, err := a.w.Read(cmd, s)
		if err != nil {
			return nil, err
		}
		p := place{slot: s, settings: settings}
		if settings.WebhookID != "" && settings.WebhookID != id {
			p.instead = settings.WebhookID
			if !a.replace {
				refused = append(refused, fmt.Sprintf("the %s go to %s: %s", s, a.w.Label(p.instead), a.taken))
			}
		}
		if a.format != "" {
			p.settings.TranscriptFormat = a.format
		}
		if len(a.events) > 0 {
			p.settings.Events = a.events
		}
		if len(p.settings.Events) == 0 {
			p.settings.Events = facts.PostCallSubscriptions[:1]
		}
		places = append(places, p)
	}
	return places, refuse(cmd, id, "attach", refused)
}

// steps attach a webhook to the places.
func (a *attachment) steps(places []place, id string) []step {
	steps := make([]step, 0, len(places))
	for _, p := range places {
		what := fmt.Sprintf("attach it to the %s: %s", p.slot, strings.Join(p.settings.Events, ", "))
		if p.settings.TranscriptFormat != "" {
			what += "; transcripts as " + p.settings.TranscriptFormat
		}
		if p.instead != "" {
			what += "; in place of " + a.w.Label(p.instead)
		}
		command := append([]string{"attach", id}, p.slot.Flags()...)
		if len(a.events) > 0 {
			command = append(command, "--events", strings.Join(a.events, ","))
		}
		if a.format != "" {
			command = append(command, "--transcript-format", a.format)
		}
		if a.replace {
			command = append(command, "--replace")
		}
		steps = append(steps, step{
			name: "attach", what: what, command: a.w.CommandLine(command...),
			run: func(ctx context.Context) error {
				p.settings.WebhookID = id
				return a.w.Write(ctx, p.slot, p.settings)
			},
		})
	}
	return steps
}
