package inbox

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEventsAreClaimedInTheOrderInWhichTheyAreDue(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		due := map[string]int{"a": 3, "b": 1, "c": 2, "d": 1, "later": -60, "other": 9} // seconds ago
		for _, id := range []string{"a", "b", "c", "d", "later", "other"} {
			seq := store(t, s, event(id), content(1))
			alter(t, s, `UPDATE elevenlabs_inbox_event SET next_at = {now} - $1 WHERE seq = $2`, due[id]*1000, seq)
		}
		alter(t, s, `UPDATE elevenlabs_inbox_event SET inbox = 'other' WHERE event_id = 'other'`)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET next_at = (SELECT MAX(next_at) FROM elevenlabs_inbox_event WHERE event_id IN ('b', 'd'))
WHERE event_id IN ('b', 'd')`)
		var got []string
		for _, count := range []int{3, 3, 3} {
			claims, err := s.claim(t.Context(), testQueue, count)
			require.NoError(t, err)
			for _, c := range claims {
				got = append(got, c.ID)
			}
			got = append(got, "|")
		}
		assert.Equal(t, []string{"a", "c", "b", "|", "d", "|", "|"}, got)
	})
}

func TestAClaimKnowsItsEvent(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(5))
		_, err := s.Accept(t.Context(), event("a"), content(5), noLimit)
		require.NoError(t, err)
		c := claimOne(t, s)
		assert.Equal(t, event("a"), c.Event)
		assert.Equal(t, seq, c.Seq)
		assert.EqualValues(t, 5, c.Size)
		assert.Equal(t, 1, c.Attempt)
		assert.Equal(t, 1, get(t, s, seq).Repeats)
		assert.Equal(t, get(t, s, seq).ReceivedAt, c.ReceivedAt)
		assert.Equal(t, Delivering, get(t, s, seq).State)
		assertSoon(t, s, leaseTime, "lease_until", seq)
	})
}

func TestNoEventIsClaimedTwice(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		storeSome(t, s, 200)
		var wait sync.WaitGroup
		var mu sync.Mutex
		seen := map[int64]int{}
		for range 8 {
			wait.Go(func() {
				for {
					claims, err := s.claim(t.Context(), testQueue, 7)
					if !assert.NoError(t, err) || len(claims) == 0 {
						return
					}
					mu.Lock()
					for _, c := range claims {
						seen[c.Seq]++
					}
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		left, err := s.claim(t.Context(), testQueue, 200)
		require.NoError(t, err)
		assert.Len(t, seen, 200-len(left))
		for seq, count := range seen {
			assert.Equal(t, 1, count, seq)
		}
		assert.EqualValues(t, 1, number(t, s, `SELECT MAX(attempts) FROM elevenlabs_inbox_event`))
	})
}

// runOut lets all leases run out.
func runOut(t *testing.T, s *Store) {
	t.Helper()
	alter(t, s, `UPDATE elevenlabs_inbox_event SET lease_until = {now} - 1 WHERE state = 'delivering'`)
}

// renewed renews claims, and frees those that ran out. It returns those that were lost.
func renewed(t *testing.T, s *Store, claims ...*Claim) []*Claim {
	t.Helper()
	lost, err := s.renew(t.Context(), claims)
	require.NoError(t, err)
	require.NoError(t, s.free(t.Context(), testQueue, time.Hour))
	return lost
}

func TestALeaseThatRanOutFreesTheEventAndCountsAsNoTry(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(1))
		first := claimOne(t, s)
		assert.Empty(t, renewed(t, s))
		assert.Equal(t, Delivering, get(t, s, seq).State, "the lease holds")
		runOut(t, s)
		assert.Empty(t, renewed(t, s))
		assert.Equal(t, Waiting, get(t, s, seq).State)
		assertSoon(t, s, 0, "next_at", seq)
		assert.Equal(t, []*Claim{first}, renewed(t, s, first))
		second := claimOne(t, s)
		assert.Equal(t, 2, second.Attempt)
		assert.Equal(t, 1, second.tries)
	})
}

func TestTheFenceKeepsOutcomesOfLostClaimsOut(t *testing.T) {
	tests := []struct {
		name string
		lose func(t *testing.T, s *Store)
		want State
	}{
		{"another process has the event", func(t *testing.T, s *Store) {
			runOut(t, s)
			renewed(t, s)
			s.owner = "another"
			claimOne(t, s)
		}, Delivering},
		{"this process claimed it again", func(t *testing.T, s *Store) {
			runOut(t, s)
			renewed(t, s)
			claimOne(t, s)
		}, Delivering},
		{"it waits", func(t *testing.T, s *Store) {
			runOut(t, s)
			renewed(t, s)
		}, Waiting},
		{"another process delivered it", func(t *testing.T, s *Store) {
			runOut(t, s)
			renewed(t, s)
			deliver(t, s)
		}, Delivered},
	}
	onEach(t, func(t *testing.T, s *Store) {
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				owner := s.owner
				seq := store(t, s, event(fmt.Sprint(i)), content(1))
				lost := claimOne(t, s)
				test.lose(t, s)
				s.owner = owner
				before := rows(t, s, "attempt")
				for _, o := range []Outcome{taken, refused} {
					_, err := s.settle(t.Context(), lost, o, patience)
					assert.ErrorIs(t, err, errClaimLost)
				}
				require.NoError(t, s.release(t.Context(), lost))
				assert.Equal(t, []*Claim{lost}, renewed(t, s, lost))
				assert.Equal(t, test.want, get(t, s, seq).State)
				assert.Equal(t, before, rows(t, s, "attempt"))
				_, err := s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0)
				require.NoError(t, err)
			})
		}
	})
}

func TestRenewingKeepsAClaim(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(1))
		c := claimOne(t, s)
		runOut(t, s) // and no other process has looked
		assert.Empty(t, renewed(t, s, c))
		assertSoon(t, s, leaseTime, "lease_until", seq)
		assert.Equal(t, Delivered, settle(t, s, c, taken, patience))
		assert.Equal(t, []*Claim{c}, renewed(t, s, c), "it is settled")
	})
}

func TestAnEventThatAWrongClockPutOffIsDueNow(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		wrong, right, other := store(t, s, event("a"), content(1)), store(t, s, event("b"), content(1)), store(t, s, event("c"), content(1))
		for seq, minutes := range map[int64]int{wrong: 61, right: 59, other: 61} {
			alter(t, s, `UPDATE elevenlabs_inbox_event SET next_at = {now} + $1 WHERE seq = $2`, minutes*60_000, seq)
		}
		alter(t, s, `UPDATE elevenlabs_inbox_event SET inbox = 'other' WHERE seq = $1`, other) // which may pause longer
		renewed(t, s)
		assertSoon(t, s, 0, "next_at", wrong)
		assertSoon(t, s, 59*time.Minute, "next_at", right)
		assertSoon(t, s, 61*time.Minute, "next_at", other)
	})
}

func TestAnOutcomeDecidesTheStateOfTheEvent(t *testing.T) {
	tests := []struct {
		name    string
		outcome Outcome
		age     time.Duration // since the event was armed
		want    State
	}{
		{"taken", taken, 0, Delivered},
		{"taken after it should have been given up", taken, 2 * time.Hour, Delivered},
		{"failed", refused, 59 * time.Minute, Waiting},
		{"failed, and is given up", refused, time.Hour, Dead},
		{"failed without an answer", Outcome{Unreachable: true, Reason: "backend_unreachable"}, 0, Waiting},
	}
	onEach(t, func(t *testing.T, s *Store) {
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				seq := store(t, s, event(fmt.Sprint(i)), content(1))
				c := claimOne(t, s)
				alter(t, s, `UPDATE elevenlabs_inbox_event SET armed_at = {now} - $1 WHERE seq = $2`, test.age.Milliseconds(), seq)
				o := test.outcome
				o.Answer, o.Duration = "no", 1500*time.Millisecond
				assert.Equal(t, test.want, settle(t, s, c, o, patience))
				e := get(t, s, seq)
				assert.Equal(t, test.want, e.State)
				assert.Equal(t, 1, e.Attempts)
				if test.want == Waiting {
					assertSoon(t, s, time.Minute, "next_at", seq)
					assert.Zero(t, e.DoneAt)
				} else {
					assertSoon(t, s, 0, "done_at", seq)
					assert.Zero(t, e.NextAt)
				}
				attempts, err := s.Attempts(t.Context(), seq)
				require.NoError(t, err)
				require.Len(t, attempts, 1)
				assert.NotZero(t, attempts[0].EndedAt)
				attempts[0].EndedAt = time.Time{}
				assert.Equal(t, Attempt{Number: 1, Duration: o.Duration, Status: o.Status, Reason: o.Reason, Answer: "no"}, attempts[0])
			})
		}
	})
}

func TestTriesCountWhatFailedSinceTheEventWasArmed(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(1))
		now := schedule{giveUp: time.Hour}
		for try := 1; try <= 3; try++ {
			c := claimOne(t, s)
			assert.Equal(t, try, c.tries)
			settle(t, s, c, refused, now)
		}
		require.NoError(t, s.release(t.Context(), claimOne(t, s)))
		assert.Equal(t, Waiting, get(t, s, seq).State)
		assertSoon(t, s, 0, "next_at", seq)
		c := claimOne(t, s)
		assert.Equal(t, 4, c.tries, "an attempt that was interrupted is none")
		assert.Equal(t, 5, c.Attempt)
		settle(t, s, c, refused, now)
		n, err := total(s.Redeliver(t.Context(), Selection{Events: []int64{seq}}, 0))
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		c = claimOne(t, s)
		assert.Equal(t, 1, c.tries)
		assert.Equal(t, 6, c.Attempt)
		assert.EqualValues(t, 4, rows(t, s, "attempt"))
	})
}

func TestAnOutcomeThatIsStoredAlreadyIsNoLostClaim(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		store(t, s, event("a"), content(1))
		c := claimOne(t, s)
		require.Equal(t, Dead, settle(t, s, c, refused, schedule{}))
		assert.Equal(t, Dead, settle(t, s, c, refused, schedule{}), "the write took effect after its caller had left")
		lost := *c
		lost.Attempt++
		_, err := s.settle(t.Context(), &lost, taken, patience)
		assert.ErrorIs(t, err, errClaimLost)
	})
}

// A process that is frozen in a transaction holds what it has changed.
func TestAFrozenTransactionKeepsNobodyFromRenewing(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		if isSQLite(s) {
			t.Skip("one process has the file, and one connection writes")
		}
		held, other := store(t, s, event("a"), content(1)), store(t, s, event("b"), content(1))
		claims, err := s.claim(t.Context(), testQueue, 1)
		require.NoError(t, err)
		require.Equal(t, held, claims[0].Seq)
		runOut(t, s)
		mine := claimOne(t, s)
		require.Equal(t, other, mine.Seq)

		frozen, release := make(chan struct{}), make(chan struct{})
		done := make(chan error)
		go func() {
			done <- s.write(t.Context(), 0, func(ctx context.Context, tx statements) error {
				_, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET repeats = 1 WHERE seq = $1`, held)
				close(frozen)
				<-release
				return err
			})
		}()
		<-frozen
		ctx, cancel := context.WithTimeout(t.Context(), statementTimeout)
		defer cancel()
		lost, err := s.renew(ctx, []*Claim{mine})
		require.NoError(t, err)
		assert.Empty(t, lost)
		require.NoError(t, s.free(ctx, testQueue, time.Hour), "what is held is passed over")
		assert.Equal(t, Delivering, get(t, s, held).State)
		close(release)
		require.NoError(t, <-done)
		require.NoError(t, s.free(t.Context(), testQueue, time.Hour))
		assert.Equal(t, Waiting, get(t, s, held).State)
	})
}
