package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func scan(pieces ...[]byte) Fields {
	var s Scanner
	for _, piece := range pieces {
		_, _ = s.Write(piece)
	}
	return s.Fields()
}

// inAnyPieces scans a body whole, byte by byte, and in a few other cuts, and
// wants the same answer each time.
func inAnyPieces(t testing.TB, body []byte) Fields {
	t.Helper()
	whole := scan(body)
	var single [][]byte
	for i := range body {
		single = append(single, body[i:i+1])
	}
	require.Equal(t, whole, scan(single...), "byte by byte")
	random := rand.New(rand.NewPCG(uint64(len(body)), 1))
	for range 3 {
		var pieces [][]byte
		for rest := body; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		require.Equal(t, whole, scan(pieces...), "in random pieces")
	}
	return whole
}

func TestFieldsOfDocumentedEvents(t *testing.T) {
	tests := []struct {
		name, body string
		want       Fields
	}{
		{
			"transcript",
			`{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"xyz","conversation_id":"abc","status":"done","transcript":[{"role":"agent","message":"Hey"}]}}`,
			Fields{Type: "post_call_transcription", EventTimestamp: "1739537297", AgentID: "xyz", ConversationID: "abc"},
		},
		{
			"OpenTelemetry transcript",
			`{"type":"post_call_transcription_otel","event_timestamp":1739537297,"data":{"conversation_id":"abc","agent_id":"xyz","otlp_traces":{"resourceSpans":[]}}}`,
			Fields{Type: "post_call_transcription_otel", EventTimestamp: "1739537297", AgentID: "xyz", ConversationID: "abc"},
		},
		{
			"audio, keys reversed",
			`{"data":{"full_audio":"SUQzBAAA","conversation_id":"abc","agent_id":"xyz"},"event_timestamp":1739537319,"type":"post_call_audio"}`,
			Fields{Type: "post_call_audio", EventTimestamp: "1739537319", AgentID: "xyz", ConversationID: "abc"},
		},
		{
			"failed call",
			`{"type":"call_initiation_failure","event_timestamp":1759931652,"data":{"agent_id":"xyz","conversation_id":"abc","failure_reason":"busy","metadata":{"type":"twilio","body":{"CallSid":"CA1"}}}}`,
			Fields{Type: "call_initiation_failure", EventTimestamp: "1759931652", AgentID: "xyz", ConversationID: "abc"},
		},
		{
			"finished transcription, without a timestamp",
			`{"type":"speech_to_text_transcription","data":{"request_id":"req","webhook_metadata":{"request_id":"other"},"transcription":{"text":"hi"}}}`,
			Fields{Type: "speech_to_text_transcription", RequestID: "req"},
		},
		{
			"voice notice",
			`{"type":"voice_removal_notice","event_timestamp":1,"data":{"voice_id":"v"}}`,
			Fields{Type: "voice_removal_notice", EventTimestamp: "1", VoiceID: "v"},
		},
		{
			"a type not known has any ids",
			`{"type":"flows_generation","event_timestamp":1,"data":{"id":"x","request_id":"r","voice_id":"v","agent_id":"a","conversation_id":"c"}}`,
			Fields{"flows_generation", "1", "c", "a", "r", "v"},
		},
		{
			"ids that the type does not have",
			`{"data":{"request_id":"r","voice_id":"v","agent_id":"a","conversation_id":"c"},"type":"post_call_audio"}`,
			Fields{Type: "post_call_audio", ConversationID: "c", AgentID: "a"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, inAnyPieces(t, []byte(test.body)))
			require.Equal(t, oracle([]byte(test.body)), test.want)
		})
	}
}

