package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
)

// StoredBody is the body of an event in the database. It reads one chunk at a time, by a
// query of its own: a long read would keep SQLite's log from shrinking.
type StoredBody struct {
	store *Store
	seq   int64
	size  int64
}

// Body returns a body by the number of the event that has it.
func (s *Store) Body(seq, size int64) *StoredBody { return &StoredBody{s, seq, size} }

// Size returns the body's size.
func (b *StoredBody) Size() int64 { return b.size }

// NewReader returns a reader of the whole body. A body that is not whole any more ends
// with an error.
func (b *StoredBody) NewReader() io.ReadCloser { return &chunkReader{body: b} }

type chunkReader struct {
	body   *StoredBody
	offset int64  // of the next chunk
	chunk  []byte // what is left of this one
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.chunk) == 0 {
		if r.offset >= r.body.size {
			return 0, io.EOF
		}
		chunk, err := r.body.chunk(r.offset / chunkSize)
		if err != nil {
			return 0, err
		}
		r.chunk = chunk
		r.offset += int64(len(chunk))
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// Close does nothing.
func (r *chunkReader) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (b *StoredBody) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		if offset >= b.size {
			return n, io.EOF
		}
		chunk, err := b.chunk(offset / chunkSize)
		if err != nil {
			return n, err
		}
		copied := copy(p[n:], chunk[offset%chunkSize:])
		n, offset = n+copied, offset+int64(copied)
	}
	return n, nil
}

// chunk returns the n-th piece of the body.
func (b *StoredBody) chunk(n int64) (data []byte, err error) {
	ctx, cancel := context.WithTimeout(b.store.ended, statementTimeout)
	defer cancel()
	err = b.store.read().QueryRowContext(ctx, `SELECT data FROM elevenlabs_inbox_chunk WHERE seq = $1 AND n = $2`, b.seq, n).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && int64(len(data)) != min(chunkSize, b.size-n*chunkSize) {
		err = ErrBodyGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the body of event %d: %w", b.seq, err)
	}
	return data, nil
}
