package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each handler of a configuration with an inbox, and what becomes of an event.
func TestInboxTogetherWithOtherOptions(t *testing.T) {
	t.Parallel()
	const otherKey = "wsec_other"
	for _, test := range []struct {
		name, options string
		proxy         string // what follows the backend's address
		key           string
		body          string
		status        int
		inbox         string // X-ElevenLabs-Inbox
		deliveries    int
	}{
		{name: "a genuine event", status: 200, inbox: "stored", deliveries: 1},
		{name: "a forgery", key: otherKey, status: 401},
		{name: "report_only, a genuine event", options: "report_only", status: 200, inbox: "stored", deliveries: 1},
		{name: "report_only, a forgery passes and is not stored", options: "report_only", key: otherKey, status: 200, deliveries: 1},
		{name: "events, a type that is wanted", options: "events post_call_transcription", status: 200, inbox: "stored", deliveries: 1},
		{name: "events, another type", options: "events post_call_audio", status: 200},
		{name: "retries", options: "retries 1 10ms", status: 200, inbox: "stored", deliveries: 1},
		{name: "handle_response that makes a success of all", proxy: "{\nhandle_response {\nrespond 204\n}\n}", status: 200, inbox: "stored", deliveries: 1},
		{name: "an empty body", body: "-", status: 200, inbox: "stored", deliveries: 1},
		{name: "a body that is no JSON", body: "\x00\xff no JSON", status: 200, inbox: "stored", deliveries: 1},
		{name: "a limit that the event exceeds", options: "inbox", body: strings.Repeat("x", 5000), status: 200, inbox: "bypassed", deliveries: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newInboxLedger(t)
			limit := ""
			if test.options == "inbox" {
				test.options, limit = "", "limit 4KiB"
			}
			s := start(t, webhook(l.backend(taken)+" "+test.proxy, test.options+"\ninbox {\ndatabase "+newInboxFile(t)+"\n"+limit+"\n}"))
			s.awaitInbox()
			body, key := []byte(transcript), secret
			if test.body != "" {
				body = []byte(strings.TrimPrefix(test.body, "-"))
			}
			if test.key != "" {
				key = test.key
			}
			got := send(t, s.client("HTTP/1.1"), s.signed(body, key, time.Now()))
			assert.Equal(t, test.status, got.status)
			assert.Equal(t, test.inbox, got.header.Get(headerInbox))
			if test.inbox == "stored" {
				assert.Empty(t, got.body)
			}
			s.eventually("the backend to get it", func() bool {
				return s.inboxCount("waiting")+s.inboxCount("delivering") == 0 && len(l.of(body)) >= test.deliveries
			})
			assert.Equal(t, test.inbox == "stored", s.inboxCount("delivered") == 1)
			if test.key == "" {
				assert.Len(t, l.of(body), test.deliveries)
			}
		})
	}
}

func TestHandlersOfOneInboxMustDeliverAlike(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	backend, path := l.backend(taken), newInboxFile(t)
	s := start(t, site("respond 404"))
	handler := func(name, inbox, proxy string) string {
		return "handle /" + name + " {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\ninbox " + inbox + "\nreverse_proxy " + proxy + "\n}\n}\n"
	}
	database := "{\ndatabase " + path + "\n}"
	const differently = `two handlers deliver the inbox "default" differently: give one of them another name, as in "inbox NAME"`
	for _, test := range []struct{ name, config, want string }{
		{"two proxies", site(handler("a", database, backend) + handler("b", database, "127.0.0.1:1")), differently},
		{"two concurrencies", site(handler("a", database, backend) + handler("b", "{\nconcurrency 3\ndatabase "+path+"\n}", backend)), differently},
		{"two databases", site(handler("a", database, backend) + handler("b", "{\ndatabase "+path+"2\n}", backend)), `two databases have an inbox "default": give one of them another name`},
		{"two names", site(handler("a", database, backend) + handler("b", "other "+database, "127.0.0.1:1")), ""},
		{"a snippet that several sites import", "(hook) {\n" + handler("a", database, backend) + "}\n" + site("import hook") + fmt.Sprintf("https://localhost:%d {\ntls internal\nimport hook\n}\n", freePort(t)), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			problem := s.post("/load", test.config)
			if test.want == "" {
				assert.Empty(t, problem)
			} else {
				assert.Contains(t, problem, test.want)
			}
		})
	}
	assert.Equal(t, 1, s.runners(), "of the sites that share an inbox")
	require.Empty(t, s.post("/load", site("respond 404")))
}

