package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// states returns the states of events by their numbers.
func (o opened) states(t *testing.T) map[int64]inbox.State {
	t.Helper()
	entries, err := o.store.List(t.Context(), inbox.Selection{}, 1000)
	require.NoError(t, err)
	all := map[int64]inbox.State{}
	for _, e := range entries {
		all[e.Seq] = e.State
	}
	return all
}

func TestEventsAreRedeliveredByNumberAndBySelection(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	for name, test := range map[string]struct {
		ask  string
		want []int64
	}{
		"by number":               {`{"events":[1,3]}`, []int64{1, 3}},
		"by number and inbox":     {`{"inbox":"default","events":[1,4]}`, []int64{1}},
		"those that are there":    {`{"events":[1,99]}`, []int64{1}},
		"more than one query has": {`{"events":[1` + strings.Repeat(",99", 1100) + `,2,3,4]}`, []int64{1, 2, 3, 4}},
		"dead":                    {`{"state":"dead"}`, []int64{1, 2, 4}},
		"dead of an inbox":        {`{"inbox":"default","state":"dead"}`, []int64{1, 2}},
		"dead of a type":          {`{"state":"dead","type":"post_call_audio"}`, []int64{2, 4}},
		"dead of several types":   {`{"state":"dead","type":["post_call_audio","x"]}`, []int64{2, 4}},
		"dead of a conversation":  {`{"state":"dead","conversation_id":"conv_1"}`, []int64{1}},
		"dead of the last hour":   {`{"state":"dead","since":"` + at(-time.Hour) + `"}`, []int64{1, 2, 4}},
		"dead of before the hour": {`{"state":"dead","until":"` + at(-time.Hour) + `"}`, nil},
		"delivered":               {`{"state":"delivered"}`, []int64{3}},
	} {
		t.Run(name, func(t *testing.T) {
			server, _ := admin(t)
			o := openInbox(t)
			o.put(t, "default", "post_call_transcription", "conv_1", `{"n":1}`)
			o.put(t, "default", "post_call_audio", "conv_2", `{"n":2}`)
			o.run(t, "default", -time.Hour, 9, inbox.Dead, inbox.Dead)
			o.put(t, "default", "post_call_audio", "conv_3", `{"n":3}`)
			o.run(t, "default", time.Hour, 0, inbox.Delivered)
			o.put(t, "sales", "post_call_audio", "conv_4", `{"n":4}`)
			o.run(t, "sales", -time.Hour, 9, inbox.Dead)

			counted := func(name string) float64 { return testutil.ToFloat64(inboxRedelivered.WithLabelValues(name, "")) }
			before := map[string]float64{"default": counted("default"), "sales": counted("sales")}
			got := post(t, server, "/elevenlabs/inbox/redeliver", test.ask)
			assert.Equal(t, 200, got.status)
			assert.JSONEq(t, fmt.Sprintf(`{"events":%d}`, len(test.want)), got.text)
			var waiting []int64
			inboxes := map[string]float64{"default": 0, "sales": 0}
			for seq := int64(1); seq <= 4; seq++ {
				if o.states(t)[seq] == inbox.Waiting {
					waiting = append(waiting, seq)
					inboxes[map[bool]string{true: "sales", false: "default"}[seq == 4]]++
				}
			}
			assert.Equal(t, test.want, waiting)
			for name, n := range inboxes {
				assert.Equal(t, before[name]+n, counted(name), "redelivered_total of "+name) //nolint:testifylint // whole numbers
			}
		})
	}
}

func TestEventsThatCannotBeChangedAreAConflict(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	gone := o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	o.run(t, "default", time.Hour, 0, inbox.Delivered)
	o.alter(t, `UPDATE elevenlabs_inbox_event SET stored = 0`) // as the sweeper does after a while
	assert.Equal(t, http.StatusGone, get(t, server, fmt.Sprintf("/elevenlabs/inbox/events/%d/body", gone)).status)
	got := post(t, server, "/elevenlabs/inbox/redeliver", fmt.Sprintf(`{"events":[%d]}`, gone))
	assert.Equal(t, adminAnswer{409, nil, "the body of the event is deleted\n"}, withoutHeader(got))
	got = post(t, server, "/elevenlabs/inbox/discard", fmt.Sprintf(`{"events":[%d]}`, gone))
	assert.Equal(t, adminAnswer{409, nil, "the event is delivered or discarded already\n"}, withoutHeader(got))

	busy := o.put(t, "default", "post_call_audio", "conv_1", `{"n":2}`)
	slow := &stuck{started: make(chan struct{}), end: make(chan struct{})}
	runner := o.store.Start(inbox.Options{
		Queue: inbox.Queue{Inbox: "default"}, Destinations: []string{""}, Concurrency: 1, Timeout: time.Minute, Retry: []time.Duration{time.Second}, GiveUp: time.Hour,
		Retention: inbox.Retention{Delivered: time.Hour, Remember: time.Hour, Dead: time.Hour, Limit: 1 << 30},
	}, slow)
	<-slow.started
	for _, verb := range []string{"redeliver", "discard"} {
		got = post(t, server, "/elevenlabs/inbox/"+verb, fmt.Sprintf(`{"events":[%d]}`, busy))
		assert.Equal(t, adminAnswer{409, nil, "the event is being delivered\n"}, withoutHeader(got), verb)
	}
	close(slow.end)
	runner.Stop(10 * time.Second)
}

