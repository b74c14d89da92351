package stored

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// Act names the events that an operator changes by their numbers, or selects them.
type Act struct {
	Inbox          string      `json:"inbox,omitempty"`
	Events         []int64     `json:"events,omitempty"`
	State          inbox.State `json:"state,omitempty"`
	Types          Words       `json:"type,omitempty"`
	ConversationID string      `json:"conversation_id,omitempty"`
	AgentID        string      `json:"agent_id,omitempty"`
	Since          time.Time   `json:"since,omitzero"`
	Until          time.Time   `json:"until,omitzero"`
}

// Selects reports whether the act selects events otherwise than by their numbers.
func (a *Act) Selects() bool {
	return a.State != "" || len(a.Types) > 0 || a.ConversationID != "" || a.AgentID != "" || !a.Since.IsZero() || !a.Until.IsZero()
}

// Selection returns the selection of the act in one inbox.
func (a *Act) Selection(name string) inbox.Selection {
	return inbox.Selection{
		Inbox: name, State: a.State, Types: a.Types, ConversationID: a.ConversationID, AgentID: a.AgentID,
		Events: a.Events, Since: a.Since, Until: a.Until,
	}
}

// CheckSpan returns an error if no time is in a span.
func CheckSpan(since, until time.Time) error {
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return errors.New("since must be before until")
	}
	return nil
}

// Changed says how many events an act changed.
type Changed struct {
	Events int `json:"events"`
}

// Words are JSON: a string, or a list of strings.
type Words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *Words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = Words{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(w))
}
