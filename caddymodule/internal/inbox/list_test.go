package inbox

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEventsAreListedByWhatSelectsThem(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seqs := make([]int64, 0, 6)
		for i := range 6 {
			e := event(fmt.Sprintf("%d%d", i%2, i))
			e.Type = []string{"audio", "transcript", "failure"}[i%3]
			e.AgentID = fmt.Sprint("agent_", i)
			e.RequestID = fmt.Sprint("req_", i)
			if i == 5 {
				e.Inbox = "other"
			}
			_, err := s.Accept(t.Context(), e, content(1), noLimit)
			require.NoError(t, err)
			list, err := s.List(t.Context(), Selection{}, 1)
			require.NoError(t, err)
			seqs = append(seqs, list[0].Seq)
		}
		base := time.UnixMilli(1_700_000_000_000)
		for i, seq := range seqs {
			alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = $1 WHERE seq = $2`, base.Add(time.Duration(i)*time.Minute).UnixMilli(), seq)
		}
		alter(t, s, `UPDATE elevenlabs_inbox_event SET state = 'dead', done_at = 1 WHERE seq = $1`, seqs[2])
		alter(t, s, `UPDATE elevenlabs_inbox_event SET event_id = 'abcd3' WHERE seq = $1`, seqs[3])
		alter(t, s, `UPDATE elevenlabs_inbox_event SET event_id = 'abcdef' WHERE seq = $1`, seqs[4])
		tests := []struct {
			name      string
			selection Selection
			want      []int
		}{
			{"all", Selection{}, []int{5, 4, 3, 2, 1, 0}},
			{"inbox", Selection{Inbox: "other"}, []int{5}},
			{"state", Selection{State: Dead}, []int{2}},
			{"types", Selection{Types: []string{"audio", "failure"}}, []int{5, 3, 2, 0}},
			{"conversation", Selection{ConversationID: "conv_11"}, []int{1}},
			{"agent", Selection{AgentID: "agent_4"}, []int{4}},
			{"agent and type", Selection{AgentID: "agent_4", Types: []string{"transcript"}}, []int{4}},
			{"agent of another type", Selection{AgentID: "agent_4", Types: []string{"audio"}}, nil},
			{"beginning of the ID", Selection{EventID: "1"}, []int{5, 1}},
			{"ID", Selection{EventID: "abcd3"}, []int{3}},
			{"longer beginning of the ID", Selection{EventID: "abcd"}, []int{4, 3}},
			{"request", Selection{RequestID: "req_3"}, []int{3}},
			{"search for a conversation", Selection{Search: "conv_11"}, []int{1}},
			{"search for an agent", Selection{Search: "agent_2"}, []int{2}},
			{"search for a request", Selection{Search: "req_4", State: Waiting}, []int{4}},
			{"search for the beginning of an ID", Selection{Search: "abcd"}, []int{4, 3}},
			{"search for too little of an ID", Selection{Search: "abc"}, nil},
			{"search in an inbox", Selection{Search: "agent_5", Inbox: testInbox}, nil},
			{"numbers", Selection{Events: []int64{seqs[0], seqs[4], 1 << 40}}, []int{4, 0}},
			{"since", Selection{Since: base.Add(4 * time.Minute)}, []int{5, 4}},
			{"until", Selection{Until: base.Add(time.Minute)}, []int{0}},
			{"before", Selection{Before: seqs[2]}, []int{1, 0}},
			{"several", Selection{Inbox: testInbox, Types: []string{"audio"}, Before: seqs[3]}, []int{0}},
			{"none", Selection{ConversationID: "' OR 1=1 --"}, nil},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				list, err := s.List(t.Context(), test.selection, 10)
				require.NoError(t, err)
				var got []int
				for _, e := range list {
					got = append(got, int(e.AgentID[len(e.AgentID)-1]-'0'))
				}
				assert.Equal(t, test.want, got)
			})
		}
		list, err := s.List(t.Context(), Selection{}, 2)
		require.NoError(t, err)
		assert.Len(t, list, 2)
	})
}

// Events come, go on and are deleted while somebody turns the pages.
func TestPagesHaveEachEventOnceWhileOthersComeAndGo(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		const many = 60
		seqs := storeSome(t, s, many)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = received_at + (seq % 7) * 1000`) // several of one time
		seen := map[int64]bool{}
		for selection, page := (Selection{}), 0; ; page++ {
			list, err := s.List(t.Context(), selection, 10)
			require.NoError(t, err)
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				assert.False(t, seen[e.Seq], "event %d comes twice", e.Seq)
				seen[e.Seq] = true
			}
			selection.Before = list[len(list)-1].Seq
			e := event(fmt.Sprintf("new%d", page))
			_, err = s.Accept(t.Context(), e, content(1), noLimit)
			require.NoError(t, err)
			alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = received_at + 100000 WHERE event_id = $1`, e.ID)
			claims, err := s.claim(t.Context(), testQueue, 5) // into a part of the index that is read before or after
			require.NoError(t, err)
			for _, c := range claims {
				settle(t, s, c, taken, patience)
			}
		}
		for _, seq := range seqs {
			assert.True(t, seen[seq], "event %d is missing", seq)
		}
	})
}

func TestCountsTellWhatAnInboxHas(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		bring := func(set func(testing.TB, *Store) *Claim, id string, size int) {
			store(t, s, event(id), content(size))
			set(t, s)
		}
		bring(bury, "dead", 10)
		bring(deliver, "delivered", 20)
		bring(claimOne, "delivering", 30)
		oldest := store(t, s, event("oldest"), content(40))
		store(t, s, event("waiting"), content(50))
		other := event("a")
		other.Inbox = "other"
		_, err := s.Accept(t.Context(), other, content(7), noLimit)
		require.NoError(t, err)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET armed_at = armed_at - 60000 WHERE seq = $1`, oldest)
		alter(t, s, `UPDATE elevenlabs_inbox_event SET armed_at = armed_at - 600000 WHERE state = 'dead'`)
		counts, err := s.Counts(t.Context())
		require.NoError(t, err)
		require.Len(t, counts, 2)
		assert.Equal(t, map[State]int64{Dead: 1, Delivered: 1, Delivering: 1, Waiting: 2}, counts[testQueue].States)
		assert.EqualValues(t, 150, counts[testQueue].Bytes)
		assert.InDelta(t, time.Minute, counts[testQueue].Oldest, float64(20*time.Second))
		assert.EqualValues(t, 7, counts[Queue{Inbox: "other"}].Bytes)
	})
}

