package inbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAFollowerFindsEachNewEventOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		next := func(f *Follower) (ids []string) {
			events, err := f.Next(t.Context())
			require.NoError(t, err)
			for _, e := range events {
				ids = append(ids, e.ID)
			}
			return ids
		}
		fromNow := func(selection Selection) *Follower {
			f := s.Follow(selection, 0)
			require.NoError(t, f.Skip(t.Context()))
			return f
		}
		accept := func(ids ...string) {
			for _, id := range ids {
				e := event(id)
				e.Type = "post_call_" + id[:1]
				store(t, s, e, content(10))
			}
		}

		accept("a0")
		assert.Equal(t, []string{"a0"}, next(s.Follow(Selection{}, 0)), "from the beginning")
		f, onlyB := fromNow(Selection{}), fromNow(Selection{Types: []string{"post_call_b"}})
		assert.Empty(t, next(f), "what was there before is not new")
		accept("a1", "b1")
		assert.Equal(t, []string{"a1", "b1"}, next(f))
		assert.Empty(t, next(f))
		assert.Equal(t, []string{"b1"}, next(onlyB))

		first := find(t, s, "a0").Seq
		accept("a2")
		alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'receiving' WHERE event_id = 'a1'`)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = {now} - 60000`)
		late := s.Follow(Selection{}, first)
		assert.Equal(t, []string{"b1", "a2"}, next(late))
		alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'waiting' WHERE event_id = 'a1'`)
		assert.Equal(t, []string{"a1"}, next(late), "it was received for long, and has a lower number")
		assert.Equal(t, []string{"a2"}, next(f))
		assert.Empty(t, next(late))
		assert.Empty(t, f.found, "nothing is kept of what came long ago")

		accept("left")
		alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'receiving', received_at = {now} - 3600000 WHERE event_id = 'left'`)
		accept("a3", "b3")
		assert.Equal(t, []string{"a3", "b3"}, next(s.Follow(Selection{}, f.Position())), "another one goes on from there")
		alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = {now} - 60000 WHERE event_id IN ('a3', 'b3')`)
		assert.Equal(t, []string{"a3", "b3"}, next(f))
		assert.Empty(t, f.found, "what another process left does not hold the position")
	})
}

func TestAFollowerReadsALongPastOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		fill(t, s, 3000) // one a second
		// a large one that began to arrive before the others, and is whole now
		alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = {now} - 1500000 WHERE seq = 700`)
		since := ago(30 * time.Minute)
		f := s.Follow(Selection{Since: since}, 0)
		found := map[int64]bool{}
		for more := true; more; {
			events, err := f.Next(t.Context())
			require.NoError(t, err)
			assert.Less(t, len(f.found), 100, "only what came just now may come again")
			for _, e := range events {
				assert.False(t, found[e.Seq], e.Seq)
				assert.False(t, e.ReceivedAt.Before(since))
				found[e.Seq] = true
			}
			more = len(events) > 0
		}
		all, err := s.List(t.Context(), Selection{Since: since}, 3000)
		require.NoError(t, err)
		assert.Len(t, found, len(all))
		assert.True(t, found[700])

		f = s.Follow(Selection{Since: since}, 0)
		require.NoError(t, f.start(t.Context()))
		before, err := s.List(t.Context(), Selection{Until: since.Add(-arrivesWithin)}, 1)
		require.NoError(t, err)
		assert.InDelta(t, 3000-30*60-15*60, before[0].Seq, 60, "about one a second")
		assert.Equal(t, before[0].Seq, f.position, "what came long before is not read")
	})
}

func TestAFollowerOfFewEventsReachesTheLastInSteps(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		const span = 10
		fill(t, s, 100)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET agent_id = 'other', received_at = {now} - 60000`)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET agent_id = 'rare' WHERE seq IN (35, 100)`)
		alter(t, s, `DELETE FROM elevenlabs_inbox_event WHERE seq < 30 OR seq BETWEEN 40 AND 80`)
		f := s.Follow(Selection{AgentID: "rare"}, 0)
		f.span = span
		var found, positions []int64
		for f.Position() < 100 {
			before := f.Position()
			events, err := f.Next(t.Context())
			require.NoError(t, err)
			require.Greater(t, f.Position(), before, "each step goes on")
			positions = append(positions, f.Position())
			for _, e := range events {
				found = append(found, e.Seq)
			}
		}
		assert.Equal(t, []int64{35, 100}, found)
		assert.Equal(t, []int64{39, 90, 100}, positions)

		alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = {now}`)
		f = s.Follow(Selection{AgentID: "rare"}, 0)
		f.span = span
		events, err := f.Next(t.Context())
		require.NoError(t, err)
		assert.Len(t, events, 2, "what came just now does not wait for the position")
	})
}
