package inspector

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// audio is the recording in the body of an event: base64 in a string of the JSON. It is
// decoded where a player asks for it, and is never whole in memory.
type audio struct {
	start, length int64 // of the base64 in the body
}

var errNoAudio = statusError{http.StatusNotFound, errors.New("the event has no audio")}

// maxBefore is how far into a body the audio begins at most.
const maxBefore = 64 << 10

// readSize is how much of a body is read at once. It is the size of a chunk in the
// database.
const readSize = 1 << 20

// locateAudio finds the audio of an event of type post_call_audio, data.full_audio.
func locateAudio(body Body) (a audio, err error) {
	start, err := audioStart(body)
	if err != nil {
		return a, err
	}
	for at := start; at < body.Size(); at += readSize {
		piece := make([]byte, min(readSize, body.Size()-at))
		if _, err := body.ReadAt(piece, at); err != nil && !errors.Is(err, io.EOF) {
			return a, fmt.Errorf("reading the body: %w", err)
		}
		end := bytes.IndexAny(piece, `"\`)
		switch {
		case end < 0:
			continue
		case piece[end] == '\\': // a position in it would not tell one in the audio
			return a, statusError{http.StatusUnprocessableEntity, errors.New("the audio is written with escapes, and cannot be played: download the body")}
		}
		return audio{start, at + int64(end) - start}, nil
	}
	return a, errNoAudio
}

// audioStart returns where the base64 begins.
func audioStart(body Body) (int64, error) {
	head := make([]byte, min(maxBefore, body.Size()))
	if _, err := body.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading the body: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(head))
	if !enter(decoder, "data") || !enter(decoder, "full_audio") {
		return 0, errNoAudio
	}
	after := decoder.InputOffset()
	value := bytes.TrimLeft(head[after:], ": \t\r\n")
	if len(value) == 0 || value[0] != '"' {
		return 0, errNoAudio
	}
	return int64(len(head)-len(value)) + 1, nil
}

// enter reads an object up to the value of a key. It reports whether there is one.
func enter(decoder *json.Decoder, key string) bool {
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return false
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if token == key {
			return true
		}
		var other json.RawMessage
		if decoder.Decode(&other) != nil {
			return false
		}
	}
	return false
}

// audioCache remembers where the audio of the last events is. A player asks for many
// ranges, and to find the end takes a read of the whole body.
type audioCache struct {
	mu    sync.Mutex
	known map[string]audio
}

const maxLocated = 32

func (c *audioCache) locate(id string, body Body) (audio, error) {
	c.mu.Lock()
	a, ok := c.known[id]
	c.mu.Unlock()
	if ok {
		return a, nil
	}
	a, err := locateAudio(body)
	if err != nil {
		return a, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxLocated {
		c.known = map[string]audio{}
	}
	c.known[id] = a
	return a, nil
}

// playAudio sends the audio, or the range of it that a player asks for.
func (p *Pages) playAudio(w http.ResponseWriter, r *http.Request) error {
	seq, err := seqOf(r)
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("inbox")
	event, err := p.source.Event(r.Context(), seq, name)
	if err != nil {
		return err
	}
	body, err := p.source.Body(r.Context(), seq, name)
	if err != nil {
		return err
	}
	a, err := p.located.locate(event.EventID, body)
	if err != nil {
		return err
	}
	reader := &audioReader{body: body, audio: a}
	media, err := reader.mediaType()
	if err != nil {
		return statusError{http.StatusUnprocessableEntity, err}
	}
	w.Header().Set("Content-Type", media)
	http.ServeContent(w, r, "", time.Time{}, reader)
	return nil
}

// audioReader decodes the audio where it is read.
type audioReader struct {
	body  Body
	audio audio
	at    int64  // in what is decoded
	from  int64  // where the piece begins
	piece []byte // decoded
}

// size returns the length of the decoded audio.
func (r *audioReader) size() (int64, error) {
	tail := make([]byte, min(2, r.audio.length))
	if _, err := r.body.ReadAt(tail, r.audio.start+r.audio.length-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	padding := int64(bytes.Count(tail, []byte("=")))
	return (r.audio.length - padding) * 3 / 4, nil
}

// Seek implements io.Seeker.
func (r *audioReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		size, err := r.size()
		if err != nil {
			return 0, err
		}
		offset += size
	}
	if offset < 0 {
		return 0, errors.New("a position before the beginning")
	}
	r.at = offset
	return offset, nil
}

// Read implements io.Reader.
func (r *audioReader) Read(p []byte) (int, error) {
	if r.at < r.from || r.at >= r.from+int64(len(r.piece)) {
		if err := r.load(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.piece[r.at-r.from:])
	r.at += int64(n)
	return n, nil
}

// load decodes the piece that begins where the next byte is: four characters are three
// bytes.
func (r *audioReader) load() error {
	begin := r.at / 3 * 4
	if begin >= r.audio.length {
		return io.EOF
	}
	text := make([]byte, min(readSize, r.audio.length-begin))
	if _, err := r.body.ReadAt(text, r.audio.start+begin); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	piece := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(piece, bytes.TrimRight(text, "="))
	if err != nil {
		return fmt.Errorf("the audio is not base64: %w", err)
	}
	r.from, r.piece = r.at/3*3, piece[:n]
	if r.at >= r.from+int64(n) {
		return io.EOF
	}
	return nil
}

// mediaType returns the type that the first bytes tell. ElevenLabs sends MP3.
func (r *audioReader) mediaType() (string, error) {
	head := make([]byte, 16)
	n, err := io.ReadFull(r, head)
	r.at = 0
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	for _, known := range []struct{ begins, media string }{{"RIFF", "audio/wav"}, {"OggS", "audio/ogg"}, {"fLaC", "audio/flac"}} {
		if bytes.HasPrefix(head[:n], []byte(known.begins)) {
			return known.media, nil
		}
	}
	return "audio/mpeg", nil
}
