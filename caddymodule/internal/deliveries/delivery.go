// Package deliveries keeps what became of the requests that came in: the last ones,
// and the counts of each group of handlers.
package deliveries

import (
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
)

// Result is what became of a delivery.
type Result string

// The results.
const (
	Accepted Result = "accepted" // the backend answered 2xx, and ElevenLabs got 200
	Stored   Result = "stored"   // the event is in the inbox, and ElevenLabs got 200
	Rejected Result = "rejected" // the handler rejected the request
	Ignored  Result = "ignored"  // the event is genuine but not wanted; ElevenLabs got 200
	Failed   Result = "failed"   // the handler forwarded the event, and the backend did not take it
)

// Results are all results.
var Results = []Result{Accepted, Stored, Rejected, Ignored, Failed}

// What an inbox does with an event.
const (
	InboxStored   = "stored"
	InboxRepeat   = "repeat"   // it was there already
	InboxBypassed = "bypassed" // the inbox could not store it, so the backend got it at once
)

// Delivery is one request, without its body and without secrets.
type Delivery struct {
	// Sequence rises with each delivery. It also rises over a restart, except if the
	// clock was set back.
	Sequence uint64 `json:"sequence"`
	// Time is when the request came.
	Time time.Time `json:"time"`
	// Ended is when the handler was done with the request.
	Ended time.Time `json:"ended"`
	// Handler is the name of the group of handlers that the request came to.
	Handler string `json:"handler"`

	Result Result `json:"result"`
	// Reason is why the request was rejected, or why the event failed.
	Reason string `json:"reason,omitempty"`
	// WouldReject is why the request would have been rejected without report_only.
	WouldReject string `json:"would_reject,omitempty"`
	// Proven reports whether the signature is genuine. It may be too old.
	Proven bool `json:"proven"`
	// Test reports whether the request says that the command send or doctor sent it, so
	// that ElevenLabs knows nothing of it. Anyone can say so unless it is Proven.
	Test bool `json:"test,omitempty"`
	// Backfill reports whether the command `inbox backfill` made the event from
	// ElevenLabs' API. Only who has the secret can say so.
	Backfill bool `json:"backfill,omitempty"`
	// FromElevenLabs reports whether the client's address is one of ElevenLabs.
	FromElevenLabs bool `json:"from_elevenlabs,omitempty"`
	// Replay reports whether a genuine event came with a wrong time, from another
	// address, and not for the first time. Anyone who has an old request can send it.
	Replay bool `json:"replay,omitempty"`
	// Counts reports whether the delivery counts as a success or failure of the
	// webhook, as ElevenLabs sees it.
	Counts bool `json:"counts"`

	// EventID is the SHA-256 of the body, in hex.
	EventID string `json:"event_id,omitempty"`
	// Fields are those of the body. They are empty unless Proven.
	envelope.Fields
	// SignedAt is the time of signing, in Unix seconds. It is empty unless Proven.
	SignedAt string `json:"signed_at,omitempty"`
	// SecretName is the name of the secret that signed. It is empty unless Proven.
	SecretName string `json:"secret_name,omitempty"`
	// Secret is the name of the secret that signed, as in metrics: that of its
	// variable or file if it has none. It is empty unless Proven.
	Secret string `json:"secret,omitempty"`
	// Inbox is what the inbox did with the event: InboxStored, InboxRepeat or
	// InboxBypassed. It is empty without an inbox.
	Inbox string `json:"inbox,omitempty"`
	// ClientIP is the client's address, as Caddy sees it.
	ClientIP string `json:"client_ip,omitempty"`

	// Size is the body's size in bytes, or -1 if the body did not come whole.
	Size int64 `json:"size"`
	// UpstreamStatus is the status of the backend's answer, or 0 without an answer.
	UpstreamStatus int `json:"upstream_status,omitempty"`
	// Attempts is how often the handler forwarded the event.
	Attempts int `json:"attempts,omitempty"`

	ReceiveSeconds  float64 `json:"receive_seconds"`
	VerifySeconds   float64 `json:"verify_seconds"`
	UpstreamSeconds float64 `json:"upstream_seconds"`
}

// Success reports whether ElevenLabs got 200.
func (d *Delivery) Success() bool {
	return d.Result == Accepted || d.Result == Stored || d.Result == Ignored
}
