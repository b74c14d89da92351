package spool

import "sync/atomic"

// held is the number of bytes that all bodies of the process hold, in memory and on
// disk. disk is the part on disk. Both belong to the process, so that all handlers
// share them and they outlast a reload.
var held, disk atomic.Int64

// Usage is the number of bytes that bodies hold.
type Usage struct{ Memory, Disk int64 }

// Held returns the bytes that all bodies of the process hold now.
func Held() Usage {
	onDisk := disk.Load()
	return Usage{max(0, held.Load()-onDisk), onDisk} // below 0 if a body closes between the loads
}

// reserve adds n bytes to held if the sum is within the limit, and reports whether
// it is.
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
