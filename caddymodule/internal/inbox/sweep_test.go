package inbox

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var keep = Retention{Delivered: 2 * time.Hour, Remember: 3 * time.Hour, Dead: 4 * time.Hour, Limit: noLimit}

// done stores an event that is done since some time.
func done(t *testing.T, s *Store, id string, size int, set func(testing.TB, *Store) *Claim, since time.Duration) int64 {
	t.Helper()
	seq := store(t, s, event(id), content(size))
	if size == manyPieces {
		breakUp(t, s, seq)
	}
	set(t, s)
	alter(t, s, `UPDATE elevenlabs_inbox_event SET done_at = {now} - $1 WHERE seq = $2`, since.Milliseconds(), seq)
	return seq
}

func sweep(t *testing.T, s *Store, keep Retention) {
	t.Helper()
	require.NoError(t, s.sweep(t.Context(), testInbox, keep))
}

func TestSweepDeletesWhatIsPastItsRetention(t *testing.T) {
	const minute = time.Minute
	tests := []struct {
		name      string
		set       func(testing.TB, *Store) *Claim
		since     time.Duration
		size      int
		wantEvent int64
		wantChunk int64
	}{
		{"delivered, not long ago", deliver, 119 * minute, 5, 1, 1},
		{"delivered, the body goes", deliver, 121 * minute, 5, 1, 0},
		{"delivered, the body of many pieces goes", deliver, 121 * minute, manyPieces, 1, 0},
		{"delivered, and need not be remembered", deliver, 181 * minute, 5, 0, 0},
		{"delivered without a body", deliver, 179 * minute, 0, 1, 0},
		{"discarded, not long ago", giveUp, 119 * minute, 5, 1, 1},
		{"discarded, the body of many pieces goes", giveUp, 121 * minute, manyPieces, 1, 0},
		{"discarded, and need not be remembered", giveUp, 181 * minute, 5, 0, 0},
		{"dead, not long ago", bury, 239 * minute, 5, 1, 1},
		{"dead", bury, 241 * minute, 5, 0, 0},
		{"dead, of many pieces", bury, 241 * minute, manyPieces, 0, 0},
		{"delivering", claimOne, 1000 * minute, 5, 1, 1},
	}
	onEach(t, func(t *testing.T, s *Store) {
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				seq := done(t, s, fmt.Sprint(i), test.size, test.set, test.since)
				require.NoError(t, s.sweep(t.Context(), "other", Retention{}))
				assert.EqualValues(t, 1, rows(t, s, "event"), "another inbox's sweep")
				sweep(t, s, keep)
				assert.Equal(t, test.wantEvent, rows(t, s, "event"))
				assert.Equal(t, test.wantChunk, rows(t, s, "chunk"))
				stored := number(t, s, `SELECT COALESCE(SUM(stored), 0) FROM elevenlabs_inbox_event`)
				assert.Equal(t, test.wantChunk*int64(test.size), stored)
				assert.Equal(t, stored, s.usedBy(testInbox).get())
				_, err := s.Forget(t.Context(), Selection{Events: []int64{seq}}, 0)
				require.NoError(t, err)
			})
		}
		store(t, s, event("waiting"), content(5))
		alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = 0, armed_at = 0, next_at = 0`)
		sweep(t, s, Retention{})
		assert.EqualValues(t, 1, rows(t, s, "chunk"), "what waits never goes")
	})
}

func TestSweepDeletesManyEvents(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		const many = 2*sweepBatch + 1
		storeSome(t, s, many)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'delivered', done_at = {now} - 9000000`)
		sweep(t, s, keep)
		assert.EqualValues(t, many, rows(t, s, "event"))
		assert.Zero(t, rows(t, s, "chunk"))
		sweep(t, s, Retention{Limit: noLimit})
		assert.Zero(t, rows(t, s, "event"))
	})
}

func TestTheOldestDeliveredBodiesGiveWayWhenTheInboxIsNearlyFull(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		const size = 10
		oldest := done(t, s, "oldest", size, deliver, time.Minute)
		older := done(t, s, "older", size, deliver, time.Second)
		newer := done(t, s, "newer", size, deliver, 0)
		dead := done(t, s, "dead", size, bury, time.Hour)
		store(t, s, event("waiting"), content(size))
		full := keep
		full.Limit = 65
		sweep(t, s, full)
		assert.EqualValues(t, 5, rows(t, s, "chunk"), "four fifths, and no more")

		full.Limit = 4 * size
		alter(t, s, `UPDATE elevenlabs_inbox_event SET done_at = done_at - 1000`)
		sweep(t, s, full)
		assert.Zero(t, get(t, s, oldest).Stored)
		assert.Zero(t, get(t, s, older).Stored)
		assert.EqualValues(t, size, get(t, s, newer).Stored, "the newest body need not go")
		assert.EqualValues(t, 3*size, s.usedBy(testInbox).get())

		full.Limit = 0
		sweep(t, s, full)
		assert.Zero(t, get(t, s, newer).Stored)
		assert.EqualValues(t, size, get(t, s, dead).Stored)
		assert.EqualValues(t, 2, rows(t, s, "chunk"), "dead and waiting ones never give way")
		assert.EqualValues(t, 5, rows(t, s, "event"), "all are remembered")
	})
}

func TestABodyThatAnotherProcessDeletedMakesRoomOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for i := range 10 {
			done(t, s, fmt.Sprint(i), 10, deliver, time.Hour-time.Duration(i))
		}
		alter(t, s, `DELETE FROM elevenlabs_inbox_chunk WHERE seq IN (SELECT seq FROM elevenlabs_inbox_event WHERE event_id < '5')`)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET stored = 0 WHERE event_id < '5'`)
		full := keep
		full.Limit = 100 // 80 may stay, and 50 are there
		sweep(t, s, full)
		assert.EqualValues(t, 5, rows(t, s, "chunk"))
	})
}

func TestABodyIsNotDeletedIfItsEventIsSentAgainMeanwhile(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(5))
		dead := store(t, s, event("b"), content(5))
		require.NoError(t, s.deleteBodies(t.Context(), []int64{seq, dead}))
		require.NoError(t, s.remove(t.Context(), []int64{seq, dead}))
		assert.EqualValues(t, 2, rows(t, s, "chunk"))
		assert.EqualValues(t, 2, number(t, s, `SELECT COUNT(*) FROM elevenlabs_inbox_event WHERE state = 'waiting' AND stored = 5`))
	})
}

func TestAnAbandonedUploadIsSwept(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		store(t, s, event("a"), content(chunkSize+1))
		for _, age := range []time.Duration{abandonedAfter - time.Minute, abandonedAfter + time.Minute} {
			alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'receiving', stored = 0, received_at = {now} - $1`, age.Milliseconds())
			sweep(t, s, keep)
			left := int64(0)
			if age < abandonedAfter {
				left = 1
			}
			assert.Equal(t, left, rows(t, s, "event"))
			assert.Equal(t, 2*left, rows(t, s, "chunk"))
		}
	})
}

func TestSweepGivesSpaceBackToTheFileSystem(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := open(t, path)
	size := func() int64 {
		require.NoError(t, s.forget(t.Context()), "the log is empty")
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Size()
	}
	done(t, s, "a", 6*chunkSize, deliver, 0)
	require.Greater(t, size(), int64(6*chunkSize))
	sweep(t, s, Retention{})
	assert.Less(t, size(), int64(2*chunkSize))
}
