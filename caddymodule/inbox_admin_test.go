package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// opened is a SQLite database in the pool, without a handler.
type opened struct {
	*database
	store *inbox.Store
	logs  *observer.ObservedLogs
}

func openInbox(t *testing.T) opened {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	d, err := joinDatabase(filepath.Join(t.TempDir(), "inbox.db"), zap.New(core))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.leave()) })
	store, err := d.open(t.Context())
	require.NoError(t, err)
	return opened{d, store, logs}
}

// credentials are what no answer may have. They are in the request of each event.
var credentials = map[string]string{
	"Authorization":       "Basic Y2FkZHk6aHVudGVyMg==",
	"Cookie":              "session=hunter3",
	"Proxy-Authorization": "Bearer hunter4",
	"X-Api-Key":           "hunter5",
	"X-Forwarded-Secret":  testSecret,
}

// put stores an event as the handler does, and returns its number.
func (o opened) put(t *testing.T, name, typ, conversation, body string) int64 {
	t.Helper()
	r := newRequest(body)
	for header, value := range credentials {
		r.Header.Set(header, value)
	}
	r.Header.Set("X-Trace", "abc")
	request, err := json.Marshal(toStore(r))
	require.NoError(t, err)
	fields, err := json.Marshal(stored.Fields{SignedAt: "1795421654", SecretName: "prod", Handler: "TEST_SECRET"})
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(body))
	_, err = o.store.Accept(t.Context(), inbox.Event{
		Queue: inbox.Queue{Inbox: name}, ID: hex.EncodeToString(sum[:]), Type: typ, ConversationID: conversation, AgentID: "agent_1",
		Webhook: "TEST_SECRET", Fields: string(fields), Request: string(request),
	}, strings.NewReader(body), 1<<30)
	require.NoError(t, err)
	entries, err := o.store.List(t.Context(), inbox.Selection{Inbox: name}, 1)
	require.NoError(t, err)
	return entries[0].Seq
}

// alter changes the database behind the store's back.
func (o opened) alter(t *testing.T, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", o.location)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), query)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// refusing is a backend that repeats the request's headers in its answer.
type refusing struct {
	after int // attempts until it takes the event
	ended chan inbox.State
}

func (f *refusing) Deliver(_ context.Context, c *inbox.Claim, _ *inbox.StoredBody) inbox.Outcome {
	if c.Attempt > f.after {
		return inbox.Outcome{Taken: true, Status: 200}
	}
	return inbox.Outcome{Status: 500, Reason: "backend_answer", Answer: "no: " + c.Request}
}
func (f *refusing) Settled(_ *inbox.Claim, _ inbox.Outcome, state inbox.State) { f.ended <- state }
func (f *refusing) BackendDown(*inbox.Claim)                                   {}
func (f *refusing) BackendUp(time.Duration)                                    {}
func (f *refusing) Trouble(string, error)                                      {}
func (f *refusing) GivenUp(inbox.Queue, int)                                   {}

// run delivers the events of an inbox until they have these states.
func (o opened) run(t *testing.T, name string, giveUp time.Duration, failures int, want ...inbox.State) {
	t.Helper()
	d := &refusing{failures, make(chan inbox.State, 100)}
	runner := o.store.Start(inbox.Options{
		Queue: inbox.Queue{Inbox: name}, Destinations: []string{""}, Concurrency: 4, Timeout: time.Minute, Retry: []time.Duration{time.Millisecond}, GiveUp: giveUp,
		Retention: inbox.Retention{Delivered: time.Hour, Remember: time.Hour, Dead: time.Hour, Limit: 1 << 30},
	}, d)
	defer runner.Stop(time.Second)
	for _, state := range want {
		assert.Equal(t, state, <-d.ended)
	}
}

// adminAnswer is an answer of the admin endpoint.
type adminAnswer struct {
	status int
	header http.Header
	text   string
}

func request(t *testing.T, server *httptest.Server, method, uri, mediaType, body string) adminAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+uri, strings.NewReader(body))
	require.NoError(t, err)
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return adminAnswer{response.StatusCode, response.Header, string(text)}
}

