package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func sign(r *http.Request, key string, at time.Time, body string) {
	r.Header.Set(signature.HeaderName, signature.Sign([]byte(key), at, []byte(body)))
}

// lastDelivery returns the newest entry of the log.
func lastDelivery(t *testing.T) deliveries.Delivery {
	t.Helper()
	last := deliveryLog.Last(deliveries.Filter{Limit: 1})
	require.Len(t, last, 1)
	return last[0]
}

// TestEachResultHasTheSameNameInLogMetricsAndDeliveries checks the log of deliveries, the metrics and
// the fields of the access log.
func TestEachResultHasTheSameNameInLogMetricsAndDeliveries(t *testing.T) {
	answers := func(status int) caddyhttp.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(status)
			return nil
		}
	}
	fails := func(status int) caddyhttp.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) error {
			return caddyhttp.Error(status, errors.New("broken"))
		}
	}
	forge := func(r *http.Request) { sign(r, "wsec_other", signedAt, transcript) }
	isTest := func(r *http.Request) { r.Header.Set("X-ElevenLabs-Test", facts.TestMark("v1.2.3")) }
	elsewhere := func(r *http.Request) { r.RemoteAddr = "203.0.113.7:4711" }
	canLeave := func(r *http.Request) {
		ctx, leave := context.WithCancel(r.Context())
		*r = *r.WithContext(context.WithValue(ctx, leaveKey{}, leave))
	}
	leave := func(r *http.Request) { r.Context().Value(leaveKey{}).(context.CancelFunc)() }
	for name, test := range map[string]struct {
		handler Handler
		change  func(*http.Request)
		next    caddyhttp.HandlerFunc

		result, reason, would string
		typ                   string // the metric's label
		class                 string // of the backend's answer; empty if it was not called
		proven, counts        bool
	}{
		"accepted":                {next: answers(204), result: "accepted", typ: "post_call_transcription", class: "2xx", proven: true, counts: true},
		"not wanted":              {handler: Handler{Events: []string{"post_call_audio"}}, result: "ignored", reason: "event_not_wanted", typ: "post_call_transcription", proven: true, counts: true},
		"answer 500":              {next: answers(500), result: "failed", reason: "backend_answer", typ: "post_call_transcription", class: "5xx", proven: true, counts: true},
		"answer 302":              {next: answers(302), result: "failed", reason: "backend_answer", typ: "post_call_transcription", class: "3xx", proven: true, counts: true},
		"unreachable":             {next: fails(502), result: "failed", reason: "backend_unreachable", typ: "post_call_transcription", class: "none", proven: true, counts: true},
		"timeout":                 {next: fails(504), result: "failed", reason: "backend_timeout", typ: "post_call_transcription", class: "none", proven: true, counts: true},
		"another handler's error": {next: fails(500), result: "failed", reason: "handler_error", typ: "post_call_transcription", class: "none", proven: true, counts: true},
		"no handler": {next: func(w http.ResponseWriter, r *http.Request) error {
			caddyhttp.SetVar(r.Context(), "unhandled", true)
			return nil
		}, result: "failed", reason: "no_handler", typ: "post_call_transcription", class: "none", proven: true, counts: true},
		"client left": {change: canLeave, next: func(w http.ResponseWriter, r *http.Request) error {
			leave(r)
			return answers(200)(w, r)
		}, result: "failed", reason: "client_left", typ: "post_call_transcription", class: "2xx", proven: true, counts: true},
		"client left while it had nothing yet": {change: canLeave, next: func(w http.ResponseWriter, r *http.Request) error {
			defer leave(r)
			return answers(200)(w, r) // not flushed
		}, result: "failed", reason: "client_left", typ: "post_call_transcription", class: "2xx", proven: true, counts: true},
		"client left once it had the status": {change: canLeave, next: func(w http.ResponseWriter, r *http.Request) error {
			defer leave(r)
			w.WriteHeader(200)
			return http.NewResponseController(w).Flush()
		}, result: "accepted", typ: "post_call_transcription", class: "2xx", proven: true, counts: true},
		"of a type to come": {change: func(r *http.Request) {
			const body = `{"type":"of_next_year"}`
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			sign(r, testSecret, signedAt, body)
		}, next: answers(200), result: "accepted", typ: "other", class: "2xx", proven: true, counts: true},

		"a test":                            {change: isTest, next: answers(200), result: "accepted", typ: "post_call_transcription", class: "2xx", proven: true},
		"a test that failed":                {change: isTest, next: answers(500), result: "failed", reason: "backend_answer", typ: "post_call_transcription", class: "5xx", proven: true},
		"a test that was stale":             {change: func(r *http.Request) { isTest(r); sign(r, testSecret, signedAt.Add(-time.Hour), transcript) }, result: "rejected", reason: "timestamp_stale", typ: "post_call_transcription", proven: true},
		"a test that was forged":            {change: func(r *http.Request) { isTest(r); forge(r); elsewhere(r) }, result: "rejected", reason: "signature_mismatch", typ: "none"},
		"a test without a signature":        {change: func(r *http.Request) { isTest(r); r.Header.Del(signature.HeaderName) }, result: "rejected", reason: "signature_missing", typ: "none"},
		"forged":                            {change: func(r *http.Request) { forge(r); elsewhere(r) }, result: "rejected", reason: "signature_mismatch", typ: "none"},
		"another secret, from ElevenLabs":   {change: forge, result: "rejected", reason: "signature_mismatch", typ: "none", counts: true},
		"not a webhook, from ElevenLabs":    {change: func(r *http.Request) { r.Header.Del(signature.HeaderName) }, result: "rejected", reason: "signature_missing", typ: "none"},
		"stale":                             {change: func(r *http.Request) { elsewhere(r); sign(r, testSecret, signedAt.Add(-time.Hour), transcript) }, result: "rejected", reason: "timestamp_stale", typ: "post_call_transcription", proven: true, counts: true},
		"too large, of anyone":              {handler: Handler{MaxSize: 10}, change: elsewhere, result: "rejected", reason: "body_too_large", typ: "none"},
		"too large, from ElevenLabs":        {handler: Handler{MaxSize: 10}, result: "rejected", reason: "body_too_large", typ: "none", counts: true},
		"forged, forwarded":                 {handler: Handler{ReportOnly: true}, change: func(r *http.Request) { forge(r); elsewhere(r) }, next: answers(200), result: "accepted", would: "signature_mismatch", typ: "none", class: "2xx"},
		"another secret, forwarded":         {handler: Handler{ReportOnly: true}, change: forge, next: answers(200), result: "accepted", would: "signature_mismatch", typ: "none", class: "2xx", counts: true},
		"in clear, forwarded, not accepted": {handler: Handler{ReportOnly: true}, change: func(r *http.Request) { elsewhere(r); r.TLS = nil }, next: answers(500), result: "failed", reason: "backend_answer", would: "insecure_transport", typ: "post_call_transcription", class: "5xx", proven: true, counts: true},
		"stale, forwarded, not accepted":    {handler: Handler{ReportOnly: true}, change: func(r *http.Request) { sign(r, testSecret, signedAt.Add(-time.Hour), transcript) }, next: answers(500), result: "failed", reason: "backend_answer", would: "timestamp_stale", typ: "post_call_transcription", class: "5xx", proven: true, counts: true},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := provision(t, &test.handler)
			*h.Retries.Count = 0
			r := newRequest(transcript)
			if test.change != nil {
				test.change(r)
			}
			next := test.next
			if next == nil {
				next = func(http.ResponseWriter, *http.Request) error {
					t.Error("the backend was called")
					return nil
				}
			}
			res := serveWith(t, h, r, next)

			d := lastDelivery(t)
			assert.Equal(t, test.result, string(d.Result))
			assert.Equal(t, test.reason, d.Reason)
			assert.Equal(t, test.would, d.WouldReject)
			assert.Equal(t, test.proven, d.Proven)
			assert.Equal(t, test.counts, d.Counts)
			assert.Equal(t, strings.HasPrefix(name, "a test"), d.Test)
			assert.Equal(t, "TEST_SECRET", d.Handler)
			assert.WithinDuration(t, time.Now(), d.Time, time.Minute)
			if test.proven && test.typ != "other" {
				assert.Equal(t, []string{"post_call_transcription", "conv_1", "agent_1"}, []string{d.EventType, d.ConversationID, d.AgentID})
			}
			if !test.proven {
				assert.Empty(t, d.EventType+d.ConversationID+d.AgentID+d.SignedAt+d.SecretName, "nothing is believed")
			}

			m := h.group.metrics
			assert.Equal(t, 1, int(testutil.ToFloat64(m.deliveries.WithLabelValues(test.result, test.reason, test.typ))))
			if test.would != "" {
				assert.Equal(t, 1, int(testutil.ToFloat64(m.wouldReject.WithLabelValues(test.would))))
			}
			if test.class != "" {
				assert.Equal(t, 1, int(testutil.ToFloat64(m.responses.WithLabelValues(test.class))))
			} else {
				for _, class := range []string{"2xx", "3xx", "4xx", "5xx", "none"} {
					assert.Zero(t, testutil.ToFloat64(m.responses.WithLabelValues(class)))
				}
			}
			assert.Zero(t, testutil.ToFloat64(m.inFlight))

			fields := logged(t, res.event)
			for key, want := range map[string]string{
				"result": test.result, "reason": test.reason, "would_reject": test.would, "event_type": d.EventType,
				"conversation_id": d.ConversationID, "secret_name": d.SecretName,
			} {
				assert.Equal(t, want != "", fields[key] != nil, key)
				if want != "" {
					assert.Equal(t, want, fields[key], key)
				}
			}
			status := statusOf(h.group)
			assert.Equal(t, test.proven && test.counts, !status.LastDelivery.IsZero())
			if test.counts && test.result != "accepted" && test.result != "ignored" {
				assert.Equal(t, 1, status.FailuresInRow)
				assert.Equal(t, test.reason, status.LastFailure.Reason)
			} else {
				assert.Zero(t, status.FailuresInRow)
			}
		})
	}
}

