// Package stored is what operators see of an inbox: the JSON of the admin endpoint, which
// the inspector's pages and the commands read too.
package stored

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// Event is a stored event in a list.
type Event struct {
	// Seq is the event's number. Each database counts by itself.
	Seq   int64  `json:"seq"`
	Inbox string `json:"inbox"`
	// Destination is missing if the inbox has no named destinations. Otherwise each has an
	// event of its own.
	Destination    string `json:"destination,omitempty"`
	EventID        string `json:"event_id"`
	EventType      string `json:"event_type,omitempty"`
	ConversationID string `json:"conversation_id,omitempty"`
	AgentID        string `json:"agent_id,omitempty"`
	RequestID      string `json:"request_id,omitempty"`
	// Secret is the name of the secret that signed the event.
	Secret string `json:"secret,omitempty"`
	Fields
	State inbox.State `json:"state"`
	Size  int64       `json:"size"`
	// HasBody reports whether the body is still there.
	HasBody  bool `json:"has_body"`
	Attempts int  `json:"attempts"`
	// Repeats counts how often ElevenLabs sent the event again.
	Repeats    int       `json:"repeats"`
	ReceivedAt time.Time `json:"received_at"`
	NextAt     time.Time `json:"next_at,omitzero"`
	DoneAt     time.Time `json:"done_at,omitzero"`
}

// Fields are what the backend and the operator learn of an event, beside what has columns
// of its own in the database.
type Fields struct {
	EventTimestamp string `json:"event_timestamp,omitempty"`
	VoiceID        string `json:"voice_id,omitempty"`
	SignedAt       string `json:"signed_at,omitempty"`
	SecretName     string `json:"secret_name,omitempty"`
	Handler        string `json:"handler,omitempty"`
	Test           bool   `json:"test,omitempty"`
	// Backfill reports whether `inbox backfill` made the event, and not ElevenLabs.
	Backfill bool `json:"backfill,omitempty"`
}

// Detail is a stored event with its attempts and its request.
type Detail struct {
	Event
	Timeline []Attempt `json:"timeline"`
	Request  Request   `json:"request"`
}

// Attempt is an attempt to deliver an event.
type Attempt struct {
	Attempt        int       `json:"attempt"`
	EndedAt        time.Time `json:"ended_at"`
	Seconds        float64   `json:"seconds"`
	UpstreamStatus int       `json:"upstream_status,omitempty"`
	Reason         string    `json:"reason,omitempty"`
	Answer         string    `json:"answer,omitempty"`
}

// NewEvent returns an event as a list shows it.
func NewEvent(e inbox.Entry) (Event, error) {
	shown := Event{
		Seq: e.Seq, Inbox: e.Inbox, Destination: e.Destination, EventID: e.ID, EventType: e.Type, ConversationID: e.ConversationID, AgentID: e.AgentID, RequestID: e.RequestID, Secret: e.Webhook,
		State: e.State, Size: e.Size, HasBody: e.Stored == e.Size, Attempts: e.Attempts, Repeats: e.Repeats,
		ReceivedAt: e.ReceivedAt.UTC(), NextAt: e.NextAt.UTC(), DoneAt: e.DoneAt.UTC(),
	}
	if err := json.Unmarshal([]byte(e.Fields), &shown.Fields); err != nil {
		return shown, fmt.Errorf("reading event %d: %w", e.Seq, err)
	}
	return shown, nil
}

// NewDetail returns an event with its attempts and its request, without credentials.
func NewDetail(e inbox.Entry, attempts []inbox.Attempt) (Detail, error) {
	detail := Detail{Timeline: make([]Attempt, len(attempts))}
	var err error
	if detail.Event, err = NewEvent(e); err != nil {
		return detail, err
	}
	if err := json.Unmarshal([]byte(e.Request), &detail.Request); err != nil {
		return detail, fmt.Errorf("reading the request of event %d: %w", e.Seq, err)
	}
	hide := detail.Request.hideCredentials()
	for i, a := range attempts {
		detail.Timeline[i] = Attempt{
			Attempt: a.Number, EndedAt: a.EndedAt.UTC(), Seconds: a.Duration.Seconds(), UpstreamStatus: a.Status, Reason: a.Reason,
			Answer: hide(a.Answer),
		}
	}
	return detail, nil
}
