package caddymodule

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// panics is the reason of an event on which the subscriber panics.
const panics = "panics"

// subscriber handles events, each when the test asks for it.
type subscriber struct {
	events chan caddy.Event
	test   context.Context
}

func (s subscriber) Handle(ctx context.Context, e caddy.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Data["reason"] == panics {
		panic("a bug in a hook")
	}
	select {
	case s.events <- e:
	case <-s.test.Done():
	}
	return nil
}

// subscribe subscribes to a handler's events. The returned function ends the
// handler's configuration.
func subscribe(t *testing.T, h *Handler, names ...string) (subscriber, *observer.ObservedLogs, context.CancelFunc) {
	t.Helper()
	ctx, end := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(end)
	app := new(caddyevents.App)
	require.NoError(t, app.Provision(ctx))
	s := subscriber{make(chan caddy.Event), t.Context()}
	for _, name := range names {
		require.NoError(t, app.On(name, s))
	}
	require.NoError(t, app.Start())
	core, logs := observer.New(zapcore.DebugLevel)
	h.notifier = startNotifier(ctx, app, zap.New(core))
	return s, logs, end
}

func (s subscriber) next(t *testing.T) caddy.Event {
	t.Helper()
	select {
	case e := <-s.events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
		return caddy.Event{}
	}
}

func TestFailuresInARowAndTheirEndAreLoggedAndEmitted(t *testing.T) {
	h, logs := provision(t, &Handler{})
	s, _, _ := subscribe(t, h, eventFailing, eventRecovered)
	status := 0
	deliver := func() {
		serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(status)
			return nil
		}))
	}
	status = 500
	began := time.Now()
	levels := map[int]zapcore.Level{3: zapcore.InfoLevel, 5: zapcore.WarnLevel, 8: zapcore.ErrorLevel}
	for n := 1; n <= 12; n++ {
		deliver()
		logged := logs.FilterMessage("webhook deliveries fail").All()
		logs.TakeAll()
		level, alarm := levels[n]
		if !alarm {
			assert.Empty(t, logged, n)
			continue
		}
		require.Len(t, logged, 1, n)
		assert.Equal(t, level, logged[0].Level)
		fields := logged[0].ContextMap()
		assert.Equal(t, int64(n), fields["failures_in_row"])
		assert.Equal(t, "backend_answer", fields["reason"])
		assert.Equal(t, int64(500), fields["upstream_status"])
		assert.WithinDuration(t, began, fields["failing_since"].(time.Time), 10*time.Second)
		assert.Contains(t, fields["consequence"], "disables the webhook")

		e := s.next(t)
		assert.Equal(t, eventFailing, e.Name())
		assert.Equal(t, n, e.Data["failures_in_row"])
		assert.Equal(t, "backend_answer", e.Data["reason"])
	}
	status = 200
	deliver()
	deliver()
	logged := logs.FilterMessage("webhook deliveries succeed again").All()
	require.Len(t, logged, 1)
	assert.Equal(t, int64(12), logged[0].ContextMap()["failures_in_row"])
	e := s.next(t)
	assert.Equal(t, eventRecovered, e.Name())
	assert.Equal(t, 12, e.Data["failures_in_row"])
}

func TestTheConsequenceSaysWhenElevenLabsDisablesTheWebhook(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		lastSuccess time.Time
		want        string
	}{
		"unknown": {time.Time{}, "if the last success is more than 7 days ago, ElevenLabs disables the webhook after 7 more failures"},
		"long":    {now.Add(-8 * 24 * time.Hour), "the last success is more than 7 days ago: ElevenLabs disables the webhook after 7 more failures"},
		"lately":  {now.Add(-time.Hour), "disables the webhook if it fails until the last success is more than 7 days ago"},
	} {
		t.Run(name, func(t *testing.T) {
			var s deliveries.Streak
			s.FailuresInRow, s.LastSuccess = 3, test.lastSuccess
			got := consequence(s, &deliveries.Delivery{Ended: now, Reason: facts.BackendTimeout.Code, Fields: envelope.Fields{EventType: "post_call_transcription"}})
			assert.Contains(t, got, test.want)
			assert.Contains(t, got, "ElevenLabs retries it if retries are on")
		})
	}
}

