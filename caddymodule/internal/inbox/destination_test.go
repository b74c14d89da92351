package inbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func queueOf(destination string) Queue { return Queue{testInbox, destination} }

// fan stores an event for the destinations, and returns its numbers by destination.
func fan(t testing.TB, s *Store, id string, body Body, destinations ...string) map[string]int64 {
	t.Helper()
	e := event(id)
	e.Destination = destinations[0]
	repeat, err := s.Accept(t.Context(), e, body, noLimit, destinations[1:]...)
	require.NoError(t, err)
	require.False(t, repeat)
	return numbers(t, s, id)
}

func numbers(t testing.TB, s *Store, id string) map[string]int64 {
	t.Helper()
	entries, err := s.List(t.Context(), Selection{EventID: id}, 10)
	require.NoError(t, err)
	seqs := map[string]int64{}
	for _, e := range entries {
		seqs[e.Destination] = e.Seq
	}
	return seqs
}

// claimFor claims the only event that is due for a destination.
func claimFor(t testing.TB, s *Store, destination string) *Claim {
	t.Helper()
	claims, err := s.claim(t.Context(), queueOf(destination), 10)
	require.NoError(t, err)
	require.Len(t, claims, 1)
	assert.Equal(t, destination, claims[0].Destination)
	return claims[0]
}

func deliverTo(t testing.TB, s *Store, destination string, want []byte) {
	t.Helper()
	c := claimFor(t, s, destination)
	got := make([]byte, c.Size)
	_, err := s.Body(c.BodySeq, c.Size).ReadAt(got, 0)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	require.Equal(t, Delivered, settle(t, s, c, taken, patience))
}

// bodies are the sizes that are stored in one write, and in several.
var bodies = map[string]int{"nothing": 0, "small": 100, "of three pieces": 2*chunkSize + 1}

func TestEachDestinationGetsTheEventAndTheBodyIsStoredOnce(t *testing.T) {
	t.Parallel()
	for name, size := range bodies {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Store) {
				body := content(size)
				seqs := fan(t, s, "a1", body, "crm", "archive", "analytics")
				assert.Len(t, seqs, 3)
				assert.EqualValues(t, (size+chunkSize-1)/chunkSize, rows(t, s, "chunk"))
				assert.EqualValues(t, size, s.usedBy(testInbox).get())
				require.NoError(t, s.refreshUsed(t.Context()))
				assert.EqualValues(t, size, s.usedBy(testInbox).get(), "read anew")
				for _, destination := range []string{"archive", "analytics", "crm"} {
					deliverTo(t, s, destination, body)
				}
			})
		})
	}
}

func TestDestinationsHaveStatesOfTheirOwn(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seqs := fan(t, s, "a1", content(100), "crm", "archive")
		crm := claimFor(t, s, "crm")
		assert.Equal(t, Waiting, get(t, s, seqs["archive"]).State, "another one's claim")
		require.Equal(t, Dead, settle(t, s, crm, refused, schedule{}))
		deliverTo(t, s, "archive", content(100))
		assert.Equal(t, Dead, get(t, s, seqs["crm"]).State)
		assert.Equal(t, Delivered, get(t, s, seqs["archive"]).State)

		counts, err := s.Counts(t.Context())
		require.NoError(t, err)
		assert.Equal(t, map[State]int64{Dead: 1}, counts[queueOf("crm")].States)
		assert.Equal(t, map[State]int64{Delivered: 1}, counts[queueOf("archive")].States)
		stats, err := s.Stats(t.Context(), queueOf("archive"), nil, time.Time{})
		require.NoError(t, err)
		require.Len(t, stats.Types, 1)
		assert.EqualValues(t, 1, stats.Types[0].States[Delivered])
		one, err := s.List(t.Context(), Selection{Destination: "crm"}, 10)
		require.NoError(t, err)
		require.Len(t, one, 1)
		assert.Equal(t, seqs["crm"], one[0].Seq)
		once, err := s.List(t.Context(), Selection{Once: true}, 10)
		require.NoError(t, err)
		assert.Len(t, once, 1, "of what several share")

		changed, err := s.Redeliver(t.Context(), Selection{State: Dead}, 0)
		require.NoError(t, err)
		assert.Equal(t, map[Queue]int{queueOf("crm"): 1}, changed.Events)
		deliverTo(t, s, "crm", content(100))
	})
}