func TestEventsThatAreDiscardedGetNoAttemptAndNoAlarm(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	o.run(t, "default", -time.Hour, 9, inbox.Dead)
	o.put(t, "default", "post_call_audio", "conv_2", `{"n":2}`)
	o.put(t, "sales", "post_call_audio", "conv_1", `{"n":3}`)
	before := testutil.ToFloat64(inboxDiscarded.WithLabelValues("default", ""))
	assert.JSONEq(t, `{"events":1}`, post(t, server, "/elevenlabs/inbox/discard", `{"events":[1,99]}`).text)
	assert.JSONEq(t, `{"events":1}`, post(t, server, "/elevenlabs/inbox/discard", `{"inbox":"default","state":"waiting"}`).text)
	assert.Equal(t, map[int64]inbox.State{1: inbox.Discarded, 2: inbox.Discarded, 3: inbox.Waiting}, o.states(t))
	assert.Equal(t, before+2, testutil.ToFloat64(inboxDiscarded.WithLabelValues("default", ""))) //nolint:testifylint // whole numbers
	logged := o.logs.FilterMessage("events are discarded, as an operator asked").All()
	require.Len(t, logged, 2)
	assert.Equal(t, "admin endpoint", logged[0].ContextMap()["by"])
	assert.NotEmpty(t, logged[0].ContextMap()["remote_addr"])
	o.run(t, "sales", time.Hour, 0, inbox.Delivered) // the runner finds nothing else
	assert.JSONEq(t, `{"events":2}`, post(t, server, "/elevenlabs/inbox/redeliver", `{"state":"discarded"}`).text)
	o.run(t, "default", time.Hour, 0, inbox.Delivered, inbox.Delivered)
}

func TestALimitedActGoesOnWhereTheLastOneEnded(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	for i := range 5 {
		o.put(t, "default", "post_call_audio", "conv_1", fmt.Sprintf(`{"n":%d}`, i))
	}
	o.put(t, "sales", "post_call_audio", "conv_1", `{"n":9}`)
	for _, test := range []struct{ after, want string }{
		{"", `{"events":2,"last":2}`},
		{`,"after":2`, `{"events":2,"last":4}`},
		{`,"after":4`, `{"events":1}`},
		{`,"after":5`, `{"events":0}`},
	} { // the events stay in the state by which they are selected
		got := post(t, server, "/elevenlabs/inbox/redeliver", `{"inbox":"default","state":"waiting","limit":2`+test.after+`}`)
		assert.JSONEq(t, test.want, got.text)
	}
	other := openInbox(t)
	other.put(t, "other", "post_call_audio", "conv_1", `{"n":1}`)
	got := post(t, server, "/elevenlabs/inbox/redeliver", `{"state":"waiting","limit":2}`)
	assert.Equal(t, 400, got.status)
	assert.Contains(t, got.text, "with limit, name an inbox")
	assert.JSONEq(t, `{"events":1}`, post(t, server, "/elevenlabs/inbox/redeliver", `{"inbox":"sales","state":"waiting","limit":2}`).text)
}

// stuck is a backend that answers when it may.
type stuck struct {
	refusing
	started, end chan struct{}
}

func (s *stuck) Deliver(context.Context, *inbox.Claim, *inbox.StoredBody) inbox.Outcome {
	close(s.started)
	<-s.end
	return inbox.Outcome{Taken: true, Status: 200}
}

func (s *stuck) Settled(*inbox.Claim, inbox.Outcome, inbox.State) {}

func TestEventsAreForgottenByConversationAndByNumber(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	one := o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	o.put(t, "sales", "post_call_audio", "conv_1", `{"n":2}`)
	three := o.put(t, "default", "post_call_audio", "conv_2", `{"n":3}`)
	four := o.put(t, "default", "post_call_audio", "conv_3", `{"n":4}`)
	for _, test := range []struct {
		ask  string
		n    int
		left []int64
	}{
		{`{"conversation_id":"conv_9"}`, 0, []int64{four, three, 2, one}},
		{`{"inbox":"sales","conversation_id":"conv_1"}`, 1, []int64{four, three, one}},
		{`{"conversation_id":"conv_1"}`, 1, []int64{four, three}},
		{fmt.Sprintf(`{"events":[%d,99]}`, three), 1, []int64{four}},
		{`{"events":[99]}`, 0, []int64{four}},
	} {
		got := post(t, server, "/elevenlabs/inbox/forget", test.ask)
		assert.Equal(t, 200, got.status, test.ask)
		assert.JSONEq(t, fmt.Sprintf(`{"events":%d}`, test.n), got.text, test.ask)
		assert.Equal(t, test.left, seqs(t, get(t, server, "/elevenlabs/inbox/events")), test.ask)
	}
	assert.Len(t, o.logs.FilterMessage("events are deleted, as an operator asked").All(), 3)
}