func TestTheConsequenceSaysWhetherElevenLabsRetries(t *testing.T) {
	const (
		transcription = "post_call_transcription"
		again         = "ElevenLabs retries it if retries are on"
		never         = "ElevenLabs does not retry it after a "
		perhaps       = "ElevenLabs may retry it if it is a transcript and retries are on"
	)
	for name, test := range map[string]struct {
		reason string
		status int // of the backend
		typ    string
		want   string
	}{
		"500":                          {facts.BackendAnswer.Code, 500, transcription, again},
		"503, OpenTelemetry":           {facts.BackendAnswer.Code, 503, "post_call_transcription_otel", again},
		"429":                          {facts.BackendAnswer.Code, 429, transcription, again},
		"408":                          {facts.BackendAnswer.Code, 408, transcription, again},
		"404":                          {facts.BackendAnswer.Code, 404, transcription, never + "404"},
		"401":                          {facts.BackendAnswer.Code, 401, transcription, never + "401"},
		"302":                          {facts.BackendAnswer.Code, 302, transcription, never + "302"},
		"500 to audio":                 {facts.BackendAnswer.Code, 500, "post_call_audio", "ElevenLabs does not retry it, since it is not a transcript"},
		"unreachable":                  {facts.BackendUnreachable.Code, 0, transcription, again},
		"timeout":                      {facts.BackendTimeout.Code, 0, transcription, again},
		"timeout of a voice's removal": {facts.BackendTimeout.Code, 0, "voice_removed", "since it is not a transcript"},
		"no handler":                   {facts.NoHandler.Code, 0, transcription, again},
		"broken off":                   {facts.AnswerIncomplete.Code, 200, transcription, perhaps},
		"client left":                  {facts.ClientLeft.Code, 200, transcription, perhaps},
		"another handler's error":      {facts.HandlerError.Code, 0, transcription, perhaps},
		"stale":                        {"timestamp_stale", 0, transcription, never + "403"},
		"another secret":               {"signature_mismatch", 0, "", never + "401"},
		"too large":                    {"body_too_large", 0, "", never + "413"},
		"overloaded, of unknown type":  {"overloaded", 0, "", perhaps},
		"too slow, of unknown type":    {"body_timeout", 0, "", perhaps},
		"no type to be read":           {facts.BackendAnswer.Code, 500, "", perhaps},
	} {
		t.Run(name, func(t *testing.T) {
			d := deliveries.Delivery{Reason: test.reason, UpstreamStatus: test.status, Fields: envelope.Fields{EventType: test.typ}}
			assert.Contains(t, consequence(deliveries.Streak{}, &d), test.want)
		})
	}
}

func TestEventsReachAHookAfterTheConfigurationEnded(t *testing.T) {
	h, _ := provision(t, &Handler{})
	s, _, end := subscribe(t, h, eventRejected)
	h.notifier.notify(eventRejected, &event{Event: deliveries.Event{Delivery: deliveries.Delivery{Reason: "queued before"}}})
	end()
	h.notifier.notify(eventRejected, &event{Event: deliveries.Event{Delivery: deliveries.Delivery{Reason: "after"}}})
	assert.Equal(t, "queued before", s.next(t).Data["reason"])
	assert.Equal(t, "after", s.next(t).Data["reason"])
}

func TestAPanickingHookStopsNeitherCaddyNorLaterEvents(t *testing.T) {
	h, _ := provision(t, &Handler{})
	s, logs, _ := subscribe(t, h, eventRejected)
	h.notifier.notify(eventRejected, &event{Event: deliveries.Event{Delivery: deliveries.Delivery{Reason: panics}}})
	h.notifier.notify(eventRejected, &event{Event: deliveries.Event{Delivery: deliveries.Delivery{Reason: "good"}}})
	assert.Equal(t, "good", s.next(t).Data["reason"])
	logged := logs.FilterMessage("a handler of events panicked").All()
	require.Len(t, logged, 1)
	assert.Equal(t, "a bug in a hook", logged[0].ContextMap()["panic"])
}

func TestRejectionsAreEmittedWithoutDelayingRequests(t *testing.T) {
	h, _ := provision(t, &Handler{})
	s, logs, _ := subscribe(t, h, eventRejected)
	forge := func() {
		r := newRequest(transcript)
		sign(r, "wsec_other", signedAt, transcript)
		requireRejected(t, serve(t, h, r), "signature_mismatch", 401)
	}
	// The subscriber does not return from the first event, so the queue fills up.
	// Further events are lost and logged, and no request waits.
	for range maxWaiting + 10 {
		forge()
	}
	assert.NotZero(t, logs.FilterMessage("event not emitted, since the queue of events is full: "+eventRejected).Len())
	e := s.next(t)
	assert.Equal(t, "signature_mismatch", e.Data["reason"])
	assert.Equal(t, "34.67.146.145", e.Data["client_ip"])
	assert.Empty(t, e.Data["event_type"], "nothing is believed")
}

