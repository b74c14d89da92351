package inbox

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Selection selects events. A field that is empty selects all.
type Selection struct {
	Inbox          string
	Destination    string
	State          State
	Types          []string
	ConversationID string
	AgentID        string
	RequestID      string
	Webhook        string
	// EventID is the event's ID, or the beginning of it.
	EventID string
	// Search is an ID of any kind: of a conversation, an agent or a request, or the
	// beginning of an event's ID, at least MinEventID characters.
	Search string
	// Events are numbers of events.
	Events []int64
	// Since and Until are times of receipt. Until is not in the span.
	Since, Until time.Time
	// Once selects of an event that several destinations share only the one with the body.
	Once bool
	// Before is the number of an event. A list has only what came before that event.
	Before int64
	// After is the number of an event. An act changes only what came after that event.
	After int64
}

// MinEventID is how many characters of an event's ID a search needs.
const MinEventID = 4

// conditions are joined by AND. Each has the parameters of its values.
type conditions struct {
	texts []string
	args  []any
}

// add adds a condition. Each %s stands for the parameter of a value. A text is as events
// have it, so that no database rejects one that an operator mistyped.
func (c *conditions) add(format string, values ...any) {
	names := make([]any, len(values))
	for i, value := range values {
		if its, ok := value.(string); ok {
			value = text(its)
		}
		c.args = append(c.args, value)
		names[i] = fmt.Sprintf("$%d", len(c.args))
	}
	c.texts = append(c.texts, fmt.Sprintf(format, names...))
}

// in adds the condition that a column has one of the values.
func (c *conditions) in(column string, values []any) {
	c.add(column+" IN ("+strings.TrimSuffix(strings.Repeat("%s,", len(values)), ",")+")", values...)
}

func (c *conditions) String() string { return strings.Join(c.texts, " AND ") }

// filter adds the conditions of the selection except Before and After. They look at an
// event that something else finds: in SQLite, no index is used for them.
func (s *Selection) filter(c *conditions) {
	for _, equal := range []struct{ column, value string }{
		{"inbox", s.Inbox}, {"destination", s.Destination}, {"state", string(s.State)}, {"conversation_id", s.ConversationID}, {"agent_id", s.AgentID}, {"request_id", s.RequestID}, {"webhook", s.Webhook},
	} {
		if equal.value != "" {
			c.add("{+}"+equal.column+" = %s", equal.value)
		}
	}
	if len(s.Types) > 0 {
		c.in("{+}type", anys(s.Types))
	}
	if s.EventID != "" {
		c.add("{+}event_id >= %s AND {+}event_id < %s", s.EventID, s.EventID+afterHex)
	}
	if s.Search != "" {
		text := `{+}conversation_id = %s OR {+}agent_id = %s OR {+}request_id = %s`
		values := []any{s.Search, s.Search, s.Search}
		if s.searchesEventID() {
			text += ` OR {+}event_id >= %s AND {+}event_id < %s`
			values = append(values, s.Search, s.Search+afterHex)
		}
		c.add("("+text+")", values...)
	}
	if len(s.Events) > 0 {
		c.in("{+}seq", anys(s.Events))
	}
	if s.Once {
		c.texts = append(c.texts, "{+}body = 0")
	}
	if !s.Since.IsZero() {
		c.add("received_at >= %s", s.Since.UnixMilli())
	}
	if !s.Until.IsZero() {
		c.add("received_at < %s", s.Until.UnixMilli())
	}
}

// afterHex is above each hexadecimal digit.
const afterHex = "~"

// searchesEventID reports whether the searched text can be the beginning of an event's ID.
func (s *Selection) searchesEventID() bool {
	return len(s.Search) >= MinEventID && strings.Trim(s.Search, "0123456789abcdef") == ""
}

// check returns an error if nothing selects events. To change all of them is never meant.
func (s *Selection) check() error {
	var all conditions
	if s.filter(&all); len(all.texts) == 0 {
		return errors.New("nothing selects events")
	}
	return nil
}

func anys[T any](values []T) []any {
	all := make([]any, len(values))
	for i, value := range values {
		all[i] = value
	}
	return all
}
