// Package sample makes events as ElevenLabs sends them, for tests: new ids and
// times each time, and every id with "test" in it.
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

// The events stand in files, one a type, as templates. Those in documented have
// the shape that ElevenLabs documents. Of those in named only the name is, so
// they are but the envelope, with the ids that such an event can hardly lack.
//
//go:embed documented named
var files embed.FS

var templates = template.Must(template.ParseFS(files, "documented/*.json", "named/*.json"))

// Documented is whether ElevenLabs documents the shape of a type's events.
func Documented(eventType string) bool {
	_, err := fs.Stat(files, "documented/"+eventType+".json")
	return err == nil
}

// UserAgent is what the commands that send events call themselves, by which
// backends and elevenlabs_webhook tell that an event is a test.
const UserAgent = "caddy-elevenlabs-send"

// Options say what to make.
type Options struct {
	// Now is when the event happened.
	Now time.Time
	// Turns is the number of turns of a transcript.
	Turns int
	// Minutes is the length of an audio recording.
	Minutes float64
}

// New makes an event of a type in facts.EventTypes.
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

// data is what the templates see.
type data struct{ Options }

// secondsPerTurn is how long each turn of a conversation takes.
const secondsPerTurn = 4

// ID makes an id of a kind of thing.
func (data) ID(kind string) string { return kind + "_test_" + data{}.Hex(24) }

// Hex makes a number of random hex digits.
func (data) Hex(digits int) string {
	random := make([]byte, digits/2)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// Unix is the time a number of seconds after the event.
func (d data) Unix(seconds int) int64 { return d.Now.Unix() + int64(seconds) }

// HTTPTime is the time of the event as in HTTP's headers.
func (d data) HTTPTime() string { return d.Now.UTC().Format(http.TimeFormat) }

// Audio marks where the audio goes.
func (data) Audio() string { return audioMark }

// CallSeconds is how long the call took that ended when the event happened.
func (d data) CallSeconds() int { return d.Options.Turns * secondsPerTurn }

// CallStart is when that call began.
func (d data) CallStart() int64 { return d.Unix(-d.CallSeconds()) }

// A turn of the call, as the templates see it.
type turn struct {
	User       bool
	Text       string
	Second     int   // of the call
	Start, End int64 // in Unix seconds
}

// Role is who speaks.
func (t turn) Role() string {
	if t.User {
		return "user"
	}
	return "agent"
}

// lines are what agent and user say by turns, and then again.
var lines = []string{
	"Café Münster, good evening. How can I help?",
	"Hello, this is Zoë Müller. A table for four of us, please.",
	"With pleasure. For which day?",
	"This Friday, at half past seven. Is that all right? 🙂",
	"It is: Friday, half past seven, four guests. Anything else?",
	"No, thank you.",
}

// Turns are the turns of the call.
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
