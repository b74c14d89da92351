package inbox

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stranger opens the file as another program does.
func stranger(t *testing.T, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, common...))
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, errors.Join(conn.Close(), db.Close())) })
	return conn
}

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

// A backup may read for long, and some backups write too.
func TestAStrangerWhoReadsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		act  func(t *testing.T, s *Store, path string)
	}{
		{"when the file was changed", func(t *testing.T, _ *Store, path string) {
			_, err := stranger(t, path).ExecContext(t.Context(), `CREATE TABLE other (a)`)
			require.NoError(t, err)
		}},
		{"while events are deleted", func(t *testing.T, s *Store, _ string) {
			seq := store(t, s, event("b"), content(1))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, err := s.Forget(ctx, Selection{Events: []int64{seq}}, 0)
				assert.ErrorIs(t, err, context.Canceled)
			}()
			t.Cleanup(func() { cancel(); <-ended })
			eventually(t, func() bool { return rows(t, s, "event") == 1 }, "the event is deleted")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := newFile(t)
			s := open(t, path)
			store(t, s, event("a"), content(1))
			reader, err := stranger(t, path).BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer func() { assert.NoError(t, reader.Rollback()) }()
			var count int
			require.NoError(t, reader.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM elevenlabs_inbox_event`).Scan(&count))
			test.act(t, s, path)
			for _, id := range []string{"c", "d", "e"} {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				_, err = s.Accept(ctx, event(id), content(1), noLimit)
				assert.NoError(t, err)
			}
			assert.NoError(t, s.Intact())
		})
	}
}
