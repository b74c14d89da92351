// Package envelope reads what an ElevenLabs webhook is, and whose, out of a JSON
// body of any size as it passes, in memory that does not grow with it.
package envelope

// MaxValue is the length in bytes up to which a value is reported.
const MaxValue = 256

// Fields is what a body's envelope says of its event. A field is empty if it is
// absent or not of its JSON type, and also if it is longer than MaxValue bytes
// or not printable ASCII (0x20 to 0x7e): values are meant for headers, and are
// never cut or escaped. Strings are given decoded.
type Fields struct {
	Type           string // type
	EventTimestamp string // event_timestamp: a number, digit for digit as sent, or a string
	ConversationID string // data.conversation_id
	AgentID        string // data.agent_id
	RequestID      string // data.request_id
	VoiceID        string // data.voice_id
}

// Scanner reads an envelope from a body that is written to it in pieces, cut
// anywhere. The zero value is ready. It is for one goroutine, and must not be
// copied once in use.
//
// Wherever encoding/json can read the body, as a map[string]json.RawMessage and
// its data as another, the answer is the same as its: names are compared
// exactly, once their escapes are resolved, and of a name that stands twice the
// last counts; so a later data replaces an earlier one wholly. The exception is
// what stands after Done became true, which is not read. RFC 8259, section 4,
// calls repeated names unpredictable; ElevenLabs sends none.
//
// A known type reports only the ids that its events have, so that the answer
// does not depend on the order of names.
//
// A body that is no JSON object, breaks, or ends before Done says nothing, and
// one that starts with a byte order mark is no JSON either. Strings, objects and
// arrays that are passed over are checked no further than it takes to find their
// end.
type Scanner struct {
	state  state
	inData bool  // the object being read is data, not the top-level one
	field  field // the one whose value comes
	depth  int   // of nested values being skipped

	seen   set // fields whose name stood in the object, with their value complete
	values [fieldCount]text
	name   text
	target *text // where the value being read goes; nil to skip it

	escape  uint8  // in a string: 0, or 1 after a backslash, or 2 to 5 in \uXXXX
	escaped rune   // the value of the digits so far
	number  number // what of a number was read
	word    string // what of true, false or null is still to come
}

// Reset makes the Scanner ready for another body.
func (s *Scanner) Reset() {
	s.state, s.inData, s.depth, s.seen, s.escape = beforeTop, false, 0, 0, 0
	for i := range s.values {
		s.values[i].reset()
	}
}

// Write reads a piece of the body. It never fails, keeps nothing of p, and does
// nothing once Done.
func (s *Scanner) Write(p []byte) (int, error) {
	for i := 0; i < len(p) && !s.Done(); {
		switch s.state {
		case inNested:
			i += s.skipNested(p[i:])
		case inName:
			i += s.readString(p[i:], beforeColon)
		case inString:
			if s.target != nil {
				i += s.readString(p[i:], afterValue)
			} else {
				i += s.skipString(p[i:], afterValue)
			}
		case inNestedString:
			i += s.skipString(p[i:], inNested)
		case inNumber:
			i += s.readNumber(p[i:])
		case inWord:
			s.readWord(p[i])
			i++
		default:
			s.readStructure(p[i])
			i++
		}
	}
	return len(p), nil
}

// Done reports whether nothing that follows can change the answer: the type is
// known and it, the timestamp and all ids that it can have were found, or the
// object has ended, or the body is not JSON.
func (s *Scanner) Done() bool { return s.state >= closed }

// Fields returns what was found. It is empty unless Done.
func (s *Scanner) Fields() Fields {
	if s.state != closed && s.state != complete {
		return Fields{}
	}
	typ := s.values[fieldType].usable()
	possible, known := typeIDs[string(typ)]
	if !known {
		possible = ids
	}
	value := func(f field) string {
		if ids&f.set() != 0 && possible&f.set() == 0 {
			return ""
		}
		return string(s.values[f].usable())
	}
	return Fields{
		Type:           string(typ),
		EventTimestamp: value(fieldTimestamp),
		ConversationID: value(fieldConversation),
		AgentID:        value(fieldAgent),
		RequestID:      value(fieldRequest),
		VoiceID:        value(fieldVoice),
	}
}

// field is the number of a value in the Scanner.
type field uint8

const (
	fieldType field = iota
	fieldTimestamp
	fieldConversation
	fieldAgent
	fieldRequest
	fieldVoice
	fieldCount

	fieldData // the object that holds the ids
	fieldNone // any other name
)

// set is a set of fields.
type set uint8

func (f field) set() set { return 1 << f }

const ids = set(1<<fieldConversation | 1<<fieldAgent | 1<<fieldRequest | 1<<fieldVoice)

var (
	topNames  = map[string]field{"type": fieldType, "event_timestamp": fieldTimestamp, "data": fieldData}
	dataNames = map[string]field{
		"conversation_id": fieldConversation,
		"agent_id":        fieldAgent,
		"request_id":      fieldRequest,
		"voice_id":        fieldVoice,
	}
)

const call = set(1<<fieldConversation | 1<<fieldAgent)

// types are the types that ElevenLabs documents, or names in its SDKs, and which
// ids their events have, as documented at
// https://elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks and the
// pages beside it. Those without, and types that are not here, may have any.
var types = []struct {
	name string
	ids  set
}{
	{"post_call_transcription", call},
	{"post_call_transcription_otel", call},
	{"post_call_audio", call},
	{"call_initiation_failure", call},
	{"answering_machine_detection", 0},
	{"speech_to_text_transcription", fieldRequest.set()},
	{"voice_removal_notice", fieldVoice.set()},
	{"voice_removal_notice_withdrawn", fieldVoice.set()},
	{"voice_removed", fieldVoice.set()},
	{"flows_generation", 0},
	{"flows_template_run", 0},
	{"dubbing_project_ready", 0},
	{"dubbing_project_failed", 0},
	{"dubbing_language_completed", 0},
	{"dubbing_language_failed", 0},
}

var typeIDs = func() map[string]set {
	known := make(map[string]set, len(types))
	for _, t := range types {
		if t.ids != 0 {
			known[t.name] = t.ids
		}
	}
	return known
}()

// Types returns the types of events that ElevenLabs is known to send.
func Types() []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.name
	}
	return names
}
