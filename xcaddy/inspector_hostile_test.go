package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// What runs if a page takes a text for markup.
const (
	scriptTag  = `<script>window.pwned=1;alert(1)</script>`
	imageTag   = `"'><img src=https://evil.example/x onerror=window.pwned=1>`
	scriptURL  = `javascript:window.pwned=1`
	template   = `{{.Secrets}}${window.pwned=1}`
	turnsRound = "evil\u202egpj.exe\u2066"
)

// hostileEvents are bodies that somebody who talks to the agent can bring about, or who
// has the webhook's secret.
func hostileEvents() map[string][]byte {
	texts := []string{scriptTag, imageTag, scriptURL, template, turnsRound, "\x00\x1b[31m\u2028", "</pre></details></bdi></textarea><style>*{display:none}</style>"}
	turns := make([]map[string]any, 0, len(texts))
	for _, text := range texts {
		turns = append(turns, map[string]any{
			"role": text, "message": text, "time_in_call_secs": text, "interrupted": text,
			"tool_calls":   []any{map[string]any{"tool_name": text, "params_as_json": text}},
			"tool_results": []any{map[string]any{"tool_name": text, "result_value": text, "is_error": text}, text, nil},
		})
	}
	of := func(text string) map[string]any {
		return map[string]any{"type": text, "event_timestamp": text, "data": map[string]any{
			"conversation_id": text, "agent_id": text, "request_id": text, "status": text, "transcript": turns, "full_audio": text,
			"analysis": map[string]any{"call_summary_title": text, "transcript_summary": text, "call_successful": text},
			"metadata": map[string]any{"main_language": text, "call_duration_secs": text, "start_time_unix_secs": text, "phone_call": text},
			text:       text,
		}}
	}
	events := map[string][]byte{}
	for i, text := range texts {
		events[fmt.Sprint("text ", i)], _ = json.Marshal(of(text))
	}
	head := `{"type":"post_call_transcription","data":{"conversation_id":"conv_hostile","transcript":`
	var keys strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&keys, `"key%d":%d,`, i, i)
	}
	for name, body := range map[string]string{
		"a string of 5 MB":        head + `[{"role":"agent","message":"` + strings.Repeat(`<b>&\u0000`, 5<<20/10) + `"}]}}`,
		"200 levels":              head + strings.Repeat(`[{"a":`, 100) + `1` + strings.Repeat(`}]`, 100) + `}}`,
		"2,000,000 levels":        head + strings.Repeat(`[`, 2_000_000),
		"100,000 keys":            head + `[],` + keys.String() + `"last":1}}`,
		"100,000 turns":           head + "[" + strings.Repeat(`{"role":"user","message":"`+"\u202e"+`"},`, 100_000) + `{}]}}`,
		"bytes that are no UTF-8": head + `[{"role":"` + "\xff\xfe\xc0\x80" + `","message":"` + "\xed\xa0\x80" + scriptTag + `"}]}}`,
		"halves of characters":    head + `[{"role":"\ud800","message":"\udfff\u0000"}]}}`,
		"the same key twice":      head + `[],"transcript":[{"role":"user","message":"twice"}]}}`,
		"other kinds of values":   `{"type":["` + scriptTag + `"],"data":[{"transcript":"x"}]}`,
		"no JSON":                 "\x00\xff" + scriptTag + "<html><body onload=alert(1)>",
		"HTML as audio":           `{"type":"post_call_audio","data":{"conversation_id":"conv_html","full_audio":"PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="}}`,
		"audio that is no base64": `{"type":"post_call_audio","data":{"conversation_id":"conv_html","full_audio":"` + strings.Repeat("!<script>", 1000) + `"}}`,
		"a number of 100 kB":      head + strings.Repeat("9", 100_000) + `}}`,
		"nothing but blanks":      " ",
	} {
		events[name] = []byte(body)
	}
	return events
}

func TestNothingInAnEventRunsInTheInspector(t *testing.T) {
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(func(w http.ResponseWriter, r *http.Request, _ int) int {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, scriptTag, imageTag, turnsRound, "\xff\x00", r.Header.Get(signature.HeaderName), r.Header.Get("Authorization"), realSecret)
		return 0
	}), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	client, events := s.client("HTTP/1.1"), hostileEvents()
	hidden := append(make([]string, 0, 5+len(events)), secret, realSecret, "a-credential", operatorKey, operatorHash)
	for _, body := range events {
		request := s.event(body)
		hidden = append(hidden, strings.Split(request.Header.Get(signature.HeaderName), "v0=")[1])
		request.Header.Set("X-Hostile", scriptTag+imageTag+"\xff\xe2\x80\xae")
		request.Header.Set("User-Agent", imageTag)
		request.Header.Set("Authorization", "Bearer a-credential")
		request.Header.Set("Cookie", "session=a-credential")
		request.URL.RawQuery = "<script>window.pwned=1</script>&\"onload='"
		require.Equal(t, "stored", send(t, client, request).header.Get(headerInbox))
	}
	s.eventually("each event to be tried", func() bool {
		return !slices.ContainsFunc(s.storedEvents(), func(e shownEvent) bool { return e.State != "waiting" || e.Attempts != 1 })
	})

	p := newTab(t, s)
	load := func(name, path string) {
		p.open(path)
		loaded := eval[float64](p, "performance.getEntriesByType('navigation')[0].loadEventEnd")
		assert.Less(t, loaded, 10_000.0, name) // two seconds on a machine that does nothing else
		assert.NotEqual(t, "(missing)", p.text("h1"), name)
		require.False(t, eval[bool](p, "'pwned' in window || !!document.querySelector('main script, main img, main style, main [onerror], a[href^=\"javascript\" i]')"), name)
		html := eval[string](p, "document.documentElement.outerHTML")
		t.Logf("%s: %.0f ms, %d kB", name, loaded, len(html)>>10)
		assert.Less(t, len(html), 4<<20, name)
		for _, value := range hidden {
			require.Negative(t, strings.Index(html, value), "%s shows %s", name, value)
		}
		p.requireQuiet()
	}
	paths := map[string]string{"the list": "/events", "the overview": "/", "the deliveries": "/deliveries", "a page that is not there": "/" + url.PathEscape(scriptTag)}
	for name, body := range events {
		paths[name] = s.pathOf(body)
	}
	for field, path := range map[string]string{"search": "/events", "state": "/events", "type": "/events", "period": "/events", "inbox": "/events", "before": "/events", "webhook": "/deliveries", "result": "/deliveries", "done": "/events", "find": "/events/1"} {
		paths["the field "+field] = path + "?" + url.Values{field: {scriptTag + imageTag + turnsRound}}.Encode()
	}
	for name, path := range paths {
		load(name, path)
	}

	for _, path := range append(slices.Collect(maps.Values(paths)), "/events?limit=1000") {
		got := s.inspect(client, http.MethodGet, path, "Accept", "application/json")
		for _, value := range hidden {
			assert.Negative(t, strings.Index(got.body, value), "%s shows %s", path, value)
		}
	}
}
