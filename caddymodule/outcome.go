package caddymodule

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// Why what was handed on was not taken; the reasons of refusals are in
// rejection.go.
const (
	failedAnswer      = "backend_answer"      // the backend answered something else than 2xx
	failedUnreachable = "backend_unreachable" // no connection brought an answer
	failedTimeout     = "backend_timeout"
	failedIncomplete  = "answer_incomplete" // the backend's answer broke off
	failedClientLeft  = "client_left"       // before it had the status: to ElevenLabs, it has failed
	failedNoHandler   = "no_handler"
	failedHandler     = "handler_error" // of another handler of the configuration

	ignoredNotWanted = "event_not_wanted"
)

// outcome is what became of a request, as far as it has got.
type outcome struct {
	result deliveries.Result
	reason string // of a failure

	seen                      seen
	size                      int64 // of the body; -1 while it is not here
	receive, verify, upstream time.Duration
	upstreamStatus, attempts  int
}

// failure says why a backend has not taken what it was handed, or nothing if it
// has.
func failure(answer *answerWriter, returned bool, err error) string {
	handlerErr, _ := errors.AsType[caddyhttp.HandlerError](err)
	switch {
	case errors.Is(err, errNoHandler):
		return failedNoHandler
	case answer.left() && !answer.told:
		return failedClientLeft
	case !answer.left() && !returned: // else it was the client that broke off
		return failedIncomplete
	case handlerErr.StatusCode == http.StatusGatewayTimeout:
		return failedTimeout
	case err != nil && answer.backend() != 0 && !isSuccess(answer.backend()): // handle_response made it an error
		return failedAnswer
	case handlerErr.StatusCode == http.StatusBadGateway, handlerErr.StatusCode == http.StatusServiceUnavailable:
		return failedUnreachable
	case err != nil:
		return failedHandler
	case answer.status != 0 && !isSuccess(answer.status):
		return failedAnswer
	}
	return ""
}

// record tells the operator, in every way there is, what became of a request.
func (h *Handler) record(r *http.Request, e *event, start time.Time) {
	d := deliveryLog.Add(h.delivery(r, e, start))
	alarm, status := h.webhook.status.Count(d)
	h.webhook.metrics.observe(d, &e.outcome)
	h.warnOf(alarm, status, d)
	if d.Result == deliveries.Rejected {
		h.notifier.notify(eventRejected, d)
	}
	if span := trace.SpanFromContext(r.Context()); span.IsRecording() {
		span.SetAttributes(
			attribute.String("elevenlabs.result", string(d.Result)),
			attribute.String("elevenlabs.reason", d.Reason),
			attribute.String("elevenlabs.event_type", d.EventType),
			attribute.String("elevenlabs.event_id", d.EventID),
			attribute.String("elevenlabs.conversation_id", d.ConversationID),
			attribute.String("elevenlabs.secret_name", d.SecretName),
		)
	}
}

// delivery is what may be told of a request. Of the body only what the signature
// proves is.
func (h *Handler) delivery(r *http.Request, e *event, start time.Time) deliveries.Delivery {
	o := &e.outcome
	d := deliveries.Delivery{
		Time:            start,
		Ended:           time.Now(),
		Handler:         h.webhook.name,
		Result:          o.result,
		Reason:          o.reason,
		EventID:         o.seen.id,
		ClientIP:        clientIP(r),
		Size:            o.size,
		UpstreamStatus:  o.upstreamStatus,
		Attempts:        o.attempts,
		ReceiveSeconds:  o.receive.Seconds(),
		VerifySeconds:   o.verify.Seconds(),
		UpstreamSeconds: o.upstream.Seconds(),
	}
	switch d.Result {
	case deliveries.Rejected:
		d.Reason = e.rejection
	case "": // another handler panicked
		d.Result, d.Reason = deliveries.Failed, failedHandler
		fallthrough
	default:
		d.WouldReject = e.rejection
	}
	if o.seen.genuine() {
		d.Proven = true
		d.Test = r.UserAgent() == sample.UserAgent
		d.EventType = o.seen.envelope.Type
		d.ConversationID, d.AgentID = o.seen.envelope.ConversationID, o.seen.envelope.AgentID
		d.RequestID, d.VoiceID = o.seen.envelope.RequestID, o.seen.envelope.VoiceID
		d.SignedAt = o.seen.signedAt
		d.SecretName = h.Secrets[o.seen.match.Secret].Name
	}
	d.Counts = !d.Test && (d.Proven || fromElevenLabs(r))
	return d
}

// genuine is whether ElevenLabs signed the body, be it at another time.
func (s *seen) genuine() bool {
	return s.id != "" && (s.err == nil || errors.Is(s.err, signature.ErrStale) || errors.Is(s.err, signature.ErrFuture))
}

// egressPrefixes are all addresses of ElevenLabs.
var egressPrefixes = func() []netip.Prefix {
	prefixes, err := parseSources([]string{"elevenlabs"})
	if err != nil {
		panic(err) // the table in transport.go is wrong
	}
	return prefixes
}()

// fromElevenLabs is whether a request that is not proven is likely a webhook all
// the same: signed, if by another secret, or broken off, and sent by ElevenLabs.
// It is enough for a warning, which anyone could else provoke.
func fromElevenLabs(r *http.Request) bool {
	return len(r.Header.Values(signature.HeaderName)) > 0 && contains(egressPrefixes, clientIP(r))
}
