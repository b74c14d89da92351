package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestABodyOfAnySizeIsStoredWhole(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for _, size := range []int{0, 1, 8 << 10, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 5} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				id, want := fmt.Sprintf("%x", size), content(size)
				seq := store(t, s, event(id), want)
				e := get(t, s, seq)
				assert.Equal(t, event(id), e.Event)
				assert.Equal(t, Waiting, e.State)
				assert.EqualValues(t, size, e.Size)
				assert.EqualValues(t, size, e.Stored)
				assertSoon(t, s, 0, "next_at", seq)

				body := s.Body(seq, e.Size)
				got, err := io.ReadAll(body.NewReader())
				require.NoError(t, err)
				assert.True(t, bytes.Equal(want, got))
				part := make([]byte, size-size/3)
				_, err = body.ReadAt(part, int64(size/3))
				require.NoError(t, err)
				assert.True(t, bytes.Equal(want[size/3:], part))
				n, err := body.ReadAt(make([]byte, 10), int64(size))
				assert.Zero(t, n)
				assert.ErrorIs(t, err, io.EOF)
			})
		}
	})
}

func TestARepeatIsCountedAndOnlyADeadEventIsArmedAnew(t *testing.T) {
	tests := []struct {
		name string
		set  func(*testing.T, *Store)
		want State
	}{
		{"waiting", func(*testing.T, *Store) {}, Waiting},
		{"delivering", func(t *testing.T, s *Store) { claimOne(t, s) }, Delivering},
		{"delivered", func(t *testing.T, s *Store) { deliver(t, s) }, Delivered},
		{"delivered, without its body", func(t *testing.T, s *Store) {
			deliver(t, s)
			require.NoError(t, s.sweep(t.Context(), testInbox, Retention{Remember: 1 << 40, Limit: 100}))
			require.Zero(t, rows(t, s, "chunk"))
		}, Delivered},
		{"dead", func(t *testing.T, s *Store) { bury(t, s) }, Waiting},
		{"discarded", func(t *testing.T, s *Store) { giveUp(t, s) }, Discarded},
	}
	onEach(t, func(t *testing.T, s *Store) {
		for i, test := range tests {
			for _, size := range []int{100, chunkSize + 1} {
				t.Run(fmt.Sprint(test.name, size), func(t *testing.T) {
					e := event(fmt.Sprintf("%d-%d", i, size))
					seq := store(t, s, e, content(size))
					test.set(t, s)
					alter(t, s, `UPDATE elevenlabs_inbox_event SET armed_at = armed_at - 60000, next_at = next_at - 60000`)
					before := get(t, s, seq)
					repeat, err := s.Accept(t.Context(), e, content(size), noLimit)
					require.NoError(t, err)
					assert.True(t, repeat)
					s.work.Wait()
					assert.EqualValues(t, 1, rows(t, s, "event"))

					after := get(t, s, seq)
					assert.Equal(t, test.want, after.State)
					assert.Equal(t, 1, after.Repeats)
					if before.State == Dead {
						assert.Zero(t, number(t, s, `SELECT tries + done_at FROM elevenlabs_inbox_event`))
						assertSoon(t, s, 0, "armed_at", seq)
						assertSoon(t, s, 0, "next_at", seq)
						assert.Equal(t, 2, claimOne(t, s).Attempt)
					} else {
						before.Repeats = 1
						assert.Equal(t, before, after)
						assertSoon(t, s, -60e9, "armed_at", seq)
					}
					_, err = s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0)
					require.NoError(t, err)
				})
			}
		}
	})
}

func TestTheSameEventInAnotherInboxIsAnother(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		store(t, s, event("a"), content(1))
		other := event("a")
		other.Inbox = "other"
		repeat, err := s.Accept(t.Context(), other, content(1), noLimit)
		require.NoError(t, err)
		assert.False(t, repeat)
	})
}

func TestEqualEventsAtOnceAreStoredOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for size, count := range map[int]int{1000: 100, chunkSize + 1: 10} {
			var wait sync.WaitGroup
			var repeats atomic.Int64
			for range count {
				wait.Go(func() {
					repeat, err := s.Accept(t.Context(), event(fmt.Sprint(size)), content(size), noLimit)
					assert.NoError(t, err)
					if repeat {
						repeats.Add(1)
					}
				})
			}
			wait.Wait()
			assert.EqualValues(t, count-1, repeats.Load())
			assert.Equal(t, count-1, find(t, s, fmt.Sprint(size)).Repeats)
		}
		s.work.Wait()
		assert.EqualValues(t, 2, rows(t, s, "event"))
		assert.EqualValues(t, 3, rows(t, s, "chunk"))
	})
}

func TestTheLimitHoldsForEventsAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		var wait sync.WaitGroup
		var stored, full atomic.Int64
		for i := range 30 {
			wait.Go(func() {
				_, err := s.Accept(t.Context(), event(fmt.Sprint(i)), content(10), 100)
				switch {
				case err == nil:
					stored.Add(1)
				case assert.ErrorIs(t, err, ErrFull):
					full.Add(1)
				}
			})
		}
		wait.Wait()
		assert.EqualValues(t, 10, stored.Load())
		assert.EqualValues(t, 20, full.Load())

		entries, err := s.List(t.Context(), Selection{}, 1)
		require.NoError(t, err)
		_, err = s.Forget(t.Context(), Selection{Events: []int64{entries[0].Seq}}, 0)
		require.NoError(t, err)
		_, err = s.Accept(t.Context(), event("next"), content(10), 100)
		assert.NoError(t, err, "there is room again")
	})
}

func TestWhatIsNotStoredTakesNoRoom(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		store(t, s, event("a"), content(60))
		for range 3 {
			repeat, err := s.Accept(t.Context(), event("a"), content(60), 130)
			require.NoError(t, err)
			assert.True(t, repeat)
			_, err = s.Accept(t.Context(), event("b"), broken(60), 130)
			require.ErrorIs(t, err, errBroken)
		}
		_, err := s.Accept(t.Context(), event("c"), content(60), 130)
		assert.NoError(t, err)
	})
}

var errBroken = errors.New("the disk is gone")

// broken is a body whose end cannot be read.
type broken int64

func (b broken) Size() int64 { return int64(b) }
func (b broken) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) == int64(b) {
		return 0, errBroken
	}
	return len(p), nil
}

func TestAnUploadThatFailsLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for _, size := range []int64{10, 9 * chunkSize} {
			_, err := s.Accept(t.Context(), event("a"), broken(size), noLimit)
			assert.ErrorIs(t, err, errBroken)
			s.work.Wait()
			assert.Zero(t, rows(t, s, "event"))
			assert.Zero(t, rows(t, s, "chunk"))
		}
		_, err := s.Accept(t.Context(), event("a"), content(chunkSize+1), noLimit)
		assert.NoError(t, err)
	})
}

func TestAnUploadIsThereForNobodyUntilItIsWhole(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := &interposed{dialect: s.dialect}
		s.dialect = d
		checked := 0
		d.before = func(int) error {
			d.before = nil // its own writes
			defer func() { d.before = func(int) error { return nil } }()
			checked++
			counts, err := s.Counts(t.Context())
			require.NoError(t, err)
			assert.Empty(t, counts)
			claims, err := s.claim(t.Context(), testQueue, 1)
			require.NoError(t, err)
			assert.Empty(t, claims)
			n, err := total(s.Forget(t.Context(), Selection{ConversationID: "conv_a"}, 0))
			require.NoError(t, err)
			assert.Zero(t, n)
			return nil
		}
		store(t, s, event("a"), content(2*chunkSize))
		assert.Positive(t, checked)
	})
}

// interposed is a database whose writes can be held up.
type interposed struct {
	dialect
	writes int
	before func(n int) error
	after  func(n int) error
	saved  func(context.Context, statements) error
}

