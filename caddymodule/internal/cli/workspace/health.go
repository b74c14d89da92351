package workspace

import (
	"fmt"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// Health is how a webhook is doing.
type Health string

// The healths of a webhook.
const (
	OK           Health = "ok"
	Failing      Health = "failing"
	Disabled     Health = "disabled"
	AutoDisabled Health = "auto-disabled"
)

// Failure is the last failure of a webhook that ElevenLabs shows.
type Failure struct {
	Code    int        `json:"code,omitempty"`
	At      *time.Time `json:"at,omitempty"`
	Meaning string     `json:"meaning"`
}

// Recent reports whether the failure may count towards the disabling of the
// webhook. ElevenLabs shows the last failure for ever.
func (f *Failure) Recent(now time.Time) bool {
	return f.At == nil || now.Sub(*f.At) <= facts.DisabledIfNoneFor
}

// String describes the failure in one line.
func (f *Failure) String() string {
	var text string
	if f.Code != 0 {
		text = fmt.Sprintf("%d, ", f.Code)
	}
	if f.At != nil {
		text += f.At.Format(time.RFC3339) + ", "
	}
	return text + f.Meaning
}

// HealthOf returns the health of a webhook, and its last failure, if any.
func HealthOf(webhook elevenlabs.Webhook, now time.Time) (Health, *Failure) {
	var failure *Failure
	if webhook.LastFailureCode != nil || webhook.LastFailure != nil {
		failure = new(Failure)
		if webhook.LastFailureCode != nil {
			failure.Code = *webhook.LastFailureCode
		}
		failure.Meaning = facts.AnswerMeaning(failure.Code)
		if webhook.LastFailure != nil {
			at := time.Unix(*webhook.LastFailure, 0).UTC()
			failure.At = &at
		}
	}
	switch {
	case webhook.IsAutoDisabled:
		return AutoDisabled, failure
	case webhook.IsDisabled:
		return Disabled, failure
	case failure != nil && failure.Recent(now):
		return Failing, failure
	}
	return OK, failure
}
