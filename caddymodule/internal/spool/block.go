package spool

import (
	"math/bits"
	"sync"
)

// The sizes of blocks are powers of two from smallBlock to largeBlock.
const (
	smallBlock = 4 << 10
	largeBlock = 64 << 10
)

// block is a piece of memory. The capacity of bytes is its size.
type block struct{ bytes []byte }

// pools has a pool for each size of block, smallest first.
var pools [5]sync.Pool

func poolOf(size int64) *sync.Pool { return &pools[bits.Len64(uint64(size/smallBlock))-1] }

// nextSize returns the size of the block that follows a number of bytes. A body in
// memory doubles, up to largeBlock, so its blocks never have more than twice its size
// if that is at least smallBlock.
func nextSize(bytes int64) int64 {
	size := int64(smallBlock)
	for 2*size <= min(bytes, largeBlock) {
		size *= 2
	}
	return size
}

func newBlock(size int64) *block {
	if b, ok := poolOf(size).Get().(*block); ok {
		return b
	}
	return &block{make([]byte, 0, size)}
}

func (b *block) size() int64 { return int64(cap(b.bytes)) }

func (b *block) full() bool { return len(b.bytes) == cap(b.bytes) }

// free returns the block to its pool.
func (b *block) free() {
	b.bytes = b.bytes[:0]
	poolOf(b.size()).Put(b)
}
