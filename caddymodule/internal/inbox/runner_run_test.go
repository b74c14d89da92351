package inbox

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// awaitSettled waits until so many outcomes are stored, all with the same state.
func (b *backend) awaitSettled(count int, want State) {
	b.t.Helper()
	for range count {
		select {
		case state := <-b.settled:
			require.Equal(b.t, want, state)
		case <-time.After(time.Minute):
			require.Fail(b.t, "an outcome is missing")
		}
	}
}

func TestABackendThatIsUnreachableIsTriedFewTimes(t *testing.T) {
	const events = 300
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		var failed atomic.Int64
		d.answers = func(context.Context, *Claim) Outcome {
			if failed.Load() == 18 { // two trials after the first 16
				return taken
			}
			failed.Add(1)
			return Outcome{Unreachable: true, Reason: "backend_unreachable"}
		}
		storeSome(t, s, events)
		runner := s.Start(options(), d)
		eventually(t, func() bool {
			counts, err := s.Counts(t.Context())
			return assert.NoError(t, err) && counts[testQueue].States[Delivered] == events
		}, "all delivered")
		runner.Stop(time.Minute)
		assert.Len(t, d.attempts, events+18)
		assert.Equal(t, 1, d.downs)
		require.Len(t, d.ups, 1)
		assert.Greater(t, d.ups[0], 3*time.Second, "pauses of one and of two seconds")
		assert.Zero(t, runner.DownSince())
	})
}

func TestEventsAreDeliveredByAsManyWorkersAsTheOptionsSay(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		var now, most atomic.Int64
		d.answers = func(ctx context.Context, c *Claim) Outcome {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.InDelta(t, time.Minute, time.Until(deadline), float64(5*time.Second))
			return taken
		}
		o := options()
		o.Concurrency = 3
		runner := s.Start(o, d)
		storeSome(t, s, 50)
		d.awaitSettled(50, Delivered)
		runner.Stop(time.Minute)
		assert.LessOrEqual(t, most.Load(), int64(3))
		for id, count := range d.got {
			assert.Equal(t, 1, count, id)
		}
	})
}

func TestAnEventThatFailsIsTriedAgainUntilItIsGivenUp(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		d.answers = func(_ context.Context, c *Claim) Outcome {
			if c.Attempt == 4 {
				alter(t, s, `UPDATE elevenlabs_inbox_event SET armed_at = armed_at - 4000000`)
			}
			return refused
		}
		runner := s.Start(options(), d)
		seq := store(t, s, event("a"), content(1))
		d.awaitSettled(3, Waiting)
		d.awaitSettled(1, Dead)
		runner.Stop(time.Minute)
		attempts, err := s.Attempts(t.Context(), seq)
		require.NoError(t, err)
		assert.Len(t, attempts, 4)
		assert.Empty(t, d.troubles)
	})
}

func TestStopPutsEventsBackForTheNextRunner(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		d.answers = hang
		first := s.Start(options(), d)
		seqs := storeSome(t, s, 20)
		for range 16 {
			<-d.begun
		}
		first.Stop(0)
		assert.Empty(t, d.settled)
		for range 16 {
			assert.ErrorIs(t, <-d.canceled, ErrInterrupted)
		}
		assert.Zero(t, d.downs, "the backend is not to blame")
		for _, seq := range seqs {
			assert.Equal(t, Waiting, get(t, s, seq).State)
		}
		assert.Zero(t, number(t, s, `SELECT SUM(tries) FROM elevenlabs_inbox_event`))
		assert.Zero(t, rows(t, s, "attempt"))

		second := newBackend(t)
		runner := s.Start(options(), second)
		second.awaitSettled(20, Delivered)
		runner.Stop(time.Minute)
		first.Stop(0) // once more does nothing
	})
}

func TestStopLetsDeliveriesEnd(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		end := make(chan struct{})
		d.answers = func(context.Context, *Claim) Outcome {
			<-end
			return taken
		}
		runner := s.Start(options(), d)
		storeSome(t, s, 20)
		for range 16 {
			<-d.begun
		}
		time.AfterFunc(10*time.Millisecond, func() { close(end) })
		runner.Stop(time.Minute)
		d.awaitSettled(16, Delivered)
		assert.EqualValues(t, 4, number(t, s, `SELECT COUNT(*) FROM elevenlabs_inbox_event WHERE state = 'waiting'`), "no more are claimed")
	})
}

// hooked is a database with a hook before each write of a runner.
type hooked struct {
	dialect
	hook func() error
}

func (h *hooked) write(ctx context.Context, size int64, do func(context.Context, statements) error) error {
	if err := h.hook(); err != nil {
		return err
	}
	return h.dialect.write(ctx, size, do)
}

func TestStopWaitsForAClaimThatIsUnderWay(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		storeSome(t, s, 5)
		claiming, goOn := make(chan struct{}), make(chan struct{})
		inner := s.dialect
		var once sync.Once
		s.dialect = &hooked{inner, func() error {
			once.Do(func() {
				close(claiming)
				<-goOn
			})
			return nil
		}}
		d := newBackend(t)
		d.answers = hang
		runner := s.Start(options(), d)
		<-claiming
		var stop sync.WaitGroup
		stop.Go(func() { runner.Stop(0) })
		eventually(t, runner.stopped, "stopping")
		close(goOn)
		stop.Wait()
		assert.EqualValues(t, 5, number(t, s, `SELECT COUNT(*) FROM elevenlabs_inbox_event WHERE state = 'waiting' AND tries = 0`))
	})
}

