package inbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// total returns how many events an act changed.
func total(done Change, err error) (int, error) { return done.Total(), err }

func TestRedeliver(t *testing.T) {
	tests := []struct {
		name    string
		set     func(*testing.T, *Store)
		want    State
		wantErr string
	}{
		{"an event that waits for an hour", func(t *testing.T, s *Store) {
			settle(t, s, claimOne(t, s), refused, schedule{pause: time.Hour, giveUp: time.Hour})
		}, Waiting, ""},
		{"a delivered event", func(t *testing.T, s *Store) { deliver(t, s) }, Waiting, ""},
		{"a dead event", func(t *testing.T, s *Store) { bury(t, s) }, Waiting, ""},
		{"a discarded event", func(t *testing.T, s *Store) {
			settle(t, s, claimOne(t, s), refused, patience)
			giveUp(t, s)
		}, Waiting, ""},
		{"an event that is being delivered", func(t *testing.T, s *Store) { claimOne(t, s) }, Delivering, "the event is being delivered"},
		{"an event without its body", func(t *testing.T, s *Store) {
			deliver(t, s)
			require.NoError(t, s.sweep(t.Context(), testInbox, Retention{Remember: time.Hour, Limit: noLimit}))
		}, Delivered, ErrBodyGone.Error()},
	}
	onEach(t, func(t *testing.T, s *Store) {
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				seq := store(t, s, event(fmt.Sprint(i)), content(1))
				test.set(t, s)
				alter(t, s, `UPDATE elevenlabs_inbox_event SET armed_at = 0`)
				n, err := total(s.Redeliver(t.Context(), Selection{Events: []int64{seq, 1 << 40}}, 0))
				if assert.Equal(t, test.want, get(t, s, seq).State); test.wantErr != "" {
					assert.EqualError(t, err, test.wantErr)
					assert.Zero(t, n)
				} else {
					require.NoError(t, err)
					assert.Equal(t, 1, n)
					assertSoon(t, s, 0, "next_at", seq)
					assertSoon(t, s, 0, "armed_at", seq)
					assert.Zero(t, number(t, s, `SELECT done_at + tries FROM elevenlabs_inbox_event WHERE seq = $1`, seq))
					assert.Equal(t, 2, deliver(t, s).Attempt)
				}
				_, err = s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0)
				require.NoError(t, err)
			})
		}
		_, err := s.Redeliver(t.Context(), Selection{Events: []int64{1 << 40}}, 0)
		assert.ErrorIs(t, err, ErrNotFound)
		_, err = s.Redeliver(t.Context(), Selection{}, 0)
		assert.Error(t, err, "nothing must not mean all")
		_, err = s.Forget(t.Context(), Selection{}, 0)
		assert.Error(t, err, "nothing must not mean all")
	})
}

func TestDiscard(t *testing.T) {
	tests := []struct {
		name    string
		set     func(*testing.T, *Store)
		want    State
		wantErr string
	}{
		{"an event that waits", func(*testing.T, *Store) {}, Discarded, ""},
		{"a dead event", func(t *testing.T, s *Store) { bury(t, s) }, Discarded, ""},
		{"an event that is being delivered", func(t *testing.T, s *Store) { claimOne(t, s) }, Delivering, ErrDelivering.Error()},
		{"a delivered event", func(t *testing.T, s *Store) { deliver(t, s) }, Delivered, ErrFinished.Error()},
		{"a discarded event", func(t *testing.T, s *Store) { giveUp(t, s) }, Discarded, ErrFinished.Error()},
	}
	onEach(t, func(t *testing.T, s *Store) {
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				seq := store(t, s, event(fmt.Sprint(i)), content(1))
				test.set(t, s)
				n, err := total(s.Discard(t.Context(), Selection{Events: []int64{seq, 1 << 40}}, 0))
				if assert.Equal(t, test.want, get(t, s, seq).State); test.wantErr != "" {
					assert.EqualError(t, err, test.wantErr)
					assert.Zero(t, n)
				} else {
					require.NoError(t, err)
					assert.Equal(t, 1, n)
					assertSoon(t, s, 0, "done_at", seq)
					due, err := s.due(t.Context(), testQueue)
					require.NoError(t, err)
					assert.False(t, due, "no attempt is made")
				}
				_, err = s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0)
				require.NoError(t, err)
			})
		}
		_, err := s.Discard(t.Context(), Selection{Events: []int64{1 << 40}}, 0)
		assert.ErrorIs(t, err, ErrNotFound)
		_, err = s.Discard(t.Context(), Selection{}, 0)
		assert.Error(t, err, "nothing must not mean all")
	})
}