func get(t *testing.T, server *httptest.Server, uri string) adminAnswer {
	t.Helper()
	return request(t, server, http.MethodGet, uri, "", "")
}

func post(t *testing.T, server *httptest.Server, uri, body string) adminAnswer {
	t.Helper()
	return request(t, server, http.MethodPost, uri, "application/json", body)
}

func seqs(t *testing.T, a adminAnswer) (all []int64) {
	t.Helper()
	require.Equal(t, 200, a.status, a.text)
	var events []stored.Event
	require.NoError(t, json.Unmarshal([]byte(a.text), &events))
	for _, e := range events {
		all = append(all, e.Seq)
	}
	return all
}

func TestTheInboxIsListedNewestFirstAndFiltered(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	first := o.put(t, "default", "post_call_transcription", "conv_1", `{"n":1}`)
	o.run(t, "default", time.Hour, 0, inbox.Delivered)
	second := o.put(t, "default", "post_call_audio", "conv_1", `{"n":2}`)
	third := o.put(t, "sales", "post_call_audio", "conv_2", `{"n":3}`)
	o.alter(t, `UPDATE elevenlabs_inbox_event SET request_id = 'req_' || seq`)
	newest := sha256.Sum256([]byte(`{"n":3}`))
	now := time.Now()
	at := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	for query, want := range map[string][]int64{
		"":                               {third, second, first},
		"inbox=default":                  {second, first},
		"state=delivered":                {first},
		"state=waiting&type=":            {third, second},
		"type=post_call_audio":           {third, second},
		"type=a&type=post_call_audio":    {third, second},
		"conversation=conv_1":            {second, first},
		"conversation=conv_1&state=dead": nil,
		"agent=agent_1":                  {third, second, first},
		"agent=agent_2":                  nil,
		"request=req_3":                  {third},
		"search=req_3":                   {third},
		"search=conv_1":                  {second, first},
		"search=" + hex.EncodeToString(newest[:5]): {third},
		"event=" + hex.EncodeToString(newest[:5]):  {third},
		"limit=2":                                {third, second},
		fmt.Sprintf("limit=2&before=%d", second): {first},
		"since=" + at(-time.Hour):                {third, second, first},
		"since=" + at(time.Hour):                 nil,
		"until=" + at(-time.Hour):                nil,
	} {
		assert.Equal(t, want, seqs(t, get(t, server, "/elevenlabs/inbox/events?"+query)), query)
	}
	list := get(t, server, "/elevenlabs/inbox/events?limit=1").text
	assert.NotContains(t, list, `"n":3`, "no body")
	assert.NotContains(t, list, `"request"`)
}

