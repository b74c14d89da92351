package main

import (
	"bytes"
	"encoding/base64"
	littleendian "encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// callEvent is a call in which the agent books a table.
const callEvent = `{"type": "post_call_transcription", "event_timestamp": 1739537297, "data": {"agent_id": "agent_tables", "conversation_id": "conv_booking", "status": "done",
"transcript": [
{"role": "agent", "message": "Café Münster, good evening. How can I help?", "time_in_call_secs": 0},
{"role": "user", "message": "A table for four, please.\nTomorrow at eight.", "time_in_call_secs": 5},
{"role": "agent", "message": null, "time_in_call_secs": 9, "tool_calls": [{"tool_name": "book_table", "params_as_json": "{\"guests\": 4}"}],
 "tool_results": [{"tool_name": "book_table", "result_value": "table 12 is taken", "is_error": true}]},
{"role": "agent", "message": "I am afraid that we have no table left.", "time_in_call_secs": 65, "interrupted": true}],
"metadata": {"call_duration_secs": 71, "start_time_unix_secs": 1739537226, "main_language": "en"},
"analysis": {"call_successful": "failure", "call_summary_title": "No table left", "transcript_summary": "A guest asked for a table, and got none."}}}`

// tone returns an event with a recording of some seconds, as a WAV file.
func tone(seconds int) (body, recording []byte) {
	const rate = 8000
	var file bytes.Buffer
	file.WriteString("RIFF")
	size := uint32(seconds * rate)
	_ = littleendian.Write(&file, littleendian.LittleEndian, 36+size)
	file.WriteString("WAVEfmt ")
	_ = littleendian.Write(&file, littleendian.LittleEndian, []uint32{16, 1 | 1<<16, rate, rate, 1 | 8<<16})
	file.WriteString("data")
	_ = littleendian.Write(&file, littleendian.LittleEndian, size)
	for i := range seconds * rate {
		file.WriteByte(byte(128 + 60*math.Sin(float64(i)*2*math.Pi*440/rate)))
	}
	body, _ = json.Marshal(map[string]any{"type": "post_call_audio", "data": map[string]string{
		"agent_id": "agent_tables", "conversation_id": "conv_tone", "full_audio": base64.StdEncoding.EncodeToString(file.Bytes()),
	}})
	return body, file.Bytes()
}

func TestInspectorShowsAnEventThatComes(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(taken), newInboxFile(t), "", ""))
	s.awaitInbox()
	p := newTab(t, s)
	s.sendEvents(l.event(1000))
	p.open("/events")
	p.awaitText("conv_1")
	eval[any](p, "void (window.opened = 'once')")

	s.sendEvents([]byte(callEvent))
	p.awaitText("conv_booking")
	p.await("the newest event to be the first", "document.querySelector('tbody tr').innerText.includes('conv_booking')")
	p.await("the event to be delivered", "document.querySelector('tbody tr .tag').innerText === 'delivered'")
	require.Equal(t, "once", eval[string](p, "window.opened"), "the list was loaded anew")

	p.click("//tbody/tr[1]/td/a")
	p.awaitText("Conversation", "No table left", "A guest asked for a table, and got none.")
	turns := p.text(".turns")
	for _, text := range []string{"Café Münster, good evening. How can I help?", "A table for four, please.\nTomorrow at eight.", "0:05", "1:05, interrupted", "calls book_table", "error of book_table"} {
		assert.Contains(t, turns, text)
	}
	assert.Equal(t, []any{"agent", "user", "agent", "agent"}, eval[[]any](p, "[...document.querySelectorAll('.speaker b')].map(e => e.innerText)"))
	assert.False(t, eval[bool](p, "document.body.innerText.includes('table 12 is taken')"), "the tool's result is folded")
	p.click("//details[@class='tool'][2]/summary")
	p.awaitText("table 12 is taken")

	eval[any](p, "void (document.querySelector('[name=find]').value = 'PLEASE')")
	p.press("Find")
	p.awaitText("1 found")
	assert.Equal(t, `"A table for four, please.\nTomorrow at eight."`, p.text(".found"))
	p.requireQuiet()
}

