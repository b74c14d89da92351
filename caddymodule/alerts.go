package caddymodule

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// alarmLevels are the levels of the log lines.
var alarmLevels = map[deliveries.Alarm]zapcore.Level{
	deliveries.Notice:   zapcore.InfoLevel,
	deliveries.Warning:  zapcore.WarnLevel,
	deliveries.Critical: zapcore.ErrorLevel,
}

// raise tells the operator that deliveries of a secret fail in a row, or that they
// succeed again.
func (h *Handler) raise(r deliveries.Raised, e *event) {
	logger := h.logger.With(
		zap.String("handler", e.Handler),
		zap.String("secret", r.Secret),
		zap.Int("failures_in_row", r.FailuresInRow),
		zap.Time("failing_since", r.FailingSince))
	if r.Alarm == deliveries.Recovered {
		logger.Info("webhook deliveries succeed again")
		h.notifier.notifyStreak(eventRecovered, r, e)
		return
	}
	lastSuccess := zap.Skip()
	if !r.LastSuccess.IsZero() {
		lastSuccess = zap.Time("last_success", r.LastSuccess)
	}
	logger.Log(alarmLevels[r.Alarm], "webhook deliveries fail",
		zap.String("reason", e.Reason),
		zap.String("event_type", e.EventType),
		zap.Int("upstream_status", e.UpstreamStatus),
		lastSuccess,
		zap.String("consequence", consequence(r.Streak, &e.Delivery)))
	h.notifier.notifyStreak(eventFailing, r, e)
}

// consequence says what ElevenLabs does after a failed delivery, and when it disables
// the webhook.
func consequence(s deliveries.Streak, d *deliveries.Delivery) string {
	const days = int(facts.DisabledIfNoneFor / (24 * time.Hour))
	left := facts.DisabledAfter - s.FailuresInRow
	switch {
	case s.LastSuccess.IsZero():
		return fmt.Sprintf("%s; no delivery has succeeded since Caddy started: if the last success is more than %d days ago, ElevenLabs disables the webhook after %d more failures", retry(d), days, left)
	case d.Ended.Sub(s.LastSuccess) > facts.DisabledIfNoneFor:
		return fmt.Sprintf("%s; the last success is more than %d days ago: ElevenLabs disables the webhook after %d more failures", retry(d), days, left)
	}
	return fmt.Sprintf("%s, and disables the webhook if it fails until the last success is more than %d days ago", retry(d), days)
}

// retry says whether ElevenLabs retries a delivery.
func retry(d *deliveries.Delivery) string {
	eventType, known := facts.EventTypeByName(d.EventType)
	status := facts.StatusOf(d.Reason)
	if d.Reason == facts.BackendAnswer.Code {
		status = d.UpstreamStatus
	}
	switch {
	case d.EventType != "" && (!known || !eventType.Retried):
		return "ElevenLabs does not retry it, since it is not a transcript"
	case status != 0 && !facts.Retried(status):
		return fmt.Sprintf("ElevenLabs does not retry it after a %d", status)
	case d.EventType == "" || status == 0:
		return "ElevenLabs may retry it if it is a transcript and retries are on"
	}
	return "ElevenLabs retries it if retries are on"
}
