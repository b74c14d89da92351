package cmdutil

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// InboxesURI is the route of the admin endpoint for the state of each inbox.
const InboxesURI = "/elevenlabs/inbox"

// InboxStatus is the admin endpoint's account of an inbox.
type InboxStatus struct {
	stored.Inbox

	Text json.RawMessage `json:"-"` // as it came
}

// UnmarshalJSON keeps the text too.
func (s *InboxStatus) UnmarshalJSON(text []byte) error {
	type plain InboxStatus
	s.Text = append(s.Text[:0], text...)
	return json.Unmarshal(text, (*plain)(s))
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

// WithoutInboxes reports whether an error of the admin endpoint means that its Caddy is
// too old to have inboxes.
func WithoutInboxes(err error) bool {
	answer, ok := errors.AsType[*AdminError](err)
	return ok && answer.Status == http.StatusNotFound
}
