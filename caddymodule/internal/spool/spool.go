// Package spool takes in a request's body once and hands it out again as often
// as it is needed: from memory while it is small, from a temporary file when it
// is not. It knows nothing of HTTP.
package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

var (
	// ErrTooLarge says that the body is larger than Limits.Size.
	ErrTooLarge = errors.New("the body is too large")
	// ErrFull says that all bodies of the process together would hold more than
	// Limits.Total.
	ErrFull = errors.New("the space for bodies is used up")
	// ErrStorage says that the temporary file could not be made or written. It
	// comes wrapped, with the cause.
	ErrStorage = errors.New("the body could not be stored")

	errClosed = errors.New("the body was read after the request's end")
)

// Limits bounds one body. All are in bytes.
type Limits struct {
	// Size is what one body may have.
	Size int64
	// Memory is what one body may hold in memory; a larger one goes to a
	// temporary file.
	Memory int64
	// Total is what all bodies of the process may hold together, in memory and
	// on disk.
	Total int64
	// Dir is where temporary files are made; empty means the system's folder.
	Dir string
}

// Two sizes of block, the small one first: a connection that has sent nothing, or
// little, whatever it declared, holds little.
const (
	smallBlock = 4 << 10
	largeBlock = 64 << 10
)

var (
	smallBlocks = sync.Pool{New: func() any { return new([smallBlock]byte) }}
	largeBlocks = sync.Pool{New: func() any { return new([largeBlock]byte) }}
)

// Body is a body that was taken in whole. It never changes, and its readers are
// independent of each other.
type Body struct {
	limits Limits
	size   int64

	blocks [][]byte // the body; or, with a file, what is not written yet
	file   *os.File
	linked bool // the file still has a name, which is to be removed
	held   int64
	onDisk int64 // of held

	mu     sync.RWMutex // held for writing only by Close
	closed bool
}

// Read takes in a body until r ends. It calls observe with each piece of the
// body, in order, as it passes; the piece must not be kept or changed.
//
// Read takes at most one byte more than Limits.Size from r. The error is
// ErrTooLarge, ErrFull, wraps ErrStorage, or is what r returned. Unless it is
// nil, nothing is left behind, even if r or observe panics.
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

// space returns room for the next piece: at least one byte, and at most one
// byte more than the body may still have.
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

// keep adds the n bytes that were read into space.
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

// create makes the temporary file, readable to this user only, and takes its
// name away at once where the system allows it, so that nothing can leave it
// behind.
func (b *Body) create() error {
	file, err := os.CreateTemp(b.limits.Dir, "elevenlabs-webhook-*") // mode 0600
	if err != nil {
		return err
	}
	b.file = file
	b.linked = os.Remove(file.Name()) != nil
	return nil
}

// flush writes the blocks to the file and empties them. One block is kept for
// what comes next.
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

// free gives all blocks back.
func (b *Body) free() {
	for len(b.blocks) > 0 {
		b.freeBlock()
	}
}

// freeBlock gives the first block back: the last may be larger.
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

// Close gives back all that the body holds. It waits for reads under way; later
// ones fail. Calls after the first do nothing.
func (b *Body) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	b.free()
	if b.file != nil {
		// nothing can be done about an error: all was written, or is to be forgotten
		_ = b.file.Close()
		if b.linked {
			_ = os.Remove(b.file.Name())
		}
	}
	disk.Add(-b.onDisk)
	release(b.held)
	b.held, b.onDisk = 0, 0
}

// CheckDir reports why temporary files could not be made in a folder.
func CheckDir(dir string) error {
	b := &Body{limits: Limits{Dir: dir}}
	defer b.Close()
	return b.create() // os says which folder, and why
}
