package envelope

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// documented are shortened bodies of the documented shapes. They have all names that
// the scanner could confuse with its own, such as agent_id in other objects.
var documented = []struct {
	name, body string
	want       Fields
}{
	{
		"transcript",
		`{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"agent_01","conversation_id":"conv_01","status":"done","user_id":"u","branch_id":null,"transcript":[{"role":"agent","message":"Say \"hi\", {or} [not]\\","tool_calls":[],"agent_metadata":{"agent_id":"other"},"conversation_turn_metrics":null,"time_in_call_secs":0}],"metadata":{"start_time_unix_secs":1739537297,"cost":296,"phone_call":{"type":"twilio","call_sid":"CA1"}},"analysis":{"data_collection_results":{"conversation_id":{"value":"other"}}},"conversation_initiation_client_data":{"dynamic_variables":{"voice_id":"other"}}}}`,
		Fields{EventType: "post_call_transcription", EventTimestamp: "1739537297", ConversationID: "conv_01", AgentID: "agent_01"},
	},
	{
		"transcript as OpenTelemetry",
		`{"type":"post_call_transcription_otel","event_timestamp":1739537297,"data":{"conversation_id":"conv_01","agent_id":"agent_01","otlp_traces":{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"conversation_id","value":{"stringValue":"other"}}]}]}]}]}}}`,
		Fields{EventType: "post_call_transcription_otel", EventTimestamp: "1739537297", ConversationID: "conv_01", AgentID: "agent_01"},
	},
	{
		"audio",
		`{"type":"post_call_audio","event_timestamp":1739537319,"data":{"agent_id":"agent_01","conversation_id":"conv_01","full_audio":"SUQzBAAAAAAA/+=="}}`,
		Fields{EventType: "post_call_audio", EventTimestamp: "1739537319", ConversationID: "conv_01", AgentID: "agent_01"},
	},
	{
		"failed call by Twilio",
		`{"type":"call_initiation_failure","event_timestamp":1759931652,"data":{"agent_id":"agent_01","conversation_id":"conv_01","failure_reason":"busy","metadata":{"type":"twilio","body":{"CallSid":"CA1","type":"other"}}}}`,
		Fields{EventType: "call_initiation_failure", EventTimestamp: "1759931652", ConversationID: "conv_01", AgentID: "agent_01"},
	},
	{
		"failed call by SIP",
		`{"type":"call_initiation_failure","event_timestamp":1759931652,"data":{"agent_id":"agent_01","conversation_id":"conv_01","failure_reason":"no-answer","metadata":{"type":"sip","body":{"call_sid":"s","sip_status_code":486}}}}`,
		Fields{EventType: "call_initiation_failure", EventTimestamp: "1759931652", ConversationID: "conv_01", AgentID: "agent_01"},
	},
	{
		"transcription, without a timestamp",
		`{"type":"speech_to_text_transcription","data":{"request_id":"req_01","webhook_metadata":{"request_id":"other"},"transcription":{"text":"hi","words":[{"text":"hi","type":"word"}],"transcription_id":"t"}}}`,
		Fields{EventType: "speech_to_text_transcription", RequestID: "req_01"},
	},
	{
		"voice to be removed",
		`{"type":"voice_removal_notice","event_timestamp":1,"data":{"voice_id":"voice_01"}}`,
		Fields{EventType: "voice_removal_notice", EventTimestamp: "1", VoiceID: "voice_01"},
	},
	{
		"voice not to be removed",
		`{"type":"voice_removal_notice_withdrawn","event_timestamp":"1","data":{"voice_id":"voice_01"}}`,
		Fields{EventType: "voice_removal_notice_withdrawn", EventTimestamp: "1", VoiceID: "voice_01"},
	},
	{
		"voice removed",
		`{"type":"voice_removed","event_timestamp":1,"data":{"voice_id":"voice_01"}}`,
		Fields{EventType: "voice_removed", EventTimestamp: "1", VoiceID: "voice_01"},
	},
	{
		"flow, a type without documented ids",
		`{"type":"flows_generation","event_timestamp":1,"data":{"id":"x","status":"completed","content_url":"https://example.com/a?b=c"}}`,
		Fields{EventType: "flows_generation", EventTimestamp: "1"},
	},
	{
		"an unknown type can have any ids",
		`{"type":"x","event_timestamp":1,"data":{"request_id":"r","voice_id":"v","agent_id":"a","conversation_id":"c"}}`,
		Fields{EventType: "x", EventTimestamp: "1", ConversationID: "c", AgentID: "a", RequestID: "r", VoiceID: "v"},
	},
	{
		"a body without a type can have any ids",
		`{"event_timestamp":1,"data":{"request_id":"r","voice_id":"v","agent_id":"a","conversation_id":"c"}}`,
		Fields{EventTimestamp: "1", ConversationID: "c", AgentID: "a", RequestID: "r", VoiceID: "v"},
	},
	{
		"names reversed",
		`{"data":{"full_audio":"SUQzBAAA","conversation_id":"conv_01","agent_id":"agent_01"},"event_timestamp":1739537319,"type":"post_call_audio"}`,
		Fields{EventType: "post_call_audio", EventTimestamp: "1739537319", ConversationID: "conv_01", AgentID: "agent_01"},
	},
	{
		"ids a call does not have",
		`{"data":{"request_id":"r","voice_id":"v","agent_id":"a","conversation_id":"c"},"type":"post_call_audio"}`,
		Fields{EventType: "post_call_audio", ConversationID: "c", AgentID: "a"},
	},
	{
		"ids a transcription does not have",
		`{"data":{"request_id":"r","voice_id":"v","agent_id":"a","conversation_id":"c"},"type":"speech_to_text_transcription"}`,
		Fields{EventType: "speech_to_text_transcription", RequestID: "r"},
	},
	{
		"ids a voice does not have",
		`{"data":{"request_id":"r","voice_id":"v","agent_id":"a","conversation_id":"c"},"type":"voice_removed"}`,
		Fields{EventType: "voice_removed", VoiceID: "v"},
	},
}

