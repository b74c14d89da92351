package deliveries

import (
	"sync"
	"time"
)

// ElevenLabs disables a webhook after so many failures in a row, if it never
// succeeded or last did so longer ago:
// https://elevenlabs.io/docs/eleven-api/resources/webhooks
const (
	DisabledAfter     = 10
	DisabledIfNoneFor = 7 * 24 * time.Hour
)

// Alarm is how pressing a run of failures is.
type Alarm int

// The alarms, from none upward.
const (
	None Alarm = iota
	Notice
	Warning
	Critical
	Recovered // not pressing: a run that there was an alarm for has ended
)

// FirstAlarm is the number of failures in a row that raises the first alarm.
const FirstAlarm = 3

// alarm is that of a number of failures in a row.
func alarm(failures int) Alarm {
	switch failures {
	case FirstAlarm:
		return Notice
	case 5:
		return Warning
	case 8:
		return Critical
	}
	return None
}

// Webhook counts what became of the deliveries of one webhook.
type Webhook struct {
	mu     sync.Mutex
	status Status
}

// Status is how a webhook fares.
type Status struct {
	// Results counts the deliveries since the process began.
	Results struct {
		Accepted int64 `json:"accepted"`
		Rejected int64 `json:"rejected"`
		Ignored  int64 `json:"ignored"`
		Failed   int64 `json:"failed"`
	} `json:"results"`
	// WouldReject counts those that report_only let through.
	WouldReject int64 `json:"would_reject,omitempty"`

	Run
}

// Run is what goes on when a webhook changes its name.
type Run struct {
	// FailuresInRow is as ElevenLabs counts.
	FailuresInRow int `json:"failures_in_row"`
	// FailingSince is when the first of them failed.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// LastSuccess is when a delivery that counts was last answered 200.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// LastDelivery is when something genuine last came.
	LastDelivery time.Time `json:"last_delivery,omitzero"`
	// LastFailure is the last failure that counted.
	LastFailure *Delivery `json:"last_failure,omitempty"`
}

// LaterThan is whether something was heard of this run after all of the other.
func (r Run) LaterThan(other Run) bool { return r.heard().After(other.heard()) }

func (r Run) heard() time.Time {
	last := latest(r.LastDelivery, r.LastSuccess)
	if r.LastFailure != nil {
		last = latest(last, r.LastFailure.Ended)
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Count counts a delivery, and returns the alarm that it raises, with the status
// after it; of a recovery, that before it.
func (w *Webhook) Count(d Delivery) (Alarm, Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.status
	switch d.Result {
	case Accepted:
		s.Results.Accepted++
	case Rejected:
		s.Results.Rejected++
	case Ignored:
		s.Results.Ignored++
	case Failed:
		s.Results.Failed++
	}
	if d.WouldReject != "" {
		s.WouldReject++
	}
	if d.Proven && !d.Test {
		s.LastDelivery = latest(s.LastDelivery, d.Time)
	}
	if !d.Counts {
		return None, *s
	}
	if d.Success() {
		before := *s
		s.FailuresInRow, s.FailingSince, s.LastSuccess = 0, time.Time{}, latest(s.LastSuccess, d.Ended)
		if before.FailuresInRow >= FirstAlarm {
			return Recovered, before
		}
		return None, *s
	}
	if s.FailuresInRow == 0 {
		s.FailingSince = d.Ended
	}
	s.FailuresInRow++
	if s.LastFailure == nil || !d.Ended.Before(s.LastFailure.Ended) {
		failure := d // only here does it outlive the call
		s.LastFailure = &failure
	}
	return alarm(s.FailuresInRow), *s
}

// Status returns how the webhook fares.
func (w *Webhook) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// GoOnWith makes a run that of the webhook.
func (w *Webhook) GoOnWith(run Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Run = run
}
