package sample

import (
	"encoding/base64"
	"io"
	"strings"
)

// Event is an event to send. Its body can be read any number of times, and is
// the same each time.
type Event struct {
	// Type is the event's type.
	Type string

	head, tail string
	frames     int64 // of audio, between head and tail
}

// FromBody makes an event of a body that is at hand.
func FromBody(eventType string, body []byte) Event {
	return Event{Type: eventType, head: string(body)}
}

// Size is the length of the body in bytes.
func (e Event) Size() int64 {
	return int64(len(e.head)) + e.frames*int64(len(frame)) + int64(len(e.tail))
}

// Chunked is whether ElevenLabs sends such an event in chunks, without saying
// its length.
func (e Event) Chunked() bool { return e.frames > 0 }

// Body reads the body from its beginning.
func (e Event) Body() io.Reader {
	return io.MultiReader(strings.NewReader(e.head), &repeater{left: e.frames}, strings.NewReader(e.tail))
}

// Changed is the event with one digit changed, or, if there is none, with a
// blank at its end. JSON stays JSON, so that only a signature can tell.
func (e Event) Changed() Event {
	i := strings.IndexAny(e.head, "0123456789")
	if i < 0 {
		e.tail += " "
		return e
	}
	digit := e.head[i] + 1
	if digit > '9' {
		digit = '8' // no 0: a number must not begin with it
	}
	e.head = e.head[:i] + string(digit) + e.head[i+1:]
	return e
}

const (
	audioMark       = "{audio}"
	framesPerMinute = 60_000 / 24
)

// frame is a frame of MP3 in base64: MPEG-1 layer III, 128 kbit/s, 48 kHz, mono,
// and nothing but zeros behind its header, which is 24 ms of silence. It takes
// 384 bytes, a multiple of three, so that frames can be strung together.
var frame = base64.StdEncoding.EncodeToString(append([]byte{0xff, 0xfb, 0x94, 0xc4}, make([]byte, 380)...))

// repeater reads as so many frames.
type repeater struct {
	left   int64
	offset int // in the frame
}

func (r *repeater) Read(p []byte) (n int, err error) {
	for n < len(p) && r.left > 0 {
		copied := copy(p[n:], frame[r.offset:])
		n += copied
		r.offset += copied
		if r.offset == len(frame) {
			r.offset = 0
			r.left--
		}
	}
	if n == 0 && r.left == 0 {
		return 0, io.EOF
	}
	return n, nil
}
