package spool

import "sync/atomic"

// held is what all bodies of the process hold, in memory and on disk. It is one
// number for the process, not one a handler, so that it holds across handlers
// and config reloads.
var held atomic.Int64

// Held returns the bytes that all bodies of the process hold at the moment, in
// memory and on disk together.
func Held() int64 { return held.Load() }

func reserve(n, limit int64) bool {
	for {
		now := held.Load()
		if now+n > limit {
			return false
		}
		if held.CompareAndSwap(now, now+n) {
			return true
		}
	}
}

func release(n int64) { held.Add(-n) }
