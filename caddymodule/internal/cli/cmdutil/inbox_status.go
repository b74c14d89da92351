package cmdutil

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// InboxesURI is the route of the admin endpoint for the state of each inbox.
const InboxesURI = "/elevenlabs/inbox"

// InboxStatus is the admin endpoint's account of an inbox.
type InboxStatus struct {
	Inbox                string                `json:"inbox"`
	Database             string                `json:"database"`
	Handlers             int                   `json:"handlers"`
	Up                   bool                  `json:"up"`
	Problem              string                `json:"problem"`
	Events               map[inbox.State]int64 `json:"events"`
	OldestWaitingSeconds float64               `json:"oldest_waiting_seconds"`
	Bytes                int64                 `json:"bytes"`
	LimitBytes           int64                 `json:"limit_bytes"`
	Bypassed             int64                 `json:"bypassed"`
	BackendDownSince     time.Time             `json:"backend_down_since"`

	Text json.RawMessage `json:"-"` // as it came
}

// UnmarshalJSON keeps the text too.
func (s *InboxStatus) UnmarshalJSON(text []byte) error {
	type plain InboxStatus
	s.Text = append(s.Text[:0], text...)
	return json.Unmarshal(text, (*plain)(s))
}

// OldestWaiting returns how long the event waits that has waited longest.
func (s InboxStatus) OldestWaiting() time.Duration {
	return time.Duration(s.OldestWaitingSeconds * float64(time.Second))
}

// Problems returns what somebody must look after.
func (s InboxStatus) Problems() (all []string) {
	if !s.Up {
		all = append(all, "its database does not answer: "+Brief(s.Problem, Longest))
	}
	if dead := s.Events[inbox.Dead]; dead > 0 {
		all = append(all, fmt.Sprintf("%d dead", dead))
	}
	if wait := s.OldestWaiting(); wait > facts.InboxLongWait {
		all = append(all, "an event waits for "+Span(wait))
	}
	if s.Bypassed > 0 {
		all = append(all, fmt.Sprintf("%d bypassed it", s.Bypassed))
	}
	return all
}

// Orphans returns the number of events in an inbox that no handler has.
func (s InboxStatus) Orphans() (count int64) {
	if s.Handlers > 0 {
		return 0
	}
	for _, n := range s.Events {
		count += n
	}
	return count
}

// WithoutInboxes reports whether an error of the admin endpoint means that its Caddy is
// too old to have inboxes.
func WithoutInboxes(err error) bool {
	answer, ok := errors.AsType[*AdminError](err)
	return ok && answer.Status == http.StatusNotFound
}