// A hook that is slow, or never returns, is on all these events.
func TestAFloodOfForgeriesOrDeadEventsDoesNotSilenceTheWatchdog(t *testing.T) {
	h, _ := provision(t, &Handler{})
	ctx, end := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(end)
	app := new(caddyevents.App)
	require.NoError(t, app.Provision(ctx))
	hook := slowHook{make(chan string), t.Context()}
	for _, name := range []string{eventRejected, eventFailing, eventRecovered, eventInboxDead} {
		require.NoError(t, app.On(name, hook))
	}
	require.NoError(t, app.Start())
	core, logs := observer.New(zapcore.DebugLevel)
	h.notifier = startNotifier(ctx, app, newSampled(zap.New(core)))
	for range 3 * maxWaiting {
		r := newRequest(transcript)
		r.RemoteAddr = strangersAddress
		sign(r, "wsec_other", signedAt, transcript)
		serve(t, h, r)
		h.notifier.notifyInbox(eventInboxDead, inbox.Queue{Inbox: "default"}, nil)
	}
	for range deliveries.FirstAlarm {
		deliver(t, h, 500)
	}
	deliver(t, h, 200)
	for _, want := range []string{eventFailing, eventRecovered} {
		select {
		case got := <-hook.came:
			assert.Equal(t, want, got)
		case <-time.After(10 * time.Second):
			t.Fatalf("%s did not come", want)
		}
	}

	// The hook now keeps every event for itself.
	deliverMany := func(streaks int) {
		for range streaks {
			for range deliveries.FirstAlarm {
				deliver(t, h, 500)
			}
			deliver(t, h, 200)
		}
	}
	deliverMany(maxWaiting)
	for _, name := range []string{eventRejected, eventFailing, eventRecovered, eventInboxDead} {
		assert.NotZero(t, logs.FilterMessage("event not emitted, since the queue of events is full: "+name).Len(), name)
	}
}

// slowHook takes rejections and dead events without end, and of the others what the test asks for.
type slowHook struct {
	came chan string
	test context.Context
}

func (s slowHook) Handle(_ context.Context, e caddy.Event) error {
	came := s.came
	if e.Name() == eventRejected || e.Name() == eventInboxDead {
		came = nil
	}
	select {
	case came <- e.Name():
	case <-s.test.Done():
	}
	return nil
}

func TestEventsWithoutASubscriberAllocateNothing(t *testing.T) {
	require.NoError(t, caddy.Run(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"events": []byte("{}")},
	}))
	t.Cleanup(func() { require.NoError(t, caddy.Stop()) })
	n, err := newNotifier(caddy.ActiveContext())
	require.NoError(t, err)
	require.NotNil(t, n)
	e := new(event)
	assert.Zero(t, testing.AllocsPerRun(100, func() { n.notify(eventRejected, e) }))
}

func init() { caddy.RegisterModule(hook{}) }

// hook is a handler of events, such as users configure.
type hook struct{}

var hooked = make(chan caddy.Event, 16)

func (hook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.elevenlabs_test_hook", New: func() caddy.Module { return new(hook) }}
}

func (hook) Handle(_ context.Context, e caddy.Event) error {
	hooked <- e
	return nil
}

func TestCaddysEventsAppRunsAHook(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	config, err := json.Marshal(map[string]any{
		"admin":   map[string]any{"disabled": true, "config": map[string]any{"persist": false}},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"level": "ERROR"}}},
		"apps": map[string]any{
			"events": map[string]any{"subscriptions": []any{map[string]any{
				"events":   []string{eventFailing, eventRecovered, eventRejected},
				"handlers": []any{map[string]any{"handler": "elevenlabs_test_hook"}},
			}}},
			"http": map[string]any{"servers": map[string]any{"s": map[string]any{
				"listen":          []string{address},
				"automatic_https": map[string]any{"disable": true},
				"routes": []any{map[string]any{"handle": []any{
					map[string]any{"handler": "elevenlabs_webhook", "allow_http": true, "secrets": []any{map[string]any{"value": "{env.TEST_SECRET}", "name": "hooked"}}},
					map[string]any{"handler": "static_response", "status_code": "{http.request.header.Test-Status}"},
				}}},
			}}},
		},
	})
	require.NoError(t, err)
	require.NoError(t, caddy.Load(config, true))
	t.Cleanup(func() {
		require.NoError(t, caddy.Stop())
		forgetUnused()
	})

	deliver := func(key, status string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, strings.NewReader(transcript))
		require.NoError(t, err)
		sign(request, key, time.Now(), transcript)
		request.Header.Set("Test-Status", status)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
	s := subscriber{events: hooked}
	for _, want := range []struct {
		name, reason string
		cause        func()
	}{
		{eventRejected, "signature_mismatch", func() { deliver("wsec_other", "") }},
		{eventFailing, "backend_answer", func() {
			for range 3 {
				deliver(testSecret, "500")
			}
		}},
		{eventRecovered, "", func() { deliver(testSecret, "200") }},
	} {
		want.cause()
		e := s.next(t)
		assert.Equal(t, want.name, e.Name())
		assert.Equal(t, want.reason, e.Data["reason"])
		assert.Equal(t, "hooked", e.Data["handler"])
		assert.Equal(t, caddy.ModuleID("http.handlers.elevenlabs_webhook"), e.Origin().CaddyModule().ID)
	}
}
