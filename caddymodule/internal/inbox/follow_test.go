package inbox

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAFollowerFindsEachNewEventOnce(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "inbox.db"))
	require.NoError(t, err)
	defer s.Close()
	accept := func(id string) {
		_, err := s.Accept(ctx, Event{Inbox: "default", ID: id, Type: "post_call_" + id[:1]}, bytesBody{bytes.NewReader([]byte("{}"))}, 1<<20)
		require.NoError(t, err)
	}
	change := func(query string) {
		require.NoError(t, s.update(ctx, 0, func(ctx context.Context, tx statements) error {
			_, err := tx.ExecContext(ctx, query)
			return err
		}))
	}
	next := func(f *Follower) (ids []string) {
		events, err := f.Next(ctx)
		require.NoError(t, err)
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		return ids
	}
	accept("a-before")
	f, err := s.Follow(ctx, Selection{}, 0)
	require.NoError(t, err)
	onlyB, err := s.Follow(ctx, Selection{Types: []string{"post_call_b"}}, 0)
	require.NoError(t, err)
	assert.Empty(t, next(f), "what was there before is not new")

	accept("a1")
	accept("b1")
	assert.Equal(t, []string{"a1", "b1"}, next(f))
	assert.Empty(t, next(f))
	assert.Equal(t, []string{"b1"}, next(onlyB))

	// an event that is still arriving holds the position, and is found when it is whole
	change(`UPDATE elevenlabs_inbox_event SET state = 'receiving' WHERE event_id = 'a1'`)
	accept("a2")
	change(`UPDATE elevenlabs_inbox_event SET received_at = 1`)
	late, err := s.Follow(ctx, Selection{}, f.Position()+1)
	require.NoError(t, err)
	assert.Equal(t, []string{"b1", "a2"}, next(late))
	change(`UPDATE elevenlabs_inbox_event SET state = 'waiting' WHERE event_id = 'a1'`)
	assert.Equal(t, []string{"a1"}, next(late), "though its number is lower")
	assert.Equal(t, []string{"a2"}, next(f))
	assert.Empty(t, next(late))

	// another follower goes on where this one stood
	position := f.Position()
	assert.Empty(t, f.found, "nothing is kept of what has settled")
	for i := range 3 {
		accept(fmt.Sprint("b-more", i))
	}
	resumed, err := s.Follow(ctx, Selection{}, position)
	require.NoError(t, err)
	assert.Equal(t, []string{"b-more0", "b-more1", "b-more2"}, next(resumed))
}