// valid are bodies that encoding/json accepts and that are easy to get wrong.
var valid = []string{
	`{}`, ` { } `, `[]`, `null`, `"type"`, `1`, `true`, `[{"type":"x"}]`,
	"\t{\r\n\"type\" :\n\"x\" , \"event_timestamp\"\t:\r1 }\n",

	// names
	`{"Type":"x"}`, `{"TYPE":"x","type":"y"}`, `{"type":"x","Data":{"agent_id":"a"}}`, `{"data":{"Agent_ID":"a"}}`, `{"":"x","type":"y"}`,
	`{"\u0074ype":"x"}`, `{"typ\u0065":"\u0078"}`, `{"\u0064ata":{"agent\u005fid":"a"}}`, `{"type\u0000":"x"}`, `{"type\ud83d":"x"}`, `{"ty\/pe":"x"}`,
	`{"` + strings.Repeat("k", 300) + `":1,"type":"x"}`, `{"type` + strings.Repeat("k", 300) + `":1,"type":"x"}`,
	"{\"\xfftype\":\"x\"}", "{\"type\xff\":\"x\",\"type\":\"y\"}",

	// strings
	`{"type":""}`, `{"type":"a\/b"}`, `{"type":"\"q\\"}`, `{"type":"a\nb"}`, `{"type":"a\u0000"}`, `{"type":"a\u001f"}`, `{"type":"\u0020~"}`,
	`{"type":"\u007E"}`, `{"type":"\u007f"}`, `{"type":"é"}`, `{"type":"\u00e9"}`, `{"type":"\u0141"}`, `{"type":"\ud83d\ude00"}`, `{"type":"\ud83d"}`,
	`{"type":"\ude00\ud83d"}`, `{"type":"\ud83dx"}`, `{"type":"\ud83d\u0041"}`, "{\"type\":\"\xff\"}", "{\"type\":\"\xf0\x9f\x98\"}", "{\"type\":\"a\x7f\"}",
	`{"type":"` + strings.Repeat("x", 256) + `"}`, `{"type":"` + strings.Repeat("x", 257) + `"}`, `{"type":"` + strings.Repeat(`\u0078`, 256) + `"}`,

	// values of other types
	`{"type":null}`, `{"type":1}`, `{"type":true}`, `{"type":["x"]}`, `{"type":{"type":"x"}}`,
	`{"data":[{"agent_id":"a"}]}`, `{"data":"agent_id"}`, `{"data":null}`, `{"data":1}`, `{"data":{}}`, `{"data":{"agent_id":1}}`,
	`{"data":{"agent_id":null,"voice_id":"v"}}`, `{"data":{"agent_id":{"agent_id":"a"},"voice_id":["v"]}}`,

	// timestamps
	`{"event_timestamp":0}`, `{"event_timestamp":-0}`, `{"event_timestamp":1e5}`, `{"event_timestamp":1E+5}`, `{"event_timestamp":0.50e-07}`, `{"event_timestamp":-12.5}`,
	`{"event_timestamp" : 12 ,"type":"x"}`, `{"event_timestamp":"1"}`, `{"event_timestamp":"2026-01-01T00:00:00Z"}`, `{"event_timestamp":"\u0031e5"}`,
	`{"event_timestamp":null}`, `{"event_timestamp":true}`, `{"event_timestamp":[1]}`, `{"event_timestamp":{"a":1}}`,
	`{"event_timestamp":` + strings.Repeat("1", 256) + `}`, `{"event_timestamp":` + strings.Repeat("1", 257) + `}`,

	// names of fields in other objects
	`{"data":{"data":{"agent_id":"a"}}}`, `{"agent_id":"a","data":{"type":"x","event_timestamp":1}}`, `{"meta":{"type":"x","data":{"agent_id":"a"}}}`,
	`{"type":"x","data":{"m":{"agent_id":"no"},"l":[{"voice_id":"no"}],"agent_id":"yes"},"z":{"data":{"agent_id":"no"}}}`,
	`{"a":"\"type\":\"no\"","type":"x"}`, `{"data":{"a":"},\"type\":\"no\"","agent_id":"a"}}`,

	// skipped values
	`{"a":"}{][","type":"x"}`, `{"a":"\"","type":"x"}`, `{"a":"\\","type":"x"}`, `{"a":"\\\"","type":"x"}`, `{"a":"\\\\\\","type":"x"}`,
	`{"a":["\\\\",{"b":"]"},"\"]"],"type":"x"}`, `{"a":-1.5e+10,"b":false,"c":null,"d":true,"type":"x"}`, `{"a":{},"b":[],"type":"x"}`,
	`{"a":"` + strings.Repeat(`\"\\`, 200) + `","type":"x"}`,
	`{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"type":"x"}`,
	`{"a":` + strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500) + `,"type":"x"}`,
}

