package inbox

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func logSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	return info.Size()
}

func TestAWriteThatFailsIsNotTakenForThatOfAStranger(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := open(t, path)
	seq := store(t, s, event("a"), content(1))
	err := s.update(t.Context(), 0, func(ctx context.Context, tx statements) error {
		for n := range 8 { // more than SQLite keeps in memory, so that it writes to the log before the end
			if err := insertChunk(ctx, tx, seq, int64(n)+1, content(20*chunkSize)); err != nil {
				return err
			}
		}
		return errors.New("too late")
	})
	require.ErrorContains(t, err, "too late")
	before := logSize(t, path)
	require.Greater(t, before, int64(chunkSize))
	store(t, s, event("b"), content(1))
	assert.GreaterOrEqual(t, logSize(t, path), before, "it is not emptied, as after a check")
	assert.NoError(t, s.Intact())
}