func TestAWrongQuestionToTheInboxIsAnsweredWithASentence(t *testing.T) {
	server, _ := admin(t)
	assert.Equal(t, adminAnswer{404, nil, "no elevenlabs_webhook handler of this Caddy has an inbox\n"}, withoutHeader(get(t, server, "/elevenlabs/inbox/events")))
	o := openInbox(t)
	o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	for _, test := range []struct {
		uri, post string
		status    int
		says      string
	}{
		{uri: "events?state=ded", status: 400, says: `there is no state "ded": choose one of [waiting delivering delivered dead discarded]`},
		{uri: "events?sate=dead", status: 400, says: `there is no parameter "sate": choose from inbox, destination, state,`},
		{uri: "events?inbox=sales", status: 404, says: `there is no inbox "sales": choose one of default`},
		{uri: "events?event=xyz", status: 400, says: `event must be the beginning of an event's id`},
		{uri: "events?limit=0", status: 400, says: `limit must be a number from 1 to 1000, not "0"`},
		{uri: "events?limit=1001", status: 400, says: `limit must be`},
		{uri: "events?before=x", status: 400, says: `before: the number of an event must be above 0, not "x"`},
		{uri: "events?since=yesterday", status: 400, says: `since must be a time such as 2026-11-29T10:00:00Z, not "yesterday"`},
		{uri: "events?since=2026-11-29T10:00:00Z&until=2026-11-29T10:00:00Z", status: 400, says: `since must be before until`},
		{uri: "events/0", status: 400, says: `the number of an event must be above 0, not "0"`},
		{uri: "events/99", status: 404, says: `there is no event 99`},
		{uri: "events/99/body", status: 404, says: `there is no event 99`},
		{uri: "events/1?inbox=sales", status: 404, says: `there is no inbox "sales"`},
		{uri: "redeliver", post: `{}`, status: 400, says: `name events, or select them by a state, one of [waiting delivered dead discarded]`},
		{uri: "redeliver", post: `{"inbox":"default"}`, status: 400, says: `name events, or select them by a state`},
		{uri: "redeliver", post: `{"state":"delivering"}`, status: 400, says: `select them by a state`},
		{uri: "redeliver", post: `{"events":[1],"state":"dead"}`, status: 400, says: `not both`},
		{uri: "redeliver", post: `{"events":[99]}`, status: 404, says: `there is no such event`},
		{uri: "redeliver", post: `{"state":"dead","since":"x"}`, status: 400, says: `reading the request's JSON: `},
		{uri: "redeliver", post: `{"stat":"dead"}`, status: 400, says: `unknown field "stat"`},
		{uri: "redeliver", post: `{"state":"dead"}{}`, status: 400, says: `something follows the object`},
		{uri: "redeliver", post: `{"events":[` + strings.Repeat("1,", 1<<20) + `1]}`, status: 400, says: `request body too large`},
		{uri: "redeliver", post: `{"state":"dead","after":1}`, status: 400, says: `give the limit too`},
		{uri: "redeliver", post: `{"state":"dead","limit":-1}`, status: 400, says: `limit and after must be above 0`},
		{uri: "redeliver", post: `{"events":[1],"limit":1}`, status: 400, says: `limit is for events that are selected`},
		{uri: "redeliver", post: `{"state":"dead","since":"2026-11-29T10:00:00Z","until":"2026-11-29T10:00:00Z"}`, status: 400, says: `since must be before until`},
		{uri: "discard", post: `{"state":"delivered"}`, status: 400, says: `name events, or select them by a state, one of [waiting dead]`},
		{uri: "discard", post: `{"events":[99]}`, status: 404, says: `there is no such event`},
		{uri: "stats?state=dead", status: 400, says: `there is no parameter "state": choose from inbox, destination, type, since`},
		{uri: "stats?inbox=sales", status: 404, says: `there is no inbox "sales"`},
		{uri: "forget", post: `{"conversation_id":"conv_1","state":"dead"}`, status: 400, says: `nothing else selects what is deleted`},
		{uri: "forget", post: `{}`, status: 400, says: `name a conversation or events, and not both`},
		{uri: "forget", post: `{"events":[1],"conversation_id":"conv_1"}`, status: 400, says: `not both`},
		{uri: "forget", post: `{"inbox":"default"}`, status: 400, says: `name a conversation or events`},
	} {
		got := get(t, server, "/elevenlabs/inbox/"+test.uri)
		if test.post != "" {
			got = post(t, server, "/elevenlabs/inbox/"+test.uri, test.post)
		}
		assert.Equal(t, test.status, got.status, test)
		assert.Contains(t, got.text, test.says)
	}
}

func withoutHeader(a adminAnswer) adminAnswer {
	a.header = nil
	return a
}

