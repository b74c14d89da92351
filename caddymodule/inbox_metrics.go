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
	inboxSubsystem   = "elevenlabs_inbox"
	labelInbox       = "inbox"
	labelDestination = "destination" // empty if the inbox has no named destinations
)

// perInbox are the metrics with the label inbox that count.
var perInbox []prometheus.Collector

var (
	inboxEvents      = inboxCounter("events_total", "Events that came to the inbox: stored, or there already.", "result", "event_type")
	inboxBypassed    = inboxCounter("bypassed_total", "Events that the inbox could not store, so that they were forwarded at once.", "reason")
	inboxAttempts    = inboxCounter("attempts_total", "Attempts to deliver events from the inbox, by the reason of their failure; empty if the backend took the event.", labelDestination, "reason")
	inboxDead        = inboxCounter("dead_total", "Events that were given up.", labelDestination, "event_type")
	inboxRedelivered = inboxCounter("redelivered_total", "Events that somebody sent again.", labelDestination)
	inboxDiscarded   = inboxCounter("discarded_total", "Events that somebody discarded.", labelDestination)

	inboxStore   = inboxHistogram("store_seconds", "Time to store an event.", prometheus.ExponentialBuckets(.0005, 2, 15))
	inboxAttempt = inboxHistogram("attempt_seconds", "Time of an attempt to deliver an event.", prometheus.ExponentialBuckets(.001, 2.5, 13), labelDestination)
	inboxAfter   = inboxHistogram("delivered_after_seconds", "Time from the receipt of an event until the backend took it.", prometheus.ExponentialBuckets(.005, 4, 13), labelDestination)
)

func inboxCounter(name, help string, labels ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: inboxSubsystem, Name: name, Help: help}, append([]string{labelInbox}, labels...))
	perInbox = append(perInbox, vec)
	return vec
}

func inboxHistogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: inboxSubsystem, Name: name, Help: help, Buckets: buckets}, append([]string{labelInbox}, labels...))
	perInbox = append(perInbox, vec)
	return vec
}

// inboxMetrics are the metrics of what comes to an inbox.
type inboxMetrics struct {
	events, bypassed *prometheus.CounterVec
	store            prometheus.Observer
}

// newInboxMetrics creates every series at 0, so that increase() sees the first occurrence.
func newInboxMetrics(name string) inboxMetrics {
	of := prometheus.Labels{labelInbox: name}
	m := inboxMetrics{events: inboxEvents.MustCurryWith(of), bypassed: inboxBypassed.MustCurryWith(of), store: inboxStore.With(of)}
	for _, typ := range typeLabels() {
		m.events.WithLabelValues(deliveries.InboxStored, typ)
		m.events.WithLabelValues(deliveries.InboxRepeat, typ)
	}
	for _, reason := range bypassReasons {
		m.bypassed.WithLabelValues(reason)
	}
	return m
}

func typeLabels() []string { return append(slices.Clone(facts.EventTypeNames), typeOther) }

// queueMetrics are the metrics of what a queue delivers.
type queueMetrics struct {
	attempts, dead *prometheus.CounterVec
	attempt, after prometheus.Observer
}

// newQueueMetrics creates every series at 0 too.
func newQueueMetrics(q inbox.Queue) queueMetrics {
	of := prometheus.Labels{labelInbox: q.Inbox, labelDestination: q.Destination}
	m := queueMetrics{
		attempts: inboxAttempts.MustCurryWith(of), dead: inboxDead.MustCurryWith(of), attempt: inboxAttempt.With(of), after: inboxAfter.With(of),
	}
	inboxRedelivered.With(of)
	inboxDiscarded.With(of)
	for _, typ := range typeLabels() {
		m.dead.WithLabelValues(typ)
	}
	m.attempts.WithLabelValues("")
	for _, failure := range facts.Failures {
		m.attempts.WithLabelValues(failure.Code)
	}
	return m
}

// settled counts an attempt whose outcome is stored, and tells of an event that is dead.
func (d *destination) settled(c *inbox.Claim, o inbox.Outcome, state inbox.State) {
	d.metrics.attempts.WithLabelValues(o.Reason).Inc()
	d.metrics.attempt.Observe(o.Duration.Seconds())
	switch state {
	default: // the event waits, or the outcome was stored before and it has gone on since
	case inbox.Delivered:
		d.metrics.after.Observe(time.Since(c.ReceivedAt).Seconds())
	case inbox.Dead:
		d.metrics.dead.WithLabelValues(knownType(c.Type)).Inc()
		d.logger.Error("an event is given up: nothing delivers it until somebody sends it again",
			append(queueFields(c.Queue), zap.Int64("seq", c.Seq), zap.String("event_id", c.ID), zap.String("event_type", c.Type),
				zap.String("conversation_id", c.ConversationID), zap.Int("attempts", c.Attempt), zap.String("reason", o.Reason), zap.Int("status", o.Status))...)
		d.notifier.notifyInbox(eventInboxDead, c.Queue, map[string]any{
			"seq": c.Seq, "event_id": c.ID, "event_type": c.Type, "conversation_id": c.ConversationID,
			"agent_id": c.AgentID, "attempts": c.Attempt, "reason": o.Reason, "upstream_status": o.Status,
		})
	}
}

// inboxCollector collects the state of all inboxes at each scrape.
type inboxCollector struct{}

var (
	inboxStateDesc  = inboxDesc("events", "Events in the inbox that are neither delivered nor discarded, by state.", labelDestination, "state")
	inboxOldestDesc = inboxDesc("oldest_waiting_seconds", "How long the event waits that has waited longest.", labelDestination)
	inboxBytesDesc  = inboxDesc("bytes", "Bytes that the bodies in the inbox hold.")
	inboxLimitDesc  = inboxDesc("limit_bytes", "Bytes that the bodies in the inbox may hold.")
	inboxUpDesc     = inboxDesc("up", "1 if the database answers.")
	inboxDownDesc   = inboxDesc("backend_down", "1 if the backend is unreachable.", labelDestination)
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
	seen := map[inbox.Queue]bool{}
	shownOnce := map[string]bool{}
	for _, s := range inboxStatuses(context.Background()) {
		q := inbox.Queue{Inbox: s.Name, Destination: s.Destination}
		if s.Handlers == 0 || seen[q] { // while a reload moves an inbox, two databases have it
			continue
		}
		seen[q] = true
		if !shownOnce[s.Name] {
			shownOnce[s.Name] = true
			show(inboxLimitDesc, float64(s.LimitBytes), s.Name)
			show(inboxUpDesc, number(s.Up), s.Name)
			if s.Up {
				show(inboxBytesDesc, float64(s.Bytes), s.Name)
			}
		}
		show(inboxDownDesc, number(!s.BackendDownSince.IsZero()), s.Name, s.Destination)
		if !s.Up {
			continue
		}
		show(inboxOldestDesc, s.OldestWaitingSeconds, s.Name, s.Destination)
		for _, state := range []inbox.State{inbox.Waiting, inbox.Delivering, inbox.Dead} {
			show(inboxStateDesc, float64(s.Events[state]), s.Name, s.Destination, string(state))
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
