package reencode_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode/reencodetest"
)

func TestABodyThatSoftwareRewroteIsRestored(t *testing.T) {
	for _, c := range reencodetest.Rewritten(t) {
		t.Run(c.Name, func(t *testing.T) {
			require.NotEqual(t, c.Signed, c.Body)
			value, ok := reencode.Parse([]byte(c.Body))
			require.True(t, ok)
			restored := false
			for text := range reencode.Restorations(value, 1<<20) {
				restored = restored || string(text) == c.Signed
			}
			assert.Equal(t, c.Whole, restored)

			read := []reencode.Value{value}
			if original, ok := reencode.Parse([]byte(c.Signed)); ok && c.Whole {
				read = append(read, original)
			}
			for _, value := range read {
				var platforms []string
				for _, w := range reencode.WritersOf([]byte(c.Body), value) {
					platforms = append(platforms, w.Platform)
				}
				assert.Contains(t, platforms, c.Platform)
			}
		})
	}
}

func TestTheWriterOfSortedNamesOrOtherIndentsIsNamed(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"a":"\u003cb\u003e","price":0.0}`, "Go (json.Marshal)"}, // with UseNumber
		{"{\n \"b\": 1.5,\n \"a\": 2\n}", "JavaScript (JSON.stringify)"},
		{"{\n \"a\": \"\\u003c\",\n \"b\": 2\n}", "Go (json.Marshal)"},
		{"{\r\n    \"b\": 0,\r\n    \"a\": 1.5\r\n}\r\n", "JavaScript (JSON.stringify)"}, // and an editor on Windows
		{"{\n   \"b\": 1.5,\n   \"a\": 2\n}", "jq"},
	} {
		value, ok := reencode.Parse([]byte(test.text))
		require.True(t, ok)
		writers := reencode.RewritersOf([]byte(test.text), value)
		names := make([]string, 0, len(writers))
		for _, w := range writers {
			names = append(names, w.Name)
		}
		assert.Contains(t, names, test.want, test.text)
		assert.NotContains(t, names, "Ruby (JSON.generate or to_json)", test.text)
	}
}

// .NET is not at hand where the tests run. These are its documented forms.
func TestDotNetIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":"\u0022Caf\u00E9 \u003Cb\u003E\u0026\u0027\u002B\uD83D\uDE00","price":0,"b":9.18E-05}`: ".NET (System.Text.Json)",
		`{"a":"\"Café <b>&'+😀","price":0.0,"b":9.18E-05}`:                                            ".NET (Newtonsoft.Json)",
		"{\r\n  \"a\": 9.18E-05,\r\n  \"b\": []\r\n}":                                                ".NET (Newtonsoft.Json)",
	} {
		value, ok := reencode.Parse([]byte(text))
		require.True(t, ok)
		writers := reencode.RewritersOf([]byte(text), value)
		names := make([]string, 0, len(writers))
		for _, w := range writers {
			names = append(names, w.Name)
		}
		assert.Contains(t, names, want)
		for _, name := range names {
			assert.Contains(t, name, ".NET", text)
		}
	}
}
