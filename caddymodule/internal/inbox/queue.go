package inbox

import (
	"sync"
	"time"
)

const (
	firstPause = time.Second
	// LongestPause is how long at most a queue pauses while its backend is unreachable.
	LongestPause = 30 * time.Second
)

// queue pauses while the backend is unreachable, so that not every event that waits is
// tried in vain. After each pause, it lets one event through.
type queue struct {
	mu    sync.Mutex
	pause time.Duration // 0 while the backend is up
	until time.Time
	trial bool // an event was let through
	since time.Time
	epoch int // of the current pause; attempts from before it tell nothing about it
}

// allowed returns how many of the free places may be used now.
func (q *queue) allowed(free int, now time.Time) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.pause == 0:
		return free
	case q.trial || now.Before(q.until):
		return 0
	}
	return min(free, 1)
}

// begin notes that attempts begin. It returns the epoch to end them with.
func (q *queue) begin(attempts int) (epoch int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.trial = q.pause > 0 && attempts > 0
	return q.epoch
}

// change is what an attempt tells of the backend.
type change int

const (
	same change = iota
	wentDown
	cameUp
)

// end notes the end of an attempt. All that failed together counts as one failure. If the
// backend came up, down is how long it was down.
func (q *queue) end(epoch int, unreachable bool, now time.Time) (_ change, down time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !unreachable:
		if q.pause == 0 {
			return same, 0
		}
		down := now.Sub(q.since)
		q.pause, q.trial, q.since = 0, false, time.Time{}
		q.epoch++
		return cameUp, down
	case epoch != q.epoch:
		return same, 0
	}
	q.epoch++
	q.trial = false
	first := q.pause == 0
	q.pause = min(max(2*q.pause, firstPause), LongestPause)
	q.until = now.Add(q.pause)
	if !first {
		return same, 0
	}
	q.since = now
	return wentDown, 0
}

// giveBack notes that an attempt ended that told nothing of the backend.
func (q *queue) giveBack(epoch int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if epoch == q.epoch {
		q.trial = false
	}
}

// downSince returns since when the backend is unreachable, or the zero time.
func (q *queue) downSince() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.since
}
