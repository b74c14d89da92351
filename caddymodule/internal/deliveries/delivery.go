// Package deliveries remembers what became of the webhooks that came in: the
// last ones, and how each of the operator's webhooks fares.
package deliveries

import "time"

// Result is what became of a delivery.
type Result string

// The results.
const (
	Accepted Result = "accepted" // the backend took it, and ElevenLabs was told so
	Rejected Result = "rejected" // refused by this side
	Ignored  Result = "ignored"  // genuine, not wanted, and answered as accepted
	Failed   Result = "failed"   // handed on, but not taken
)

// Delivery is one request, without its body and without secrets.
type Delivery struct {
	// Sequence rises with each delivery, over restarts too if the clock does.
	Sequence uint64 `json:"sequence"`
	// Time is when the request came.
	Time time.Time `json:"time"`
	// Ended is when it was answered, or given up.
	Ended time.Time `json:"ended"`
	// Handler is the name of the handler that it came to.
	Handler string `json:"handler"`

	Result Result `json:"result"`
	// Reason is why it was rejected or has failed.
	Reason string `json:"reason,omitempty"`
	// WouldReject is why it would have been rejected without report_only.
	WouldReject string `json:"would_reject,omitempty"`
	// Proven is whether ElevenLabs signed it, though perhaps at another time.
	Proven bool `json:"proven"`
	// Test is whether the commands send or doctor sent it, of which ElevenLabs
	// knows nothing.
	Test bool `json:"test,omitempty"`
	// Counts is whether it counts as a success or failure of the webhook, as
	// ElevenLabs sees it.
	Counts bool `json:"counts"`

	EventType      string `json:"event_type,omitempty"`
	EventID        string `json:"event_id,omitempty"`
	ConversationID string `json:"conversation_id,omitempty"`
	AgentID        string `json:"agent_id,omitempty"`
	RequestID      string `json:"request_id,omitempty"`
	VoiceID        string `json:"voice_id,omitempty"`
	SignedAt       string `json:"signed_at,omitempty"`
	SecretName     string `json:"secret_name,omitempty"`
	ClientIP       string `json:"client_ip,omitempty"`

	// Size is the body's in bytes; -1 if it was not taken in whole.
	Size int64 `json:"size"`
	// UpstreamStatus is what the backend answered; 0 if it did not.
	UpstreamStatus int `json:"upstream_status,omitempty"`
	// Attempts is how often it was handed on.
	Attempts int `json:"attempts,omitempty"`

	ReceiveSeconds  float64 `json:"receive_seconds"`
	VerifySeconds   float64 `json:"verify_seconds"`
	UpstreamSeconds float64 `json:"upstream_seconds"`
}

// Success is whether ElevenLabs was answered 200.
func (d Delivery) Success() bool { return d.Result == Accepted || d.Result == Ignored }
