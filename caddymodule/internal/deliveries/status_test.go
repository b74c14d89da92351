package deliveries

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

func TestFailuresInRowCountsLikeElevenLabs(t *testing.T) {
	failed := Delivery{Result: Failed, Proven: true, Counts: true}
	stale := Delivery{Result: Rejected, Proven: true, Counts: true}
	forged := Delivery{Result: Rejected}
	accepted := Delivery{Result: Accepted, Proven: true, Counts: true}
	ignored := Delivery{Result: Ignored, Proven: true, Counts: true}
	forwarded := Delivery{Result: Accepted, WouldReject: facts.SignatureMismatch.Code}
	tests := []struct {
		name       string
		deliveries []Delivery
		inRow      int
	}{
		{"a failed event counts", []Delivery{failed}, 1},
		{"a stale event counts", []Delivery{stale}, 1},
		{"a forgery does not count", []Delivery{forged, forged}, 0},
		{"a forgery does not end a streak", []Delivery{failed, forged, failed}, 2},
		{"an accepted event ends a streak", []Delivery{failed, failed, accepted, failed}, 1},
		{"an ignored event ends a streak", []Delivery{failed, failed, ignored}, 0},
		{"a forgery that report_only forwarded does not end a streak", []Delivery{failed, forwarded}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c Counter
			for _, d := range test.deliveries {
				c.Count(&d)
			}
			assert.Equal(t, test.inRow, c.Status().FailuresInRow)
		})
	}
}

func TestAlarmsRiseAt3And5And8AndRecoverOnce(t *testing.T) {
	var c Counter
	count := func(minute int, result Result) (Alarm, Status) {
		return c.Count(&Delivery{Ended: at(minute), Result: result, Reason: facts.BackendAnswer.Code, Proven: true, Counts: true})
	}
	alarm, _ := count(0, Accepted)
	assert.Equal(t, None, alarm)
	type raised struct {
		failures int
		alarm    Alarm
	}
	var all []raised
	for n := 1; n <= 20; n++ {
		if alarm, status := count(n, Failed); alarm != None {
			all = append(all, raised{n, alarm})
			assert.Equal(t, n, status.FailuresInRow)
			assert.Equal(t, at(1), status.FailingSince)
			assert.Equal(t, at(0), status.LastSuccess)
		}
	}
	assert.Equal(t, []raised{{3, Notice}, {5, Warning}, {8, Critical}}, all)

	alarm, before := count(30, Accepted)
	assert.Equal(t, Recovered, alarm)
	assert.Equal(t, 20, before.FailuresInRow, "the status before the recovery")
	alarm, _ = count(31, Accepted)
	assert.Equal(t, None, alarm, "a streak must recover only once")

	count(32, Failed)
	count(33, Failed)
	alarm, _ = count(34, Accepted)
	assert.Equal(t, None, alarm, "a streak without an alarm must not recover")
}

func TestStatusHasTheLastTimes(t *testing.T) {
	var c Counter
	c.Count(&Delivery{Time: at(1), Ended: at(2), Result: Accepted, Proven: true, Counts: true})
	c.Count(&Delivery{Time: at(3), Ended: at(4), Result: Failed, Reason: facts.BackendTimeout.Code, Proven: true, Counts: true})
	c.Count(&Delivery{Time: at(5), Ended: at(5), Result: Rejected, Reason: facts.SignatureMismatch.Code})
	c.Count(&Delivery{Time: at(6), Ended: at(6), Result: Accepted, WouldReject: facts.SignatureMismatch.Code})
	s := c.Status()
	assert.Equal(t, at(2), s.LastSuccess, "the end of the accepted event")
	assert.Equal(t, at(3), s.LastDelivery, "the arrival of the last genuine event")
	assert.Equal(t, at(4), s.FailingSince)
	assert.Equal(t, facts.BackendTimeout.Code, s.LastFailure.Reason)
	assert.Equal(t, int64(2), s.Results.Accepted)
	assert.Equal(t, int64(1), s.Results.Rejected)
	assert.Equal(t, int64(1), s.Results.Failed)
	assert.Zero(t, s.Results.Ignored)
	assert.Equal(t, int64(1), s.WouldReject)
}

