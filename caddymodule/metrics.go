package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

// The metrics belong to the process. Each configuration registers the same ones, so
// that they continue over a reload. No label has a value that a client chooses.
var (
	deliveriesTotal = counter("deliveries_total", "Webhook requests, by result.", "result", "reason", "event_type")
	genuineTotal    = counter("genuine_deliveries_total", "Deliveries that ElevenLabs sent, by result: proven, or from one of its addresses; without replays and tests.", labelSecret, "result", "event_type")
	testsTotal      = counter("test_deliveries_total", "Deliveries of the commands send and doctor, by result.", "result")
	wouldReject     = counter("would_reject_total", "Requests that only report_only forwarded, by the reason for which they would have been rejected.", "reason")
	responses       = counter("upstream_responses_total", "Events forwarded, by the class of the backend's answer; none without an answer.", "class")

	bodyBytes = histogram("body_bytes", "Size of the bodies that came whole.", prometheus.ExponentialBuckets(1<<10, 4, 10)) // 1 KiB to 256 MiB
	seconds   = histogram("duration_seconds", "Time to receive the body, to verify it after that, and in the backend.",
		[]float64{1e-5, 1e-4, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "phase")
	clockOffset = histogram("clock_offset_seconds", "Age of genuine deliveries by this machine's clock. Below 0, this clock is behind that of ElevenLabs.",
		[]float64{-300, -60, -5, -1, 0, 1, 5, 15, 30, 60, 300, 900, 1800, 3600})

	inFlight = gauge("requests_in_flight", "Webhook requests being served.")
)

const (
	namespace, subsystem = "caddy", "elevenlabs_webhook"
	labelHandler         = "handler"
	labelSecret          = "secret"
)

// perHandler are the metrics with the label handler.
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

// spooledCollector collects what bodies hold in memory and on disk at one moment, so
// that a body that goes to disk does not count twice.
type spooledCollector struct{}

var spooledDesc = prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, "spooled_bytes"),
	"Bytes that the bodies of all requests in flight hold.", []string{"medium"}, nil)

// Describe implements prometheus.Collector.
func (spooledCollector) Describe(ch chan<- *prometheus.Desc) { ch <- spooledDesc }

// Collect implements prometheus.Collector.
func (spooledCollector) Collect(ch chan<- prometheus.Metric) {
	held := spool.Held()
	ch <- prometheus.MustNewConstMetric(spooledDesc, prometheus.GaugeValue, float64(held.Memory), "memory")
	ch <- prometheus.MustNewConstMetric(spooledDesc, prometheus.GaugeValue, float64(held.Disk), "disk")
}

// registerMetrics registers the metrics with a configuration's registry. Another
// handler of the same configuration may have done so.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range slices.Concat(perHandler, perInbox, []prometheus.Collector{buildInfo, spooledCollector{}, statusCollector{}, inboxCollector{}}) {
		err := registry.Register(c)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// groupMetrics are the metrics of one group of handlers.
type groupMetrics struct {
	deliveries, genuine, tests           *prometheus.CounterVec
	wouldReject, responses               *prometheus.CounterVec
	bodyBytes, receive, verify, upstream prometheus.Observer
	clockOffset                          prometheus.Observer
	inFlight                             prometheus.Gauge
}