// seeds are bodies that test what a JSON reader may get wrong.
var seeds = []string{
	``, ` `, `{}`, ` { } `, `[]`, `null`, `"type"`, `1`, `true`, "\ufeff{}", `{"type":"x"}`, "\t{\r\n\"type\" :\n\"x\" }\n",
	`{"Type":"x"}`, `{"TYPE":"x","type":"y"}`, `{"type":"x","Data":{"agent_id":"a"}}`,
	`{"\u0074ype":"x"}`, `{"typ\u0065":"\u0078"}`, `{"type":"a\/b"}`, `{"type":"\"q\\"}`, `{"type":"a\u0000"}`, `{"type":"tab\t"}`,
	`{"type":"é"}`, `{"type":"\u00e9"}`, `{"type":"\ud83d\ude00"}`, `{"type":"\ud83d"}`, `{"type":"\u007f"}`, `{"type":"\u007E"}`,
	"{\"type\":\"\xff\"}", "{\"\xfftype\":\"x\"}", "{\"type\":\"a\x00\"}", "{\"type\":\"a\x7f\"}",
	`{"type":null}`, `{"type":1}`, `{"type":["x"]}`, `{"type":{"type":"x"}}`, `{"type":""}`,
	`{"event_timestamp":1e5}`, `{"event_timestamp":-0}`, `{"event_timestamp":1.50}`, `{"event_timestamp":"1"}`, `{"event_timestamp":"2026-01-01T00:00:00Z"}`,
	`{"event_timestamp":null}`, `{"event_timestamp":true}`, `{"event_timestamp":[1]}`, `{"event_timestamp":{"a":1}}`, `{"event_timestamp" : 12 ,"type":"x"}`,
	`{"event_timestamp":` + strings.Repeat("1", 257) + `}`,
	`{"data":[{"agent_id":"a"}]}`, `{"data":"agent_id"}`, `{"data":null}`, `{"data":{}}`, `{"data":{"agent_id":1}}`, `{"data":{"agent_id":null,"voice_id":"v"}}`,
	`{"data":{"data":{"agent_id":"a"}}}`, `{"agent_id":"a","data":{"type":"x","event_timestamp":1}}`, `{"meta":{"type":"x","data":{"agent_id":"a"}}}`,
	`{"type":"x","data":{"m":{"agent_id":"no"},"l":[{"voice_id":"no"}],"agent_id":"yes"}}`,
	`{"type":"a","type":"b"}`, `{"type":"a","type":1}`, `{"data":{"agent_id":"a"},"data":{"voice_id":"v"}}`, `{"data":{"agent_id":"a"},"data":1}`, `{"data":{"agent_id":"a","agent_id":"b"}}`,
	`{"type":"voice_removed","event_timestamp":1,"data":{"voice_id":"v","voice_id":"w"},"type":"x"}`,
	`{"a":"}{][","type":"x"}`, `{"a":"\"","type":"x"}`, `{"a":"\\","type":"x"}`, `{"a":"\\\"","type":"x"}`, `{"a":["\\\\",{"b":"]"}],"type":"x"}`,
	`{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"type":"x"}`,
	`{"` + strings.Repeat("k", 300) + `":1,"type":"x"}`, `{"type":"` + strings.Repeat("x", 256) + `"}`, `{"type":"` + strings.Repeat("x", 257) + `"}`,
	`{"a":-1.5e+10,"b":false,"c":null,"d":true,"type":"x"}`, `{"a":1}`, `{"a":1 , "type":"x"}`,
	`{"type":"x"`, `{"type":"x`, `{"type":"x",}`, `{"type" "x"}`, `{,"type":"x"}`, `{"type":"\x"}`, `{"type":"\u00g0"}`, `{"type":x}`, `{"type":"x"}}`, `{type:"x"}`,
	`{"a":1"b":2}`, `{"a":tru"e}`, `{"a":]}`, "{\"type\":\"a\nb\"}", `{"a":1:2}`, `{]`, `x`,
}

func TestAgreesWithEncodingJSON(t *testing.T) {
	for _, body := range seeds {
		t.Run(body[:min(len(body), 40)], func(t *testing.T) {
			got := inAnyPieces(t, []byte(body))
			if json.Valid([]byte(body)) && len(repeats([]byte(body))) == 0 {
				assert.Equal(t, oracle([]byte(body)), got)
			}
		})
	}
}