func TestARepeatArmsOnlyWhatIsDeadAndReachesANewDestination(t *testing.T) {
	t.Parallel()
	for name, size := range bodies {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Store) {
				body := content(size)
				seqs := fan(t, s, "a1", body, "crm", "archive")
				deliverTo(t, s, "archive", body)
				require.Equal(t, Dead, settle(t, s, claimFor(t, s, "crm"), refused, schedule{}))

				e := event("a1")
				e.Destination = "crm"
				repeat, err := s.Accept(t.Context(), e, body, noLimit, "archive")
				require.NoError(t, err)
				assert.True(t, repeat)
				assert.Equal(t, Waiting, get(t, s, seqs["crm"]).State)
				assert.Equal(t, Delivered, get(t, s, seqs["archive"]).State)

				repeat, err = s.Accept(t.Context(), e, body, noLimit, "late", "archive")
				require.NoError(t, err)
				assert.False(t, repeat, "one of them did not have it")
				deliverTo(t, s, "late", body)
				deliverTo(t, s, "crm", body)
				for destination, want := range map[string]int{"crm": 2, "archive": 2, "late": 0} {
					assert.Equal(t, want, get(t, s, numbers(t, s, "a1")[destination]).Repeats, destination)
				}
				require.NoError(t, s.refreshUsed(t.Context()))
				require.Eventually(t, func() bool { return number(t, s, `SELECT COUNT(*) FROM elevenlabs_inbox_event`) == 3 }, patienceFor, time.Millisecond, "nothing else is left")
			})
		})
	}
}

const patienceFor = 20 * time.Second

// doneAt moves the end of an event into the past.
func doneAt(t testing.TB, s *Store, seq int64, ago time.Duration) {
	t.Helper()
	alter(t, s, `UPDATE elevenlabs_inbox_event SET done_at = {now} - $1 WHERE seq = $2`, ago.Milliseconds(), seq)
}

func TestABodyStaysUntilTheLastDestinationIsDone(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{"crm", "archive"} { // whichever of them has the body
		t.Run(owner+" owns it", func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Store) {
				other := map[string]string{"crm": "archive", "archive": "crm"}[owner]
				body := content(2*chunkSize + 1)
				seqs := fan(t, s, "a1", body, owner, other)
				deliverTo(t, s, "crm", body)
				require.Equal(t, Dead, settle(t, s, claimFor(t, s, "archive"), refused, schedule{}))
				doneAt(t, s, seqs["crm"], 121*time.Minute) // past its retention
				doneAt(t, s, seqs["archive"], 239*time.Minute)
				sweep(t, s, keep)
				assert.EqualValues(t, 3, rows(t, s, "chunk"))
				assert.EqualValues(t, len(body), s.usedBy(testInbox).get())

				_, err := s.Redeliver(t.Context(), Selection{Events: []int64{seqs["archive"]}}, 0)
				require.NoError(t, err)
				deliverTo(t, s, "archive", body)
				doneAt(t, s, seqs["archive"], 121*time.Minute)
				sweep(t, s, keep)
				assert.Zero(t, rows(t, s, "chunk"))
				assert.Zero(t, s.usedBy(testInbox).get())
				assert.EqualValues(t, 2, rows(t, s, "event"), "both are remembered")
				for _, seq := range seqs {
					doneAt(t, s, seq, 181*time.Minute)
				}
				sweep(t, s, keep)
				assert.Zero(t, rows(t, s, "event"))
			})
		})
	}
}

func TestDeadEventsOfAllDestinationsGo(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seqs := fan(t, s, "a1", content(chunkSize+1), "crm", "archive", "analytics")
		for destination, seq := range seqs {
			require.Equal(t, Dead, settle(t, s, claimFor(t, s, destination), refused, schedule{}))
			doneAt(t, s, seq, 241*time.Minute)
		}
		sweep(t, s, keep)
		sweep(t, s, keep) // the owner of the body after those that share it
		assert.Zero(t, rows(t, s, "event"))
		assert.Zero(t, rows(t, s, "chunk"))
	})
}

