// Package facts holds, as tables, what both sides of the project must agree on:
// why a request is rejected, why an event counts as failed, which events
// ElevenLabs sends and from where, and when it retries or disables a webhook.
//
// The handler, the commands, the metrics and the tests read them here, and the
// tables in docs/ are made from them. What is known of ElevenLabs comes from
// https://elevenlabs.io/docs/eleven-api/resources/webhooks, except where a
// comment names another source.
package facts

import "net/http"

// Rejection is a reason for which the handler rejects a request. ElevenLabs
// retries, if at all, only after 408, 429 and 5xx. So a request that is proven
// bad gets another 4xx, and every fault on our side a 5xx.
type Rejection struct {
	// Code is the reason's name in headers, placeholders, logs and metrics.
	Code string
	// Status is the HTTP status of the answer.
	Status int
	// Sentence says what is wrong. It begins in lower case, for errors and logs.
	Sentence string
	// Remedy says what the operator can do if the request was genuine.
	Remedy string
	// IfElevenLabs says what is likely, and what to do, if the client's address is
	// one of ElevenLabs. It is empty if that changes nothing.
	IfElevenLabs string
	// ReportOnly reports whether report_only forwards the request all the same:
	// the sender's side is wrong, and the body is here.
	ReportOnly bool
	// Proven reports whether the signature is genuine all the same.
	Proven bool
}

// Retried reports whether ElevenLabs retries a transcript after this answer.
func (r *Rejection) Retried() bool { return Retried(r.Status) }

// The reasons for which the handler rejects a request.
var (
	MethodNotAllowed = rejection(Rejection{
		Code: "method_not_allowed", Status: http.StatusMethodNotAllowed,
		Sentence: "the method is not POST",
		Remedy:   "Ignore it if a browser or a monitor sent GET. If the client is ElevenLabs, a redirect in front made a GET of its POST: give the webhook the URL that the redirect leads to. The call of a server tool may be a GET too: give it another path.",
		IfElevenLabs: "a redirect in front of Caddy made a GET of the POST, or this is the call of a server tool: " +
			"give the webhook the URL that the redirect leads to, and the tool a path without elevenlabs_webhook",
	})
	InsecureTransport = rejection(Rejection{
		Code: "insecure_transport", Status: http.StatusForbidden,
		Sentence:   "the request did not come over HTTPS, nor from a trusted proxy that says it did",
		Remedy:     "Begin the webhook's URL with https://. If a proxy in front ends TLS, set trusted_proxies to its address, and let it set X-Forwarded-Proto.",
		ReportOnly: true,
	})
	EarlyData = rejection(Rejection{
		Code: "early_data", Status: http.StatusTooEarly,
		Sentence:   "the request came before the TLS handshake was complete, and may be a replay",
		Remedy:     "Switch TLS early data off in the proxy in front.",
		ReportOnly: true,
	})
	SourceNotAllowed = rejection(Rejection{
		Code: "source_not_allowed", Status: http.StatusForbidden,
		Sentence:   "the client's address is not in source_ips",
		Remedy:     "Add the address to source_ips if ElevenLabs uses it. Behind a proxy, set trusted_proxies.",
		ReportOnly: true,
	})
	SignatureMissing = rejection(Rejection{
		Code: "signature_missing", Status: http.StatusBadRequest,
		Sentence:   "there is no signature header",
		Remedy:     "Ignore it if the client is not ElevenLabs. ElevenLabs signs neither conversation-initiation webhooks nor calls of server tools: give them another path. Otherwise something in front of Caddy removes the ElevenLabs-Signature header.",
		ReportOnly: true,
		IfElevenLabs: "ElevenLabs signs neither conversation-initiation webhooks nor calls of server tools: " +
			"give them a path without elevenlabs_webhook; otherwise something in front of Caddy removes the header",
	})
	SignatureMalformed = rejection(Rejection{
		Code: "signature_malformed", Status: http.StatusBadRequest,
		Sentence:   "the signature header is not of the form t=…,v0=…, or occurs twice",
		Remedy:     "Ignore it if the client is not ElevenLabs. Otherwise something in front of Caddy changes or doubles the ElevenLabs-Signature header.",
		ReportOnly: true,
	})
	SignatureMismatch = rejection(Rejection{
		Code: "signature_mismatch", Status: http.StatusUnauthorized,
		Sentence:   "no configured secret made this signature for this body",
		Remedy:     "Give the server the secret of this very webhook, whole, with wsec_ and without quotes. Then run caddy reload --force for a file, or restart Caddy for a variable.",
		ReportOnly: true,
	})
	TimestampStale = rejection(Rejection{
		Code: "timestamp_stale", Status: http.StatusForbidden,
		Sentence:   "the signature is genuine but too old",
		Remedy:     "Set this machine's clock: timedatectl set-ntp true. If a retry came late, raise tolerance.",
		ReportOnly: true, Proven: true,
	})
	TimestampFuture = rejection(Rejection{
		Code: "timestamp_future", Status: http.StatusForbidden,
		Sentence:   "the signature is genuine but made in the future",
		Remedy:     "Set this machine's clock: timedatectl set-ntp true.",
		ReportOnly: true, Proven: true,
	})
	BodyTooLarge = rejection(Rejection{
		Code: "body_too_large", Status: http.StatusRequestEntityTooLarge,
		Sentence: "the body is larger than max_size",
		Remedy:   "Raise max_size, and the site's request_body if there is one. Audio takes about 1.2 MiB a minute.",
	})
	BodyIncomplete = rejection(Rejection{
		Code: "body_incomplete", Status: http.StatusBadRequest,
		Sentence: "the body ended before it was complete",
		Remedy:   "The connection broke. If it happens again, look at the proxy or firewall in front.",
	})
	BodyTimeout = rejection(Rejection{
		Code: "body_timeout", Status: http.StatusRequestTimeout,
		Sentence: "the body did not arrive within read_timeout",
		Remedy:   "Raise read_timeout, and Caddy's own timeouts.",
	})
	Overloaded = rejection(Rejection{
		Code: "overloaded", Status: http.StatusServiceUnavailable,
		Sentence: "the bodies in flight have reached spool_limit, or their number what memory allows",
		Remedy:   "Raise spool_limit if memory and disk allow, or give the server more memory. Many bodies are in flight, or the application is slow.",
	})
	SpoolFailed = rejection(Rejection{
		Code: "spool_failed", Status: http.StatusServiceUnavailable,
		Sentence: "the body could not be stored in spool_dir",
		Remedy:   "Free the disk of spool_dir, or let Caddy's user write to it.",
	})
)

// Rejections are all reasons, in the order of the table above.
var Rejections []*Rejection

func rejection(r Rejection) *Rejection {
	Rejections = append(Rejections, &r)
	return &r
}

// RejectionByCode returns the reason with that code, or nil if there is none.
func RejectionByCode(code string) *Rejection {
	for _, r := range Rejections {
		if r.Code == code {
			return r
		}
	}
	return nil
}
