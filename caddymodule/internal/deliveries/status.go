package deliveries

import (
	"sync"
	"time"
)

// Alarm is how urgent a streak of failures is.
type Alarm int

// The alarms.
const (
	None Alarm = iota
	Notice
	Warning
	Critical
	Recovered // a streak that raised an alarm has ended
)

// FirstAlarm is the number of failures in a row that raises the first alarm.
const FirstAlarm = 3

// alarm returns the alarm that a number of failures in a row raises.
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

// Counter counts what became of the deliveries of one group of handlers.
type Counter struct {
	mu     sync.Mutex
	status Status
}

// Status is the state of a group of handlers.
type Status struct {
	// Results counts the deliveries since the process began.
	Results Tally `json:"results"`
	// Tests are those of the results that the commands send and doctor caused.
	Tests Tally `json:"tests,omitzero"`
	// WouldReject counts the requests that only report_only forwarded.
	WouldReject int64 `json:"would_reject,omitempty"`

	Streak
}

// Tally counts deliveries by their results.
type Tally struct {
	Accepted int64 `json:"accepted"`
	Stored   int64 `json:"stored,omitempty"` // of a handler with an inbox
	Rejected int64 `json:"rejected"`
	Ignored  int64 `json:"ignored"`
	Failed   int64 `json:"failed"`
}

func (t *Tally) count(result Result) { *t.of(result)++ }

func (t *Tally) of(result Result) *int64 {
	switch result {
	case Accepted:
		return &t.Accepted
	case Stored:
		return &t.Stored
	case Rejected:
		return &t.Rejected
	case Ignored:
		return &t.Ignored
	case Failed:
		return &t.Failed
	}
	return new(int64)
}

// Of returns the count of a result.
func (t *Tally) Of(result Result) int64 { return *t.of(result) }

func (t *Tally) add(other Tally) {
	for _, result := range Results {
		*t.of(result) += other.Of(result)
	}
}

// Streak is the failures in a row, and what came last. It goes on if the group
// changes its name.
type Streak struct {
	// FailuresInRow counts failures as ElevenLabs does.
	FailuresInRow int `json:"failures_in_row"`
	// FailingSince is when the first of them ended.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// LastSuccess is when a delivery that counts was last answered with 200.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// LastDelivery is when a genuine event last came.
	LastDelivery time.Time `json:"last_delivery,omitzero"`
	// LastFailure is the last failure that counted.
	LastFailure *Delivery `json:"last_failure,omitempty"`
}

// LaterThan reports whether anything happened in this streak after all of the
// other.
func (s Streak) LaterThan(other Streak) bool { return s.last().After(other.last()) }

func (s Streak) last() time.Time {
	last := latest(s.LastDelivery, s.LastSuccess)
	if s.LastFailure != nil {
		last = latest(last, s.LastFailure.Ended)
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Count counts a delivery. It returns the alarm that the delivery raises, and the
// status after it. For Recovered it returns the status before it.
func (c *Counter) Count(d *Delivery) (Alarm, Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.status
	s.Results.count(d.Result)
	if d.Test {
		s.Tests.count(d.Result)
	}
	if d.WouldReject != "" {
		s.WouldReject++
	}
	if !d.Counts {
		return None, *s
	}
	if d.Proven {
		s.LastDelivery = latest(s.LastDelivery, d.Time)
	}
	if d.Success() {
		before := *s
		s.LastSuccess = latest(s.LastSuccess, d.Ended)
		if s.end() {
			return Recovered, before
		}
		return None, *s
	}
	if s.FailuresInRow == 0 {
		s.FailingSince = d.Ended
	}
	s.FailuresInRow++
	if s.LastFailure == nil || !d.Ended.Before(s.LastFailure.Ended) {
		failure := *d
		s.LastFailure = &failure
	}
	return alarm(s.FailuresInRow), *s
}

// end ends the streak. It reports whether the streak has raised an alarm.
func (s *Streak) end() bool {
	raised := s.FailuresInRow >= FirstAlarm
	s.FailuresInRow, s.FailingSince = 0, time.Time{}
	return raised
}

// succeed notes successes that this counter did not count. If they are of all webhooks
// that may have failed here, they end the streak. It reports whether the streak has
// raised an alarm, and returns the status before it ended.
func (c *Counter) succeed(last time.Time, all bool) (before Status, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = c.status
	c.status.LastSuccess = latest(c.status.LastSuccess, last)
	return before, all && c.status.end()
}

// Status returns the current status.
func (c *Counter) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// SetStreak replaces the streak.
func (c *Counter) SetStreak(s Streak) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Streak = s
}
