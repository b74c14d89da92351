package inbox

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type bytesBody struct{ *bytes.Reader }

func (b bytesBody) Size() int64 { return b.Reader.Size() }

type fake struct {
	mu   sync.Mutex
	got  map[string]int
	fail bool
	t    *testing.T
	n    chan State
}

func (f *fake) Deliver(ctx context.Context, c *Claim, body *StoredBody) Outcome {
	all, err := io.ReadAll(body.NewReader())
	require.NoError(f.t, err)
	require.Len(f.t, all, int(c.Size))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got[c.ID]++
	if f.fail {
		return Outcome{Status: 500, Reason: "backend_answer"}
	}
	return Outcome{Taken: true, Status: 200}
}
func (f *fake) Settled(c *Claim, o Outcome, state State) { f.n <- state }
func (f *fake) BackendDown(c *Claim)                     {}
func (f *fake) BackendUp(down time.Duration)             {}
func (f *fake) Trouble(doing string, err error)          { f.t.Log(doing, err) }

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "inbox.db"))
	require.NoError(t, err)
	f := &fake{got: map[string]int{}, t: t, n: make(chan State, 100)}
	r := s.Start(Options{Inbox: "default", Concurrency: 4, Timeout: time.Minute, Retry: []time.Duration{time.Second}, GiveUp: time.Hour, Retention: Retention{Delivered: time.Hour, Remember: time.Hour, Dead: time.Hour, Limit: 1 << 30}}, f)
	start := time.Now()
	repeat, err := s.Accept(ctx, Event{Inbox: "default", ID: "aa", ConversationID: "c1"}, bytesBody{bytes.NewReader([]byte("hello"))}, 1<<30)
	require.NoError(t, err)
	require.False(t, repeat)
	require.Equal(t, Delivered, <-f.n)
	t.Log(time.Since(start))
	repeat, err = s.Accept(ctx, Event{Inbox: "default", ID: "aa"}, bytesBody{bytes.NewReader([]byte("hello"))}, 1<<30)
	require.NoError(t, err)
	require.True(t, repeat)
	start = time.Now()
	repeat, err = s.Accept(ctx, Event{Inbox: "default", ID: "bb", ConversationID: "c2"}, bytesBody{bytes.NewReader(make([]byte, 10<<20))}, 1<<30)
	require.NoError(t, err)
	require.False(t, repeat)
	require.Equal(t, Delivered, <-f.n)
	t.Log(time.Since(start))
	entries, err := s.List(ctx, Selection{}, 10)
	require.NoError(t, err)
	t.Logf("%+v", entries)
	n, err := s.Redeliver(ctx, Selection{State: Delivered})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	<-f.n
	<-f.n
	n, err = s.Forget(ctx, Selection{ConversationID: "c2"})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	counts, err := s.Counts(ctx)
	require.NoError(t, err)
	t.Logf("%+v", counts)
	require.NoError(t, s.sweep(ctx, "default", Retention{}))
	r.Stop(time.Second)
	require.NoError(t, s.Close())
}
