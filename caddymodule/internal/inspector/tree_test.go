package inspector

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestShortenedJSONIsStillJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":"1234","b":["12345"]}`: `{"a":"1234","b":["1234…"]}`,
		`"12345678"`:                 `"1234…"`,
		`"123\"5"`:                   `"123\"…"`,
		`"123\\"`:                    `"123\\"`,
		`"123\u00e45"`:               `"123\u00e4…"`,
		`"äöü"`:                      `"äö…"`,
		`"123ä5"`:                    `"123ä…"`,
		`{"12345":1}`:                `{"1234…":1}`,
		`""`:                         `""`,
		`12345678`:                   `12345678`,
	} {
		for name, from := range map[string]io.Reader{"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
			got, err := io.ReadAll(newShortener(from, 4))
			require.NoError(t, err)
			assert.Equal(t, want, string(got), name)
			assert.True(t, json.Valid(got), want)
		}
	}
}

// flat writes a tree as text.
func (n *node) flat() string {
	if n == nil {
		return "nothing"
	}
	key := ""
	if n.Named {
		key = n.Key + "="
	}
	if n.Kind != "object" && n.Kind != "array" {
		return key + n.Text
	}
	parts := make([]string, len(n.Children))
	for i, child := range n.Children {
		parts[i] = child.flat()
	}
	return key + n.Kind + "(" + strings.Join(parts, " ") + ")"
}

func TestTreeHasWhatTheTextHasUpToItsEnd(t *testing.T) {
	for _, test := range []struct {
		text, want string
		whole      bool
	}{
		{`{"a":1,"b":[true,null,"x"],"c":{}}`, "object(a=1 b=array(true null x) c=object())", true},
		{`{"price":9.18e-05,"big":12345678901234567890}`, "object(price=9.18e-05 big=12345678901234567890)", true},
		{`{"a":1,"a":2}`, "object(a=1 a=2)", true},
		{`{"a":{"b":"x`, "object(a=object())", false},
		{`{"a":1} trailing`, "object(a=1)", true},
		{`{"a":1,`, "object(a=1)", false},
		{`[1,2`, "array(1 2)", false},
		{`hello`, "nothing", false},
		{``, "nothing", false},
	} {
		root, whole := parseTree(strings.NewReader(test.text))
		assert.Equal(t, test.want, root.flat(), test.text)
		assert.Equal(t, test.whole, whole, test.text)
	}
}

func TestTreeIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"many values": "[" + strings.Repeat("1,", 200_000) + "1]",
		"deep":        strings.Repeat("[", 100_000),
	} {
		root, whole := parseTree(strings.NewReader(text))
		assert.False(t, whole, name)
		count, depth := 0, 0
		var walk func(*node, int)
		walk = func(n *node, at int) {
			count, depth = count+1, max(depth, at)
			for _, child := range n.Children {
				walk(child, at+1)
			}
		}
		walk(root, 0)
		assert.LessOrEqual(t, count, maxNodes, name)
		assert.LessOrEqual(t, depth, maxDepth, name)
	}
}

func TestALongListIsFoldedUnlessSomethingWasFoundInIt(t *testing.T) {
	for _, end := range []string{"]}", ""} {
		root, _ := parseTree(strings.NewReader(`{"short":[1],"long":[` + strings.TrimSuffix(strings.Repeat(`1,`, maxOpen+1), ",") + end))
		assert.True(t, root.at("short").Open)
		assert.False(t, root.at("long").Open, end)
		root.find("1")
		assert.True(t, root.at("long").Open)
	}
}

func TestFindOpensWhatIsAroundIt(t *testing.T) {
	root, _ := parseTree(strings.NewReader(`{"a":{"b":{"c":{"d":{"e":"Needle"}}}},"x":{"y":{"z":{"w":1}}},"needles":2}`))
	assert.Equal(t, 2, root.find("NEEDLE"))
	assert.True(t, root.at("a", "b", "c", "d").Open)
	assert.True(t, root.at("a", "b", "c", "d", "e").FoundText)
	assert.True(t, root.at("needles").FoundKey)
	assert.False(t, root.at("needles").FoundText, "of the value of this key")
	assert.False(t, root.at("x", "y", "z").Open)
}

func TestALongConversationIsCut(t *testing.T) {
	for turns, more := range map[int]int{maxTurns: 0, maxTurns + 5: 5} {
		root, _ := parseTree(strings.NewReader(`{"data":{"transcript":[` + strings.Repeat(`{"role":"user"},`, turns-1) + `{}]}}`))
		c := readConversation(root)
		assert.Len(t, c.Turns, maxTurns)
		assert.Equal(t, more, c.More)
	}
}

func TestConversationHasWhoSaidWhatWhenAndTheTools(t *testing.T) {
	root, _ := parseTree(strings.NewReader(`{"type":"post_call_transcription","data":{"status":"done",
"transcript":[
 {"role":"agent","message":"Hello","time_in_call_secs":0,"tool_calls":[],"tool_results":null},
 {"role":"user","message":null,"time_in_call_secs":65,"interrupted":true},
 {"role":"agent","message":"Wait","time_in_call_secs":3601.5,
  "tool_calls":[{"tool_name":"book","params_as_json":"{\"day\": 1}"}],"tool_results":[{"tool_name":"book","result_value":"full","is_error":true}]}],
"metadata":{"call_duration_secs":157,"start_time_unix_secs":1739537840,"termination_reason":"Call ended by remote party","error":{"code":1010,"reason":"Missing"}},
"analysis":{"call_successful":"success","transcript_summary":"They talked.","call_summary_title":"A talk"}}}`))
	assert.Equal(t, &conversation{
		Title: "A talk", Summary: "They talked.",
		Facts: [][2]string{
			{"status", "done"},
			{"result", "success"},
			{"duration", "2:37"},
			{"began", "2025-02-14 12:57:20 UTC"},
			{"ended by", "Call ended by remote party"},
			{"error", "Missing"},
		},
		Turns: []turn{
			{Role: "agent", At: "0:00", Message: "Hello"},
			{Role: "user", At: "1:05", Interrupted: true},
			{Role: "agent", At: "60:01", Message: "Wait", Tools: []tool{
				{Name: "book", Text: `{"day": 1}`}, {Name: "book", Text: "full", Result: true, Failed: true},
			}},
		},
	}, readConversation(root))
	for _, other := range []string{`{"data":{"full_audio":"AAAA"}}`, `{"data":{"transcript":"text"}}`, `[]`, `{"data":1}`} {
		root, _ := parseTree(strings.NewReader(other))
		assert.Nil(t, readConversation(root), other)
	}
}