type leaveKey struct{}

// logged returns the event's fields in the access log.
func logged(t *testing.T, e *event) map[string]any {
	t.Helper()
	line, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{SkipLineEnding: true}).EncodeEntry(zapcore.Entry{}, []zap.Field{zap.Inline(e)})
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(line.Bytes(), &fields))
	again, err := json.Marshal(fields)
	require.NoError(t, err)
	assert.Len(t, line.String(), len(again), "each key once")
	return fields
}

func TestAnAnswerThatBreaksOffIsAFailure(t *testing.T) {
	h, logs := provision(t, &Handler{})
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusOK)
			panic(http.ErrAbortHandler)
		}))
	})
	d := lastDelivery(t)
	assert.Equal(t, []string{"failed", "answer_incomplete"}, []string{string(d.Result), d.Reason})
	assert.Equal(t, 1, statusOf(h.group).FailuresInRow)
	assert.Equal(t, 1, logs.FilterMessage("the backend's answer broke off").Len())
}

func TestAClientThatLeavesAfterTheStatusIsASuccess(t *testing.T) {
	for status, want := range map[int][]string{200: {"accepted", ""}, 500: {"failed", "backend_answer"}} {
		h, _ := provision(t, &Handler{})
		ctx, leave := context.WithCancel(t.Context())
		assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
			serveWith(t, h, newRequest(transcript).WithContext(ctx), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				w.WriteHeader(status)
				assert.NoError(t, http.NewResponseController(w).Flush())
				leave()
				panic(http.ErrAbortHandler) // as reverse_proxy does when it cannot write
			}))
		})
		d := lastDelivery(t)
		assert.Equal(t, want, []string{string(d.Result), d.Reason})
	}
}

func TestDurationsAndSizesAreMeasured(t *testing.T) {
	h, _ := provision(t, &Handler{})
	serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		time.Sleep(10 * time.Millisecond) // the backend's work
		w.WriteHeader(http.StatusOK)
		return nil
	}))
	d := lastDelivery(t)
	assert.Equal(t, int64(len(transcript)), d.Size)
	assert.Positive(t, d.ReceiveSeconds)
	assert.Positive(t, d.VerifySeconds)
	assert.GreaterOrEqual(t, d.UpstreamSeconds, .01)
	assert.Equal(t, 1, d.Attempts)
}