func TestAnEventIsShownWithItsAttemptsAndWithoutCredentials(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	seq := o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	o.run(t, "default", time.Hour, 2, inbox.Waiting, inbox.Waiting, inbox.Delivered)
	uri := fmt.Sprintf("/elevenlabs/inbox/events/%d", seq)
	got := get(t, server, uri)
	require.Equal(t, 200, got.status, got.text)
	var e stored.Detail
	require.NoError(t, json.Unmarshal([]byte(got.text), &e))
	assert.Equal(t, inbox.Delivered, e.State)
	assert.Equal(t, []any{"conv_1", "prod", "1795421654", 3, true}, []any{e.ConversationID, e.SecretName, e.SignedAt, e.Attempts, e.HasBody})
	require.Len(t, e.Timeline, 3)
	assert.Equal(t, []any{1, 500, "backend_answer"}, []any{e.Timeline[0].Attempt, e.Timeline[0].UpstreamStatus, e.Timeline[0].Reason})
	assert.Contains(t, e.Timeline[0].Answer, "no: {")
	assert.Equal(t, []any{3, 200, ""}, []any{e.Timeline[2].Attempt, e.Timeline[2].UpstreamStatus, e.Timeline[2].Reason})
	assert.Equal(t, "hooks.example.com", e.Request.Host)
	assert.Equal(t, []string{"abc"}, e.Request.Header["X-Trace"])
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "Elevenlabs-Signature", "X-Api-Key"} {
		assert.Equal(t, []string{"REDACTED"}, e.Request.Header[name], name)
	}
	list := get(t, server, "/elevenlabs/inbox/events")
	for _, text := range []string{got.text, list.text} {
		assert.NotContains(t, text, testSecret)
		assert.NotRegexp(t, `v0=[0-9a-f]`, text, "the signature")
		for _, value := range credentials {
			assert.NotContains(t, text, value, "also where the backend repeats it")
		}
		assert.NotContains(t, text, `"n":1`, "no body")
	}
}

func TestABodyIsSentByteForByteAndOnlyForSaving(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	body := `{"transcript":"<script>alert(1)</script> ` + "\u0000é\"" + `}`
	seq := o.put(t, "default", "post_call_audio", "conv_1", body)
	got := get(t, server, fmt.Sprintf("/elevenlabs/inbox/events/%d/body", seq))
	assert.Equal(t, 200, got.status)
	assert.Equal(t, body, got.text)
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Content-Disposition": fmt.Sprintf(`attachment; filename="event-%d.json"`, seq), "Content-Length": fmt.Sprint(len(body)),
	} {
		assert.Equal(t, want, got.header.Get(name), name)
	}
}

func TestABodyOfTwentyMiBStreamsAChunkAtATime(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	const size = 20 << 20
	var want [sha256.Size]byte
	var seq int64
	func() { // so that the test itself does not hold the body
		body := strings.Repeat("0123456789abcdef", size/16)
		seq, want = o.put(t, "default", "post_call_audio", "conv_1", body), sha256.Sum256([]byte(body))
	}()
	runtime.GC()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	response := ask(t, http.MethodGet, fmt.Sprintf("%s/elevenlabs/inbox/events/%d/body", server.URL, seq), http.Header{})
	require.Equal(t, int64(size), response.ContentLength)
	sum, highest := sha256.New(), uint64(0)
	for buffer := make([]byte, 1<<20); ; {
		n, err := io.ReadFull(response.Body, buffer)
		sum.Write(buffer[:n])
		runtime.GC()
		runtime.ReadMemStats(&during)
		highest = max(highest, during.HeapAlloc)
		if err != nil {
			break
		}
	}
	assert.Equal(t, want[:], sum.Sum(nil))
	assert.Less(t, highest, before.HeapAlloc+size*3/4, "the body is never whole in memory")
}

// An error's text at the end would fill up the promised length.
func TestABodyThatGoesWhileItIsSentIsCutOff(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	seq := o.put(t, "default", "post_call_audio", "conv_1", strings.Repeat("0123456789abcdef", 20<<16))
	response := ask(t, http.MethodGet, fmt.Sprintf("%s/elevenlabs/inbox/events/%d/body", server.URL, seq), http.Header{})
	_, err := io.CopyN(io.Discard, response.Body, 1<<20)
	require.NoError(t, err)
	_, err = o.store.Forget(t.Context(), inbox.Selection{Events: []int64{seq}}, 0)
	require.NoError(t, err)
	rest, err := io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.NotContains(t, string(bytes.Trim(rest, "0123456789abcdef")), "deleted")
}
