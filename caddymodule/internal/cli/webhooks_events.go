package cli

import (
	"fmt"
	"slices"
	"strings"
)

// Events are asked for by other names than those in a delivery, and in two
// places: those after a call stand with the webhook's id in the settings of the
// workspace or of an agent, the workspace's on the webhook itself.
var (
	postCallEvents = []string{
		"transcript", "audio", "call_initiation_failure", "answering_machine_detection",
		"unredacted_transcript", "unredacted_audio",
	}
	workspaceEvents = []string{"speech_to_text", "voice_library_removal_notice", "agent_qa", "flows"}
)

var eventsHelp = "Events after a call: " + strings.Join(postCallEvents, ", ") + `.
Events of the workspace: ` + strings.Join(workspaceEvents, ", ") + "."

// splitEvents sorts events by the place where they are asked for.
func splitEvents(events []string) (postCall, workspace []string, err error) {
	for _, event := range events {
		switch {
		case slices.Contains(postCallEvents, event):
			postCall = appendNew(postCall, event)
		case slices.Contains(workspaceEvents, event):
			workspace = appendNew(workspace, event)
		default:
			return nil, nil, fmt.Errorf("there is no event %q for --events: see --help for those there are", event)
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