// repeating are bodies in which the name of a field occurs twice.
var repeating = []struct {
	body string
	want Fields
}{
	{`{"type":"a","type":"b"}`, Fields{EventType: "b"}},
	{`{"type":"a","type":1}`, Fields{}},
	{`{"type":"a","\u0074ype":"b"}`, Fields{EventType: "b"}},
	{`{"type":"voice_removed","type":"b","event_timestamp":1,"data":{"voice_id":"v","agent_id":"a"}}`, Fields{EventType: "b", EventTimestamp: "1", VoiceID: "v", AgentID: "a"}},
	{`{"event_timestamp":1,"event_timestamp":"2"}`, Fields{EventTimestamp: "2"}},
	{`{"event_timestamp":1,"event_timestamp":null}`, Fields{}},
	{`{"data":{"agent_id":"a","agent_id":"b"}}`, Fields{AgentID: "b"}},
	{`{"data":{"agent_id":"a","agent_id":{}}}`, Fields{}},
	{`{"data":{"agent_id":"a"},"data":{"voice_id":"v"}}`, Fields{VoiceID: "v"}},
	{`{"data":{"agent_id":"a"},"data":{}}`, Fields{}},
	{`{"data":{"agent_id":"a"},"data":1}`, Fields{}},
	{`{"data":{"agent_id":"a"},"type":"x","data":[]}`, Fields{EventType: "x"}},
	{`{"data":{"voice_id":"v"},"data":{"a":1},"type":"voice_removed","event_timestamp":1}`, Fields{EventType: "voice_removed", EventTimestamp: "1"}},
}

