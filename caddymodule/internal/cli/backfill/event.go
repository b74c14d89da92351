package backfill

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

// call is a conversation of which events can be made: what they need of the API's answer,
// and the answer itself.
type call struct {
	ID       string `json:"conversation_id"`
	AgentID  string `json:"agent_id"`
	Status   string `json:"status"`
	HasAudio *bool  `json:"has_audio"`
	Metadata struct {
		Start    float64 `json:"start_time_unix_secs"`
		Duration float64 `json:"call_duration_secs"`
	} `json:"metadata"`

	text json.RawMessage
}

// newCall reads the API's answer for a conversation.
func newCall(id string, text json.RawMessage) (*call, error) {
	c := &call{text: text}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("reading conversation %s: %w", id, err)
	}
	switch {
	case c.ID != id:
		return nil, fmt.Errorf("reading conversation %s: ElevenLabs answered with another one", id)
	case elevenlabs.Ended(c.Status) && c.Metadata.Start <= 0:
		return nil, fmt.Errorf("reading conversation %s: %w", id, errNoStart)
	}
	return c, nil
}

var errNoStart = errors.New("the answer has no metadata.start_time_unix_secs, and so no time of the event")

// timestamp is that of the events: the end of the call. ElevenLabs takes a time up to some
// seconds later. It must not depend on now: the event id follows from the body.
func (c *call) timestamp() int64 { return int64(c.Metadata.Start + max(c.Metadata.Duration, 0)) }

// transcript makes the event of the transcript. Its data is the API's answer, byte for byte.
func (c *call) transcript() sample.Event {
	body := fmt.Appendf(nil, `{"type": %q, "event_timestamp": %d, "data": `, transcript, c.timestamp())
	body = append(append(body, c.text...), '}')
	return sample.FromBody(transcript, body)
}

// audio makes the event of the recording.
func (c *call) audio(recording *spool.Body) (sample.Event, error) {
	agent, err := json.Marshal(c.AgentID)
	if err != nil {
		return sample.Event{}, err
	}
	id, err := json.Marshal(c.ID)
	if err != nil {
		return sample.Event{}, err
	}
	head := fmt.Sprintf(`{"type": %q, "event_timestamp": %d, "data": {"agent_id": %s, "conversation_id": %s, "full_audio": "`, audio, c.timestamp(), agent, id)
	encoded := func() io.Reader { return &encoder{from: recording.NewReader()} }
	return sample.FromParts(audio, head, encoded, int64(base64.StdEncoding.EncodedLen(int(recording.Size()))), `"}}`), nil
}

// encoder is a reader of the Base64 of another one, a piece at a time.
type encoder struct {
	from io.Reader
	raw  [3 << 10]byte // a multiple of 3, so that only the last piece is padded
	text [4 << 10]byte
	left []byte // of text
	err  error
}

// Read implements io.Reader.
func (e *encoder) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		var n int
		n, e.err = io.ReadFull(e.from, e.raw[:])
		if errors.Is(e.err, io.ErrUnexpectedEOF) {
			e.err = io.EOF
		}
		if n == 0 {
			return 0, e.err
		}
		base64.StdEncoding.Encode(e.text[:], e.raw[:n])
		e.left = e.text[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}
