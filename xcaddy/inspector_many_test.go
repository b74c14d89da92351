package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyEvents is how many events fill puts into an inbox.
const manyEvents = 100_000

// fill puts many events into a database: of each thousand, one is dead, nine wait, and
// the rest is delivered. Their bodies are gone.
func fill(t testing.TB, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(20000)")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(`
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1), now(ms) AS (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER))
INSERT INTO elevenlabs_inbox_event
(inbox, event_id, type, conversation_id, agent_id, request_id, fields, request, size, stored, state, attempts, armed_at, received_at, next_at, done_at)
SELECT 'default', printf('%064x', i * 7919), 'post_call_transcription', 'conv_' || i, 'agent_' || (i % 50), 'request_' || i, '{"signed_at":"1739537297","secret_name":"end-to-end"}',
'{"host":"hooks.example.com","uri":"/webhooks/elevenlabs","header":{"User-Agent":["Python/3.12 aiohttp/3.11.11"],"Content-Type":["application/json"],"X-Other":["' || hex(randomblob(400)) || '"]},"remote_addr":"127.0.0.1:1","client_ip":"127.0.0.1"}',
8192, 0, CASE WHEN i % 1000 = 0 THEN 'dead' WHEN i % 1000 < 10 THEN 'waiting' ELSE 'delivered' END, 1, ms, ms - 1000 * ($1 - i), ms + 1000000000, CASE WHEN i % 1000 BETWEEN 1 AND 9 THEN 0 ELSE ms END
FROM n, now`, manyEvents)
	require.NoError(t, err)
}

// startWithMany starts a server whose inbox has many events.
func startWithMany(t testing.TB) *server {
	t.Helper()
	database := newInboxFile(t)
	s := start(t, inspectedSite(nowhere(t), database, "", ""))
	s.awaitInbox()
	fill(t, database)
	return s
}

// quickPages are what an operator opens in a large inbox.
var quickPages = []struct{ name, path string }{
	{"first page", "/events"},
	{"page in the middle", "/events?inbox=default&before=50000"},
	{"dead ones", "/events?inbox=default&state=dead"},
	{"waiting ones", "/events?inbox=default&state=waiting"},
	{"a type that none has", "/events?inbox=default&type=post_call_audio"},
	{"last hour", "/events?inbox=default&period=1h"},
	{"search of a conversation", "/events?inbox=default&search=conv_777"},
	{"search of an agent", "/events?inbox=default&search=agent_7"},
	{"search of a request", "/events?inbox=default&search=request_777"},
	{"search of nothing that is there", "/events?inbox=default&search=conv_none"},
	{"search of an event's id", "/events?inbox=default&search=" + fmt.Sprintf("%064x", 777*7919)},
	{"overview", "/"},
}

// opens returns how long a page takes, the middle one of several times.
func (s *server) opens(client *http.Client, path string, times int) time.Duration {
	s.t.Helper()
	took := make([]time.Duration, times)
	for i := range took {
		began := time.Now()
		got := s.inspect(client, http.MethodGet, path)
		took[i] = time.Since(began)
		require.Equal(s.t, http.StatusOK, got.status, path)
	}
	slices.Sort(took)
	return took[times/2]
}

func TestInspectorIsQuickInALargeInbox(t *testing.T) {
	t.Parallel()
	s := startWithMany(t)
	client := s.client("HTTP/1.1")
	for _, page := range quickPages {
		took := s.opens(client, page.path, 5)
		t.Logf("%s: %.1f ms", page.name, took.Seconds()*1000)
		if !raceDetector {
			assert.Less(t, took, time.Second, page.name) // 200 ms on a machine that does nothing else
		}
	}

	p := newTab(t, s)
	p.open("/events")
	require.Equal(t, 50, eval[int](p, "document.querySelectorAll('tbody tr').length"))
	t.Logf("first page in the browser, with its files: %.1f ms", eval[float64](p, "performance.getEntriesByType('navigation')[0].loadEventEnd"))
	assert.Contains(t, p.text("tbody tr"), "conv_100000")
	p.press("Older")
	p.await("the next page", "location.search.includes('before=99951')")
	assert.Contains(t, p.text("tbody tr"), "conv_99950")
	eval[any](p, "void (window.stayed = document.querySelector('tbody').innerText)")
	for sent := 0; !eval[bool](p, "!document.querySelector('[data-new]').hidden"); sent++ { // the stream begins after the page
		require.Less(t, sent, 1000)
		s.sendEvents(fmt.Appendf(nil, `{"type":"post_call_transcription","data":{"conversation_id":"conv_new_%d"}}`, sent))
	}
	assert.True(t, eval[bool](p, "window.stayed === document.querySelector('tbody').innerText"), "a page of the past changed")
	p.press("show the newest")
	p.awaitText("conv_new_")

	eval[any](p, "void (document.querySelector('[name=search]').value = 'conv_777')")
	p.press("Show")
	p.await("the event that was searched for", "document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody').innerText.includes('conv_777')")
	p.requireQuiet()
}

// BenchmarkInspector opens pages of an inbox with 100,000 events.
func BenchmarkInspector(b *testing.B) {
	s := startWithMany(b)
	client := s.client("HTTP/1.1")
	for _, page := range quickPages {
		b.Run(page.name, func(b *testing.B) {
			for b.Loop() {
				if got := s.inspect(client, http.MethodGet, page.path); got.status != http.StatusOK {
					b.Fatal(got.body)
				}
			}
		})
	}
}
