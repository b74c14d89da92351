package caddymodule

import (
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// deliveryLog is the log of the process.
var deliveryLog = deliveries.NewLog(time.Now())

// deliveryHistory counts the deliveries of the process by the hour.
var deliveryHistory = new(deliveries.History)

// record shows the operator, in every way there is, what became of a request.
func (h *Handler) record(r *http.Request, e *event) {
	e.Ended = time.Now()
	deliveryLog.Add(&e.Delivery)
	deliveryHistory.Add(&e.Delivery)
	raised := h.group.counters.Count(&e.Delivery)
	h.group.metrics.observe(e, h.group.counters.NameFor(&e.Delivery))
	for _, r := range raised {
		h.raise(r, e)
	}
	if e.Result == deliveries.Rejected {
		h.notifier.notify(eventRejected, e)
	}
	if span := trace.SpanFromContext(r.Context()); span.IsRecording() {
		span.SetAttributes(e.attributes()...)
	}
}

// attributes returns the attributes of the request's span.
func (e *event) attributes() []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, len(deliveries.IdentityFields)+2)
	attributes = append(attributes,
		attribute.String("elevenlabs.result", string(e.Result)),
		attribute.String("elevenlabs.reason", e.Reason))
	for i := range deliveries.IdentityFields {
		attributes = append(attributes, attribute.String("elevenlabs."+deliveries.IdentityFields[i].Name, deliveries.IdentityFields[i].Value(&e.Event)))
	}
	return attributes
}