func TestALimitedChangeGoesOnAfterItsLastEvent(t *testing.T) {
	const many = sweepBatch + 50
	onEach(t, func(t *testing.T, s *Store) {
		storeSome(t, s, many)
		e := event("other")
		e.Inbox = "other"
		_, err := s.Accept(t.Context(), e, content(1), noLimit)
		require.NoError(t, err)
		changed, looked := map[Queue]int{}, 0
		for selection := (Selection{State: Waiting}); ; { // they stay in this state
			done, err := s.Redeliver(t.Context(), selection, 60)
			require.NoError(t, err)
			for q, n := range done.Events {
				changed[q] += n
			}
			assert.LessOrEqual(t, done.Total(), 60)
			looked += done.Total()
			if done.Last == 0 {
				break
			}
			require.LessOrEqual(t, looked, many+1, "it goes on, and does not begin anew")
			selection.After = done.Last
		}
		assert.Equal(t, map[Queue]int{{Inbox: testInbox}: many, {Inbox: "other"}: 1}, changed)
	})
}

func TestManyEventsAreRedeliveredOrForgottenTogether(t *testing.T) {
	const many = 2*sweepBatch + 50
	onEach(t, func(t *testing.T, s *Store) {
		seqs := storeSome(t, s, many)
		claims, err := s.claim(t.Context(), testQueue, many)
		require.NoError(t, err)
		require.Len(t, claims, many)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'dead', done_at = {now}, owner = ''`)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET type = 'other', stored = 0 WHERE seq = $1`, seqs[0])
		n, err := total(s.Redeliver(t.Context(), Selection{Inbox: testInbox, State: Dead, Types: []string{"post_call_transcription", "x"}}, 0))
		require.NoError(t, err)
		assert.Equal(t, many-1, n)
		n, err = total(s.Redeliver(t.Context(), Selection{Inbox: testInbox, State: Dead}, 0))
		require.NoError(t, err, "the one that is left has no body")
		assert.Zero(t, n)
		n, err = total(s.Forget(t.Context(), Selection{AgentID: "agent_1"}, 0))
		require.NoError(t, err)
		assert.Equal(t, many, n)
		assert.Zero(t, rows(t, s, "event")+rows(t, s, "chunk"))
		assert.Zero(t, s.usedBy(testInbox).get())
	})
}

func TestForgetDeletesEventsInEachStateOfOneConversation(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		sets := []func(){
			func() { deliver(t, s) },
			func() { bury(t, s) },
			func() { claimOne(t, s) },
			func() {},
		}
		for i, set := range sets {
			e := event(fmt.Sprint(i))
			e.ConversationID = "conv_1"
			store(t, s, e, content(deletesPerWrite*1000))
			set()
		}
		kept := store(t, s, event("other"), content(1))
		n, err := total(s.Forget(t.Context(), Selection{ConversationID: "conv_1"}, 0))
		require.NoError(t, err)
		assert.Equal(t, len(sets), n)
		assert.EqualValues(t, 1, rows(t, s, "event"))
		assert.EqualValues(t, 1, rows(t, s, "chunk"))
		assert.Zero(t, rows(t, s, "attempt"))
		assert.Equal(t, Waiting, get(t, s, kept).State)
		_, err = s.Get(t.Context(), kept-1)
		assert.ErrorIs(t, err, ErrNotFound)
		n, err = total(s.Forget(t.Context(), Selection{ConversationID: "conv_1"}, 0))
		require.NoError(t, err)
		assert.Zero(t, n)
	})
}

