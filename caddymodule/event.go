package caddymodule

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

const (
	placeholderPrefix = "http.elevenlabs."

	// eventVar is the name of Caddy's request variable that holds the *event, for
	// the matcher. No configuration can put an *event there.
	eventVar = "elevenlabs_event"
)

var headerRejection = deliveries.HeaderName("rejection")

// event is the one record of a request. The handler fills it in place, and the
// headers, placeholders, logs, metrics and the admin endpoint read it.
type event struct {
	deliveries.Event
	age time.Duration // of a genuine signature
}

// newEvent deletes the headers that only this handler may set. It installs the
// placeholders, which are all empty at first. If a request passes several handlers,
// each keeps its own event; placeholders show the innermost.
func (h *Handler) newEvent(r *http.Request) *event {
	keepMarks(r)
	h.clearHeaders(r.Header)
	ctx := r.Context()
	e := &event{Event: deliveries.Event{Delivery: deliveries.Delivery{
		Time: time.Now(), Handler: h.group.name, ClientIP: clientIP(r), Size: -1,
		// it stays so if another handler panics
		Result: deliveries.Failed, Reason: facts.HandlerError.Code,
		Test: marksOf(ctx).test,
	}}}
	e.Received, e.Attempt = e.Time, 1
	e.FromElevenLabs = facts.IsElevenLabs(e.ClientIP)
	// A request that is not proven is probably a webhook all the same if it has a
	// signature and comes from there. For an alert, anything less is too little.
	e.Counts = e.FromElevenLabs && len(r.Header.Values(signature.HeaderName)) > 0
	first := eventOf(ctx) == nil
	caddyhttp.SetVar(ctx, eventVar, e)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && first {
		repl.Map(func(key string) (any, bool) { return placeholder(ctx, key) })
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Object("elevenlabs", e))
	}
	return e
}

// seenEvents are the genuine events of the process.
var seenEvents = new(deliveries.Seen)

// prove notes that the signature is genuine, and whether the event was signed at a
// wrong time. Such an event counts if it comes from ElevenLabs. Behind a proxy, Caddy
// may not see that, so one from elsewhere counts for the first time. Events that our own
// commands sent do not count: ElevenLabs knows nothing of them.
func (e *event) prove(id deliveries.EventID, wrongTime bool) {
	before := seenEvents.Add(id)
	e.Proven = true
	e.Replay = wrongTime && before && !e.FromElevenLabs
	e.Counts = !e.Test && !e.Backfill && !e.Replay
}

// eventOf returns the event of a request by its context, or nil if the request did
// not pass the handler.
func eventOf(ctx context.Context) *event {
	e, _ := caddyhttp.GetVar(ctx, eventVar).(*event)
	return e
}

// placeholder returns the value of a placeholder {http.elevenlabs.*}.
func placeholder(ctx context.Context, key string) (any, bool) {
	name, found := strings.CutPrefix(key, placeholderPrefix)
	if !found {
		return nil, false
	}
	e := eventOf(ctx)
	if e == nil {
		return nil, false
	}
	for i := range deliveries.EventFields {
		if field := &deliveries.EventFields[i]; field.Name == name {
			return field.Public(&e.Event), true
		}
	}
	return nil, false
}

// clearHeaders deletes every header that a backend could take for ours.
func (h *Handler) clearHeaders(header http.Header) {
	for name := range header {
		switch kindOf(name) {
		case headerOurs, headerKey:
			delete(header, name)
		case headerSigned:
			if h.signs() {
				delete(header, name)
			}
		case headerOther:
		}
	}
}

// headerKind tells headers that only this module may set from others.
type headerKind uint8

const (
	headerOther  headerKind = iota
	headerOurs              // X-ElevenLabs-*
	headerKey               // Idempotency-Key
	headerSigned            // Webhook-Id, Webhook-Timestamp and Webhook-Signature, which sign sets
)

// kindOf returns the kind of a header. CGI and its heirs (WSGI, Rack, PHP) turn "-" into
// "_", and some servers any other character too, so all spellings count.
func kindOf(name string) headerKind {
	if name == "" || name[0]|0x20 != 'x' && name[0]|0x20 != 'i' && name[0]|0x20 != 'w' { // most names, at no cost
		return headerOther
	}
	spelling := strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		}
		return '-'
	}, name)
	switch {
	case strings.HasPrefix(spelling, "x-elevenlabs"):
		return headerOurs
	case spelling == "idempotency-key":
		return headerKey
	case spelling == "webhook-id", spelling == "webhook-timestamp", spelling == "webhook-signature":
		return headerSigned
	}
	return headerOther
}

// strip removes the event from a request: the body, the signature and our headers.
// Handlers that run after this one, such as those of an error route, may forward the
// request to a backend.
func (h *Handler) strip(r *http.Request) {
	h.clearHeaders(r.Header)
	for _, name := range []string{signature.HeaderName, "Content-Length", "Transfer-Encoding", "Expect"} {
		r.Header.Del(name)
	}
	r.Body, r.GetBody = http.NoBody, nil
	r.ContentLength, r.TransferEncoding = 0, nil
	deleteTrailers(r)
}

// deleteTrailers deletes the request's trailers. It writes only if there are any: the
// transport of reverse_proxy may still read them, but only after setBody deleted them.
func deleteTrailers(r *http.Request) {
	r.Header.Del("Trailer")
	if r.Trailer != nil {
		r.Trailer = nil
	}
}

// MarshalLogObject writes the event to the access log, also one that is genuine but
// stale.
func (e *event) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	add := func(name, value string) {
		if value != "" {
			enc.AddString(name, value)
		}
	}
	add("verified", e.Verdict())
	for i := range deliveries.IdentityFields {
		add(deliveries.IdentityFields[i].Name, deliveries.IdentityFields[i].Value(&e.Event))
	}
	add("result", string(e.Result))
	add("reason", e.Reason)
	add("would_reject", e.WouldReject)
	add("inbox", e.Inbox)
	return nil
}
