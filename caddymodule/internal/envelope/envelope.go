// Package envelope reads what an ElevenLabs webhook is, and whose, out of a JSON
// body of any size as it passes, in memory that does not grow with it.
package envelope

// MaxValue is the length in bytes up to which a value is reported.
const MaxValue = 256

// Fields is what a body's envelope says of its event. A field is empty if it is
// absent or not of its JSON type, and also if it is longer than MaxValue bytes
// or not printable ASCII: values are meant for headers, and are never cut or
// escaped.
type Fields struct {
	Type           string // type
	EventTimestamp string // event_timestamp: a number as it stands, or a string
	ConversationID string // data.conversation_id
	AgentID        string // data.agent_id
	RequestID      string // data.request_id
	VoiceID        string // data.voice_id
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

// typeIDs says which ids the events of a type have, as documented at
// https://elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks and the
// pages beside it. Other types may have any.
var typeIDs = map[string]set{
	"post_call_transcription":        call,
	"post_call_transcription_otel":   call,
	"post_call_audio":                call,
	"call_initiation_failure":        call,
	"speech_to_text_transcription":   fieldRequest.set(),
	"voice_removal_notice":           fieldVoice.set(),
	"voice_removal_notice_withdrawn": fieldVoice.set(),
	"voice_removed":                  fieldVoice.set(),
}