func TestForgetFinishesWhatAnEarlierForgetLeft(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(manyPieces))
		breakUp(t, s, seq)
		inner := s.dialect
		d := &interposed{dialect: inner}
		d.after = func(n int) error {
			if n == 2 { // one to remove the event, one for the first pieces
				return errBroken
			}
			return nil
		}
		s.dialect = d
		_, err := s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0)
		require.ErrorIs(t, err, errBroken)
		s.dialect = inner
		assert.EqualValues(t, manyPieces-deletesPerWrite, rows(t, s, "chunk"))
		assert.EqualValues(t, 1, rows(t, s, "event"))
		_, err = s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0)
		require.NoError(t, err)
		assert.Zero(t, rows(t, s, "event")+rows(t, s, "chunk"))
	})
}

func TestAForgottenDeliveryIsCanceledAndItsOutcomeDropped(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		d.answers = hang
		runner := s.Start(options(), d)
		seq := store(t, s, event("a"), content(1))
		<-d.begun
		n, err := total(s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0))
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.ErrorIs(t, <-d.canceled, errForgotten)
		runner.Stop(time.Minute)
		assert.Empty(t, d.settled)
		assert.Zero(t, rows(t, s, "event")+rows(t, s, "attempt"))
	})
}

func TestNothingOfAForgottenBodyIsInTheFilesOfSQLite(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := open(t, path)
	secret := "this text is known by nobody"
	small := memory(strings.Repeat(secret, 100))
	large := memory(strings.Repeat(secret, 2*chunkSize/len(secret)))
	e := event("a")
	e.ConversationID = "conv_" + secret
	seqs := make([]int64, 0, 2)
	for i, body := range []memory{small, large} {
		e.ID = fmt.Sprint(i)
		seqs = append(seqs, store(t, s, e, body))
	}
	deliver := claimOneOf(t, s, seqs[0])
	o := refused
	o.Answer = secret
	settle(t, s, deliver, o, patience)
	store(t, s, event("kept"), memory("this text stays"))

	require.True(t, inFiles(t, path, secret), "the test can find it")
	n, err := total(s.Forget(t.Context(), Selection{ConversationID: e.ConversationID}, 0))
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.False(t, inFiles(t, path, secret))
	assert.True(t, inFiles(t, path, "this text stays"))
}

// claimOneOf claims all that is due, and returns the claim of one event.
func claimOneOf(t *testing.T, s *Store, seq int64) *Claim {
	t.Helper()
	claims, err := s.claim(t.Context(), testQueue, 100)
	require.NoError(t, err)
	for _, c := range claims {
		if c.Seq == seq {
			return c
		}
	}
	require.Fail(t, "the event was not due")
	return nil
}

// inFiles reports whether the database or a file beside it has a text.
func inFiles(t *testing.T, path, text string) bool {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	found := false
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		found = found || strings.Contains(string(data), text)
	}
	return found
}

// followed is a database with something that happens after its first write.
type followed struct {
	dialect
	after func()
	once  sync.Once
}

func (f *followed) write(ctx context.Context, size int64, do func(context.Context, statements) error) error {
	err := f.dialect.write(ctx, size, do)
	f.once.Do(f.after)
	return err
}

func TestADeliveryThatIsForgottenBeforeItBeginsIsCanceled(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(1))
		var forgetting sync.WaitGroup
		forgotten := make(chan struct{})
		s.dialect = &followed{dialect: s.dialect, after: func() { // it is claimed, and not yet delivered
			forgetting.Go(func() {
				defer close(forgotten)
				n, err := total(s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0))
				assert.NoError(t, err)
				assert.Equal(t, 1, n)
			})
			select {
			case <-forgotten:
			case <-time.After(300 * time.Millisecond): // it waits for the delivery
			}
		}}
		d := newBackend(t)
		d.answers = hang
		runner := s.Start(options(), d)
		assert.ErrorIs(t, <-d.canceled, errForgotten)
		forgetting.Wait()
		runner.Stop(time.Minute)
		assert.Zero(t, rows(t, s, "event"))
	})
}
