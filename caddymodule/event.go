package caddymodule

import (
	"context"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
)

const (
	headerIdempotency = "Idempotency-Key"
	placeholderPrefix = "http.elevenlabs."

	// eventVar holds the request's *event among Caddy's request variables, where
	// the matcher finds it. No configuration can put an *event there.
	eventVar = "elevenlabs_event"
)

var headerRejection = ours("Rejection")

// ours is the name of a header that this handler sets, in net/http's spelling.
func ours(name string) string { return http.CanonicalHeaderKey("X-ElevenLabs-" + name) }

// event is what is known of one request. It is empty until the handler has
// verified the request or refused it.
type event struct {
	verified   bool
	rejection  string // the reason's code
	id         string // SHA-256 of the raw body, in hex
	signedAt   string
	secretName string
	envelope   envelope.Fields
	outcome    outcome
}

// identity is the table of what the backend is told in headers, and the rest of
// the configuration in placeholders.
var identity = []struct {
	header, placeholder string
	value               func(*event) string
}{
	{ours("Verified"), "verified", func(e *event) string {
		switch {
		case e.verified:
			return "true"
		case e.rejection != "":
			return "false"
		}
		return ""
	}},
	{headerRejection, "rejection", func(e *event) string { return e.rejection }},
	{ours("Event-Type"), "event_type", func(e *event) string { return e.envelope.Type }},
	{ours("Event-Id"), "event_id", func(e *event) string { return e.id }},
	{ours("Event-Timestamp"), "event_timestamp", func(e *event) string { return e.envelope.EventTimestamp }},
	{ours("Signed-At"), "signed_at", func(e *event) string { return e.signedAt }},
	{ours("Secret-Name"), "secret_name", func(e *event) string { return e.secretName }},
	{ours("Conversation-Id"), "conversation_id", func(e *event) string { return e.envelope.ConversationID }},
	{ours("Agent-Id"), "agent_id", func(e *event) string { return e.envelope.AgentID }},
	{ours("Request-Id"), "request_id", func(e *event) string { return e.envelope.RequestID }},
	{ours("Voice-Id"), "voice_id", func(e *event) string { return e.envelope.VoiceID }},
}

// newEvent clears the request of headers that only this handler may set, and
// installs the placeholders: all of them known, and empty for now. On the way of
// a request that passes several handlers, each has an event of its own, and the
// last one's is told.
func newEvent(r *http.Request) *event {
	clearHeaders(r.Header)
	ctx := r.Context()
	first := eventOf(ctx) == nil
	e := &event{outcome: outcome{size: -1}}
	caddyhttp.SetVar(ctx, eventVar, e)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && first {
		repl.Map(func(key string) (any, bool) {
			name, ours := strings.CutPrefix(key, placeholderPrefix)
			if e := eventOf(ctx); ours && e != nil {
				return e.placeholder(name)
			}
			return nil, false
		})
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Object("elevenlabs", e))
	}
	return e
}

// eventOf returns what the handler knows of a request by its context, or nil if
// the request did not pass it.
func eventOf(ctx context.Context) *event {
	e, _ := caddyhttp.GetVar(ctx, eventVar).(*event)
	return e
}

// clearHeaders deletes every header that a backend could take for ours. CGI and
// its heirs (WSGI, Rack, PHP) turn "-" into "_", and some servers any other
// character too, so all spellings count.
func clearHeaders(header http.Header) {
	for name := range header {
		if name == "" || name[0]|0x20 != 'x' && name[0]|0x20 != 'i' { // most, at no cost
			continue
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
		if strings.HasPrefix(spelling, "x-elevenlabs") || spelling == "idempotency-key" {
			delete(header, name)
		}
	}
}

// setHeaders tells the backend what the event is. Connection goes: a proxy
// deletes the headers that it names (RFC 9110, section 7.6.1), and it could name
// ours.
func (e *event) setHeaders(header http.Header) {
	header.Del("Connection")
	values := make([]string, 0, len(identity)+1) // one allocation for all
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, row := range identity {
		if value := row.value(e); value != "" {
			set(row.header, value)
		}
	}
	set(headerIdempotency, e.id)
}

// placeholder answers for every {http.elevenlabs.*} placeholder.
func (e *event) placeholder(name string) (any, bool) {
	for _, row := range identity {
		if row.placeholder == name {
			return row.value(e), true
		}
	}
	return nil, false
}

// MarshalLogObject puts what is known of the event into the access log; also of
// one that is genuine, but too old.
func (e *event) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	told := *e
	if seen := &e.outcome.seen; seen.genuine() {
		told.envelope, told.signedAt, told.secretName = seen.envelope, seen.signedAt, seen.secretName
	}
	for _, row := range identity {
		value := row.value(&told)
		if value == "" {
			continue
		}
		key := row.placeholder
		if row.header == headerRejection {
			key = "would_reject"
			if e.outcome.result == deliveries.Rejected {
				key = "reason"
			}
		}
		enc.AddString(key, value)
	}
	if e.outcome.result != "" {
		enc.AddString("result", string(e.outcome.result))
	}
	if e.outcome.reason != "" {
		enc.AddString("reason", e.outcome.reason)
	}
	return nil
}
