package verify

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode/reencodetest"
)

func TestExplainNamesWhoRewroteABody(t *testing.T) {
	for _, c := range reencodetest.Rewritten(t) {
		t.Run(c.Name, func(t *testing.T) {
			e := explainedBy(t, captured(c.Body, headerOf(explainedSecret, c.Signed)), explainedSecret, explainedAt)
			assert.True(t, strings.HasPrefix(e.Sentence, "The body was parsed and encoded again by "), e.Sentence)
			assert.Regexp(t, `[ ,]`+regexp.QuoteMeta(c.Platform)+`[ ,:.]`, e.Sentence)
			assert.Regexp(t, "bytes as received|column of type bytea", e.Remedy)
			if c.Whole {
				assert.Equal(t, reserialised, e.Change)
				assert.Equal(t, pass, e.Then.Result)
				assert.NotContains(t, e.Sentence, "secret")
			} else {
				assert.Contains(t, []string{"order_lost", "body_rewritten"}, e.Change)
				assert.Contains(t, e.Sentence, "cannot be recovered. If nothing changes the body, the sender has another secret.")
			}
		})
	}
}

// lossy are the changes after which the signed bytes are not there any more.
var lossy = []string{
	"javascript_inspect_short", "object_object", "php_printed", "go_map", "buffer_printed",
	"names_changed", "values_hidden", "body_cut_off",
}

func TestExplainKnowsWhatCarriesABody(t *testing.T) {
	for _, c := range reencodetest.Carried(t) {
		t.Run(c.Name, func(t *testing.T) {
			at := explainedAt
			header := headerOf(explainedSecret, c.Signed)
			if c.Change == "data_only" { // ElevenLabs signs an event at its time
				at = eventTime([]byte(c.Signed))
				header = headerAt(at, explainedSecret, c.Signed)
			}
			e := explainedBy(t, captured(c.Body, header), explainedSecret, at)
			assert.Equal(t, c.Change, e.Change, e.Sentence)
			assert.True(t, strings.HasPrefix(e.Sentence, "The body ") || strings.HasPrefix(e.Sentence, "The end of the body ") || strings.HasPrefix(e.Sentence, "Line ends ") || strings.HasPrefix(e.Sentence, "Quotes ") || strings.HasPrefix(e.Sentence, "Values of the body "), e.Sentence)
			if slices.Contains(lossy, c.Change) {
				assert.Nil(t, e.Then)
			} else {
				require.NotNil(t, e.Then, e.Sentence)
				assert.Equal(t, pass, e.Then.Result)
			}
		})
	}
}

// What the body is stands first, also where the secret is wrong too.
func TestExplainKnowsWhatCarriesABodyWithAnotherSecret(t *testing.T) {
	for _, c := range reencodetest.Carried(t) {
		if c.Change == "lines_broken" || c.Change == "body_end_lost" || c.Change == "characters_typeset" {
			continue // nothing shows there but that the body is not JSON
		}
		if !strings.HasSuffix(c.Name, "escaped") {
			continue // one shape is enough here
		}
		t.Run(c.Name, func(t *testing.T) {
			e := explainedBy(t, captured(c.Body, headerOf("wsec_another", c.Signed)), explainedSecret, explainedAt)
			assert.Equal(t, c.Change, e.Change, e.Sentence)
			assert.Contains(t, e.Sentence, "body")
		})
	}
}

func TestExplainDoubtsTheSecretOfABodyInElevenLabsForm(t *testing.T) {
	for name, body := range reencodetest.Shapes(t) {
		e := explainedBy(t, captured(body, headerOf("wsec_another", body)), explainedSecret, explainedAt)
		assert.Equal(t, "nothing_fits", e.Change, name)
		assert.Contains(t, e.Sentence, "another secret", name)
		assert.Contains(t, e.Remedy, "Compare the secret first.", name)
	}
}

// explain hashes each body that it tries, which takes nearly all of its time.
func TestExplainTriesALargeBodyInBoundedWork(t *testing.T) {
	body := largeBody(t)
	for name, c := range map[string]string{
		"in ElevenLabs's form": body,
		"by JavaScript":        strings.NewReplacer(", ", ",", ": ", ":", "0.0,", "0,").Replace(body),
		"an item of n8n":       `[{"webhookUrl":"x","body":` + body + `}]`,
		"cut off":              body[:150_000],
	} {
		tried := 0
		_, err := explain(t.Context(), captured(c, headerOf(explainedSecret, "other")), []byte(explainedSecret), defaultWindow, explainedAt, func() { tried++ })
		require.NoError(t, err)
		assert.Less(t, tried, 1000, name)
	}
}

// largeBody has 200 KB.
func largeBody(tb testing.TB) string {
	tb.Helper()
	body := reencodetest.Shapes(tb)["done_24k"]
	begin, end := strings.Index(body, `"transcript": [`)+len(`"transcript": [`), strings.Index(body, `], "metadata"`)
	turns := body[begin:end]
	body = body[:end] + strings.Repeat(", "+turns, 190_000/len(turns)) + body[end:]
	require.Greater(tb, len(body), 190_000)
	return body
}

func BenchmarkExplainALargeBody(b *testing.B) {
	body := largeBody(b)
	for b.Loop() {
		_, err := explain(b.Context(), captured(body, headerOf(explainedSecret, "other")), []byte(explainedSecret), defaultWindow, explainedAt, func() {})
		require.NoError(b, err)
	}
}

// Bodies are what strangers send and tools break.
func FuzzExplain(f *testing.F) {
	for _, test := range explainTests {
		f.Add(string(test.capture.body))
	}
	for _, seed := range []string{
		" ", "{'a': b'\\x00', 1: [None, True]}", `{"a"=>:b, :c=>nil, "d"=>"\u{1f600}"}`, "{ a: [Object], b: `x`, }", "%{\"a\" => nil}",
		"b'\\x7b\\'", "[123 34]", `{"data":"{}","type":1}`, "2\r\n{}\r\n0\r\n\r\n", `{"Records":[{"body":"[{}]"}]}`, `"{\"a\`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		e := explainedBy(t, captured(body, headerOf("wsec_another", genuine)), explainedSecret, explainedAt)
		assert.NotEmpty(t, e.Change)
		assert.NotContains(t, e.Sentence+e.Remedy, explainedSecret[5:])
		_, _ = parseRequest([]byte(body))
	})
}