func TestInboxStoresAnEventWhoseClientLeavesMeanwhile(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	path := newInboxFile(t)
	s := start(t, inboxSite(l.backend(taken), path, ""))
	s.awaitInbox()
	body := l.event(8 << 20)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	client := s.client("HTTP/1.1")
	go func() {
		_, err := try(client, s.event(body).WithContext(ctx))
		left <- err
	}()
	s.eventually("a part of the body to be stored", func() bool { return len(l.of(body)) > 0 || countIn(t, path, "chunk") > 0 })
	leave()
	if <-left == nil {
		t.Log("the client had its answer before it left")
	}
	s.eventually("the backend to get it", func() bool { return len(l.of(body)) == 1 })
	l.settled(s)
}

// What §10 of the design promises to operators, as they see it.
func TestOperatorSeesWhatTheInboxDoes(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	good, bad := l.event(1000), l.event(1000)
	s := start(t, inboxSite(l.backend(func(_ http.ResponseWriter, r *http.Request, _ int) int {
		if r.Header.Get("Idempotency-Key") == digestOf(bad) {
			return http.StatusTeapot
		}
		return http.StatusOK
	}), newInboxFile(t), "retry 50ms\ngive_up 10ms\nlimit 1MiB"))
	s.awaitInbox()
	client := s.client("HTTP/1.1")
	for _, body := range [][]byte{good, good, bad, l.event(2 << 20)} {
		_, err := l.send(client, s, body)
		require.NoError(t, err)
	}
	s.eventually("all to be settled", func() bool { return s.inboxCount("delivered") == 1 && s.inboxCount("dead") == 1 })
	for _, test := range []struct {
		metric string
		labels []string
		want   float64
	}{
		{"events_total", []string{`result="stored"`, `event_type="post_call_transcription"`}, 2},
		{"events_total", []string{`result="repeat"`}, 1},
		{"bypassed_total", []string{`reason="full"`}, 1},
		{"attempts_total", []string{`reason=""`}, 1},
		{"dead_total", []string{`event_type="post_call_transcription"`}, 1},
		{"events", []string{`state="dead"`}, 1},
		{"events", []string{`state="waiting"`}, 0},
		{"limit_bytes", nil, 1 << 20},
		{"bytes", nil, float64(len(good) + len(bad))},
		{"up", nil, 1},
		{"backend_down", nil, 0},
		{"oldest_waiting_seconds", nil, 0},
		{"store_seconds_count", nil, 4},
		{"delivered_after_seconds_count", nil, 1},
	} {
		s.eventually(fmt.Sprint(test.metric, test.labels, " to be ", test.want), func() bool {
			return s.metricSum("caddy_elevenlabs_inbox_"+test.metric, append(test.labels, `inbox="default"`)...) == test.want
		})
	}
	assert.Positive(t, s.metricSum("caddy_elevenlabs_inbox_attempts_total", `reason="backend_answer"`))
	s.awaitLog("attempt to deliver an event from the inbox failed: backend_answer",
		"an event is given up: nothing delivers it until somebody sends it again",
		"the inbox could not store an event, which is forwarded at once")
	var results []string
	for _, d := range shown(t, s, "/elevenlabs/deliveries") {
		results = append([]string{fmt.Sprint(d["result"], ", ", d["inbox"])}, results...)
	}
	assert.ElementsMatch(t, []string{"stored, stored", "stored, repeat", "stored, stored", "accepted, bypassed"}, results)
	got := elevenlabs(t, "", "status", "--address", s.admin)
	assert.NotEmpty(t, got.stdout)
}
