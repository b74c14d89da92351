package envelope

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func scan(pieces ...[]byte) (Fields, bool) {
	var s Scanner
	for _, piece := range pieces {
		_, _ = s.Write(piece)
	}
	return s.Fields(), s.Done()
}

func singly(body []byte) [][]byte {
	pieces := make([][]byte, 0, len(body))
	for i := range body {
		pieces = append(pieces, body[i:i+1])
	}
	return pieces
}

// inAnyPieces scans a body whole, byte by byte and in random pieces. It requires the
// same answer each time, and returns it.
func inAnyPieces(t *testing.T, body string) Fields {
	t.Helper()
	whole, wholeDone := scan([]byte(body))
	same := func(how string, pieces [][]byte) {
		got, done := scan(pieces...)
		require.Equal(t, whole, got, "%s of %q", how, body)
		require.Equal(t, wholeDone, done, "%s of %q", how, body)
	}
	same("each byte", singly([]byte(body)))
	random := rand.New(rand.NewPCG(uint64(len(body)), 1))
	for range 20 {
		var pieces [][]byte
		for rest := []byte(body); len(rest) > 0; {
			n := random.IntN(min(len(rest), 40) + 1) // 0 makes an empty piece
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		same("random pieces", pieces)
	}
	return whole
}

func TestFieldsOfDocumentedEvents(t *testing.T) {
	for _, test := range documented {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, inAnyPieces(t, test.body))
			assert.Equal(t, test.want, oracle([]byte(test.body)), "encoding/json reads another")
		})
	}
}

