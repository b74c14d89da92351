package inbox

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// held opens a SQLite store and holds its writing connection until release is called.
func held(t *testing.T) (s *Store, release func()) {
	t.Helper()
	s = open(t, databases[0].location(t))
	begun, end := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		assert.NoError(t, s.write(context.Background(), 0, func(context.Context, statements) error {
			close(begun)
			<-end
			return nil
		}))
	})
	<-begun
	release = sync.OnceFunc(func() {
		close(end)
		wait.Wait()
	})
	t.Cleanup(release)
	return s, release
}

// batch returns writes that count how often they run. The one with the number fails runs
// a statement that fails.
func batch(runs []int, fails int) (writes []*write) {
	for i := range runs {
		writes = append(writes, &write{done: make(chan error, 1), do: func(ctx context.Context, tx statements) error {
			runs[i]++
			query := `INSERT INTO elevenlabs_inbox_chunk (seq, n, data) SELECT seq, $1, 'x' FROM elevenlabs_inbox_event`
			if i == fails {
				query = `INSERT INTO elevenlabs_inbox_chunk (seq, n, data) VALUES (-1, $1, 'x')` // there is no such event
			}
			_, err := tx.ExecContext(ctx, query, i+1)
			return err
		}})
	}
	return writes
}

func TestAWriteThatFailsDoesNotFailTheOthersOfItsGroup(t *testing.T) {
	t.Parallel()
	s := open(t, databases[0].location(t))
	store(t, s, event("a"), content(1))
	g := s.dialect.(*sqliteDB).group
	g.once.Do(func() { close(g.stop) })
	<-g.ended // the test has the connection

	runs := make([]int, 3)
	writes := batch(runs, -1)
	g.serve(writes)
	for _, w := range writes {
		assert.NoError(t, <-w.done)
	}
	assert.Equal(t, []int{1, 1, 1}, runs, "in one transaction")
	assert.EqualValues(t, 4, rows(t, s, "chunk"))

	_, err := g.conn.ExecContext(t.Context(), `DELETE FROM elevenlabs_inbox_chunk`)
	require.NoError(t, err)
	runs = make([]int, 3)
	writes = batch(runs, 1)
	g.serve(writes)
	assert.NoError(t, <-writes[0].done)
	assert.ErrorContains(t, <-writes[1].done, "FOREIGN KEY")
	assert.NoError(t, <-writes[2].done)
	assert.Equal(t, []int{2, 2, 1}, runs, "rolled back, and each alone")
	assert.EqualValues(t, 2, rows(t, s, "chunk"))

	_, err = g.conn.ExecContext(t.Context(), `DELETE FROM elevenlabs_inbox_chunk`)
	require.NoError(t, err)
	runs = make([]int, 3)
	writes = batch(runs, -1)
	writes[1].begun.Store(true)
	g.serve(writes)
	assert.Equal(t, []int{1, 0, 1}, runs, "its caller has left")
}

func TestACallerThatLeavesBeforeItsTurnIsNotServed(t *testing.T) {
	t.Parallel()
	s, release := held(t)
	ctx, leave := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var served atomic.Bool
	for range 3 {
		wait.Go(func() {
			assert.ErrorIs(t, s.update(ctx, 0, func(context.Context, statements) error {
				served.Store(true)
				return nil
			}), context.Canceled)
		})
	}
	leave()
	wait.Wait()
	release()
	store(t, s, event("a"), content(1)) // its turn is later
	assert.False(t, served.Load())
}

func TestACallerThatLeavesDuringItsTurnWaitsForNothing(t *testing.T) {
	t.Parallel()
	s := open(t, databases[0].location(t))
	ctx, leave := context.WithCancel(t.Context())
	body := slow{begun: make(chan struct{}, 2), end: make(chan struct{})}
	go func() {
		<-body.begun
		leave()
	}()
	_, err := s.Accept(ctx, event("a"), body, noLimit)
	assert.ErrorIs(t, err, context.Canceled)
	close(body.end)
	repeat, err := s.Accept(t.Context(), event("a"), body, noLimit)
	require.NoError(t, err)
	assert.True(t, repeat, "the write took effect nevertheless")
	assert.Equal(t, 1, find(t, s, "a").Repeats)
}

// slow is a body whose read takes as long as the test wants.
type slow struct{ begun, end chan struct{} }

func (s slow) Size() int64 { return 1 }
func (s slow) ReadAt([]byte, int64) (int, error) {
	s.begun <- struct{}{}
	<-s.end
	return 1, nil
}

func TestClosingEndsWritesThatWait(t *testing.T) {
	t.Parallel()
	s, release := held(t)
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			_, err := s.Accept(t.Context(), event("a"), content(1), noLimit)
			if err != nil { // one may have come to its turn
				assert.ErrorIs(t, err, ErrClosed)
			}
		})
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	eventually(t, s.closed.Load, "closing")
	release()
	require.NoError(t, <-closed)
	wait.Wait()
	assert.ErrorIs(t, s.write(t.Context(), 0, nil), ErrClosed)
}

func TestAGroupHasOnePieceOfALargeBodyAndAllSmallWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &group{writes: make(chan *write), bulk: make(chan *write), stop: make(chan struct{})}
		var callers sync.WaitGroup
		for _, size := range []int64{chunkSize, 1, chunkSize, 2, chunkSize} {
			callers.Go(func() {
				assert.ErrorIs(t, g.write(t.Context(), size, nil), ErrClosed)
			})
		}
		synctest.Wait() // all wait for their turn
		for _, first := range []chan *write{g.bulk, g.writes} {
			batch, bulk := g.gather(<-first)
			assert.True(t, bulk)
			pieces := 0
			for _, w := range batch {
				if w.size == chunkSize {
					pieces++
				}
				w.done <- ErrClosed
			}
			assert.Equal(t, 1, pieces)
			if first == g.bulk {
				assert.Len(t, batch, 3)
				callers.Go(func() { assert.ErrorIs(t, g.write(t.Context(), 3, nil), ErrClosed) })
				synctest.Wait()
			}
		}
		batch, bulk := g.gather(<-g.bulk)
		assert.True(t, bulk)
		assert.Len(t, batch, 1)
		batch[0].done <- ErrClosed
		callers.Wait()
	})
}
