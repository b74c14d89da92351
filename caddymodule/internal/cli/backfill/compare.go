// Package backfill has the command `inbox backfill`, which sends the events of calls that
// ElevenLabs knows and an inbox does not. It also says how many calls are missing.
package backfill

import (
	"slices"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// The types of events that tell of a call.
const (
	transcript   = "post_call_transcription"
	traces       = "post_call_transcription_otel" // the transcript in another form
	audio        = "post_call_audio"
	neverStarted = "call_initiation_failure"
)

var types = []string{transcript, traces, audio, neverStarted}

// Known are the types of events that are there, by the conversation's id. The empty type
// stands for all.
type Known map[string][]string

// add notes an event.
func (k Known) add(conversation, eventType string) {
	if !slices.Contains(k[conversation], eventType) {
		k[conversation] = append(k[conversation], eventType)
	}
}

// has reports whether an event of one of the types is there.
func (k Known) has(conversation string, eventTypes ...string) bool {
	return slices.ContainsFunc(k[conversation], func(there string) bool {
		return there == "" || slices.Contains(eventTypes, there)
	})
}

// Missing is a conversation of which events are missing.
type Missing struct {
	elevenlabs.Conversation
	Types []string
}

// Comparison is what a comparison found. Each conversation is in one of its counts, or in
// Missing.
type Comparison struct {
	Missing []Missing
	// Here counts those of which nothing is missing.
	Here int
	// Unfinished counts those that are under way, or that ElevenLabs still processes.
	Unfinished int
	// Recent counts those that ended so lately that ElevenLabs may still send them.
	Recent int
	// NeverStarted counts outbound calls that failed before they began. ElevenLabs sends
	// call_initiation_failure for these. The API has not what such an event says.
	NeverStarted int
}

// All is the number of conversations.
func (c Comparison) All() int {
	return len(c.Missing) + c.Here + c.Unfinished + c.Recent + c.NeverStarted
}

// Compare finds out of which conversations a transcript is missing, or with withAudio a
// recording. Those that ended after settled are left out, except if that is zero.
func Compare(conversations []elevenlabs.Conversation, known Known, withAudio bool, settled time.Time) (found Comparison) {
	for _, c := range conversations {
		var missing []string
		if !known.has(c.ID, transcript, traces) {
			missing = append(missing, transcript)
		}
		if withAudio && !known.has(c.ID, audio) {
			missing = append(missing, audio)
		}
		switch {
		case !elevenlabs.Ended(c.Status):
			found.Unfinished++
		case len(missing) == 0 || known.has(c.ID, neverStarted):
			found.Here++
		case c.Status == elevenlabs.ConversationFailed && c.Duration == 0 && c.Messages == 0 && c.Direction == "outbound":
			found.NeverStarted++
		case !settled.IsZero() && c.End().After(settled):
			found.Recent++
		default:
			found.Missing = append(found.Missing, Missing{c, missing})
		}
	}
	return found
}
