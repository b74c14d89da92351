// Package sample makes events like those of ElevenLabs, for tests. Each event has new
// ids and times. Every id that the handler reports contains "test".
//
// ElevenLabs writes JSON as Python's json.dumps does, and so do the samples. Only
// characters outside of ASCII are there in both forms, as themselves and escaped:
// which one ElevenLabs writes is not known.
package sample

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"text/template"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
)

// Each type has one file, which is a template. Events in documented have the shape
// that ElevenLabs documents, and the transcript that of public captures. Events in
// named have only the envelope and a few likely ids, since ElevenLabs documents only
// their names.
//
//go:embed documented named
var files embed.FS

var templates = template.Must(template.ParseFS(files, "documented/*.json", "named/*.json"))

// Documented reports whether ElevenLabs documents the shape of a type's events.
func Documented(eventType string) bool {
	_, err := fs.Stat(files, "documented/"+eventType+".json")
	return err == nil
}

// HasTurns reports whether Options.Turns changes the events of a type.
func HasTurns(eventType string) bool {
	return eventType == "post_call_transcription" || eventType == "post_call_transcription_otel"
}

// HasAudio reports whether Options.Minutes changes the events of a type.
func HasAudio(eventType string) bool { return eventType == "post_call_audio" }

// OfCall reports whether Options.Failed changes the events of a type.
func OfCall(eventType string) bool { return HasTurns(eventType) || HasAudio(eventType) }

// Options describe an event.
type Options struct {
	// Now is the time of the event.
	Now time.Time
	// Turns is the number of turns of a transcript.
	Turns int
	// Minutes is the length of a recording. It has at least one frame, of 24 ms.
	Minutes float64
	// Failed reports whether the call failed before anyone spoke. Its transcript has
	// no turns, and its audio no frames.
	Failed bool
	// Set are values to set in the event, in this order.
	Set []Assignment
}

// New returns an event of a type in facts.EventTypes, and an error for another type.
func New(eventType string, options Options) (Event, error) {
	var text, compact bytes.Buffer
	if err := templates.ExecuteTemplate(&text, eventType+".json", data{options}); err != nil {
		return Event{}, fmt.Errorf("making a sample event: %w", err)
	}
	if err := json.Compact(&compact, text.Bytes()); err != nil {
		return Event{}, fmt.Errorf("making a sample event of type %s: %w", eventType, err)
	}
	body := pythonForm(compact.Bytes())
	for _, assignment := range options.Set {
		var err error
		if body, err = assignment.apply(body); err != nil {
			return Event{}, fmt.Errorf("%w, in %s", err, eventType)
		}
	}
	event := Event{Type: TypeOf(body), chunked: HasAudio(eventType), head: string(body)}
	if event.chunked {
		event.addAudio(options)
	}
	return event, nil
}

// TypeOf returns the type of an event by its body, to be shown.
func TypeOf(body []byte) string {
	var scanner envelope.Scanner
	_, _ = scanner.Write(body) // never fails
	return cmp.Or(scanner.Fields().EventType, "(unknown)")
}
