package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// The events for Caddy's events app. Their data are those of the delivery that
// they are about, by the names it has in the admin API, and the run of failures.
const (
	eventRejected  = "elevenlabs_webhook_rejected"
	eventFailing   = "elevenlabs_webhook_failing"
	eventRecovered = "elevenlabs_webhook_recovered"
)

// alarmLevels are those of the log lines.
var alarmLevels = map[deliveries.Alarm]zapcore.Level{
	deliveries.Notice:   zapcore.InfoLevel,
	deliveries.Warning:  zapcore.WarnLevel,
	deliveries.Critical: zapcore.ErrorLevel,
}

// warnOf tells the operator of a run of failures, and of its end.
func (h *Handler) warnOf(alarm deliveries.Alarm, status deliveries.Status, d deliveries.Delivery) {
	if alarm == deliveries.None {
		return
	}
	logger := h.logger.With(
		zap.String("handler", d.Handler),
		zap.Int("failures_in_row", status.FailuresInRow),
		zap.Time("failing_since", status.FailingSince))
	if alarm == deliveries.Recovered {
		logger.Info("webhook deliveries succeed again")
		h.notifier.notifyRun(eventRecovered, status, d)
		return
	}
	lastSuccess := zap.Skip()
	if !status.LastSuccess.IsZero() {
		lastSuccess = zap.Time("last_success", status.LastSuccess)
	}
	logger.Log(alarmLevels[alarm], "webhook deliveries fail",
		zap.String("reason", d.Reason),
		zap.String("event_type", d.EventType),
		zap.Int("upstream_status", d.UpstreamStatus),
		lastSuccess,
		zap.String("consequence", consequence(status, d)))
	h.notifier.notifyRun(eventFailing, status, d)
}

// consequence is what ElevenLabs will do: with this delivery, and with the
// webhook.
func consequence(s deliveries.Status, d deliveries.Delivery) string {
	const days = int(deliveries.DisabledIfNoneFor / (24 * time.Hour))
	left := deliveries.DisabledAfter - s.FailuresInRow
	switch {
	case s.LastSuccess.IsZero():
		return fmt.Sprintf("%s; none has succeeded since Caddy started: if the last success is more than %d days ago, ElevenLabs disables the webhook after %d more failures", repeat(d), days, left)
	case d.Ended.Sub(s.LastSuccess) > deliveries.DisabledIfNoneFor:
		return fmt.Sprintf("%s; the last success is more than %d days ago: ElevenLabs disables the webhook after %d more failures", repeat(d), days, left)
	}
	return fmt.Sprintf("%s, and disables the webhook if it goes on failing until the last success is more than %d days ago", repeat(d), days)
}

var transcripts = []string{"post_call_transcription", "post_call_transcription_otel"}

// repeat is whether ElevenLabs sends a delivery again: only transcripts, if the
// operator has turned retries on, and only after 408, 429 and 5xx.
func repeat(d deliveries.Delivery) string {
	status := answered(d)
	switch {
	case d.EventType != "" && !slices.Contains(transcripts, d.EventType):
		return "ElevenLabs does not send it again, since it is no transcript"
	case status != 0 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		return fmt.Sprintf("ElevenLabs does not send it again after a %d", status)
	case d.EventType == "" || status == 0:
		return "ElevenLabs may send it again if it is a transcript and retries are on"
	}
	return "ElevenLabs sends it again if retries are on"
}

// answered is the status that a failed delivery was answered, or 0 where it is not
// known here.
func answered(d deliveries.Delivery) int {
	switch d.Reason {
	case failedAnswer:
		return d.UpstreamStatus
	case failedUnreachable, failedTimeout:
		return http.StatusBadGateway // or another 5xx
	case failedNoHandler:
		return http.StatusInternalServerError
	}
	for _, reason := range reasons {
		if reason.code == d.Reason {
			return reason.status
		}
	}
	return 0
}

// notifier hands events to Caddy's events app, in their order, without holding up
// a request: a handler of events may take its time. The nil notifier does nothing.
type notifier struct {
	ctx    caddy.Context
	app    *caddyevents.App
	logger *zap.Logger

	mu      sync.Mutex
	waiting []notice
	running bool
}

type notice struct {
	name string
	data map[string]any
}

// maxWaiting is how many events may wait; what comes on top is logged and not
// handed on.
const maxWaiting = 256

// newNotifier returns nil if there is no events app, as in tests.
func newNotifier(ctx caddy.Context) (*notifier, error) {
	app, err := ctx.AppIfConfigured("events")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("getting the events app: %w", err)
	}
	return notifierOf(ctx, app.(*caddyevents.App), sampled(ctx.Logger())), nil
}

// notifierOf makes a notifier that goes on after its configuration, as requests
// may.
func notifierOf(ctx caddy.Context, app *caddyevents.App, logger *zap.Logger) *notifier {
	ctx.Context = context.WithoutCancel(ctx.Context)
	return &notifier{ctx: ctx, app: app, logger: logger}
}

// notify is for an event about one delivery.
func (n *notifier) notify(name string, d deliveries.Delivery) {
	if n.wanted(name) {
		n.send(name, dataOf(d))
	}
}

// notifyRun is for an event about a run of failures.
func (n *notifier) notifyRun(name string, s deliveries.Status, d deliveries.Delivery) {
	if n.wanted(name) {
		data := dataOf(d)
		data["failures_in_row"] = s.FailuresInRow
		data["failing_since"] = s.FailingSince
		data["last_success"] = s.LastSuccess
		n.send(name, data)
	}
}

func (n *notifier) wanted(name string) bool { return n != nil && n.app.ShouldEmit(name) }

func (n *notifier) send(name string, data map[string]any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == maxWaiting {
		n.logger.Warn("event not emitted: those before it are not handled yet", zap.String("name", name))
		return
	}
	n.waiting = append(n.waiting, notice{name, data})
	if !n.running {
		n.running = true
		go n.run()
	}
}

// run emits events while there are any.
func (n *notifier) run() {
	for {
		n.mu.Lock()
		if len(n.waiting) == 0 {
			n.running = false
			n.mu.Unlock()
			return
		}
		next := n.waiting[0]
		n.waiting = n.waiting[1:]
		n.mu.Unlock()
		n.emit(next)
	}
}

// emit survives a handler of events that panics, as one that runs within a
// request does.
func (n *notifier) emit(next notice) {
	defer func() {
		if reason := recover(); reason != nil {
			n.logger.Error("a handler of events panicked", zap.String("name", next.name), zap.Any("panic", reason), zap.Stack("stack"))
		}
	}()
	n.app.Emit(n.ctx, next.name, next.data)
}

func dataOf(d deliveries.Delivery) map[string]any {
	return map[string]any{
		"handler":         d.Handler,
		"result":          string(d.Result),
		"reason":          d.Reason,
		"event_type":      d.EventType,
		"event_id":        d.EventID,
		"conversation_id": d.ConversationID,
		"secret_name":     d.SecretName,
		"client_ip":       d.ClientIP,
		"upstream_status": d.UpstreamStatus,
		"size":            d.Size,
		"time":            d.Time,
	}
}