// unreadable are bodies that are not JSON, or end too early.
var unreadable = []string{
	``, ` `, `x`, `{`, "\ufeff{}", "\x00{}", "\v{}", `{]`, `{,"type":"x"}`, `{"type":"x",}`, `{"type":"x",,"a":1}`, `{"type":"x"]`,
	`{type:"x"}`, `{'type':"x"}`, `{"type" "x"}`, `{"type"::"x"}`, `{"type":"x" "a":1}`, `{"type":"x":1}`, `{"type":}`, `{"type":,"a":1}`, `{1:"x"}`,
	`{"type":"x"`, `{"type":"x`, `{"type":"x\`, `{"type`, `{"type":`, `{"type":"x","data":{}`, `{"type":"x","data":{"a":[}`, `{"type":"x","a":tru`, `{"type":"x","a":1`,
	`{"type":"x","data":{"agent_id":"a",}}`, `{"type":"x","data":{"agent_id" "a"}}`, `{"type":"x","data":{"agent_id":"a"]}`, `{"type":"x","data":{agent_id:"a"}}`,
	`{"type":x}`, `{"type":"\x"}`, `{"type":"\u00g0"}`, `{"type":"\u00"}`, "{\"type\":\"a\nb\"}", "{\"type\":\"a\x00\"}", "{\"ty\tpe\":1,\"type\":\"x\"}", `{"a\x":1,"type":"x"}`,
	`{"event_timestamp":1abc}`, `{"event_timestamp":01}`, `{"event_timestamp":-01}`, `{"event_timestamp":-}`, `{"event_timestamp":+1}`, `{"event_timestamp":.5}`,
	`{"event_timestamp":1.}`, `{"event_timestamp":1.e5}`, `{"event_timestamp":1e}`, `{"event_timestamp":1e+}`, `{"event_timestamp":1e5.0}`, `{"event_timestamp":1-2}`,
	`{"event_timestamp":1'2}`, `{"event_timestamp":0x10}`, "{\"event_timestamp\":1\x00}", `{"event_timestamp":1 2}`, `{"event_timestamp":NaN}`,
	`{"type":"x","a":nul}`, `{"type":"x","a":nuul}`, `{"type":"x","a":trux}`, `{"type":"x","a":truefalse}`, `{"type":"x","a":tru"e}`, `{"type":"x","a":True}`, `{"type":"x","a":1"b":2}`, `{"type":"x","a":]}`,
}

// FuzzScannerAgreesWithEncodingJSON writes each body whole, in three pieces and byte
// by byte.
func FuzzScannerAgreesWithEncodingJSON(f *testing.F) {
	for i, body := range everyBody() {
		f.Add([]byte(body), uint16(i), uint16(7*i))
	}
	f.Fuzz(func(t *testing.T, body []byte, cut, another uint16) {
		first := min(int(cut), len(body))
		second := min(first+int(another), len(body))
		got, done := scan(body)
		cutGot, cutDone := scan(body[:first], body[first:second], body[second:])
		require.Equal(t, got, cutGot, "cut at %d and %d", first, second)
		require.Equal(t, done, cutDone, "cut at %d and %d", first, second)
		bytewiseGot, bytewiseDone := scan(singly(body)...)
		require.Equal(t, got, bytewiseGot, "byte by byte")
		require.Equal(t, done, bytewiseDone, "byte by byte")

		for _, value := range inOrder(got) {
			if len(value) > 256 || strings.ContainsFunc(value, notPrintable) {
				t.Fatalf("a header cannot hold %q", value)
			}
		}
		if !json.Valid(body) {
			return
		}
		values, repeated := occurrences(body)
		if !repeated {
			require.Equal(t, oracle(body), got)
			return
		}
		for i, value := range inOrder(got) {
			if value != "" {
				require.Contains(t, values[i], value)
			}
		}
	})
}

func everyBody() []string {
	var bodies []string
	for _, test := range documented {
		bodies = append(bodies, test.body)
	}
	bodies = append(bodies, valid...)
	for _, test := range repeating {
		bodies = append(bodies, test.body)
	}
	return append(bodies, unreadable...)
}

// inOrder returns the fields in the order of their declaration.
func inOrder(f Fields) [6]string {
	return [6]string{f.EventType, f.EventTimestamp, f.ConversationID, f.AgentID, f.RequestID, f.VoiceID}
}

// oracle reads the fields with encoding/json.
func oracle(body []byte) Fields {
	var top, data map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return Fields{}
	}
	if json.Unmarshal(top["data"], &data) != nil {
		data = nil // not an object: no ids
	}
	f := Fields{
		EventType: oracleString(top["type"]), EventTimestamp: oracleTimestamp(top["event_timestamp"]),
		ConversationID: oracleString(data["conversation_id"]), AgentID: oracleString(data["agent_id"]),
		RequestID: oracleString(data["request_id"]), VoiceID: oracleString(data["voice_id"]),
	}
	eventType, _ := facts.EventTypeByName(f.EventType)
	if len(eventType.IDs) == 0 {
		return f // any id may be there
	}
	for name, id := range map[string]*string{
		"conversation_id": &f.ConversationID, "agent_id": &f.AgentID, "request_id": &f.RequestID, "voice_id": &f.VoiceID,
	} {
		if !slices.Contains(eventType.IDs, name) {
			*id = ""
		}
	}
	return f
}

