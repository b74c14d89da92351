package spool

import (
	"io"
	"sync/atomic"
)

// NewReader returns a new reader of the whole body.
//
// A reader may be used while Close of the body runs. After that it fails, so it
// never reads memory that another request has got since. Callers need this, since an
// HTTP transport can still read the body, in its own goroutine, after RoundTrip has
// returned.
func (b *Body) NewReader() io.ReadCloser { return &reader{body: b} }

type reader struct {
	body   *Body
	block  int   // the index of the block to read; unused with a file
	offset int64 // in that block, or in the file
	closed atomic.Bool
}

func (r *reader) Read(p []byte) (int, error) {
	b := r.body
	b.mu.RLock()
	defer b.mu.RUnlock()
	if r.closed.Load() || b.closed {
		return 0, errClosed
	}
	if b.file != nil {
		n, err := b.file.ReadAt(p[:min(int64(len(p)), b.size-r.offset)], r.offset)
		r.offset += int64(n)
		if err == nil && n == 0 && len(p) > 0 {
			err = io.EOF
		}
		return n, err
	}
	for r.block < len(b.blocks) {
		block := b.blocks[r.block].bytes
		n := copy(p, block[r.offset:])
		r.offset += int64(n)
		if r.offset == int64(len(block)) {
			r.block++
			r.offset = 0
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// Close makes later reads fail. It may be called while Read runs, and affects no
// other reader.
func (r *reader) Close() error {
	r.closed.Store(true)
	return nil
}

// ReadAt implements io.ReaderAt.
func (b *Body) ReadAt(p []byte, offset int64) (n int, err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return 0, errClosed
	}
	if b.file != nil {
		return b.file.ReadAt(p, offset)
	}
	for _, block := range b.blocks {
		size := int64(len(block.bytes))
		if offset < size {
			n += copy(p[n:], block.bytes[offset:])
		}
		offset = max(offset-size, 0)
		if n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}