func TestLastTimesNeverGoBack(t *testing.T) {
	count := func(c *Counter, came, ended int, result Result) {
		c.Count(&Delivery{Time: at(came), Ended: at(ended), Result: result, Proven: true, Counts: true})
	}
	var c Counter
	count(&c, 2, 3, Accepted)
	count(&c, 1, 4, Accepted) // a slow event, which came first
	assert.Equal(t, at(2), c.Status().LastDelivery)
	assert.Equal(t, at(4), c.Status().LastSuccess)

	count(&c, 5, 7, Failed)
	count(&c, 4, 6, Failed) // ended before the other, and counted after it
	assert.Equal(t, at(5), c.Status().LastDelivery)
	assert.Equal(t, at(7), c.Status().LastFailure.Ended)
	count(&c, 2, 3, Accepted)
	assert.Equal(t, at(4), c.Status().LastSuccess)
}

func TestSetStreakContinuesTheStreakAndNotTheCounters(t *testing.T) {
	var old, successor Counter
	old.Count(&Delivery{Time: at(0), Ended: at(0), Result: Accepted, Proven: true, Counts: true})
	for n := 1; n <= 4; n++ {
		old.Count(&Delivery{Time: at(n), Ended: at(n), Result: Failed, Reason: facts.BackendAnswer.Code, Proven: true, Counts: true})
	}
	successor.SetStreak(old.Status().Streak)
	s := successor.Status()
	assert.Equal(t, old.Status().Streak, s.Streak)
	assert.Equal(t, 4, s.FailuresInRow)
	assert.Equal(t, at(1), s.FailingSince)
	assert.Equal(t, at(0), s.LastSuccess)
	assert.Equal(t, at(4), s.LastDelivery)
	assert.Equal(t, at(4), s.LastFailure.Ended)
	assert.Zero(t, s.Results)
	alarm, _ := successor.Count(&Delivery{Time: at(5), Ended: at(5), Result: Failed, Proven: true, Counts: true})
	assert.Equal(t, Warning, alarm, "the fifth failure")
	assert.Equal(t, 4, old.Status().FailuresInRow)
}

func TestLaterThanComparesTheLastTimeOfEachStreak(t *testing.T) {
	failure := func(minute int) *Delivery { return &Delivery{Ended: at(minute)} }
	tests := []struct {
		name           string
		earlier, later Streak
	}{
		{"no delivery", Streak{}, Streak{LastDelivery: at(0)}},
		{"a delivery", Streak{LastDelivery: at(1)}, Streak{LastDelivery: at(2)}},
		{"a success", Streak{LastDelivery: at(1)}, Streak{LastDelivery: at(0), LastSuccess: at(2)}},
		{"a failure without a genuine delivery", Streak{LastSuccess: at(1)}, Streak{LastFailure: failure(2)}},
		{"a failure of an event that came earlier", Streak{LastDelivery: at(1), LastFailure: failure(2)}, Streak{LastDelivery: at(0), LastFailure: failure(3)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.True(t, test.later.LaterThan(test.earlier))
			assert.False(t, test.earlier.LaterThan(test.later))
			assert.False(t, test.later.LaterThan(test.later))
		})
	}
}

func TestStatusCountsTestsAlsoApart(t *testing.T) {
	var c Counter
	for _, d := range []Delivery{
		{Result: Accepted, Proven: true, Counts: true},
		{Result: Accepted, Proven: true, Test: true},
		{Result: Failed, Proven: true, Test: true},
		{Result: Failed, Proven: true, Test: true},
		{Result: Rejected, Test: true},
		{Result: Rejected},
	} {
		c.Count(&d)
	}
	s := c.Status()
	assert.Equal(t, Tally{Accepted: 2, Rejected: 2, Failed: 2}, s.Results)
	assert.Equal(t, Tally{Accepted: 1, Rejected: 1, Failed: 2}, s.Tests)
	assert.Nil(t, s.LastFailure, "ElevenLabs knows of none")
}