func TestABodyThatIsNotWholeIsAnError(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		seq := store(t, s, event("a"), content(2*chunkSize))
		alter(t, s, `DELETE FROM elevenlabs_inbox_chunk WHERE n = 1`)
		read, err := io.Copy(io.Discard, s.Body(seq, 2*chunkSize).NewReader())
		assert.EqualValues(t, chunkSize, read)
		assert.ErrorIs(t, err, ErrBodyGone)
		_, err = s.Body(seq, 2*chunkSize).ReadAt(make([]byte, 2), chunkSize-1)
		assert.ErrorIs(t, err, ErrBodyGone)
		_, err = s.Get(t.Context(), seq+1)
		assert.ErrorIs(t, err, ErrNotFound)
	})
}

func TestATextThatNoDatabaseCanHoldSelectsWhatIsStoredOfIt(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for _, bad := range []string{"a\xff", "a\x00b"} {
			e := event("1")
			e.Inbox, e.Destination, e.ConversationID, e.AgentID, e.RequestID, e.Webhook, e.Type = text(bad), text(bad), bad, bad, bad, bad, bad
			_, err := s.Accept(t.Context(), e, content(1), noLimit)
			require.NoError(t, err)
			for _, its := range []Selection{
				{Inbox: bad}, {Destination: bad}, {Types: []string{bad}}, {ConversationID: bad}, {AgentID: bad}, {RequestID: bad}, {Webhook: bad}, {Search: bad},
			} {
				entries, err := s.List(t.Context(), its, 10)
				assert.NoError(t, err, "%+v", its)
				assert.Len(t, entries, 1, "%+v", its)
			}
			stats, err := s.Stats(t.Context(), Queue{Inbox: bad, Destination: bad}, nil, time.Time{})
			assert.NoError(t, err)
			assert.Len(t, stats.Types, 1)
		}
	})
}