// A form or a script of another site can send GET, and POST with these types, without
// asking first.
func TestWhatABrowserSendsByItselfChangesNothing(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	o.run(t, "default", -time.Hour, 9, inbox.Dead)
	before := o.states(t)
	for _, act := range []struct{ uri, body string }{
		{"/elevenlabs/inbox/redeliver", `{"state":"dead"}`},
		{"/elevenlabs/inbox/discard", `{"state":"dead"}`},
		{"/elevenlabs/inbox/forget", `{"conversation_id":"conv_1"}`},
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			assert.Equal(t, 405, request(t, server, method, act.uri, "application/json", act.body).status, method)
		}
		for _, mediaType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json;;"} {
			assert.Equal(t, 415, request(t, server, "POST", act.uri, mediaType, act.body).status, mediaType)
		}
	}
	for _, uri := range []string{"stats", "events", "events/1", "events/1/body", ""} {
		assert.Equal(t, 405, post(t, server, strings.TrimSuffix("/elevenlabs/inbox/"+uri, "/"), `{}`).status, uri)
	}
	assert.Equal(t, before, o.states(t))
}

func TestAnEventOfSeveralDatabasesNeedsItsInbox(t *testing.T) {
	server, _ := admin(t)
	a, b := openInbox(t), openInbox(t)
	a.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	b.put(t, "sales", "post_call_audio", "conv_1", `{"n":2}`)
	b.put(t, "sales", "post_call_audio", "conv_1", `{"n":3}`)
	assert.Len(t, seqs(t, get(t, server, "/elevenlabs/inbox/events")), 3, "of both")
	assert.Len(t, seqs(t, get(t, server, "/elevenlabs/inbox/events?limit=2")), 2)
	assert.Equal(t, []int64{2, 1}, seqs(t, get(t, server, "/elevenlabs/inbox/events?inbox=sales")))
	assert.Equal(t, 400, get(t, server, "/elevenlabs/inbox/events?before=2").status)

	got := get(t, server, "/elevenlabs/inbox/events/1")
	assert.Equal(t, 400, got.status)
	assert.Regexp(t, `several databases have an event 1: name its inbox, one of (default, sales|sales, default)`, got.text)
	assert.Equal(t, `{"n":2}`, get(t, server, "/elevenlabs/inbox/events/1/body?inbox=sales").text)
	assert.Equal(t, `{"n":3}`, get(t, server, "/elevenlabs/inbox/events/2/body").text, "there is one of that number")
	assert.Equal(t, 400, post(t, server, "/elevenlabs/inbox/forget", `{"events":[1]}`).status)
	assert.JSONEq(t, `{"events":2}`, post(t, server, "/elevenlabs/inbox/redeliver", `{"inbox":"sales","events":[1,2]}`).text)
	assert.JSONEq(t, `{"events":3}`, post(t, server, "/elevenlabs/inbox/forget", `{"conversation_id":"conv_1"}`).text, "in both")
}

func TestADatabaseThatDoesNotAnswerIsSaidWithoutItsPassword(t *testing.T) {
	server, _ := admin(t)
	o := openInbox(t)
	o.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	asked := func(says string) {
		t.Helper()
		for _, got := range []adminAnswer{
			get(t, server, "/elevenlabs/inbox/events"), get(t, server, "/elevenlabs/inbox/events/1"), get(t, server, "/elevenlabs/inbox/events/1/body"),
			get(t, server, "/elevenlabs/inbox/stats"), post(t, server, "/elevenlabs/inbox/redeliver", `{"state":"dead"}`), post(t, server, "/elevenlabs/inbox/forget", `{"conversation_id":"conv_1"}`),
		} {
			assert.Equal(t, 503, got.status)
			assert.Contains(t, got.text, says)
			assert.NotContains(t, got.text, "hunter2")
		}
	}
	other, err := joinDatabase("postgres://caddy:hunter2@127.0.0.1:1/inbox", zap.NewNop())
	require.NoError(t, err)
	asked("the database postgres://127.0.0.1:1/inbox is not open yet")
	_, err = other.open(t.Context())
	require.Error(t, err)
	asked("the database postgres://127.0.0.1:1/inbox is not open: ")
	assert.Len(t, o.states(t), 1, "nothing is deleted unless all can be")
	require.NoError(t, other.leave())

	require.NoError(t, o.store.Close())
	asked("does not answer")
	assert.ErrorIs(t, o.store.Check(t.Context()), inbox.ErrClosed)
}
