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
			var w Webhook
			for _, d := range test.deliveries {
				w.Count(d)
			}
			assert.Equal(t, test.inRow, w.Status().FailuresInRow)
		})
	}
}

func TestAlarmsAreRaisedAt3And5And8AndEndOnce(t *testing.T) {
	var w Webhook
	count := func(minute int, result Result) (Alarm, Status) {
		return w.Count(Delivery{Time: at(minute), Result: result, Reason: "backend_answer", Proven: true, Counts: true})
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
	var w Webhook
	w.Count(Delivery{Time: at(1), Result: Accepted, Proven: true, Counts: true})
	w.Count(Delivery{Time: at(2), Result: Failed, Reason: "backend_timeout", Proven: true, Counts: true})
	w.Count(Delivery{Time: at(3), Result: Rejected, Reason: "signature_mismatch"})
	w.Count(Delivery{Time: at(4), Result: Accepted, WouldReject: "signature_mismatch"})
	s := w.Status()
	assert.Equal(t, at(1), s.LastSuccess)
	assert.Equal(t, at(2), s.LastDelivery, "what is forged was not delivered by ElevenLabs")
	assert.Equal(t, "backend_timeout", s.LastFailure.Reason)
	assert.Equal(t, int64(2), s.Results.Accepted)
	assert.Equal(t, int64(1), s.Results.Rejected)
	assert.Equal(t, int64(1), s.Results.Failed)
	assert.Zero(t, s.Results.Ignored)
	assert.Equal(t, int64(1), s.WouldReject)
}
