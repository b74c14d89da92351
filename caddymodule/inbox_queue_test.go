package caddymodule

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// stuckProxy is a proxy that does not look at the request's context.
type stuckProxy struct{ begun, release chan struct{} }

func (p stuckProxy) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error {
	close(p.begun)
	<-p.release
	return nil
}

// queueFor returns the queue of an inbox for which a handler delivers.
func queueFor(h *Handler) *inboxQueue {
	q := &inboxQueue{Queue: inbox.Queue{Inbox: "default"}}
	q.destinations = []*destination{{Handler: h, to: h.backend, queue: q, metrics: newQueueMetrics(q.Queue)}}
	return q
}

func TestAnAttemptThatDoesNotEndInTimeIsAbandoned(t *testing.T) {
	h, logs := provision(t, &Handler{})
	proxy := stuckProxy{make(chan struct{}), make(chan struct{})}
	h.proxy = proxy
	h.ReverseProxyRaw = json.RawMessage("{}")
	q := queueFor(h)
	ctx, cancel := context.WithCancel(t.Context())
	outcome := make(chan inbox.Outcome)
	go func() {
		outcome <- q.Deliver(ctx, &inbox.Claim{Event: inbox.Event{Queue: q.Queue, Fields: "{}", Request: `{"uri":"/"}`}, Seq: 1, Attempt: 1}, new(inbox.StoredBody))
	}()
	<-proxy.begun
	cancel()
	assert.Equal(t, inbox.Outcome{Reason: "backend_timeout"}, <-outcome)
	assert.Equal(t, 1, logs.FilterMessageSnippet("attempt to deliver an event from the inbox failed: backend_timeout").Len())
	close(proxy.release)
}

// hanging is a listener of a database that never answers.
func hanging(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return "postgres://caddy@" + listener.Addr().String() + "/inbox"
}

func TestADatabaseThatHangsNeitherStopsCaddyNorIsOpenedTwiceAtOnce(t *testing.T) {
	d, err := joinDatabase(hanging(t), zap.NewNop())
	require.NoError(t, err)
	defer func() { assert.NoError(t, d.leave()) }()
	began := time.Now()
	require.NoError(t, d.start(zap.NewNop()))
	assert.Less(t, time.Since(began), 2*startTimeout)
	d.mu.Lock()
	opening := d.opening
	d.mu.Unlock()
	require.NotNil(t, opening, "the attempt goes on")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = d.open(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	d.mu.Lock()
	defer d.mu.Unlock()
	assert.Equal(t, opening, d.opening, "a request joins it")
}