func TestInspectorPlaysARecording(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(taken), newInboxFile(t), "", ""))
	s.awaitInbox()
	wav, recording := tone(40)
	mp3 := sampleEvent(t, "--event", "audio", "--minutes", "0.2")
	s.sendEvents(wav, mp3)
	p := newTab(t, s)

	for _, test := range []struct {
		name    string
		body    []byte
		seconds float64
	}{{"WAV", wav, 40}, {"MP3", mp3, 12}} {
		p.open(s.pathOf(test.body))
		p.await(test.name+" to be ready", "document.querySelector('audio').readyState >= 2 || document.querySelector('audio').error")
		assert.Empty(t, eval[string](p, "document.querySelector('audio').error?.message ?? ''"), test.name)
		assert.InDelta(t, test.seconds, eval[float64](p, "document.querySelector('audio').duration"), 0.5, test.name)
		eval[any](p, "void document.querySelector('audio').play()")
		p.await(test.name+" to play", "document.querySelector('audio').currentTime > 0.1")
		eval[any](p, fmt.Sprintf("void (document.querySelector('audio').currentTime = %f)", test.seconds-2))
		p.await("to play on from there", fmt.Sprintf("document.querySelector('audio').currentTime > %f", test.seconds-1.9))
	}
	p.requireQuiet()

	client := s.client("HTTP/2.0")
	audio := strings.Replace(s.pathOf(wav), "?", "/audio?", 1)
	all := s.inspect(client, http.MethodGet, audio)
	assert.Equal(t, "audio/wav", all.header.Get("Content-Type"))
	assert.Equal(t, digestOf(recording), digestOf([]byte(all.body)))
	for _, test := range []struct{ span, want string }{
		{"bytes=0-3", "RIFF"},
		{"bytes=5-200000", string(recording[5:200001])},
		{"bytes=-7", string(recording[len(recording)-7:])},
		{"bytes=320001-", string(recording[320001:])},
	} {
		got := s.inspect(client, http.MethodGet, audio, "Range", test.span)
		assert.Equal(t, http.StatusPartialContent, got.status, test.span)
		assert.Equal(t, digestOf([]byte(test.want)), digestOf([]byte(got.body)), test.span)
	}
	assert.Equal(t, http.StatusRequestedRangeNotSatisfiable, s.inspect(client, http.MethodGet, audio, "Range", "bytes=320044-").status)
	for _, body := range [][]byte{wav, mp3} {
		got := s.inspect(client, http.MethodGet, strings.Replace(s.pathOf(body), "?", "/body?", 1))
		assert.Equal(t, digestOf(body), digestOf([]byte(got.body)))
		assert.Equal(t, "application/octet-stream", got.header.Get("Content-Type"))
		assert.Contains(t, got.header.Get("Content-Disposition"), "attachment")
	}
}

// faultyBackend takes events only while it is up.
type faultyBackend struct{ up atomic.Bool }

func (f *faultyBackend) answer(w http.ResponseWriter, _ *http.Request, _ int) int {
	if f.up.Load() {
		return http.StatusOK
	}
	w.WriteHeader(http.StatusBadGateway)
	_, _ = w.Write([]byte("the booking system is away"))
	return 0
}

