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
	Destination    string      `json:"destination,omitempty"`
	Events         []int64     `json:"events,omitempty"`
	State          inbox.State `json:"state,omitempty"`
	Types          Words       `json:"type,omitempty"`
	ConversationID string      `json:"conversation_id,omitempty"`
	AgentID        string      `json:"agent_id,omitempty"`
	Since          time.Time   `json:"since,omitzero"`
	Until          time.Time   `json:"until,omitzero"`
	// To is the destination that gets the events, for redeliver. Without it, each event
	// goes to its own destination again.
	To string `json:"to,omitempty"`
	// Limit is how many events are looked at, oldest first; 0 means all.
	Limit int `json:"limit,omitempty"`
	// After is the Last of an act that had a limit: this one goes on.
	After int64 `json:"after,omitempty"`
}

// Selects reports whether the act selects events otherwise than by their numbers.
func (a *Act) Selects() bool {
	return a.Destination != "" || a.State != "" || len(a.Types) > 0 || a.ConversationID != "" || a.AgentID != "" || !a.Since.IsZero() || !a.Until.IsZero()
}

// Selection returns what the act selects.
func (a *Act) Selection() inbox.Selection {
	return inbox.Selection{
		Inbox: a.Inbox, Destination: a.Destination, State: a.State, Types: a.Types, ConversationID: a.ConversationID, AgentID: a.AgentID,
		Events: a.Events, Since: a.Since, Until: a.Until, After: a.After,
	}
}

// Check returns an error if the act contradicts itself.
func (a *Act) Check() error {
	switch {
	case a.Limit < 0 || a.After < 0:
		return errors.New("limit and after must be above 0")
	case a.After > 0 && a.Limit == 0:
		return errors.New("after goes on with an act that had a limit: give the limit too")
	case a.Limit > 0 && len(a.Events) > 0:
		return errors.New("limit is for events that are selected: name fewer events")
	}
	return CheckSpan(a.Since, a.Until)
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
	// Discarded is how many were discarded meanwhile, for destinations that are no more.
	Discarded int `json:"discarded,omitempty"`
	// Last is the number of the last event that the act looked at, if there may be more.
	Last int64 `json:"last,omitempty"`
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
