package deliveries

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// Event is a delivery with what else the backend and the configuration learn of it.
type Event struct {
	// Delivery is the part that the operator sees. It has fields of the body only
	// if the signature is genuine, though perhaps stale.
	Delivery

	Verified bool      // the signature is genuine and in time
	Received time.Time // when the event was received
	Attempt  int       // the number of the delivery, from 1; from an inbox there may be several
}

// EventField is a value of an event that has the same name everywhere.
type EventField struct {
	// Name is that of the placeholder, the field in the access log, the span
	// attribute and the datum of Caddy's events. The header is made of it.
	Name   string
	Header string
	Value  func(*Event) string
	// always reports whether the backend may have the value of an event that is
	// not verified, which only report_only forwards.
	always bool
}

// HeaderIdempotency is the header that has the event id under the name that HTTP
// software knows.
const HeaderIdempotency = "Idempotency-Key"

// EventFields is the table of these values.
var EventFields = []EventField{
	{Name: "verified", Value: (*Event).Verdict, always: true},
	{Name: "rejection", Value: (*Event).Rejection, always: true},
	{Name: "event_type", Value: func(e *Event) string { return e.EventType }},
	{Name: "event_id", Value: func(e *Event) string { return e.EventID }, always: true},
	{Name: "event_timestamp", Value: func(e *Event) string { return e.EventTimestamp }},
	{Name: "signed_at", Value: func(e *Event) string { return e.SignedAt }},
	{Name: "secret_name", Value: func(e *Event) string { return e.SecretName }},
	{Name: "conversation_id", Value: func(e *Event) string { return e.ConversationID }},
	{Name: "agent_id", Value: func(e *Event) string { return e.AgentID }},
	{Name: "request_id", Value: func(e *Event) string { return e.RequestID }},
	{Name: "voice_id", Value: func(e *Event) string { return e.VoiceID }},
	{Name: "backfill", Value: backfilled},
	{Name: "received_at", Value: func(e *Event) string { return strconv.FormatInt(e.Received.Unix(), 10) }},
	{Name: "attempt", Value: func(e *Event) string { return strconv.Itoa(e.Attempt) }},
}

// IdentityFields are the fields that tell which event it is. They are in spans and in
// Caddy's events.
var IdentityFields = EventFields[2 : len(EventFields)-2]

func init() {
	for i := range EventFields {
		EventFields[i].Header = HeaderName(EventFields[i].Name)
	}
}

// HeaderName returns the header that has a field's value, in net/http's spelling.
func HeaderName(field string) string {
	return http.CanonicalHeaderKey("X-ElevenLabs-" + strings.ReplaceAll(field, "_", "-"))
}

// Verdict is empty until the request is verified or rejected.
func (e *Event) Verdict() string {
	switch {
	case e.Verified:
		return "true"
	case e.Rejection() != "":
		return "false"
	}
	return ""
}

// backfilled is empty for an event that ElevenLabs sent.
func backfilled(e *Event) string {
	if e.Backfill {
		return facts.BackfillMark
	}
	return ""
}

// Rejection returns why the request was rejected, or would be without report_only.
func (e *Event) Rejection() string {
	if e.Result == Rejected {
		return e.Reason
	}
	return e.WouldReject
}

// Public returns the value that the backend and the configuration get.
func (f *EventField) Public(e *Event) string {
	if f.always || e.Verified {
		return f.Value(e)
	}
	return ""
}

// SetHeaders sets the headers for the backend. It deletes Connection: a proxy
// deletes the headers that Connection names (RFC 9110, section 7.6.1), and it could
// name ours.
func (e *Event) SetHeaders(header http.Header) {
	header.Del("Connection")
	values := make([]string, 0, len(EventFields)+1) // one allocation for all
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for i := range EventFields {
		if value := EventFields[i].Public(e); value != "" {
			set(EventFields[i].Header, value)
		}
	}
	set(HeaderIdempotency, e.EventID)
}
