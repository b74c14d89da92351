package caddymodule

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

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
