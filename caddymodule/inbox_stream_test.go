package caddymodule

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// follow follows the events of an inbox. It returns a function that waits for the next one,
// and returns the id to go on from.
func follow(t *testing.T, server *httptest.Server, query string, header http.Header) (next func() (e stored.Event, id string)) {
	t.Helper()
	header.Set("Accept", "text/event-stream")
	response := ask(t, http.MethodGet, server.URL+"/elevenlabs/inbox/events"+query, header)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	lines := bufio.NewScanner(response.Body)
	return func() (e stored.Event, id string) {
		t.Helper()
		for lines.Scan() {
			if value, found := strings.CutPrefix(lines.Text(), "id: "); found {
				id = value
			}
			if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
				require.NoError(t, json.Unmarshal([]byte(data), &e))
				return e, id
			}
		}
		require.FailNow(t, "the stream ended")
		return e, id
	}
}

func TestTheInboxStreamsEventsAsTheyCome(t *testing.T) {
	o := openInbox(t)
	server, _ := admin(t)
	before := o.put(t, "default", "post_call_audio", "conv_0", `{"n":0}`)

	fromNow := follow(t, server, "?type=post_call_audio", http.Header{})
	fromThen := follow(t, server, "?since=2020-01-01T00:00:00Z", http.Header{})
	e, _ := fromThen()
	assert.Equal(t, before, e.Seq, "with since, what is stored comes first")

	other := o.put(t, "default", "post_call_transcription", "conv_1", `{"n":1}`)
	audio := o.put(t, "default", "post_call_audio", "conv_2", `{"n":2}`)
	e, id := fromNow()
	assert.Equal(t, audio, e.Seq)
	assert.Equal(t, "conv_2", e.ConversationID)
	e, _ = fromThen()
	assert.Equal(t, other, e.Seq)

	again := follow(t, server, "", http.Header{"Last-Event-Id": {id}})
	var seqs []int64
	for len(seqs) == 0 || seqs[len(seqs)-1] != audio {
		e, _ = again()
		seqs = append(seqs, e.Seq)
	}
	assert.Subset(t, seqs, []int64{other, audio}, "nothing is missing after a lost connection")

	for _, header := range []string{"x", "-1"} {
		response := ask(t, http.MethodGet, server.URL+"/elevenlabs/inbox/events", http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {header}})
		assert.Equal(t, http.StatusBadRequest, response.StatusCode, header)
	}
	response := ask(t, http.MethodGet, server.URL+"/elevenlabs/inbox/events?before="+strconv.FormatInt(audio, 10), http.Header{"Accept": {"text/event-stream"}})
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
}

// age makes all events older.
func (o opened) age(t *testing.T, by time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", o.location)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `UPDATE elevenlabs_inbox_event SET received_at = received_at - $1`, by.Milliseconds())
	require.NoError(t, err)
}

// streamed reads a stream up to its first position without an event, and leaves.
func streamed(t *testing.T, server *httptest.Server, query string, header http.Header) (seqs []int64, ids []string) {
	t.Helper()
	header.Set("Accept", "text/event-stream")
	response := ask(t, http.MethodGet, server.URL+"/elevenlabs/inbox/events"+query, header)
	require.Equal(t, http.StatusOK, response.StatusCode)
	defer response.Body.Close()
	lines, event := bufio.NewScanner(response.Body), false
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "id: "); found {
			ids, event = append(ids, value), false
		}
		if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
			var e stored.Event
			require.NoError(t, json.Unmarshal([]byte(data), &e))
			seqs, event = append(seqs, e.Seq), true
		}
		if lines.Text() == "" && !event {
			return seqs, ids
		}
	}
	require.FailNow(t, "the stream ended")
	return nil, nil
}

// The position after an event must not be after others that the client may not have got.
func TestAStreamThatBreaksOffAfterAnyEventGoesOnWithTheNext(t *testing.T) {
	o := openInbox(t)
	server, _ := admin(t)
	all := make([]int64, 3)
	for i := range all {
		all[i] = o.put(t, "default", "post_call_audio", "", fmt.Sprintf(`{"n":%d}`, i))
	}
	o.age(t, time.Hour)
	seqs, ids := streamed(t, server, "?since=2020-01-01T00:00:00Z", http.Header{})
	assert.Equal(t, all, seqs)
	require.Len(t, ids, len(all)+1)
	for i := range all {
		again, _ := streamed(t, server, "", http.Header{"Last-Event-Id": {ids[i]}})
		assert.Subset(t, again, all[i+1:], "after event %d", i)
	}
	after, _ := streamed(t, server, "", http.Header{"Last-Event-Id": {ids[len(all)]}})
	assert.Empty(t, after, "after the last position, nothing comes again")
}

func TestAStreamSaysWhereItBeganSoThatNothingIsMissedBeforeTheFirstEvent(t *testing.T) {
	o := openInbox(t)
	server, _ := admin(t)
	o.put(t, "default", "post_call_audio", "", `{"n":0}`)
	seqs, ids := streamed(t, server, "", http.Header{})
	assert.Empty(t, seqs)
	missed := o.put(t, "default", "post_call_audio", "", `{"n":1}`)
	seqs, _ = streamed(t, server, "", http.Header{"Last-Event-Id": {ids[0]}})
	assert.Contains(t, seqs, missed)
}

func TestAQuietStreamShowsThatItLives(t *testing.T) {
	before := positionEvery
	t.Cleanup(func() { positionEvery = before })
	positionEvery = time.Millisecond
	openInbox(t)
	server, _ := admin(t)
	response := ask(t, http.MethodGet, server.URL+"/elevenlabs/inbox/events", http.Header{"Accept": {"text/event-stream"}})
	lines := bufio.NewScanner(response.Body)
	for range 2 {
		require.True(t, lines.Scan())
		assert.Equal(t, "id: 0", lines.Text())
		require.True(t, lines.Scan())
		assert.Empty(t, lines.Text())
	}
}
