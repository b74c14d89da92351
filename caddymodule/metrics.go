package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

// The metrics are those of the process: each configuration registers the same
// ones, so that they go on over a reload. No label has a value that a client
// chooses.
var (
	deliveriesTotal = counter("deliveries_total", "Webhook requests, by what became of them.", "result", "reason", "event_type")
	wouldReject     = counter("would_reject_total", "Requests that report_only let through, by why they would have been refused.", "reason")
	responses       = counter("upstream_responses_total", "Events handed on, by the class of the backend's answer; none if it did not answer.", "class")

	bodyBytes = histogram("body_bytes", "Size of the bodies that were taken in.", prometheus.ExponentialBuckets(1<<10, 4, 10)) // 1 KiB to 256 MiB
	seconds   = histogram("duration_seconds", "Time spent to receive the body, to verify it once it is there, and in the backend.",
		[]float64{1e-5, 1e-4, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "phase")
	clockOffset = histogram("clock_offset_seconds", "Age of genuine deliveries by this machine's clock; below 0, it is behind that of ElevenLabs.",
		[]float64{-300, -60, -5, -1, 0, 1, 5, 15, 30, 60, 300, 900, 1800, 3600})

	inFlight = gauge("requests_in_flight", "Webhook requests being served.")

	spooled = []prometheus.Collector{
		spooledBytes("memory", func(u spool.Usage) int64 { return u.Memory }),
		spooledBytes("disk", func(u spool.Usage) int64 { return u.Disk }),
	}
)

const (
	namespace, subsystem = "caddy", "elevenlabs_webhook"
	labelHandler         = "handler"
)

// perHandler are the metrics that have the label handler.
var perHandler []prometheus.Collector

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, append([]string{labelHandler}, labels...))
	perHandler = append(perHandler, vec)
	return vec
}

func gauge(name, help string) *prometheus.GaugeVec {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, []string{labelHandler})
	perHandler = append(perHandler, vec)
	return vec
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets}, append([]string{labelHandler}, labels...))
	perHandler = append(perHandler, vec)
	return vec
}

func spooledBytes(medium string, of func(spool.Usage) int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "spooled_bytes",
		Help:        "What the bodies of all requests in flight hold.",
		ConstLabels: prometheus.Labels{"medium": medium},
	}, func() float64 { return float64(of(spool.Held())) })
}

// registerMetrics registers them with a configuration's registry, where another
// handler of the same configuration may have done so.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range slices.Concat(perHandler, spooled, []prometheus.Collector{statusCollector{}}) {
		err := registry.Register(c)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// handlerMetrics are those of one name of handlers.
type handlerMetrics struct {
	deliveries, wouldReject, responses   *prometheus.CounterVec
	bodyBytes, receive, verify, upstream prometheus.Observer
	clockOffset                          prometheus.Observer
	inFlight                             prometheus.Gauge
}

func newHandlerMetrics(name string) handlerMetrics {
	of := prometheus.Labels{labelHandler: name}
	return handlerMetrics{
		deliveries:  deliveriesTotal.MustCurryWith(of),
		wouldReject: wouldReject.MustCurryWith(of),
		responses:   responses.MustCurryWith(of),
		bodyBytes:   bodyBytes.With(of),
		receive:     seconds.WithLabelValues(name, "receive"),
		verify:      seconds.WithLabelValues(name, "verify"),
		upstream:    seconds.WithLabelValues(name, "upstream"),
		clockOffset: clockOffset.With(of),
		inFlight:    inFlight.With(of),
	}
}

