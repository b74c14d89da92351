package inbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatsAddUpWhatCame(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		now := time.UnixMilli(number(t, s, `SELECT {now}`))
		begin := now.Truncate(time.Hour)
		put := func(name, typ string, state State, at time.Time, took time.Duration) {
			e := event(fmt.Sprint(rows(t, s, "event")))
			e.Inbox, e.Type = name, typ
			_, err := s.Accept(t.Context(), e, content(10), noLimit)
			require.NoError(t, err)
			alter(t, s, `UPDATE elevenlabs_inbox_event SET state = $1, received_at = $2, done_at = $3, attempts = 2, repeats = 1 WHERE event_id = $4`,
				string(state), at.UnixMilli(), at.Add(took).UnixMilli(), e.ID)
		}
		for i := range 100 { // in the hour that began 26 hours ago
			put(testInbox, "audio", Delivered, begin.Add(-26*time.Hour), time.Duration(i+1)*100*time.Millisecond+time.Millisecond)
		}
		put(testInbox, "audio", Dead, begin.Add(-23*time.Hour), time.Hour)
		put(testInbox, "audio", Waiting, begin.Add(-time.Millisecond), 0)
		put(testInbox, "", Discarded, begin, time.Hour)
		put(testInbox, "late", Delivered, begin, 50*time.Hour+7*time.Second)
		put(testInbox, "late", Delivered, now.Add(48*time.Hour), -time.Hour) // by a wrong clock
		put("sales", "audio", Delivering, begin, 0)

		got, err := s.Stats(t.Context(), Queue{}, nil, time.Time{})
		require.NoError(t, err)
		assert.WithinDuration(t, now, got.Until, time.Minute)
		if got.Until.Truncate(time.Hour).After(begin) {
			t.Skip("the hour is over")
		}
		assert.Equal(t, []TypeStats{
			{testQueue, "", map[State]int64{Discarded: 1}, 2, 1, 10, 0, 0, 0},
			{testQueue, "audio", map[State]int64{Delivered: 100, Dead: 1, Waiting: 1}, 204, 102, 1020, 5 * time.Second, 9500 * time.Millisecond, 10 * time.Second},
			{testQueue, "late", map[State]int64{Delivered: 2}, 4, 2, 20, 0, 180_000 * time.Second, 180_000 * time.Second},
			{Queue{Inbox: "sales"}, "audio", map[State]int64{Delivering: 1}, 2, 1, 10, 0, 0, 0},
		}, got.Types)
		assert.EqualValues(t, 102, got.Types[1].Received())
		local := func(h time.Duration) time.Time { return time.UnixMilli(begin.Add(h).UnixMilli()) }
		assert.Equal(t, []HourStats{
			{testQueue, local(-23 * time.Hour), map[State]int64{Dead: 1}},
			{testQueue, local(-time.Hour), map[State]int64{Waiting: 1}},
			{testQueue, local(0), map[State]int64{Discarded: 1, Delivered: 1}},
			{Queue{Inbox: "sales"}, local(0), map[State]int64{Delivering: 1}},
		}, got.Hours)

		for _, test := range []struct {
			name  string
			inbox string
			types []string
			since time.Time
			want  map[string]int64
		}{
			{"an inbox", "sales", nil, time.Time{}, map[string]int64{"sales audio": 1}},
			{"a type", "", []string{"late"}, time.Time{}, map[string]int64{"default late": 2}},
			{"since", "", nil, begin.Add(-23 * time.Hour), map[string]int64{"default ": 1, "default audio": 2, "default late": 2, "sales audio": 1}},
			{"since after the hour began", "", nil, begin.Add(-time.Hour + time.Minute), map[string]int64{"default ": 1, "default audio": 1, "default late": 2, "sales audio": 1}},
			{"since now", "", nil, now.Add(time.Hour), map[string]int64{"default late": 1}},
		} {
			got, err := s.Stats(t.Context(), Queue{Inbox: test.inbox}, test.types, test.since)
			require.NoError(t, err)
			received := map[string]int64{}
			for _, of := range got.Types {
				received[of.Inbox+" "+of.Type] = of.Received()
			}
			assert.Equal(t, test.want, received, test.name)
		}
	})
}
