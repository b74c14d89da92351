// Package spool reads a request's body once, keeps it, and gives it out any number
// of times. It keeps a small body in memory and a larger one in a temporary file. It
// does not depend on HTTP.
package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

var (
	// ErrTooLarge is returned if the body is larger than Limits.Size.
	ErrTooLarge = errors.New("the body is too large")
	// ErrFull is returned if all bodies of the process together would hold more
	// than Limits.Total.
	ErrFull = errors.New("all bodies together have reached their limit")
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
	// Total is the limit for all bodies of the process together, in memory and on
	// disk.
	Total int64
	// Dir is the directory for temporary files. Empty means the system's.
	Dir string
}

// Memory is allocated in blocks as the body arrives. The first block is small, so a
// client that has sent little holds little, even if it declared a large body.
const (
	smallBlock = 4 << 10
	largeBlock = 64 << 10
)

var (
	smallBlocks = sync.Pool{New: func() any { return new([smallBlock]byte) }}
	largeBlocks = sync.Pool{New: func() any { return new([largeBlock]byte) }}
)

// Body is a body that was read whole. It never changes. Its readers are independent
// of each other, and may run at the same time.
type Body struct {
	limits Limits
	size   int64

	blocks [][]byte // the body; with a file, the part that is not written yet
	file   *os.File
	linked bool  // the file still has a name, which Close must remove
	held   int64 // bytes, in memory and on disk
	onDisk int64 // the part of held on disk

	mu     sync.RWMutex // held for writing only by Close
	closed bool
}

// Read reads a body from r to its end, and keeps it. It calls observe with each piece
// of the body, in order. observe must not keep or change the piece.
//
// Read takes at most one byte more than Limits.Size from r. The error is
//   - ErrTooLarge or ErrFull,
//   - one that wraps ErrStorage, or
//   - the error of r, unchanged.
//
// After an error, or a panic of r or observe, Read leaves no memory and no file
// behind. Otherwise the caller must call Close.
func Read(r io.Reader, limits Limits, observe func([]byte)) (_ *Body, err error) {
	b := &Body{limits: limits}
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
		b.free()
	}
	done = true
	return b, nil
}

// space returns room for the next piece: at least one byte, and at most one byte
// more than Limits.Size still allows.
func (b *Body) space() ([]byte, error) {
	last := len(b.blocks) - 1
	if last < 0 || len(b.blocks[last]) == cap(b.blocks[last]) {
		size := int64(largeBlock)
		if last < 0 {
			size = smallBlock
		}
		if !reserve(size, b.limits.Total) {
			return nil, ErrFull
		}
		b.held += size
		if size == smallBlock {
			b.blocks = append(b.blocks, smallBlocks.Get().(*[smallBlock]byte)[:0])
		} else {
			b.blocks = append(b.blocks, largeBlocks.Get().(*[largeBlock]byte)[:0])
		}
		last++
	}
	block := b.blocks[last]
	space := block[len(block):cap(block)]
	if room := b.limits.Size - b.size; int64(len(space)) > room {
		space = space[:room+1]
	}
	return space, nil
}

// keep adds the first n bytes of the space to the body.
func (b *Body) keep(n int) error {
	last := len(b.blocks) - 1
	block := b.blocks[last]
	b.blocks[last] = block[:len(block)+n]
	b.size += int64(n)

	switch {
	case b.file == nil && b.size > b.limits.Memory:
		if err := b.create(); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return b.flush()
	case b.file != nil && len(block)+n == cap(block):
		return b.flush()
	}
	return nil
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

// flush writes all blocks to the file. It keeps one block, empty, for the next piece.
func (b *Body) flush() error {
	for i, block := range b.blocks {
		n := int64(len(block))
		if !reserve(n, b.limits.Total) {
			return ErrFull
		}
		b.held += n
		b.onDisk += n
		disk.Add(n)
		if _, err := b.file.Write(block); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		b.blocks[i] = block[:0]
	}
	for len(b.blocks) > 1 {
		b.freeBlock()
	}
	return nil
}

// free returns all blocks to their pools.
func (b *Body) free() {
	for len(b.blocks) > 0 {
		b.freeBlock()
	}
}

// freeBlock returns the first block to its pool. flush keeps the last block, which
// may be larger.
func (b *Body) freeBlock() {
	block := b.blocks[0]
	b.blocks = b.blocks[1:]
	size := int64(cap(block))
	if size == smallBlock {
		smallBlocks.Put((*[smallBlock]byte)(block[:smallBlock]))
	} else {
		largeBlocks.Put((*[largeBlock]byte)(block[:largeBlock]))
	}
	b.held -= size
	release(size)
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
	b.free()
	if b.file != nil {
		// An error does not matter, since nobody reads the file again.
		_ = b.file.Close()
		if b.linked {
			_ = os.Remove(b.file.Name())
		}
	}
	disk.Add(-b.onDisk)
	release(b.held)
	b.held, b.onDisk = 0, 0
}

// CheckDir returns an error if temporary files cannot be created in a directory. The
// error names the directory and the cause.
func CheckDir(dir string) error {
	b := &Body{limits: Limits{Dir: dir}}
	defer b.Close()
	return b.create()
}