func TestFullInboxGivesUpSharedBodiesOnlyWhenAllAreDone(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		body := content(1000)
		fan(t, s, "a1", body, "crm", "archive")
		deliverTo(t, s, "crm", body)
		tight := keep
		tight.Limit = 1000
		sweep(t, s, tight)
		assert.EqualValues(t, 1, rows(t, s, "chunk"))
		deliverTo(t, s, "archive", body)
		sweep(t, s, tight)
		assert.Zero(t, rows(t, s, "chunk"))
		assert.EqualValues(t, 2, rows(t, s, "event"))
	})
}

func TestForgetDeletesTheEventForAllDestinations(t *testing.T) {
	t.Parallel()
	for _, selected := range []string{"crm", "archive", "conversation"} {
		t.Run(selected, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Store) {
				seqs := fan(t, s, "a1", content(2*chunkSize+1), "crm", "archive", "analytics")
				fan(t, s, "b1", content(10), "crm", "archive")
				selection := Selection{Events: []int64{seqs[selected]}}
				if selected == "conversation" {
					selection = Selection{ConversationID: "conv_a1"}
				}
				done, err := s.Forget(t.Context(), selection, 0)
				require.NoError(t, err)
				assert.Equal(t, 1, done.Total(), "an event counts once")
				assert.EqualValues(t, 2, rows(t, s, "event"), "of the other event")
				assert.EqualValues(t, 1, rows(t, s, "chunk"))
				assert.EqualValues(t, 10, s.usedBy(testInbox).get())
			})
		})
	}
}

func TestANewDestinationGetsWhatIsStored(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		body := content(chunkSize + 1)
		old := store(t, s, event("a1"), body) // when the inbox had no named destinations
		deliver(t, s)
		fan(t, s, "b1", content(0), "crm")
		fan(t, s, "c1", content(10), "crm", "archive")
		gone := fan(t, s, "d1", content(10), "crm")["crm"]
		alter(t, s, `UPDATE elevenlabs_inbox_event SET stored = 0, state = 'delivered' WHERE seq = $1`, gone)

		done, err := s.DeliverTo(t.Context(), Selection{Inbox: testInbox}, "archive", []string{"crm", "archive"}, 0)
		require.NoError(t, err)
		assert.Equal(t, map[Queue]int{queueOf("archive"): 2}, done.Events, "not what it has, nor what has no body")
		claims, err := s.claim(t.Context(), queueOf("archive"), 10)
		require.NoError(t, err)
		require.Len(t, claims, 3)
		for _, c := range claims {
			require.Equal(t, Delivered, settle(t, s, c, taken, patience))
		}
		again, err := s.DeliverTo(t.Context(), Selection{Inbox: testInbox}, "archive", []string{"crm", "archive"}, 0)
		require.NoError(t, err)
		assert.Zero(t, again.Total())
		_, err = s.DeliverTo(t.Context(), Selection{Events: []int64{old}}, "archive", []string{"crm", "archive"}, 0)
		require.ErrorIs(t, err, ErrHasEvent)
		_, err = s.DeliverTo(t.Context(), Selection{Events: []int64{gone}}, "archive", []string{"crm", "archive"}, 0)
		require.ErrorIs(t, err, ErrBodyGone)

		assert.Equal(t, Delivered, get(t, s, old).State)

		doneAt(t, s, old, 121*time.Minute)
		sweep(t, s, keep)
		assert.EqualValues(t, 2, number(t, s, `SELECT COUNT(*) FROM elevenlabs_inbox_chunk WHERE seq = $1`, old), "the new one still has it")
		doneAt(t, s, numbers(t, s, "a1")["archive"], 121*time.Minute)
		sweep(t, s, keep)
		assert.Zero(t, number(t, s, `SELECT COUNT(*) FROM elevenlabs_inbox_chunk WHERE seq = $1`, old))
	})
}

