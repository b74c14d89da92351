// Package spool reads a request's body once, keeps it, and gives it out any number
// of times. It keeps a small body in memory and a larger one in a temporary file. It
// does not depend on HTTP.
package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

var (
	// ErrTooLarge is returned if the body is larger than Limits.Size.
	ErrTooLarge = errors.New("the body is too large")
	// ErrFull is returned if all bodies of the process together would hold more
	// than Limits.Total.
	ErrFull = errors.New("all bodies together have reached their limit")
	// ErrTooMany is returned if the process already has Limits.Bodies bodies.
	ErrTooMany = errors.New("too many bodies are in flight")
	// ErrStorage is wrapped, together with the cause, by the error for a temporary
	// file that cannot be created or written.
	ErrStorage = errors.New("the body could not be stored")

	errClosed = errors.New("the body was read after the request had ended")
)

// Limits bound one body. Sizes are in bytes.
type Limits struct {
	// Size is the largest size of a body.
	Size int64
	// Memory is the largest size of a body that is kept in memory. A larger body
	// goes to a temporary file.
	Memory int64
	// TotalMemory is the limit for the memory of all bodies of the process together.
	// A body that would exceed it goes to a temporary file early, and keeps only the
	// smallest block in memory until it is complete.
	TotalMemory int64
	// Total is the limit for all bodies of the process together, in memory and on
	// disk.
	Total int64
	// Bodies is the largest number of bodies of the process, being read or held.
	Bodies int64
	// Dir is the directory for temporary files. Empty means the system's.
	Dir string
}

// Body is a body that was read whole. It never changes. Its readers are independent
// of each other, and may run at the same time.
type Body struct {
	limits Limits
	size   int64

	// blocks hold the body or, with a file, the part that is not written yet. They
	// are allocated as the body arrives, so a client that has sent little holds
	// little, even if it declared a large body.
	blocks []*block
	first  [8]*block // what blocks points to until there are more: up to 192 KiB
	file   *os.File
	linked bool  // the file still has a name, which Close must remove
	onDisk int64 // bytes that count as disk
	counts bool  // among bodies

	mu     sync.RWMutex // held for writing only by Close
	closed bool
}

// Read reads a body from r to its end, and keeps it. It calls observe with each piece
// of the body, in order. observe must not keep or change the piece.
//
// Read takes at most one byte more than Limits.Size from r. The error is
//   - ErrTooLarge, ErrFull or ErrTooMany,
//   - one that wraps ErrStorage, or
//   - the error of r, unchanged.
//
// After an error, or a panic of r or observe, Read leaves no memory and no file
// behind. Otherwise the caller must call Close.
func Read(r io.Reader, limits Limits, observe func([]byte)) (_ *Body, err error) {
	if !reserve(&bodies, 1, limits.Bodies) {
		return nil, ErrTooMany
	}
	b := &Body{limits: limits, counts: true}
	b.blocks = b.first[:0]
	done := false
	defer func() {
		if !done {
			b.Close()
		}
	}()

	for {
		space, err := b.space()
		if err != nil {
			return nil, err
		}
		n, readErr := r.Read(space)
		if n > 0 {
			if b.size+int64(n) > limits.Size {
				return nil, ErrTooLarge
			}
			observe(space[:n])
			if err := b.keep(n); err != nil {
				return nil, err
			}
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return nil, readErr
		}
	}
	if b.file != nil {
		if err := b.flush(); err != nil {
			return nil, err
		}
	}
	done = true
	return b, nil
}

// space returns room for the next piece: at least one byte, and at most one byte
// more than Limits.Size still allows.
func (b *Body) space() ([]byte, error) {
	if last := len(b.blocks) - 1; last < 0 || b.blocks[last].full() {
		if err := b.grow(); err != nil {
			return nil, err
		}
	}
	bytes := b.blocks[len(b.blocks)-1].bytes
	space := bytes[len(bytes):cap(bytes)]
	if room := b.limits.Size - b.size; int64(len(space)) > room {
		space = space[:room+1]
	}
	return space, nil
}

// grow adds a block. If the memory of all bodies has reached its limit, grow writes
// the body to the file, and adds the smallest block in any case: nothing can be read
// without one.
func (b *Body) grow() error {
	size := nextSize(b.size)
	if !reserve(&memory, size, b.limits.TotalMemory) {
		if len(b.blocks) > 0 {
			if err := b.spill(); err != nil {
				return err
			}
		}
		size = smallBlock
		memory.Add(size)
	}
	if !reserve(&total, size, b.limits.Total) {
		memory.Add(-size)
		return ErrFull
	}
	scheduleTrim()
	b.blocks = append(b.blocks, newBlock(size))
	return nil
}

// keep adds the first n bytes of the space to the body.
func (b *Body) keep(n int) error {
	last := b.blocks[len(b.blocks)-1]
	last.bytes = last.bytes[:len(last.bytes)+n]
	b.size += int64(n)

	switch {
	case b.file == nil && b.size > b.limits.Memory:
		return b.spill()
	case b.file != nil && last.full():
		return b.flush()
	}
	return nil
}

// spill moves the body from memory to a new file.
func (b *Body) spill() error {
	if err := b.create(); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return b.flush()
}

// create makes the temporary file. Only this user can read it. If the system allows
// it, create removes the name at once, so that a crash leaves no file behind.
func (b *Body) create() error {
	file, err := os.CreateTemp(b.limits.Dir, "elevenlabs-webhook-*") // mode 0600
	if err != nil {
		return err
	}
	b.file = file
	b.linked = os.Remove(file.Name()) != nil
	return nil
}

// flush writes all blocks to the file, and frees them.
func (b *Body) flush() error {
	for len(b.blocks) > 0 {
		bytes := b.blocks[0].bytes
		n := int64(len(bytes))
		if !reserve(&total, n, b.limits.Total) {
			return ErrFull
		}
		b.onDisk += n
		disk.Add(n)
		if _, err := b.file.Write(bytes); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		b.freeBlock()
	}
	return nil
}

// freeBlock frees the first block.
func (b *Body) freeBlock() {
	first := b.blocks[0]
	b.blocks = slices.Delete(b.blocks, 0, 1) // keeps the slice's capacity for later blocks
	memory.Add(-first.size())
	total.Add(-first.size())
	first.free()
}

// Size returns the body's size in bytes.
func (b *Body) Size() int64 { return b.size }

// Close releases the body's memory and its file. It waits for reads that are running,
// and later reads fail. Only the first call has an effect.
func (b *Body) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for len(b.blocks) > 0 {
		b.freeBlock()
	}
	if b.file != nil {
		// An error does not matter, since nobody reads the file again.
		_ = b.file.Close()
		if b.linked {
			_ = os.Remove(b.file.Name())
		}
	}
	disk.Add(-b.onDisk)
	total.Add(-b.onDisk)
	if b.counts {
		bodies.Add(-1)
	}
}

// CheckDir returns an error if temporary files cannot be created in a directory. The
// error names the directory and the cause.
func CheckDir(dir string) error {
	b := &Body{limits: Limits{Dir: dir}}
	defer b.Close()
	return b.create()
}
