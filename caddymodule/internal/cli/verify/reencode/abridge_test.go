package reencode

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each form writes the same, or not the same, of an abridged value as of the value.
func TestFormsDifferForAnAbridgedValueAsForTheValue(t *testing.T) {
	for _, long := range []string{"a/b", `a\/b`, "a+b=", `<&>'`, "é\u2028\U0001f600", `\u00e9\ud83d\ude00`, `\n\"\\`, "\u007f`", `\ud83d`} {
		v, ok := Parse([]byte(`{"long": "` + strings.Repeat(long, longString) + `", "other": [1.0, "a/b"]}`))
		require.True(t, ok)
		short := Abridge(v)
		assert.Less(t, len(short.source), 200)
		first, firstShort := writers[0].form.Append(nil, v), writers[0].form.Append(nil, short)
		for _, w := range writers {
			assert.Equal(t,
				bytes.Equal(first, w.form.Append(nil, v)),
				bytes.Equal(firstShort, w.form.Append(nil, short)), "%s: %s", w.Name, long)
		}
	}
}

func TestShortStringsAreNotAbridged(t *testing.T) {
	text := `{"a": "` + strings.Repeat("x", longString-3) + `"}`
	assert.Equal(t, text, string(AbridgeText([]byte(text))))
	text = `{"a": "` + strings.Repeat("xy", longString) + `", "` + strings.Repeat("n", longString) + `": 1}`
	assert.Equal(t, `{"a": "xy", "n": 1}`, string(AbridgeText([]byte(text))))
}
