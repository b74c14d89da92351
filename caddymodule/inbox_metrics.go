package caddymodule

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

const (
	inboxSubsystem = "elevenlabs_inbox"
	labelInbox     = "inbox"
)

// perInbox are the metrics with the label inbox that count.
var perInbox []prometheus.Collector

var (
	inboxEvents      = inboxCounter("events_total", "Events that came to the inbox: stored, or there already.", "result", "event_type")
	inboxBypassed    = inboxCounter("bypassed_total", "Events that the inbox could not store, so that they were forwarded at once.", "reason")
	inboxAttempts    = inboxCounter("attempts_total", "Attempts to deliver events from the inbox, by the reason of their failure; empty if the backend took the event.", "reason")
	inboxDead        = inboxCounter("dead_total", "Events that were given up.", "event_type")
	inboxRedelivered = inboxCounter("redelivered_total", "Events that somebody sent again.")
	inboxDiscarded   = inboxCounter("discarded_total", "Events that somebody discarded.")

	inboxStore   = inboxHistogram("store_seconds", "Time to store an event.", prometheus.ExponentialBuckets(.0005, 2, 15))
	inboxAttempt = inboxHistogram("attempt_seconds", "Time of an attempt to deliver an event.", prometheus.ExponentialBuckets(.001, 2.5, 13))
	inboxAfter   = inboxHistogram("delivered_after_seconds", "Time from the receipt of an event until the backend took it.", prometheus.ExponentialBuckets(.005, 4, 13))
)

func inboxCounter(name, help string, labels ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: inboxSubsystem, Name: name, Help: help}, append([]string{labelInbox}, labels...))
	perInbox = append(perInbox, vec)
	return vec
}

func inboxHistogram(name, help string, buckets []float64) *prometheus.HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: inboxSubsystem, Name: name, Help: help, Buckets: buckets}, []string{labelInbox})
	perInbox = append(perInbox, vec)
	return vec
}

// inboxMetrics are the metrics of one inbox.
type inboxMetrics struct {
	events, bypassed, attempts, dead *prometheus.CounterVec
	store, attempt, after            prometheus.Observer
}

func newInboxMetrics(name string) inboxMetrics {
	of := prometheus.Labels{labelInbox: name}
	return inboxMetrics{
		events: inboxEvents.MustCurryWith(of), bypassed: inboxBypassed.MustCurryWith(of),
		attempts: inboxAttempts.MustCurryWith(of), dead: inboxDead.MustCurryWith(of),
		store: inboxStore.With(of), attempt: inboxAttempt.With(of), after: inboxAfter.With(of),
	}
}

// initSeries creates every series at 0, so that increase() sees the first occurrence.
func (m *inboxMetrics) initSeries(name string) {
	inboxRedelivered.WithLabelValues(name)
	inboxDiscarded.WithLabelValues(name)
	for _, typ := range append(slices.Clone(facts.EventTypeNames), typeOther) {
		m.events.WithLabelValues(deliveries.InboxStored, typ)
		m.events.WithLabelValues(deliveries.InboxRepeat, typ)
		m.dead.WithLabelValues(typ)
	}
	for _, reason := range bypassReasons {
		m.bypassed.WithLabelValues(reason)
	}
	m.attempts.WithLabelValues("")
	for _, failure := range facts.Failures {
		m.attempts.WithLabelValues(failure.Code)
	}
}

// settled counts an attempt whose outcome is stored, and tells of an event that is dead.
func (h *Handler) settled(c *inbox.Claim, o inbox.Outcome, state inbox.State) {
	m := &h.inbox.metrics
	m.attempts.WithLabelValues(o.Reason).Inc()
	m.attempt.Observe(o.Duration.Seconds())
	switch state {
	default: // the event waits, or the outcome was stored before and it has gone on since
	case inbox.Delivered:
		m.after.Observe(time.Since(c.ReceivedAt).Seconds())
	case inbox.Dead:
		m.dead.WithLabelValues(knownType(c.Type)).Inc()
		h.logger.Error("an event is given up: nothing delivers it until somebody sends it again",
			zap.String("inbox", c.Inbox), zap.Int64("seq", c.Seq), zap.String("event_id", c.ID), zap.String("event_type", c.Type),
			zap.String("conversation_id", c.ConversationID), zap.Int("attempts", c.Attempt), zap.String("reason", o.Reason), zap.Int("status", o.Status))
		h.notifier.notifyInbox(eventInboxDead, map[string]any{
			"inbox": c.Inbox, "seq": c.Seq, "event_id": c.ID, "event_type": c.Type, "conversation_id": c.ConversationID,
			"agent_id": c.AgentID, "attempts": c.Attempt, "reason": o.Reason, "upstream_status": o.Status,
		})
	}
}

// inboxCollector collects the state of all inboxes at each scrape.
type inboxCollector struct{}

var (
	inboxStateDesc  = inboxDesc("events", "Events in the inbox that are neither delivered nor discarded, by state.", "state")
	inboxOldestDesc = inboxDesc("oldest_waiting_seconds", "How long the event waits that has waited longest.")
	inboxBytesDesc  = inboxDesc("bytes", "Bytes that the bodies in the inbox hold.")
	inboxLimitDesc  = inboxDesc("limit_bytes", "Bytes that the bodies in the inbox may hold.")
	inboxUpDesc     = inboxDesc("up", "1 if the database answers.")
	inboxDownDesc   = inboxDesc("backend_down", "1 if the backend is unreachable.")
)

func inboxDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, inboxSubsystem, name), help, append([]string{labelInbox}, labels...), nil)
}

// Describe implements prometheus.Collector.
func (inboxCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{inboxStateDesc, inboxOldestDesc, inboxBytesDesc, inboxLimitDesc, inboxUpDesc, inboxDownDesc} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (inboxCollector) Collect(ch chan<- prometheus.Metric) {
	show := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	seen := map[string]bool{}
	for _, s := range inboxStatuses(context.Background()) {
		if s.Handlers == 0 || seen[s.Name] { // while a reload moves an inbox, two databases have it
			continue
		}
		seen[s.Name] = true
		show(inboxLimitDesc, float64(s.LimitBytes), s.Name)
		show(inboxUpDesc, number(s.Up), s.Name)
		show(inboxDownDesc, number(!s.BackendDownSince.IsZero()), s.Name)
		if !s.Up {
			continue
		}
		show(inboxBytesDesc, float64(s.Bytes), s.Name)
		show(inboxOldestDesc, s.OldestWaitingSeconds, s.Name)
		for _, state := range []inbox.State{inbox.Waiting, inbox.Delivering, inbox.Dead} {
			show(inboxStateDesc, float64(s.Events[state]), s.Name, string(state))
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