func (i *interposed) write(ctx context.Context, size int64, do func(context.Context, statements) error) error {
	i.writes++
	n := i.writes
	if i.before != nil {
		i.saved = do
		if err := i.before(n); err != nil {
			return err
		}
	}
	err := i.dialect.write(ctx, size, do)
	if i.after != nil && err == nil {
		err = i.after(n)
	}
	return err
}

func TestAnUploadWhoseLastWriteWasInDoubtIsWholeOrGone(t *testing.T) {
	tests := []struct {
		name   string
		pieces int
		late   int // the last write takes effect before the write that is so much later
		want   int64
	}{
		{"it took effect", 2, 0, 1},
		{"it takes effect while the upload is removed", deletesPerWrite + 1, 2, 0},
		{"it takes effect after that", 2, 10, 0},
	}
	onEach(t, func(t *testing.T, s *Store) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				inner := s.dialect
				d := &interposed{dialect: inner}
				s.dialect = d
				defer func() { s.dialect = inner }()
				var last func(context.Context, statements) error
				lastWrite := test.pieces + 2 // after the first one and those of the pieces
				d.before = func(n int) error {
					switch {
					case n == lastWrite && test.late > 0:
						last = d.saved
						return context.DeadlineExceeded
					case n == lastWrite+test.late && last != nil:
						assert.ErrorIs(t, inner.write(t.Context(), 0, last), ErrNotFound)
						last = nil
					}
					return nil
				}
				d.after = func(n int) error {
					if n == lastWrite {
						return context.DeadlineExceeded
					}
					return nil
				}
				_, err := s.Accept(t.Context(), event("a"), content(test.pieces*chunkSize), noLimit)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				s.work.Wait()
				if last != nil {
					assert.ErrorIs(t, inner.write(t.Context(), 0, last), ErrNotFound)
				}
				assert.Equal(t, test.want, rows(t, s, "event"))
				assert.Equal(t, test.want*int64(test.pieces), rows(t, s, "chunk"))
				if test.want > 0 {
					c := claimOne(t, s)
					got, err := io.ReadAll(s.Body(c.Seq, c.Size).NewReader())
					require.NoError(t, err)
					assert.True(t, bytes.Equal(content(test.pieces*chunkSize), got))
					_, err = s.Forget(t.Context(), Selection{Events: []int64{c.Seq}}, 0)
					require.NoError(t, err)
				}
			})
		}
	})
}

func TestAStoreThatIsClosedAcceptsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := &interposed{dialect: s.dialect}
		s.dialect = d
		var wait sync.WaitGroup
		d.after = func(n int) error { // it closes in the middle of an upload
			if n == 3 {
				wait.Go(func() { assert.NoError(t, s.Close()) })
				eventually(t, s.closed.Load, "closing")
			}
			return nil
		}
		_, err := s.Accept(t.Context(), event("a"), content(3*chunkSize), noLimit)
		assert.ErrorIs(t, err, ErrClosed)
		wait.Wait()
		_, err = s.Accept(t.Context(), event("b"), content(1), noLimit)
		assert.ErrorIs(t, err, ErrClosed)
		assert.ErrorIs(t, s.Check(t.Context()), ErrClosed)
		assert.NoError(t, s.Close(), "once more")
	})
}

func TestTextThatAPostgresCannotHoldIsStored(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		e := event("a")
		e.Type, e.ConversationID, e.AgentID = "a\x00b", "caf\xc3", "\xff"
		seq := store(t, s, e, content(1))
		c := claimOne(t, s)
		o := refused
		o.Answer = "\x1f\x8b\x00 of gzip, cut off in \xe2\x82"
		assert.Equal(t, Waiting, settle(t, s, c, o, patience))
		attempts, err := s.Attempts(t.Context(), seq)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		assert.Contains(t, attempts[0].Answer, " of gzip, cut off in ")
	})
}