func oracleString(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil || len(s) > 256 || strings.ContainsFunc(s, notPrintable) {
		return ""
	}
	return s
}

func notPrintable(r rune) bool { return r < 0x20 || r > 0x7e }

func oracleTimestamp(raw json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	token, _ := decoder.Token()
	if number, ok := token.(json.Number); ok && len(number) <= 256 {
		return number.String()
	}
	return oracleString(raw)
}

// occurrences returns all values of each field in a body, in the order of inOrder. It
// also reports whether the name of a field occurs twice.
func occurrences(body []byte) (values [6][]string, repeated bool) {
	counts := map[string]int{}
	add := func(field int, name, value string) {
		values[field] = append(values[field], value)
		counts[name]++
	}
	for _, top := range members(body) {
		switch top.name {
		case "type":
			add(0, top.name, oracleString(top.value))
		case "event_timestamp":
			add(1, top.name, oracleTimestamp(top.value))
		case "data":
			counts[top.name]++
			for _, member := range members(top.value) {
				for i, id := range []string{"conversation_id", "agent_id", "request_id", "voice_id"} {
					if member.name == id {
						add(2+i, id, oracleString(member.value))
					}
				}
			}
		}
	}
	for _, count := range counts {
		repeated = repeated || count > 1
	}
	return values, repeated
}

type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of an object, repeated names included.
func members(object []byte) []member {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if token, _ := decoder.Token(); token != json.Delim('{') {
		return nil
	}
	var all []member
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return nil
		}
		all = append(all, member{name.(string), value})
	}
	return all
}