// prepare makes what may occur in a handler be there as 0, so that its first
// occurrence is a rise.
func (m *handlerMetrics) prepare(h *Handler) {
	delivery := func(result deliveries.Result, reason, typ string) {
		m.deliveries.WithLabelValues(string(result), reason, typ)
	}
	handedOn := func(typ string) {
		delivery(deliveries.Accepted, "", typ)
		for _, reason := range failedReasons {
			delivery(deliveries.Failed, reason, typ)
		}
	}
	for _, typ := range append(knownTypes, typeOther) {
		handedOn(typ)
		if len(h.Events) > 0 {
			delivery(deliveries.Ignored, ignoredNotWanted, typ)
		}
		delivery(deliveries.Rejected, timestampStale.code, typ)
		delivery(deliveries.Rejected, timestampFuture.code, typ)
	}
	if h.ReportOnly {
		handedOn(typeNone)
	}
	for _, reason := range reasons {
		if reason != timestampStale && reason != timestampFuture { // which only what is genuine can be
			delivery(deliveries.Rejected, reason.code, typeNone)
		}
		if h.passes(&rejection{reason: reason}) {
			m.wouldReject.WithLabelValues(reason.code)
		}
	}
	for _, class := range append(classes, classNone) {
		m.responses.WithLabelValues(class)
	}
}

// failedReasons are all that outcome.go has.
var failedReasons = []string{
	failedAnswer, failedUnreachable, failedTimeout, failedIncomplete, failedClientLeft, failedNoHandler, failedHandler,
}

// observe counts a delivery, of which the event knows more.
func (m *handlerMetrics) observe(d deliveries.Delivery, o *outcome) {
	m.deliveries.WithLabelValues(string(d.Result), d.Reason, typeLabel(d)).Inc()
	if d.WouldReject != "" {
		m.wouldReject.WithLabelValues(d.WouldReject).Inc()
	}
	if o.receive > 0 {
		m.receive.Observe(o.receive.Seconds())
	}
	if o.size >= 0 {
		m.bodyBytes.Observe(float64(o.size))
		m.verify.Observe(o.verify.Seconds())
	}
	if o.attempts > 0 {
		m.upstream.Observe(o.upstream.Seconds())
		m.responses.WithLabelValues(statusClass(o.upstreamStatus)).Inc()
	}
	if d.Proven && !d.Test {
		m.clockOffset.Observe(o.seen.match.Age.Seconds())
	}
}

// statusCollector tells at each scrape how the webhooks fare.
type statusCollector struct{}

var (
	failuresDesc     = statusDesc("consecutive_failures", "Deliveries that failed in a row, as ElevenLabs counts them.")
	lastSuccessDesc  = statusDesc("last_success_timestamp_seconds", "When a delivery was last answered 200; 0 if none was since the process began.")
	lastDeliveryDesc = statusDesc("last_delivery_timestamp_seconds", "When a genuine delivery last came; 0 if none did since the process began.")
	spoolLimitDesc   = statusDesc("spool_limit_bytes", "What all bodies of the process may hold together.")
)

func statusDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, []string{labelHandler}, nil)
}

// Describe implements prometheus.Collector.
func (statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{failuresDesc, lastSuccessDesc, lastDeliveryDesc, spoolLimitDesc} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (statusCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range allStatus() {
		show := func(desc *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, s.Handler)
		}
		limit := s.Config[0].SpoolLimit
		for _, config := range s.Config {
			limit = min(limit, config.SpoolLimit)
		}
		show(failuresDesc, float64(s.FailuresInRow))
		show(lastSuccessDesc, timestamp(s.LastSuccess))
		show(lastDeliveryDesc, timestamp(s.LastDelivery))
		show(spoolLimitDesc, float64(limit))
	}
}

func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

const (
	typeOther = "other" // not one that ElevenLabs documents, or not to be read
	typeNone  = "none"  // ElevenLabs did not sign it
)

// typeLabel is the event's type, as far as it is one of a closed set.
func typeLabel(d deliveries.Delivery) string {
	switch {
	case !d.Proven:
		return typeNone
	case !slices.Contains(knownTypes, d.EventType):
		return typeOther
	}
	return d.EventType
}

var knownTypes = envelope.Types()

// classes are those of a status, from 200 on.
var classes = []string{"2xx", "3xx", "4xx", "5xx"}

const classNone = "none" // there is no answer

// statusClass is 2xx for 200, and so on.
func statusClass(status int) string {
	if status < 200 || status > 599 {
		return classNone
	}
	return classes[status/100-2]
}
