package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// The events for Caddy's events app. Their data describe the delivery, by the names
// of the admin API, and the failures in a row.
const (
	eventRejected  = "elevenlabs_webhook_rejected"
	eventFailing   = "elevenlabs_webhook_failing"
	eventRecovered = "elevenlabs_webhook_recovered"

	eventInboxDead = "elevenlabs_inbox_dead"
	eventInboxDown = "elevenlabs_inbox_backend_down"
	eventInboxUp   = "elevenlabs_inbox_backend_up"
)

// notifier emits events to Caddy's events app. A request never waits for it, since a
// handler of events may be slow. A nil notifier does nothing.
//
// Events of which many can come at once have a queue each: those about rejections, and
// about events of an inbox that are dead. All others keep their order.
type notifier struct {
	ctx    caddy.Context
	app    *caddyevents.App
	logger *zap.Logger

	alarms, rejections, dead queue
}

// queue holds the events that wait. While there are any, a goroutine emits them.
type queue struct {
	mu      sync.Mutex
	waiting []notice
	running bool
}

type notice struct {
	name string
	data map[string]any
}

// maxWaiting is how many events may wait in a queue. An event beyond it is logged and
// not emitted.
const maxWaiting = 256

// newNotifier returns nil if there is no events app, as in tests.
func newNotifier(ctx caddy.Context) (*notifier, error) {
	app, err := ctx.AppIfConfigured("events")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("getting the events app: %w", err)
	}
	return startNotifier(ctx, app.(*caddyevents.App), newSampled(ctx.Logger())), nil
}

// startNotifier makes a notifier that outlives its configuration, as requests may.
func startNotifier(ctx caddy.Context, app *caddyevents.App, logger *zap.Logger) *notifier {
	ctx.Context = context.WithoutCancel(ctx.Context)
	return &notifier{ctx: ctx, app: app, logger: logger}
}

// notify emits an event about one delivery.
func (n *notifier) notify(name string, e *event) {
	if n.wanted(name) {
		n.send(&n.rejections, notice{name, e.data()})
	}
}

// notifyStreak emits an event about failures in a row.
func (n *notifier) notifyStreak(name string, r deliveries.Raised, e *event) {
	if n.wanted(name) {
		data := e.data()
		data["secret"] = r.Secret
		data["failures_in_row"] = r.FailuresInRow
		data["failing_since"] = r.FailingSince
		data["last_success"] = r.LastSuccess
		n.send(&n.alarms, notice{name, data})
	}
}

// notifyInbox emits an event about an inbox.
func (n *notifier) notifyInbox(name string, of inbox.Queue, more map[string]any) {
	if n.wanted(name) {
		data := map[string]any{"inbox": of.Inbox, "destination": of.Destination}
		maps.Copy(data, more)
		q := &n.alarms
		if name == eventInboxDead {
			q = &n.dead
		}
		n.send(q, notice{name, data})
	}
}

func (n *notifier) wanted(name string) bool { return n != nil && n.app.ShouldEmit(name) }

// send lets an event wait. The message of a dropped event has its name, since the
// logger samples by message.
func (n *notifier) send(q *queue, next notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == maxWaiting {
		n.logger.Warn("event not emitted, since the queue of events is full: " + next.name)
		return
	}
	q.waiting = append(q.waiting, next)
	if !q.running {
		q.running = true
		go n.run(q)
	}
}

// run emits the events of a queue while there are any.
func (n *notifier) run(q *queue) {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.running = false
			q.mu.Unlock()
			return
		}
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		n.emit(next)
	}
}

// emit recovers if a handler of events panics, as Caddy does within a request.
func (n *notifier) emit(next notice) {
	defer func() {
		if reason := recover(); reason != nil {
			n.logger.Error("a handler of events panicked", zap.String("name", next.name), zap.Any("panic", reason), zap.Stack("stack"))
		}
	}()
	n.app.Emit(n.ctx, next.name, next.data)
}

// data returns the data of Caddy's events about a delivery.
func (e *event) data() map[string]any {
	data := map[string]any{
		"handler":         e.Handler,
		"secret":          e.Secret,
		"result":          string(e.Result),
		"reason":          e.Reason,
		"client_ip":       e.ClientIP,
		"upstream_status": e.UpstreamStatus,
		"size":            e.Size,
		"time":            e.Time,
	}
	for i := range deliveries.IdentityFields {
		data[deliveries.IdentityFields[i].Name] = deliveries.IdentityFields[i].Value(&e.Event)
	}
	return data
}
