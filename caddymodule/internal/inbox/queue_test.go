package inbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAQueuePausesLongerEachTimeAndThenTriesOneEvent(t *testing.T) {
	t.Parallel()
	var q queue
	now := time.Now()
	began := now
	assert.Equal(t, 16, q.allowed(16, now))
	epoch := q.begin(16)
	for i := range 16 { // all that failed together counts once
		want := same
		if i == 0 {
			want = wentDown
		}
		got, _ := q.end(epoch, true, now)
		assert.Equal(t, want, got)
		assert.Equal(t, now, q.downSince())
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		pause := time.Duration(seconds) * time.Second
		assert.Zero(t, q.allowed(16, now.Add(pause-1)))
		now = now.Add(pause)
		assert.Equal(t, 1, q.allowed(16, now))
		assert.Zero(t, q.allowed(0, now))
		epoch = q.begin(1)
		assert.Zero(t, q.allowed(16, now), "one at a time")
		got, _ := q.end(epoch, true, now)
		assert.Equal(t, same, got)
	}
	now = now.Add(LongestPause)
	epoch = q.begin(q.allowed(16, now))
	got, down := q.end(epoch, false, now)
	assert.Equal(t, cameUp, got)
	assert.Equal(t, now.Sub(began), down)
	assert.Zero(t, q.downSince())
	assert.Equal(t, 16, q.allowed(16, now))

	q.end(q.begin(1), true, now)
	assert.Equal(t, 1, q.allowed(16, now.Add(time.Second)), "the pauses begin anew")
}

func TestWhatAnAttemptTellsAQueue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	down := func() (q *queue, before int) {
		q = &queue{}
		before = q.begin(3)
		q.end(before, true, now)
		return q, before
	}
	t.Run("one of before the pause does not prolong it", func(t *testing.T) {
		t.Parallel()
		q, before := down()
		trial := q.begin(q.allowed(16, now.Add(time.Second)))
		q.end(before, true, now.Add(time.Second))
		assert.Zero(t, q.allowed(16, now.Add(time.Second)), "the trial goes on")
		q.giveBack(before)
		assert.Zero(t, q.allowed(16, now.Add(time.Second)), "the trial goes on")
		q.end(trial, true, now.Add(time.Second))
		assert.Equal(t, 1, q.allowed(16, now.Add(3*time.Second)))
	})
	t.Run("any answer opens it", func(t *testing.T) {
		t.Parallel()
		q, before := down()
		got, _ := q.end(before, false, now)
		assert.Equal(t, cameUp, got)
		got, _ = q.end(before, true, now)
		assert.Equal(t, same, got, "from before the answer")
		assert.Equal(t, 16, q.allowed(16, now))
	})
	t.Run("a trial that was interrupted makes room for another", func(t *testing.T) {
		t.Parallel()
		q, _ := down()
		q.giveBack(q.begin(q.allowed(16, now.Add(time.Second))))
		assert.Equal(t, 1, q.allowed(16, now.Add(time.Second)))
	})
	t.Run("nothing to try is no trial", func(t *testing.T) {
		t.Parallel()
		q, _ := down()
		q.begin(0)
		assert.Equal(t, 1, q.allowed(16, now.Add(time.Second)))
	})
}
