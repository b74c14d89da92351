package deliveries

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

func TestFailuresCountAsElevenLabsCountsThem(t *testing.T) {
	failed := Delivery{Result: Failed, Proven: true, Counts: true}
	stale := Delivery{Result: Rejected, Proven: true, Counts: true}
	forged := Delivery{Result: Rejected}
	accepted := Delivery{Result: Accepted, Proven: true, Counts: true}
	ignored := Delivery{Result: Ignored, Proven: true, Counts: true}
	for name, test := range map[string]struct {
		deliveries []Delivery
		inRow      int
	}{
		"a failed one":                           {[]Delivery{failed}, 1},
		"a stale one":                            {[]Delivery{stale}, 1},
		"a forged one does not":                  {[]Delivery{forged, forged}, 0},
		"and does not end a run either":          {[]Delivery{failed, forged, failed}, 2},
		"a success ends a run":                   {[]Delivery{failed, failed, accepted, failed}, 1},
		"so does one that is not wanted":         {[]Delivery{failed, failed, ignored}, 0},
		"forged ones let through by report_only": {[]Delivery{failed, {Result: Accepted, WouldReject: "signature_mismatch"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var c Counter
			for _, d := range test.deliveries {
				c.Count(&d)
			}
			assert.Equal(t, test.inRow, c.Status().FailuresInRow)
		})
	}
}

func TestAlarmsAreRaisedAt3And5And8AndEndOnce(t *testing.T) {
	var c Counter
	count := func(minute int, result Result) (Alarm, Status) {
		return c.Count(&Delivery{Ended: at(minute), Result: result, Reason: "backend_answer", Proven: true, Counts: true})
	}
	alarm, _ := count(0, Accepted)
	assert.Equal(t, None, alarm)
	raised := map[int]Alarm{}
	for n := 1; n <= 20; n++ {
		if alarm, status := count(n, Failed); alarm != None {
			raised[n] = alarm
			assert.Equal(t, n, status.FailuresInRow)
			assert.Equal(t, at(1), status.FailingSince)
			assert.Equal(t, at(0), status.LastSuccess)
		}
	}
	assert.Equal(t, map[int]Alarm{3: Notice, 5: Warning, 8: Critical}, raised)

	alarm, before := count(30, Accepted)
	assert.Equal(t, Recovered, alarm)
	assert.Equal(t, 20, before.FailuresInRow, "what has ended")
	alarm, _ = count(31, Accepted)
	assert.Equal(t, None, alarm, "said once")

	count(32, Failed)
	count(33, Failed)
	alarm, _ = count(34, Accepted)
	assert.Equal(t, None, alarm, "no alarm, no recovery")
}

func TestStatusTellsWhatWasLast(t *testing.T) {
	var c Counter
	c.Count(&Delivery{Time: at(1), Ended: at(2), Result: Accepted, Proven: true, Counts: true})
	c.Count(&Delivery{Time: at(3), Ended: at(4), Result: Failed, Reason: "backend_timeout", Proven: true, Counts: true})
	c.Count(&Delivery{Time: at(5), Ended: at(5), Result: Rejected, Reason: "signature_mismatch"})
	c.Count(&Delivery{Time: at(6), Ended: at(6), Result: Accepted, WouldReject: "signature_mismatch"})
	s := c.Status()
	assert.Equal(t, at(2), s.LastSuccess, "when it was answered")
	assert.Equal(t, at(3), s.LastDelivery, "when it came; what is forged was not delivered by ElevenLabs")
	assert.Equal(t, at(4), s.FailingSince)
	assert.Equal(t, "backend_timeout", s.LastFailure.Reason)
	assert.Equal(t, int64(2), s.Results.Accepted)
	assert.Equal(t, int64(1), s.Results.Rejected)
	assert.Equal(t, int64(1), s.Results.Failed)
	assert.Zero(t, s.Results.Ignored)
	assert.Equal(t, int64(1), s.WouldReject)
}

func TestWhatWasLastDoesNotGoBackWhenDeliveriesEndOutOfOrder(t *testing.T) {
	count := func(c *Counter, came, ended int, result Result) {
		c.Count(&Delivery{Time: at(came), Ended: at(ended), Result: result, Proven: true, Counts: true})
	}
	var c Counter
	count(&c, 2, 3, Accepted)
	count(&c, 1, 4, Accepted) // the slow one came first
	assert.Equal(t, at(2), c.Status().LastDelivery)
	assert.Equal(t, at(4), c.Status().LastSuccess)

	count(&c, 5, 7, Failed)
	count(&c, 4, 6, Failed) // it ended before, and was counted after
	assert.Equal(t, at(5), c.Status().LastDelivery)
	assert.Equal(t, at(7), c.Status().LastFailure.Ended)
	count(&c, 2, 3, Accepted)
	assert.Equal(t, at(4), c.Status().LastSuccess)
}

func TestASuccessorGoesOnWithTheRunAndNotWithTheCounters(t *testing.T) {
	var old, successor Counter
	old.Count(&Delivery{Time: at(0), Ended: at(0), Result: Accepted, Proven: true, Counts: true})
	for n := 1; n <= 4; n++ {
		old.Count(&Delivery{Time: at(n), Ended: at(n), Result: Failed, Reason: "backend_answer", Proven: true, Counts: true})
	}
	successor.SetStreak(old.Status().Streak)
	s := successor.Status()
	assert.Equal(t, old.Status().Streak, s.Streak)
	assert.Equal(t, []any{4, at(1), at(0), at(4), at(4)}, []any{s.FailuresInRow, s.FailingSince, s.LastSuccess, s.LastDelivery, s.LastFailure.Ended})
	assert.Zero(t, s.Results)
	alarm, _ := successor.Count(&Delivery{Time: at(5), Ended: at(5), Result: Failed, Proven: true, Counts: true})
	assert.Equal(t, Warning, alarm, "the fifth")
	assert.Equal(t, 4, old.Status().FailuresInRow)
}

func TestOfTwoRunsTheLaterIsWhereSomethingCameLast(t *testing.T) {
	failure := func(minute int) *Delivery { return &Delivery{Ended: at(minute)} }
	for name, test := range map[string]struct{ earlier, later Streak }{
		"nothing came":          {Streak{}, Streak{LastDelivery: at(0)}},
		"a delivery":            {Streak{LastDelivery: at(1)}, Streak{LastDelivery: at(2)}},
		"a success":             {Streak{LastDelivery: at(1)}, Streak{LastDelivery: at(0), LastSuccess: at(2)}},
		"an unproven failure":   {Streak{LastSuccess: at(1)}, Streak{LastFailure: failure(2)}},
		"of an earlier arrival": {Streak{LastDelivery: at(1), LastFailure: failure(2)}, Streak{LastDelivery: at(0), LastFailure: failure(3)}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.True(t, test.later.LaterThan(test.earlier))
			assert.False(t, test.earlier.LaterThan(test.later))
			assert.False(t, test.later.LaterThan(test.later))
		})
	}
}
