package spool

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Go would keep the memory that a flood took, in the pools and in its heap, for many
// minutes. So when bodies have held more than trimAbove, and no longer do, trim
// returns the memory to the system. trimInterval bounds what this costs a server
// whose load goes up and down.
const (
	trimAbove    = 16 << 20
	trimInterval = 5 * time.Second
)

var trimScheduled atomic.Bool

// scheduleTrim schedules trim if bodies hold more than trimAbove.
func scheduleTrim() {
	if memory.Load() > trimAbove && trimScheduled.CompareAndSwap(false, true) {
		time.AfterFunc(trimInterval, trim)
	}
}

func trim() {
	if memory.Load() > trimAbove {
		time.AfterFunc(trimInterval, trim)
		return
	}
	trimScheduled.Store(false)
	runtime.GC()         // a pool keeps for one more collection what it has
	debug.FreeOSMemory() // collects again
}
