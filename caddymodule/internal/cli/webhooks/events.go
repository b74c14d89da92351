package webhooks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// splitEvents sorts events by the place of their subscription. The type of an event
// stands for the subscription that brings it.
func splitEvents(events []string) (postCall, workspace []string, err error) {
	for _, name := range events {
		event := facts.SubscriptionNamed(name)
		switch {
		case event == "" && len(facts.EventTypesNamed(name)) > 0:
			return nil, nil, fmt.Errorf("no webhook can be attached to %s: ElevenLabs has no subscription for it", name)
		case slices.Contains(facts.PostCallSubscriptions, event):
			postCall = appendNew(postCall, event)
		case slices.Contains(facts.WorkspaceSubscriptions, event):
			workspace = appendNew(workspace, event)
		default:
			near := cmdutil.DidYouMean(name, slices.Concat(facts.PostCallSubscriptions, facts.WorkspaceSubscriptions))
			return nil, nil, fmt.Errorf("there is no event %q for --events%s: --help lists them", name, near)
		}
	}
	return postCall, workspace, nil
}

// appendNew appends the values that are not there yet, to a copy.
func appendNew(to []string, values ...string) []string {
	to = slices.Clone(to)
	for _, value := range values {
		if !slices.Contains(to, value) {
			to = append(to, value)
		}
	}
	return to
}

// without returns the values that are not among others.
func without(values, others []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(value string) bool { return slices.Contains(others, value) })
}

// orDash lists values, or writes a dash if there are none.
func orDash(values []string) string {
	if len(values) == 0 {
		return "-"
	}
	return strings.Join(values, ", ")
}

// orUnknown lists values that ElevenLabs may not show.
func orUnknown(values []string) string {
	if values == nil {
		return "unknown: only an administrator's API key sees this"
	}
	return orDash(values)
}
