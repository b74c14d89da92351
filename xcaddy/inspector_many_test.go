package main

import (
	"cmp"
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyEvents is how many events fill puts into an inbox.
const manyEvents = 100_000

// fill puts many events into a database, like the one that is there. Of each thousand, one
// is dead, nine wait, and the rest is delivered. Their bodies are gone.
func fill(t testing.TB, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(20000)")
	require.NoError(t, err)
	defer db.Close()
	others := map[string]string{
		"seq": "i + 1", "event_id": "printf('%064x', i * 7919)", "conversation_id": "'conv_' || i", "agent_id": "'agent_' || (i % 50)",
		"request_id": "'request_' || i", "size": "8192", "stored": "0", "received_at": fmt.Sprint("received_at - 1000 * (", manyEvents, " - i)"),
		"state":   "CASE WHEN i % 1000 = 0 THEN 'dead' WHEN i % 1000 < 10 THEN 'waiting' ELSE 'delivered' END",
		"next_at": "next_at + 1000000000", "done_at": "CASE WHEN i % 1000 BETWEEN 1 AND 9 THEN 0 ELSE received_at END", "owner": "''", "lease_until": "0",
	}
	rows, err := db.Query(`SELECT name FROM pragma_table_info('elevenlabs_inbox_event')`)
	require.NoError(t, err)
	defer rows.Close()
	var names, values []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names, values = append(names, name), append(values, cmp.Or(others[name], name))
	}
	require.NoError(t, rows.Err())
	_, err = db.Exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO elevenlabs_inbox_event (%s) SELECT %s FROM n, elevenlabs_inbox_event WHERE seq = 1;
UPDATE elevenlabs_inbox_event SET received_at = 0 WHERE seq = 1 -- the oldest one`, manyEvents, strings.Join(names, ", "), strings.Join(values, ", ")))
	require.NoError(t, err)
}

// startWithMany starts a server whose inbox has many events.
func startWithMany(t testing.TB) *server {
	t.Helper()
	database := newInboxFile(t)
	s := start(t, inspectedSite(nowhere(t), database, "", ""))
	s.awaitInbox()
	s.sendEvents([]byte(transcript))
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
	p.await("the next page", "location.search.includes('before=99952')")
	assert.Contains(t, p.text("tbody tr"), "conv_99950")
	p.await("the times of the visitor's clock", "!!document.querySelector('tbody time[title]')")
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
