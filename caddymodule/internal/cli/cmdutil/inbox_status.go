package cmdutil

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// InboxesURI is the route of the admin endpoint for the state of each inbox.
const InboxesURI = "/elevenlabs/inbox"

// InboxStatuses are the admin endpoint's account of all inboxes, sorted.
type InboxStatuses []InboxStatus

// InboxStatus is the account of an inbox, or of one of its destinations.
type InboxStatus struct {
	stored.Inbox

	Text json.RawMessage `json:"-"` // as it came
	// Further reports whether another one of the same inbox comes before, so that what
	// concerns the whole inbox need not be said again.
	Further bool `json:"-"`
	// Others are the named destinations of the same inbox that have a handler.
	Others []string `json:"-"`

	hasDestinations bool // the inbox
}

// UnmarshalJSON reads the account, and what each needs to know of the others.
func (all *InboxStatuses) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, (*[]InboxStatus)(all)); err != nil {
		return err
	}
	for i := range *all {
		s := &(*all)[i]
		for j, other := range *all {
			if other.Name != s.Name || other.Database != s.Database {
				continue
			}
			s.Further = s.Further || j < i
			s.hasDestinations = s.hasDestinations || other.Destination != ""
			if j != i && other.Destination != "" && other.Handlers > 0 {
				s.Others = append(s.Others, other.Destination)
			}
		}
	}
	return nil
}

// UnmarshalJSON keeps the text too.
func (s *InboxStatus) UnmarshalJSON(text []byte) error {
	type plain InboxStatus
	s.Text = append(s.Text[:0], text...)
	return json.Unmarshal(text, (*plain)(s))
}

// Problems returns what somebody must look after.
func (s InboxStatus) Problems() (all []string) {
	if !s.Up && !s.Further {
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

// Leftover reports whether no handler has the destination any more, though others of the
// inbox have names. It also returns how many events wait or are dead for it.
func (s InboxStatus) Leftover() (undelivered int64, is bool) {
	if s.Handlers > 0 || !s.hasDestinations {
		return 0, false
	}
	return s.Events[inbox.Waiting] + s.Events[inbox.Delivering] + s.Events[inbox.Dead], true
}

// LeftoverCommands returns the commands that send the events of such a destination to
// another one, and that give them up. Either is empty if there is none. If there are
// several others, the first has all their names, as --to <archive|sales>.
func (s InboxStatus) LeftoverCommands() (send, giveUp string) {
	state := inbox.Waiting
	if s.Events[state] == 0 {
		state = inbox.Dead
	}
	if s.Destination == "" || s.Events[state] == 0 { // nothing selects them alone
		return "", ""
	}
	which := fmt.Sprintf("--inbox %s --destination %s --state %s", s.Name, s.Destination, state)
	to := strings.Join(s.Others, "|")
	if len(s.Others) > 1 { // the operator chooses: what the other one has already is discarded
		to = "<" + to + ">"
	}
	if to != "" {
		send = "caddy elevenlabs inbox redeliver " + which + " --to " + to
	}
	return send, "caddy elevenlabs inbox discard " + which
}

// WithoutInboxes reports whether an error of the admin endpoint means that its Caddy is
// too old to have inboxes.
func WithoutInboxes(err error) bool {
	answer, ok := errors.AsType[*AdminError](err)
	return ok && answer.Status == http.StatusNotFound
}
