package caddymodule

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

func TestTheFiguresAreOfAllDatabases(t *testing.T) {
	server, _ := admin(t)
	a, b := openInbox(t), openInbox(t)
	a.put(t, "default", "post_call_audio", "conv_1", `{"n":1}`)
	a.run(t, "default", time.Hour, 1, inbox.Waiting, inbox.Delivered)
	b.put(t, "sales", "post_call_transcription", "conv_1", `{"n":2}`)
	ask := func(query string) (all stored.Stats) {
		got := get(t, server, "/elevenlabs/inbox/stats"+query)
		require.Equal(t, 200, got.status, got.text)
		require.NoError(t, json.Unmarshal([]byte(got.text), &all))
		return all
	}
	all := ask("")
	require.Len(t, all.Types, 2)
	byInbox := map[string]stored.TypeStats{all.Types[0].Inbox: all.Types[0], all.Types[1].Inbox: all.Types[1]}
	delivered := byInbox["default"]
	require.NotNil(t, delivered.Delivery)
	assert.Equal(t, []any{"post_call_audio", int64(1), int64(2), int64(7)}, []any{delivered.EventType, delivered.Received, delivered.Attempts, delivered.Bytes})
	assert.Equal(t, map[inbox.State]int64{inbox.Waiting: 0, inbox.Delivering: 0, inbox.Delivered: 1, inbox.Dead: 0, inbox.Discarded: 0}, delivered.Events)
	assert.EqualValues(t, 1, byInbox["sales"].Events[inbox.Waiting])
	assert.Nil(t, byInbox["sales"].Delivery)
	assert.Len(t, all.Hours, 2)
	assert.WithinDuration(t, time.Now(), all.Until, time.Minute)
	assert.True(t, all.Since.IsZero())

	assert.Len(t, ask("?inbox=sales").Types, 1)
	assert.Len(t, ask("?type=post_call_audio").Types, 1)
	none := get(t, server, "/elevenlabs/inbox/stats?since="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	assert.Contains(t, none.text, `"types":[],"hours":[]`)
}