func TestTheLastOfRepeatedNamesCounts(t *testing.T) {
	for body, want := range map[string]Fields{
		`{"type":"a","type":"b"}`:                                             {Type: "b"},
		`{"type":"a","type":1}`:                                               {},
		`{"data":{"agent_id":"a"},"data":{"voice_id":"v"}}`:                   {VoiceID: "v"},
		`{"data":{"agent_id":"a"},"data":1}`:                                  {},
		`{"data":{"agent_id":"a","agent_id":"b"}}`:                            {AgentID: "b"},
		`{"type":"voice_removed","event_timestamp":1,"data":{"voice_id":"v"}`: {Type: "voice_removed", EventTimestamp: "1", VoiceID: "v"}, // Done before the end
	} {
		assert.Equal(t, want, inAnyPieces(t, []byte(body)), body)
	}
}

func TestWhatIsNotAnEnvelopeSaysNothing(t *testing.T) {
	for _, body := range seeds {
		if !json.Valid([]byte(body)) && !strings.HasPrefix(body, `{"type":"x"}`) {
			assert.Empty(t, scan([]byte(body)), body)
		}
	}
}

func TestDoneAsSoonAsTheTypeCanHaveNoMore(t *testing.T) {
	tests := []struct {
		name, head string
		done       bool
	}{
		{"all of a call", `{"type":"post_call_audio","event_timestamp":1,"data":{"agent_id":"a","conversation_id":"c"`, true},
		{"the other way round", `{"data":{"agent_id":"a","conversation_id":"c"},"event_timestamp":"1","type":"post_call_audio"`, true},
		{"an id missing", `{"type":"post_call_audio","event_timestamp":1,"data":{"agent_id":"a"}`, false},
		{"timestamp missing", `{"type":"post_call_audio","data":{"agent_id":"a","conversation_id":"c"}`, false},
		{"type not known", `{"type":"x","event_timestamp":1,"data":{"agent_id":"a","conversation_id":"c","voice_id":"v","request_id":"r"}`, false},
		{"end", `{}`, true},
		{"not JSON", `<`, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var s Scanner
			_, _ = s.Write([]byte(test.head))
			assert.Equal(t, test.done, s.Done())
			s.Reset()
			assert.False(t, s.Done())
			_, _ = s.Write([]byte(`{"type":"y"}`))
			assert.Equal(t, Fields{Type: "y"}, s.Fields(), "nothing is left of the body before")
		})
	}
}

// audioFirst streams a full_audio string of n bytes, then the rest.
func audioFirst(n int, w io.Writer) {
	piece := bytes.Repeat([]byte("SUQzBAAA"), 4096)
	_, _ = io.WriteString(w, `{"data":{"full_audio":"`)
	for ; n > 0; n -= len(piece) {
		_, _ = w.Write(piece[:min(n, len(piece))])
	}
	_, _ = io.WriteString(w, `","agent_id":"a","conversation_id":"c"},"event_timestamp":1,"type":"post_call_audio"}`)
}

func TestMemoryDoesNotGrowWithTheBody(t *testing.T) {
	var s Scanner
	for _, size := range []int{1, 100 << 20} {
		allocations := testing.AllocsPerRun(1, func() {
			s.Reset()
			audioFirst(size, &s)
		})
		assert.Less(t, allocations, 8.0, "%d bytes", size) // those of the generator
		assert.Equal(t, Fields{Type: "post_call_audio", EventTimestamp: "1", AgentID: "a", ConversationID: "c"}, s.Fields())
	}
}