func TestInspectorDeliversAgainWhatWaited(t *testing.T) {
	t.Parallel()
	l, backend := newInboxLedger(t), new(faultyBackend)
	s := start(t, inspectedSite(l.backend(backend.answer), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	s.sendEvents([]byte(callEvent))
	p := newTab(t, s)
	p.open(s.pathOf([]byte(callEvent)))
	p.await("the first attempt", "document.querySelector('.attempts li')")
	assert.Regexp(t, `502 backend answer\s+the booking system is away`, p.text(".attempts"))
	assert.Equal(t, "waiting", p.text("h2 .tag"))
	assert.Regexp(t, `next attempt\s.*(minutes|hour) from now`, p.text("dl"))

	backend.up.Store(true)
	p.press("Deliver again")
	p.awaitText("1 event will be delivered again.")
	eval[any](p, "void (window.opened = 'once')")
	p.await("the page to show that the event is delivered", "document.querySelector('h2 .tag').innerText === 'delivered'")
	assert.Equal(t, "once", eval[string](p, "window.opened"), "the page was loaded anew")
	assert.Regexp(t, `200 taken`, p.text(".attempts"))
	assert.Equal(t, "/events/1?inbox=default", eval[string](p, "location.pathname + location.search"), "a reload would say it once more")
	p.requireQuiet()
	s.awaitLog(`"msg":"events are delivered again, as an operator asked"`, `"user":"olga"`, `"by":"inspector"`)
}

func TestInspectorShowsTheHeadersThatTheBackendGot(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.status = http.StatusServiceUnavailable
	s := start(t, inspectedSite(b.address(), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	s.sendEvents([]byte(callEvent))
	s.eventually("the first attempt", func() bool { e := s.storedEvents()[0]; return e.State == "waiting" && e.Attempts == 1 })
	s.requireHeadersShown(b)
	b.mu.Lock()
	b.status = http.StatusOK
	b.mu.Unlock()
	require.Equal(t, http.StatusSeeOther, s.postForm("/redeliver", map[string][]string{"event": {"1"}}).status)
	s.eventually("the second attempt", func() bool { return s.inboxCount("delivered") == 1 })
	s.requireHeadersShown(b)
}

// shownHeader is a row of the table of headers.
var shownHeader = regexp.MustCompile(`<tr><th scope="row"><bdi>([^<]*)</bdi></th><td><bdi>([^<]*)</bdi>`)

// requireHeadersShown requires that the page of the event has the headers that the backend
// just got.
func (s *server) requireHeadersShown(b *backend) {
	s.t.Helper()
	got := requireDelivered(s.t, b, []byte(callEvent))
	want, shown := got.header, http.Header{}
	want.Set("Content-Length", strconv.FormatInt(got.length, 10)) // which Go keeps elsewhere
	want.Set("Elevenlabs-Signature", "REDACTED")
	want.Del("Via") // Caddy adds itself
	page := s.inspect(s.client("HTTP/1.1"), http.MethodGet, s.pathOf([]byte(callEvent)))
	for _, row := range shownHeader.FindAllStringSubmatch(page.body, -1) {
		shown.Add(html.UnescapeString(row[1]), html.UnescapeString(row[2]))
	}
	assert.Equal(s.t, want, shown)
}

func TestInspectorActsOnSelectedEvents(t *testing.T) {
	t.Parallel()
	l, backend := newInboxLedger(t), new(faultyBackend)
	s := start(t, inspectedSite(l.backend(backend.answer), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	bodies := make([][]byte, 0, 7)
	for range 6 {
		bodies = append(bodies, l.event(500))
	}
	second := []byte(strings.Replace(callEvent, "conv_booking", "conv_1", 1)) // of the first one's conversation
	s.sendEvents(append(bodies, second)...)
	s.eventually("each event to be tried", func() bool {
		for _, e := range s.storedEvents() {
			if e.State != "waiting" || e.Attempts != 1 {
				return false
			}
		}
		return true
	})
	state := func(body []byte) string {
		for _, e := range s.storedEvents() {
			if e.EventID == digestOf(body) {
				return e.State
			}
		}
		return "gone"
	}
	p := newTab(t, s)
	p.open("/events")
	require.True(t, eval[bool](p, "[...document.querySelectorAll('[data-selected] button')].every(b => b.disabled)"), "nothing is selected")

	p.tick(s.seqOf(bodies[5]), s.seqOf(bodies[4]))
	p.press("Give up")
	p.awaitText("2 events given up.")
	assert.Equal(t, "discarded", state(bodies[4]))
	assert.Equal(t, "discarded", state(bodies[5]))
	assert.Equal(t, "waiting", state(bodies[3]))

	p.tick(s.seqOf(bodies[5]))
	p.press("Forget")
	p.awaitText("Please confirm", "Delete them, with their bodies? This cannot be undone.")
	assert.Equal(t, "discarded", state(bodies[5]), "before the operator confirmed it")
	p.press("No, go back")
	p.await("the list", "location.pathname === '/events'")
	p.tick(s.seqOf(bodies[5]))
	p.press("Forget")
	p.press("Yes")
	p.awaitText("1 event deleted.")
	assert.Equal(t, "gone", state(bodies[5]))

	backend.up.Store(true)
	p.tick(s.seqOf(bodies[3]))
	p.press("Deliver again")
	p.awaitText("1 event will be delivered again.")
	p.await("the list to show it", "[...document.querySelectorAll('.tag')].filter(e => e.innerText === 'delivered').length === 1")
	assert.Equal(t, "waiting", state(bodies[2]))

	p.open("/events?inbox=default&state=waiting")
	p.press("Deliver all again")
	p.awaitText("All waiting events that the filter has, on every page of the list. Deliver them again?")
	assert.Equal(t, "waiting", state(bodies[2]), "before the operator confirmed it")
	p.press("Yes")
	p.awaitText("4 events will be delivered again.", "No stored event is like that.")
	assert.Equal(t, "delivered", state(bodies[0]))
	assert.Equal(t, "discarded", state(bodies[4]), "of another state")

	p.open(s.pathOf(second))
	p.press("Forget the whole conversation")
	p.awaitText("All events of the conversation conv_1.")
	p.press("Yes")
	p.awaitText("2 events deleted.")
	assert.Equal(t, "gone", state(second))
	assert.Equal(t, "gone", state(bodies[0]))
	assert.Equal(t, "delivered", state(bodies[1]))
	p.requireQuiet()

	for _, e := range s.storedEvents() {
		assert.NotEqual(t, "conv_1", e.ConversationID, strconv.FormatInt(e.Seq, 10))
	}
	s.awaitLog(`"msg":"events are deleted, as an operator asked"`)
}
