package reencode

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	body        = `{"type":"post_call_transcription","event_timestamp":1795421650,"data":{"conversation_id":"conv_1","agent_id":"agent_1","cost":0.10,"summary":"Café <b>&</b> Tee 😀 a/b"}}`
	spacedASCII = `{"type": "post_call_transcription", "event_timestamp": 1795421650, "data": {"conversation_id": "conv_1", "agent_id": "agent_1", "cost": 0.10, "summary": "Caf\u00e9 <b>&</b> Tee \ud83d\ude00 a/b"}}`
)

func TestFormsAgreeWithEncodingJSON(t *testing.T) {
	inputs := []string{
		body, spacedASCII, ` [1, -0.0, 1e-05, true , null, "", {}, [ ] , {"a":{"b":[[]]}}] `, `"x"`, `12345678901234567890`,
		`{"b":"\u0000\u001f\b\f\n\r\t\"\\\/\u2028<>&` + "\x7f" + `","a":[{"y":1,"x":2}]}`,
	}
	text := func(out []byte, err error) string { require.NoError(t, err); return string(out) }
	for _, input := range inputs {
		value, ok := Parse([]byte(input))
		require.True(t, ok, input)
		for _, form := range Forms {
			out := form.Append(nil, value)
			assert.JSONEq(t, input, string(out), form.Name)
		}
		var buffer bytes.Buffer
		require.NoError(t, json.Compact(&buffer, []byte(input)))
		assert.Equal(t, buffer.String(), string(Forms[0].Append(nil, value)))
		buffer.Reset()
		require.NoError(t, json.Indent(&buffer, bytes.TrimSpace([]byte(input)), "", "  "))
		indented := Form{layout: indented("  "), escapes: escapes{kept: true}}
		assert.Equal(t, buffer.String(), string(indented.Append(nil, value)))

		decoder := json.NewDecoder(strings.NewReader(input))
		decoder.UseNumber()
		var decoded any
		require.NoError(t, decoder.Decode(&decoded))
		marshalled := Form{layout: compact, escapes: escapes{other: htmlCharacters}, order: sortedOrder}
		assert.Equal(t, text(json.Marshal(decoded)), string(marshalled.Append(nil, value)))
	}
}

func TestStringsKeepBytesThatHaveNoOtherForm(t *testing.T) {
	for input, want := range map[string]string{
		`"\ud83d"`:             `"\ud83d"`,
		`"\uDE00\uD83Dx"`:      `"\ude00\ud83dx"`,
		"\"\xff\xc3\"":         "\"\xff\xc3\"",
		`"\ufffd"`:             "\"\ufffd\"",
		`"\ud83d\ude00\u00e9"`: `"😀é"`,
	} {
		value, ok := Parse([]byte(input))
		require.True(t, ok)
		assert.Equal(t, want, string(Form{}.Append(nil, value)), input)
	}
}

func FuzzForms(f *testing.F) {
	f.Add(body)
	f.Add(`{"a\"":"\ud83d","a":[1,{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		value, ok := Parse([]byte(text))
		if !ok {
			return
		}
		for _, form := range Forms {
			out := form.Append(nil, value)
			require.True(t, json.Valid(out), "%s: %q", form.Name, out)
			again, _ := Parse(out)
			require.Equal(t, string(out), string(form.Append(nil, again)), form.Name)
		}
	})
}

func FuzzRestorations(f *testing.F) {
	f.Add(body)
	f.Add(`{"price":0,"a":[],"b":{"cost":1.0e21,"c":-0,"d":1E400,"e":[]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		value, ok := Parse([]byte(text))
		if !ok {
			return
		}
		for out := range Restorations(value, 1<<12) {
			require.True(t, json.Valid(out), "%q", out)
		}
		WritersOf([]byte(text), value)
		Traits([]byte(text), value)
	})
}
