package spool

import (
	"io"
	"sync/atomic"
)

// NewReader returns a reader of the whole body. HTTP transports go on reading a
// request's body in a goroutine of their own after they returned, so a reader
// may be used while Body.Close is called, and fails from then on: it never sees
// memory that has gone to another request.
func (b *Body) NewReader() io.ReadCloser { return &reader{body: b} }

type reader struct {
	body   *Body
	block  int   // the block to read from,
	offset int64 // and where in it; with a file, where in the file
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
		block := b.blocks[r.block]
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

// Close ends this reader only. Unlike Read it may be called while Read runs.
func (r *reader) Close() error {
	r.closed.Store(true)
	return nil
}
