// Package sample makes events like those of ElevenLabs, for tests. Each event has new
// ids and times. Every id that the handler reports contains "test".
package sample

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"text/template"
	"time"
)

// Each type has one file, which is a template. Events in documented have the shape
// that ElevenLabs documents. Events in named have only the envelope and a few likely
// ids, since ElevenLabs documents only their names.
//
//go:embed documented named
var files embed.FS

var templates = template.Must(template.ParseFS(files, "documented/*.json", "named/*.json"))

// Documented reports whether ElevenLabs documents the shape of a type's events.
func Documented(eventType string) bool {
	_, err := fs.Stat(files, "documented/"+eventType+".json")
	return err == nil
}

// Options describe an event.
type Options struct {
	// Now is the time of the event.
	Now time.Time
	// Turns is the number of turns of a transcript.
	Turns int
	// Minutes is the length of a recording. It has at least one frame, of 24 ms.
	Minutes float64
}

// New returns an event of a type in facts.EventTypes, and an error for another type.
func New(eventType string, options Options) (Event, error) {
	var text, body bytes.Buffer
	if err := templates.ExecuteTemplate(&text, eventType+".json", data{options}); err != nil {
		return Event{}, fmt.Errorf("making a sample event: %w", err)
	}
	if err := json.Compact(&body, text.Bytes()); err != nil {
		return Event{}, fmt.Errorf("making a sample event of type %s: %w", eventType, err)
	}
	event := Event{Type: eventType}
	var hasAudio bool
	event.head, event.tail, hasAudio = strings.Cut(body.String(), audioMark)
	if hasAudio {
		event.frames = max(1, int64(options.Minutes*framesPerMinute))
	}
	return event, nil
}

// data is the dot of the templates: they use its methods.
type data struct{ Options }

// secondsPerTurn is the length of each turn of a conversation.
const secondsPerTurn = 4

// ID returns a new id that begins with a kind, such as conv.
func (data) ID(kind string) string { return kind + "_test_" + data{}.Hex(24) }

// Hex returns an even number of random hex digits.
func (data) Hex(digits int) string {
	random := make([]byte, digits/2)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// Unix returns the Unix time a number of seconds after the event.
func (d data) Unix(seconds int) int64 { return d.Now.Unix() + int64(seconds) }

// HTTPTime returns the time of the event in the format of HTTP headers.
func (d data) HTTPTime() string { return d.Now.UTC().Format(http.TimeFormat) }

// Audio returns the mark that the audio replaces.
func (data) Audio() string { return audioMark }

// CallSeconds returns the length of the call, which ended at the time of the event.
func (d data) CallSeconds() int { return d.Options.Turns * secondsPerTurn }

// CallStart returns the Unix time at which that call began.
func (d data) CallStart() int64 { return d.Unix(-d.CallSeconds()) }

// turn is a turn of the call.
type turn struct {
	User       bool // the user speaks, not the agent
	Text       string
	Second     int   // the start, in seconds since the call began
	Start, End int64 // in Unix seconds
}

// Role returns the name of the one who speaks.
func (t turn) Role() string {
	if t.User {
		return "user"
	}
	return "agent"
}

// lines are spoken in turn, by the agent first, and repeat after the last one.
var lines = []string{
	"Café Münster, good evening. How can I help?",
	"Hello, this is Zoë Müller. A table for four of us, please.",
	"With pleasure. For which day?",
	"This Friday, at half past seven. Is that all right? 🙂",
	"It is: Friday, half past seven, four guests. Anything else?",
	"No, thank you.",
}

// Turns returns the turns of the call.
func (d data) Turns() []turn {
	turns := make([]turn, d.Options.Turns)
	for i := range turns {
		start := d.CallStart() + int64(i*secondsPerTurn)
		turns[i] = turn{
			User: i%2 == 1, Text: lines[i%len(lines)],
			Second: i * secondsPerTurn, Start: start, End: start + secondsPerTurn,
		}
	}
	return turns
}