func TestADeliveryThatCannotBeRenewedIsCanceled(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		d.answers = hang
		runner := s.Start(options(), d)
		seq := store(t, s, event("a"), content(1))
		<-d.begun
		runner.mu.Lock()
		runner.renewed = time.Now().Add(-renewWithin - time.Second)
		for _, current := range runner.current {
			current.begun = runner.renewed
		}
		runner.mu.Unlock()
		assert.ErrorIs(t, <-d.canceled, ErrInterrupted)
		assert.Equal(t, "a", (<-d.begun).ID, "it is tried again")
		runner.Stop(0)
		assert.Equal(t, Waiting, get(t, s, seq).State)
	})
}

func TestADeliveryWhoseClaimWasLostIsCanceled(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		d := newBackend(t)
		d.answers = hang
		runner := s.Start(options(), d)
		seq := store(t, s, event("a"), content(1))
		<-d.begun
		alter(t, s, `UPDATE elevenlabs_inbox_event SET owner = 'another', attempts = attempts + 1`)
		runner.renew()
		assert.ErrorIs(t, <-d.canceled, errClaimLost)
		runner.Stop(time.Minute)
		assert.Empty(t, d.settled)
		assert.Equal(t, Delivering, get(t, s, seq).State, "it is another's")
	})
}

func TestAnOutcomeThatCannotBeStoredIsTriedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		var fails atomic.Bool
		inner := s.dialect
		s.dialect = &hooked{inner, func() error {
			if fails.CompareAndSwap(true, false) {
				return errBroken
			}
			return nil
		}}
		d := newBackend(t)
		d.answers = func(context.Context, *Claim) Outcome {
			fails.Store(true)
			return taken
		}
		runner := s.Start(options(), d)
		store(t, s, event("a"), content(1))
		d.awaitSettled(1, Delivered)
		assert.ErrorIs(t, <-d.troubles, errBroken)
		runner.Stop(time.Minute)
		assert.Len(t, d.attempts, 1)
	})
}

func TestStopGivesUpAnOutcomeThatCannotBeStored(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		store(t, s, event("a"), content(1))
		var fails atomic.Bool
		s.dialect = &hooked{s.dialect, func() error {
			if fails.Load() {
				return errBroken
			}
			return nil
		}}
		d := newBackend(t)
		d.answers = func(context.Context, *Claim) Outcome {
			fails.Store(true)
			return taken
		}
		runner := s.Start(options(), d)
		assert.ErrorIs(t, <-d.troubles, errBroken)
		start := time.Now()
		runner.Stop(0)
		assert.Less(t, time.Since(start), renewWithin/2)
		assert.Empty(t, d.settled)
	})
}

func TestEachInboxHasItsOwnRunner(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		backends := map[string]*backend{}
		for _, name := range []string{"one", "two"} {
			o := options()
			o.Inbox = name
			backends[name] = newBackend(t)
			runner := s.Start(o, backends[name])
			defer runner.Stop(time.Minute)
		}
		for i := range 20 {
			for name := range backends {
				e := event(fmt.Sprint(name, i))
				e.Inbox = name
				_, err := s.Accept(t.Context(), e, content(1), noLimit)
				require.NoError(t, err)
			}
		}
		for name, d := range backends {
			d.awaitSettled(20, Delivered)
			for range 20 {
				assert.Equal(t, name, (<-d.begun).Inbox)
			}
		}
	})
}

func TestThePauseAfterAnAttempt(t *testing.T) {
	t.Parallel()
	const s, m, h = time.Second, time.Minute, time.Hour
	retry := []time.Duration{5 * s, 30 * s, 2 * m, h}
	failed := Outcome{Status: 500}
	unreachable := Outcome{Unreachable: true}
	tests := []struct {
		name     string
		tries    int
		outcome  Outcome
		min, max time.Duration
	}{
		{"first", 1, failed, 4500 * time.Millisecond, 5500 * time.Millisecond},
		{"second", 2, failed, 27 * s, 33 * s},
		{"last", 4, failed, 54 * m, 66 * m},
		{"the last again", 9, failed, 54 * m, 66 * m},
		{"unreachable", 1, unreachable, 4500 * time.Millisecond, 5500 * time.Millisecond},
		{"unreachable, at most a minute", 3, unreachable, m, m},
		{"the backend asks for more", 1, Outcome{Status: 503, RetryAfter: h}, h, h},
		{"the backend asks for less", 2, Outcome{Status: 429, RetryAfter: s}, 27 * s, 33 * s},
		{"the backend asks for too much", 1, Outcome{Status: 503, RetryAfter: 100 * h}, 24 * h, 24 * h},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &Runner{options: Options{Retry: retry}}
			least, most := 1000*h, time.Duration(0)
			for range 1000 {
				pause := r.pause(&Claim{tries: test.tries}, test.outcome)
				least, most = min(least, pause), max(most, pause)
				require.LessOrEqual(t, most, r.longest())
			}
			assert.GreaterOrEqual(t, least, test.min)
			assert.LessOrEqual(t, most, test.max)
			assert.InEpsilon(t, test.min, least, .02, "the whole span is used")
			assert.InEpsilon(t, test.max, most, .02)
		})
	}
}
