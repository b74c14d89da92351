package spool

import "sync/atomic"

// memory and disk are the bytes that all bodies of the process hold. total is their
// sum. They belong to the process, so that all handlers share them and they outlast a
// reload.
var memory, disk, total atomic.Int64

// bodies is the number of bodies that are read or held. It belongs to the process too.
var bodies atomic.Int64

// Usage is the number of bytes that bodies hold.
type Usage struct{ Memory, Disk int64 }

// Held returns the bytes that all bodies of the process hold now. Together, they are
// never above Limits.Total, even if a body goes from memory to disk meanwhile.
func Held() Usage {
	onDisk := disk.Load()
	return Usage{max(0, total.Load()-onDisk), onDisk} // below 0 if a body closes between the loads
}

// reserve adds n bytes to a count if the sum is within the limit, and reports whether
// it is.
func reserve(count *atomic.Int64, n, limit int64) bool {
	for {
		now := count.Load()
		if now+n > limit {
			return false
		}
		if count.CompareAndSwap(now, now+n) {
			return true
		}
	}
}
