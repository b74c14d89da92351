package spool

import "sync/atomic"

// held is what all bodies of the process hold, in memory and on disk, and disk
// the part that is on disk. They are numbers for the process, not for a handler,
// so that they hold across handlers and config reloads.
var held, disk atomic.Int64

// Usage is how many bytes are held where.
type Usage struct{ Memory, Disk int64 }

// Held returns what all bodies of the process hold at the moment.
func Held() Usage {
	onDisk := disk.Load()
	return Usage{max(0, held.Load()-onDisk), onDisk} // below 0 if one ends in between
}

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
