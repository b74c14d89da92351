package sample

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

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

// ISOTime returns the time of the event as Python's isoformat writes it.
func (d data) ISOTime() string { return d.Now.UTC().Format("2006-01-02T15:04:05-07:00") }

// Audio returns the mark that the audio replaces.
func (data) Audio() string { return audioMark }

// CallSeconds returns the length of the call, which ended at the time of the event.
func (d data) CallSeconds() int {
	if d.Options.Failed {
		return 1
	}
	return d.Options.Turns * secondsPerTurn
}

// CallStart returns the Unix time at which that call began.
func (d data) CallStart() int64 { return d.Unix(-d.CallSeconds()) }

// AgentTurns returns the number of turns in which the agent speaks.
func (d data) AgentTurns() int {
	if d.Options.Failed {
		return 0
	}
	return (d.Options.Turns + 1) / 2
}

// Usage returns the model's usage in the whole call.
func (d data) Usage() usage {
	var sum usage
	for _, t := range d.Turns() {
		if !t.User && t.index > 0 {
			sum.Input += t.Usage().Input
			sum.Output += t.Usage().Output
		}
	}
	return sum
}

// Turns returns the turns of the call.
func (d data) Turns() []turn {
	if d.Options.Failed {
		return nil
	}
	turns := make([]turn, d.Options.Turns)
	for i := range turns {
		start := d.CallStart() + int64(i*secondsPerTurn)
		turns[i] = turn{
			User: i%2 == 1, Text: lines[i%len(lines)],
			Second: i * secondsPerTurn, Start: start, End: start + secondsPerTurn,
			index: i,
		}
	}
	return turns
}

// turn is a turn of the call.
type turn struct {
	User       bool // the user speaks, not the agent
	Text       string
	Second     int   // the start, in seconds since the call began
	Start, End int64 // in Unix seconds
	index      int
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

// Seconds returns a length of time that was measured in the turn, by its number.
func (t turn) Seconds(number int) pythonFloat { return measured[(t.index*5+number)%len(measured)] }

// measured are lengths of time in seconds, with as many digits as Python measures.
var measured = []pythonFloat{
	0.1112639088605647, 0.43388704836907, 0.3575255549860594, 0.5622859839568264, 0.1976132104311546,
	0.150266849578911, 0.29847516262409046, 0.2737136248950264,
}

// Usage returns the model's usage in a turn.
func (t turn) Usage() usage { return usage{Input: 450 + 11*(t.index%40), Output: 9 + len(t.Text)/4} }

// usage is what the language model read and wrote, in tokens.
type usage struct{ Input, Output int }

// InputPrice returns the price of what was read, in dollars.
func (u usage) InputPrice() pythonFloat { return pythonFloat(u.Input) * 1.5e-07 }

// OutputPrice returns the price of what was written, in dollars.
func (u usage) OutputPrice() pythonFloat { return pythonFloat(u.Output) * 6e-07 }

// Price returns the price of both, in dollars.
func (u usage) Price() pythonFloat { return u.InputPrice() + u.OutputPrice() }