func TestFieldsOfUnusualValues(t *testing.T) {
	tests := []struct {
		name, body string
		want       Fields
	}{
		{"escapes in a name", `{"\u0074ype":"x"}`, Fields{EventType: "x"}},
		{"escapes in a value", `{"type":"\u0078\/\"\\"}`, Fields{EventType: `x/"\`}},
		{"another case of a name", `{"Type":"x"}`, Fields{}},
		{"a control character", `{"type":"a\n"}`, Fields{}},
		{"DEL", `{"type":"a\u007f"}`, Fields{}},
		{"a surrogate pair", `{"type":"\ud83d\ude00"}`, Fields{}},
		{"256 bytes", `{"type":"` + strings.Repeat("x", MaxValue) + `"}`, Fields{EventType: strings.Repeat("x", MaxValue)}},
		{"256 bytes in escapes", `{"type":"` + strings.Repeat(`\u0078`, MaxValue) + `"}`, Fields{EventType: strings.Repeat("x", MaxValue)}},
		{"257 bytes", `{"type":"` + strings.Repeat("x", MaxValue+1) + `"}`, Fields{}},
		{"a type that is a number", `{"type":1}`, Fields{}},
		{"a timestamp as a float", `{"event_timestamp":1.50e+09}`, Fields{EventTimestamp: "1.50e+09"}},
		{"a timestamp of minus zero", `{"event_timestamp":-0}`, Fields{EventTimestamp: "-0"}},
		{"a timestamp as a string", `{"event_timestamp":"2026-01-01T00:00:00Z"}`, Fields{EventTimestamp: "2026-01-01T00:00:00Z"}},
		{"a timestamp of null", `{"event_timestamp":null}`, Fields{}},
		{"a timestamp of 257 digits", `{"event_timestamp":` + strings.Repeat("1", MaxValue+1) + `}`, Fields{}},
		{"ids elsewhere", `{"agent_id":"a","data":{"x":{"agent_id":"b"}},"x":{"data":{"agent_id":"c"}}}`, Fields{}},
		{"data in an array", `{"data":[{"agent_id":"a"}]}`, Fields{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, inAnyPieces(t, test.body))
			assert.Equal(t, test.want, oracle([]byte(test.body)), "encoding/json reads another")
		})
	}
}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	for _, body := range valid {
		require.True(t, json.Valid([]byte(body)), body)
		assert.Equal(t, oracle([]byte(body)), inAnyPieces(t, body), body)
	}
}

func TestLastOfRepeatedNamesCounts(t *testing.T) {
	for _, test := range repeating {
		assert.Equal(t, test.want, inAnyPieces(t, test.body), test.body)
		assert.Equal(t, test.want, oracle([]byte(test.body)), "encoding/json reads %s otherwise", test.body)
	}
}

func TestRepeatedNamesAfterDoneAreNotRead(t *testing.T) {
	want := Fields{EventType: "voice_removed", EventTimestamp: "1", VoiceID: "v"}
	for _, rest := range []string{`}}`, ``, `,"voice_id":"w"}}`, `},"type":"x"}`, `},"data":{"voice_id":"w"}}`, `}garbage`} {
		assert.Equal(t, want, inAnyPieces(t, `{"type":"voice_removed","event_timestamp":1,"data":{"voice_id":"v"`+rest), rest)
	}
}

func TestUnreadableBodyHasNoFields(t *testing.T) {
	for _, body := range unreadable {
		require.False(t, json.Valid([]byte(body)), body)
		assert.Empty(t, inAnyPieces(t, body), body)
	}
}

func TestSkippedValuesAreNotChecked(t *testing.T) {
	for _, body := range []string{`{"a":"\x","type":"x"}`, "{\"a\":\"\n\",\"type\":\"x\"}", `{"a":[1:{]},"type":"x"}`} {
		require.False(t, json.Valid([]byte(body)), body)
		assert.Equal(t, Fields{EventType: "x"}, inAnyPieces(t, body), body)
	}
}

func TestTruncatedBodyHasNoFields(t *testing.T) {
	for _, test := range documented {
		for n := range test.body {
			if got, done := scan([]byte(test.body[:n])); !done {
				assert.Empty(t, got, test.body[:n])
			} else {
				assert.Equal(t, test.want, got, test.body[:n])
			}
		}
	}
}

func TestDone(t *testing.T) {
	tests := []struct {
		name, body string
		want       bool
	}{
		{"all fields of a call", `{"type":"post_call_audio","event_timestamp":1,"data":{"agent_id":"a","conversation_id":"c"`, true},
		{"all fields of a call, in reverse order", `{"data":{"conversation_id":"c","agent_id":"a"},"event_timestamp":"1","type":"post_call_audio"`, true},
		{"all fields of a transcription", `{"type":"speech_to_text_transcription","event_timestamp":1,"data":{"request_id":"r"`, true},
		{"all fields of a voice", `{"type":"voice_removed","event_timestamp":1,"data":{"voice_id":"v"`, true},
		{"all fields, with unusable values", `{"type":"voice_removed","event_timestamp":null,"data":{"voice_id":1,`, true},
		{"within the last value", `{"type":"voice_removed","event_timestamp":1,"data":{"voice_id":"v`, false},
		{"within a number", `{"data":{"voice_id":"v"},"type":"voice_removed","event_timestamp":1`, false},
		{"an id missing", `{"type":"post_call_audio","event_timestamp":1,"data":{"agent_id":"a"}`, false},
		{"the ids replaced by none", `{"data":{"voice_id":"v"},"data":{},"event_timestamp":1,"type":"voice_removed"`, false},
		{"the timestamp missing", `{"type":"post_call_audio","data":{"agent_id":"a","conversation_id":"c"}`, false},
		{"the type missing", `{"event_timestamp":1,"data":{"agent_id":"a","conversation_id":"c","voice_id":"v","request_id":"r"}`, false},
		{"the type not known", `{"type":"x","event_timestamp":1,"data":{"agent_id":"a","conversation_id":"c","voice_id":"v","request_id":"r"}`, false},
		{"nothing yet", ` `, false},
		{"the end", `{"type":"x"}`, true},
		{"not an object", `[`, true},
		{"not JSON", `{"type":"x";`, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, done := scan([]byte(test.body))
			assert.Equal(t, test.want, done)
		})
	}
}

func TestWriteAcceptsAllBytes(t *testing.T) {
	var s Scanner
	for _, piece := range []string{``, `{"type"`, `:]`, `more`} {
		n, err := s.Write([]byte(piece))
		assert.Equal(t, len(piece), n)
		assert.NoError(t, err)
	}
}

func TestResetForgetsTheBodyBefore(t *testing.T) {
	body := []byte(`{"type":"post_call_audio","data":{"agent_id":"a"}}`)
	want := Fields{EventType: "post_call_audio", AgentID: "a"}
	var s Scanner
	for _, before := range everyBody() {
		for _, n := range []int{len(before), len(before) / 2, len(before) / 3, len(before) - 1} {
			_, _ = s.Write([]byte(before)[:max(n, 0)])
			s.Reset()
			require.False(t, s.Done(), before)
			require.Empty(t, s.Fields(), before)
			_, _ = s.Write(body)
			require.Equal(t, want, s.Fields(), before)
			s.Reset()
		}
	}
}

func TestWriteKeepsNothingOfThePiece(t *testing.T) {
	var s Scanner
	piece := []byte(`{"type":"x","data":{"voice_id":"v"}}`)
	_, _ = s.Write(piece)
	clear(piece)
	assert.Equal(t, Fields{EventType: "x", VoiceID: "v"}, s.Fields())
}

// audioFirst writes a post_call_audio in pieces of 32 KiB. Its full_audio has n bytes
// and stands before all fields.
func audioFirst(w io.Writer, n int) {
	_, _ = w.Write(audioHead)
	for ; n > 0; n -= len(audioPiece) {
		_, _ = w.Write(audioPiece[:min(n, len(audioPiece))])
	}
	_, _ = w.Write(audioTail)
}

var (
	audioHead  = []byte(`{"data":{"full_audio":"`)
	audioPiece = bytes.Repeat([]byte("SUQzBAAA"), 4096)
	audioTail  = []byte(`","agent_id":"a","conversation_id":"c"},"event_timestamp":1,"type":"post_call_audio"}`)
)

func TestMemoryDoesNotGrowWithTheBody(t *testing.T) {
	s := new(Scanner)
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		s.Reset()
		audioFirst(s, 100<<20)
	}))
	assert.Equal(t, Fields{EventType: "post_call_audio", EventTimestamp: "1", AgentID: "a", ConversationID: "c"}, s.Fields())
}

func TestNestingTakesNoMemory(t *testing.T) {
	const depth = 1_000_000
	body := []byte(`{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `,"type":"x"}`)
	s := new(Scanner)
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		s.Reset()
		_, _ = s.Write(body)
	}))
	assert.Equal(t, Fields{EventType: "x"}, s.Fields())
}

// A scanner that searches for the closing quote again after each escape takes
// quadratic time.
func TestStringFullOfEscapesTakesLinearTime(t *testing.T) {
	for _, escape := range []string{`\\`, `\"`} {
		body := []byte(`{"a":"` + strings.Repeat(escape, 1<<19) + `","type":"x"}`)
		start := time.Now()
		got, _ := scan(body)
		assert.Less(t, time.Since(start), 5*time.Second, escape)
		assert.Equal(t, Fields{EventType: "x"}, got)
	}
}

// skipBytes is the plain form of skipWords: byte by byte, only skipBytes skips.
func TestSkippedValueEndsAtTheSameByteInAnyPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{`"`, `"`, `\`, `{`, `}`, `[`, `]`, `[]`, `{"a":`, `"",`, `\\`, `\"`, "abcdefgh", " ", ":", "#", "z", "|", "^", "é", "\xdb", "\xff", "\x00", "\n", "\x80\x7f"}
	read := 0
	for range 1000 {
		body := `{"a":[`
		for range random.IntN(24) {
			body += alphabet[random.IntN(len(alphabet))]
		}
		body += `],"type":"x","event_timestamp":1}`
		plain, plainDone := scan(singly([]byte(body))...)
		for cut := range body {
			got, done := scan([]byte(body[:cut]), []byte(body[cut:]))
			require.Equal(t, plain, got, "%q cut at %d", body, cut)
			require.Equal(t, plainDone, done, "%q cut at %d", body, cut)
		}
		if json.Valid([]byte(body)) {
			require.Equal(t, oracle([]byte(body)), plain, "%q", body)
		}
		if plain.EventType != "" {
			read++
		}
	}
	require.Greater(t, read, 50, "too few of the values ended")
}