func newGroupMetrics(name string) groupMetrics {
	of := prometheus.Labels{labelHandler: name}
	return groupMetrics{
		deliveries:  deliveriesTotal.MustCurryWith(of),
		genuine:     genuineTotal.MustCurryWith(of),
		tests:       testsTotal.MustCurryWith(of),
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

// initSeries creates every series at 0, so that increase() sees the first occurrence.
func (m *groupMetrics) initSeries(h *Handler) {
	delivery := func(result deliveries.Result, reason, typ string) {
		m.deliveries.WithLabelValues(string(result), reason, typ)
	}
	forwarded := func(typ string) {
		delivery(deliveries.Accepted, "", typ)
		if h.Inbox != nil {
			delivery(deliveries.Stored, "", typ)
		}
		for _, failure := range facts.Failures {
			delivery(deliveries.Failed, failure.Code, typ)
		}
	}
	for _, typ := range append(slices.Clone(facts.EventTypeNames), typeOther) {
		forwarded(typ)
		if len(h.Events) > 0 {
			delivery(deliveries.Ignored, facts.EventNotWanted, typ)
		}
	}
	if h.ReportOnly {
		forwarded(typeNone)
	}
	for _, rejection := range facts.Rejections {
		types := []string{typeNone}
		if rejection.Proven {
			types = append(slices.Clone(facts.EventTypeNames), typeOther)
		}
		for _, typ := range types {
			delivery(deliveries.Rejected, rejection.Code, typ)
		}
		if h.allowedByReportOnly(rejection) {
			m.wouldReject.WithLabelValues(rejection.Code)
		}
	}
	for _, class := range append(slices.Clone(classes), classNone) {
		m.responses.WithLabelValues(class)
	}
	for _, result := range h.results() {
		m.tests.WithLabelValues(string(result))
	}
	m.initGenuine(h)
}

// initGenuine creates the series of each secret at 0, and those of what none proves.
func (m *groupMetrics) initGenuine(h *Handler) {
	names := h.group.counters.Names()
	for _, secret := range names {
		if secret != "" {
			for _, typ := range append(slices.Clone(facts.EventTypeNames), typeOther) {
				for _, result := range h.results() {
					m.genuine.WithLabelValues(secret, string(result), typ)
				}
			}
		}
	}
	unproven := []deliveries.Result{deliveries.Rejected}
	if h.ReportOnly {
		unproven = append(unproven, deliveries.Accepted, deliveries.Failed)
	}
	for _, result := range unproven {
		m.genuine.WithLabelValues(names[len(names)-1], string(result), typeNone)
	}
}

// results returns the results that a genuine event can have.
func (h *Handler) results() []deliveries.Result {
	return slices.DeleteFunc(slices.Clone(deliveries.Results), func(r deliveries.Result) bool {
		return r == deliveries.Ignored && len(h.Events) == 0 || r == deliveries.Stored && h.Inbox == nil
	})
}

// observe counts an event, which counts to a secret.
func (m *groupMetrics) observe(e *event, secret string) {
	m.deliveries.WithLabelValues(string(e.Result), e.Reason, typeLabel(e)).Inc()
	if e.Counts {
		m.genuine.WithLabelValues(secret, string(e.Result), typeLabel(e)).Inc()
	}
	if e.Test && e.Proven { // anyone can claim to be a test
		m.tests.WithLabelValues(string(e.Result)).Inc()
	}
	if e.WouldReject != "" {
		m.wouldReject.WithLabelValues(e.WouldReject).Inc()
	}
	if e.ReceiveSeconds > 0 {
		m.receive.Observe(e.ReceiveSeconds)
	}
	if e.Size >= 0 {
		m.bodyBytes.Observe(float64(e.Size))
		m.verify.Observe(e.VerifySeconds)
	}
	if e.Attempts > 0 {
		m.upstream.Observe(e.UpstreamSeconds)
		m.responses.WithLabelValues(statusClass(e.UpstreamStatus)).Inc()
	}
	if e.Proven && e.Counts {
		m.clockOffset.Observe(e.age.Seconds())
	}
}

// statusCollector collects the status of all groups at each scrape.
type statusCollector struct{}

var (
	failuresDesc     = statusDesc("consecutive_failures", "Deliveries that failed in a row, as ElevenLabs counts.", labelSecret)
	lastSuccessDesc  = statusDesc("last_success_timestamp_seconds", "When a delivery was last answered with 200; 0 if none was since the process began.", labelSecret)
	lastDeliveryDesc = statusDesc("last_delivery_timestamp_seconds", "When a genuine event last came; 0 if none did since the process began.", labelSecret)
	spoolLimitDesc   = statusDesc("spool_limit_bytes", "Bytes that all bodies of the process may hold together.")
)

func statusDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, append([]string{labelHandler}, labels...), nil)
}

// Describe implements prometheus.Collector.
func (statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{failuresDesc, lastSuccessDesc, lastDeliveryDesc, spoolLimitDesc} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (statusCollector) Collect(ch chan<- prometheus.Metric) {
	show := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, group := range allStatus() {
		for _, s := range group.Secrets {
			show(failuresDesc, float64(s.FailuresInRow), group.Handler, s.Secret)
			show(lastSuccessDesc, timestamp(s.LastSuccess), group.Handler, s.Secret)
			if s.Secret != "" { // otherwise no delivery is proven
				show(lastDeliveryDesc, timestamp(s.LastDelivery), group.Handler, s.Secret)
			}
		}
		show(spoolLimitDesc, float64(group.spoolLimit), group.Handler)
	}
}

func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

const (
	typeOther = "other" // ElevenLabs does not document it, or it cannot be read
	typeNone  = "none"  // the signature is not genuine
)

// typeLabel returns the event's type if it is one of a closed set.
func typeLabel(e *event) string {
	if !e.Proven {
		return typeNone
	}
	return knownType(e.EventType)
}

// knownType returns the type if it is one of a closed set.
func knownType(name string) string {
	if _, known := facts.EventTypeByName(name); !known {
		return typeOther
	}
	return name
}

// classes are the classes of status codes from 200 on.
var classes = []string{"2xx", "3xx", "4xx", "5xx"}

const classNone = "none" // without an answer

// statusClass returns the class of a status code, such as 2xx for 200.
func statusClass(status int) string {
	if status < 200 || status > 599 {
		return classNone
	}
	return classes[status/100-2]
}
