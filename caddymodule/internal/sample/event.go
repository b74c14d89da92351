package sample

import (
	"encoding/base64"
	"io"
	"strconv"
	"strings"
)

// Event is an event that can be sent. Its body can be read any number of times, and
// is the same each time.
type Event struct {
	// Type is the event's type.
	Type string

	head, tail string
	// middle makes a reader of what stands between head and tail. It is nil if nothing does.
	middle  func() io.Reader
	length  int64 // of the middle
	chunked bool
}

// FromBody returns an event with a body of the caller's.
func FromBody(eventType string, body []byte) Event {
	return Event{Type: eventType, head: string(body)}
}

// FromParts returns an event with the audio of the caller's between two parts of its body.
// The function makes a reader of the audio, whose length is known, each time.
func FromParts(eventType, head string, audio func() io.Reader, length int64, tail string) Event {
	return Event{Type: eventType, head: head, middle: audio, length: length, tail: tail, chunked: true}
}

// Size returns the length of the body in bytes.
func (e Event) Size() int64 {
	return int64(len(e.head)) + e.length + int64(len(e.tail))
}

// Chunked reports whether ElevenLabs sends such an event in chunks, without a
// Content-Length. It does so for audio:
// https://elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks
func (e Event) Chunked() bool { return e.chunked }

// addAudio puts the audio in the place of its mark, unless another value is there.
func (e *Event) addAudio(options Options) {
	start, end, err := find([]byte(e.head), []string{"data", "full_audio"})
	if err != nil || e.head[start:end] != strconv.Quote(audioMark) {
		return
	}
	e.head, e.tail = e.head[:start]+`"`+tag, `"`+e.head[end:]
	if !options.Failed {
		frames := max(1, int64(options.Minutes*framesPerMinute))
		e.middle, e.length = func() io.Reader { return &repeater{left: frames} }, frames*int64(len(frame))
	}
}

// Body returns a reader of the whole body.
func (e Event) Body() io.Reader {
	if e.middle == nil {
		return io.MultiReader(strings.NewReader(e.head), strings.NewReader(e.tail))
	}
	return io.MultiReader(strings.NewReader(e.head), e.middle(), strings.NewReader(e.tail))
}

// Changed returns the event with one digit changed. If the body has no digit before
// the audio, Changed adds a blank at the end. A JSON body stays JSON, so only the
// signature shows the change.
func (e Event) Changed() Event {
	i := strings.IndexAny(e.head, "0123456789")
	if i < 0 {
		e.tail += " "
		return e
	}
	digit := e.head[i] + 1
	if digit > '9' {
		digit = '8' // not 0, since a JSON number must not begin with it
	}
	e.head = e.head[:i] + string(digit) + e.head[i+1:]
	return e
}

const (
	audioMark       = "{audio}"   // stands for the audio in a template
	framesPerMinute = 60_000 / 24 // a frame lasts 24 ms
)

// tag is what an MP3 file of FFmpeg begins with, and all that a call has that failed:
// 45 bytes, in base64. They are a multiple of three, as those of a frame are.
var tag = base64.StdEncoding.EncodeToString([]byte("ID3\x04\x00\x00\x00\x00\x00\x23" +
	"TSSE\x00\x00\x00\x0f\x00\x00\x03Lavf60.16.100\x00" + strings.Repeat("\x00", 10)))

// frame is an MP3 frame of 24 ms in base64: MPEG-1 layer III, 128 kbit/s, 48 kHz,
// mono. It has only zeros after its header, which is silence. Its 384 bytes are a
// multiple of three, so the base64 of several frames is that of each, joined.
var frame = base64.StdEncoding.EncodeToString(append([]byte{0xff, 0xfb, 0x94, 0xc4}, make([]byte, 380)...))

// repeater is a reader of a number of frames.
type repeater struct {
	left   int64 // the number of frames that are not read to their end
	offset int   // in the current frame
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
