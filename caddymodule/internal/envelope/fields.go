package envelope

import "github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"

// MaxValue is the length in bytes up to which a value is reported.
const MaxValue = 256

// Fields are the values of a body's envelope. Strings are decoded. A field is empty
// if its value
//   - is absent or has another JSON type,
//   - is longer than MaxValue bytes, or
//   - is not printable ASCII (0x20 to 0x7e).
//
// Values go into headers, so none is ever cut or escaped.
type Fields struct {
	EventType      string `json:"event_type,omitempty"`      // type
	EventTimestamp string `json:"event_timestamp,omitempty"` // event_timestamp: a string, or a number digit for digit as sent
	ConversationID string `json:"conversation_id,omitempty"` // data.conversation_id
	AgentID        string `json:"agent_id,omitempty"`        // data.agent_id
	RequestID      string `json:"request_id,omitempty"`      // data.request_id
	VoiceID        string `json:"voice_id,omitempty"`        // data.voice_id
}

// fields are the names in the body. Those from firstID on are ids, and stand in data.
var fields = [...]struct {
	name string
	in   func(*Fields) *string
}{
	fieldType:      {"type", func(f *Fields) *string { return &f.EventType }},
	fieldTimestamp: {"event_timestamp", func(f *Fields) *string { return &f.EventTimestamp }},
	firstID:        {"conversation_id", func(f *Fields) *string { return &f.ConversationID }},
	{"agent_id", func(f *Fields) *string { return &f.AgentID }},
	{"request_id", func(f *Fields) *string { return &f.RequestID }},
	{"voice_id", func(f *Fields) *string { return &f.VoiceID }},
}

// field is the number of a row of fields.
type field uint8

const (
	fieldType field = iota
	fieldTimestamp
	firstID

	fieldCount = field(len(fields))
	fieldData  = fieldCount     // the object that holds the ids
	fieldNone  = fieldCount + 1 // any other name
)

// set is a set of fields.
type set uint8

func (f field) set() set { return 1 << f }

// ids are all fields from firstID on.
const ids = set(1<<fieldCount - 1<<firstID)

// topNames and dataNames are the names in the body and in its data.
var topNames, dataNames = func() (top, data map[string]field) {
	top, data = map[string]field{"data": fieldData}, map[string]field{}
	for f := range fieldCount {
		if ids&f.set() != 0 {
			data[fields[f].name] = f
		} else {
			top[fields[f].name] = f
		}
	}
	return top, data
}()

// typeIDs are the ids that events of a type can have. A type whose ids are not
// documented is absent: any id may be there.
var typeIDs = func() map[string]set {
	known := map[string]set{}
	for _, t := range facts.EventTypes {
		for _, id := range t.IDs {
			known[t.Name] |= dataNames[id].set()
		}
	}
	return known
}()