func TestWhatIsSentToAnotherDestinationWaitsNoMoreForOneThatIsGone(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		waiting, has := fan(t, s, "a1", content(10), "gone", "crm"), fan(t, s, "b1", content(10), "gone", "crm", "archive")
		dead := fan(t, s, "c1", content(10), "gone")["gone"]
		alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'dead' WHERE seq = $1`, dead)
		done, err := s.DeliverTo(t.Context(), Selection{Inbox: testInbox}, "archive", []string{"crm", "archive"}, 0)
		require.NoError(t, err)
		assert.Equal(t, 2, done.Total())
		assert.Equal(t, map[Queue]int{queueOf("gone"): 3}, done.Discarded)
		for _, seq := range []int64{waiting["gone"], has["gone"], dead} {
			assert.Equal(t, Discarded, get(t, s, seq).State)
		}
		for _, seq := range []int64{waiting["crm"], has["crm"], has["archive"]} {
			assert.Equal(t, Waiting, get(t, s, seq).State, "somebody delivers it")
		}
	})
}

func TestWhatWaitsForNoDestinationIsGivenUp(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		store(t, s, event("a1"), content(1))
		for i := range sweepBatch + 1 {
			fan(t, s, fmt.Sprint("b", i), content(1), "gone", "crm")
		}
		claim := claimSome(t, s, "gone", 1)[0]
		given, err := s.giveUpOrphans(t.Context(), testInbox, []string{"crm"}, time.Hour)
		require.NoError(t, err)
		assert.Empty(t, given, "another Caddy may still deliver them")
		alter(t, s, `UPDATE elevenlabs_inbox_event SET next_at = {now} - 3600000`)
		given, err = s.giveUpOrphans(t.Context(), testInbox, []string{"crm"}, time.Hour)
		require.NoError(t, err)
		assert.Equal(t, map[Queue]int{queueOf("gone"): sweepBatch, queueOf(""): 1}, given)
		assert.Equal(t, Delivering, get(t, s, claim.Seq).State, "somebody delivers it")
		counts, err := s.Counts(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, sweepBatch+1, counts[queueOf("crm")].States[Waiting])
		assert.EqualValues(t, sweepBatch, counts[queueOf("gone")].States[Dead])
	})
}

func claimSome(t testing.TB, s *Store, destination string, count int) []*Claim {
	t.Helper()
	claims, err := s.claim(t.Context(), queueOf(destination), count)
	require.NoError(t, err)
	require.Len(t, claims, count)
	return claims
}

func TestASlowDestinationHoldsUpNoOther(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		const events = 40
		slow, quick := newBackend(t), newBackend(t)
		slow.answers = hang
		for name, b := range map[string]*backend{"slow": slow, "quick": quick} {
			o := options()
			o.Destination, o.Destinations, o.Concurrency = name, []string{"slow", "quick"}, 2
			r := s.Start(o, b)
			t.Cleanup(func() { r.Stop(0) })
		}
		for i := range events {
			fan(t, s, fmt.Sprint("a", i), content(100), "slow", "quick")
		}
		eventually(t, func() bool {
			counts, err := s.Counts(t.Context())
			return assert.NoError(t, err) && counts[queueOf("quick")].States[Delivered] == events
		}, "the quick one to have all")
		counts, err := s.Counts(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 2, counts[queueOf("slow")].States[Delivering])
		assert.EqualValues(t, events-2, counts[queueOf("slow")].States[Waiting])
	})
}

// Both may be the last one to need the body.
func TestTheBodyGoesWhenItsLastTwoDestinationsEndAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for i := range 20 {
			seqs := fan(t, s, fmt.Sprint("a", i), content(10), "crm", "archive", "analytics")
			alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'delivered', done_at = 1`)
			errs := make(chan error, len(seqs))
			for _, seq := range seqs {
				go func() { errs <- s.deleteBodies(context.Background(), []int64{seq}) }()
			}
			for range seqs {
				require.NoError(t, <-errs)
			}
			sweep(t, s, Retention{Delivered: time.Millisecond, Remember: 1 << 60, Dead: time.Hour, Limit: noLimit})
			require.Zero(t, rows(t, s, "chunk"))
			require.Zero(t, number(t, s, `SELECT COALESCE(SUM(sharers), 0) FROM elevenlabs_inbox_event`))
		}
	})
}