func TestDeepNestingCostsNothing(t *testing.T) {
	const depth = 1_000_000
	body := `{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `,"type":"x"}`
	assert.Equal(t, Fields{Type: "x"}, scan([]byte(body)))
}

// oracle reads the fields by encoding/json.
func oracle(body []byte) Fields {
	var top, data map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return Fields{}
	}
	_ = json.Unmarshal(top["data"], &data) // not an object: no ids
	str := func(raw json.RawMessage) string {
		var s string
		if json.Unmarshal(raw, &s) != nil || len(s) > MaxValue {
			return ""
		}
		for _, c := range []byte(s) {
			if c < ' ' || c > '~' {
				return ""
			}
		}
		return s
	}
	f := Fields{
		Type: str(top["type"]), EventTimestamp: str(top["event_timestamp"]),
		ConversationID: str(data["conversation_id"]), AgentID: str(data["agent_id"]),
		RequestID: str(data["request_id"]), VoiceID: str(data["voice_id"]),
	}
	var number json.Number
	if raw := top["event_timestamp"]; len(raw) > 0 && raw[0] != '"' && json.Unmarshal(raw, &number) == nil && len(number) <= MaxValue {
		f.EventTimestamp = string(number)
	}
	switch f.Type {
	case "post_call_transcription", "post_call_transcription_otel", "post_call_audio", "call_initiation_failure":
		f.RequestID, f.VoiceID = "", ""
	case "speech_to_text_transcription":
		f.ConversationID, f.AgentID, f.VoiceID = "", "", ""
	case "voice_removal_notice", "voice_removal_notice_withdrawn", "voice_removed":
		f.ConversationID, f.AgentID, f.RequestID = "", "", ""
	}
	return f
}

// repeats returns the names that count and stand more than once.
func repeats(body []byte) []string {
	counts := map[string]int{}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var object func(path string)
	var value func(path string)
	object = func(path string) {
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return
			}
			counts[path+fmt.Sprint(name)]++
			value(path + fmt.Sprint(name) + "/")
		}
		_, _ = decoder.Token()
	}
	value = func(path string) {
		if path != "/" && path != "/data/" {
			var skipped json.RawMessage
			_ = decoder.Decode(&skipped)
			return
		}
		token, _ := decoder.Token()
		switch token {
		case json.Delim('{'):
			object(path)
		case json.Delim('['):
			for decoder.More() {
				var skipped json.RawMessage
				if decoder.Decode(&skipped) != nil {
					return
				}
			}
			_, _ = decoder.Token()
		}
	}
	value("/")
	var repeated []string
	for _, name := range []string{
		"/type", "/event_timestamp", "/data",
		"/data/conversation_id", "/data/agent_id", "/data/request_id", "/data/voice_id",
	} {
		if counts[name] > 1 {
			repeated = append(repeated, name)
		}
	}
	return repeated
}

func FuzzAgreesWithEncodingJSON(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := inAnyPieces(t, body)
		if json.Valid(body) && len(repeats(body)) == 0 {
			require.Equal(t, oracle(body), got)
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	var turns strings.Builder
	for turns.Len() < 128<<10 {
		turns.WriteString(`{"role":"user","message":"I would like to move my appointment to \"next\" Tuesday, please.","time_in_call_secs":12,"tool_calls":[],"llm_override":null,"conversation_turn_metrics":{"metrics":{"convai_llm_service_ttfb":{"elapsed_time":0.37}}}},`)
	}
	transcript := strings.TrimSuffix(turns.String(), ",")
	var audio bytes.Buffer
	audioFirst(8<<20, &audio)
	for name, body := range map[string][]byte{
		"transcript/documented order": []byte(`{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"xyz","conversation_id":"abc","transcript":[` + transcript + `]}}`),
		"transcript/reversed":         []byte(`{"data":{"transcript":[` + transcript + `],"conversation_id":"abc","agent_id":"xyz"},"event_timestamp":1739537297,"type":"post_call_transcription"}`),
		"audio/reversed":              audio.Bytes(),
	} {
		b.Run(name, func(b *testing.B) {
			var s Scanner
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				_, _ = s.Write(body)
				if !s.Done() {
					b.Fatal("not done")
				}
			}
		})
	}
}
