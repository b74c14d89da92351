package caddymodule

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// databases are the databases of the process, by their locations. A reload goes on with
// those that both configurations use.
var databases = caddy.NewUsagePool()

// database is a database of inboxes, open or not yet.
type database struct {
	location string
	logger   atomic.Pointer[zap.Logger]
	ended    context.Context
	end      context.CancelFunc

	mu       sync.Mutex
	store    *inbox.Store  // nil until it is open
	opening  chan struct{} // closed when the attempt that is under way ends; nil without one
	problem  error         // of the last attempt
	retrying bool          // retry runs, and nobody else opens the database
	queues   map[inbox.Queue]*inboxQueue
}

// joinDatabase returns the database of a location. It opens nothing.
func joinDatabase(location string, logger *zap.Logger) (*database, error) {
	db, _, err := databases.LoadOrNew(location, func() (caddy.Destructor, error) {
		db := &database{location: location, queues: map[inbox.Queue]*inboxQueue{}}
		db.logger.Store(logger)
		db.ended, db.end = context.WithCancel(context.Background())
		return db, nil
	})
	if err != nil {
		return nil, err
	}
	return db.(*database), nil
}

// leave gives the database back. The last one closes it.
func (d *database) leave() error {
	_, err := databases.Delete(d.location)
	return err
}

// Destruct closes the database.
func (d *database) Destruct() error {
	d.end()
	d.mu.Lock()
	store := d.store
	d.mu.Unlock()
	if store == nil {
		return nil
	}
	return store.Close()
}

// queue returns a queue in the database.
func (d *database) queue(name inbox.Queue) *inboxQueue {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queues[name]
	if q == nil {
		q = &inboxQueue{database: d, Queue: name}
		d.queues[name] = q
	}
	return q
}

const (
	// openTimeout bounds one attempt to open a database.
	openTimeout = 30 * time.Second
	// startTimeout is how long Caddy's start waits for a database.
	startTimeout = 5 * time.Second
	// openEvery is how often a database that could not be opened is tried again.
	openEvery = 10 * time.Second
)

// open returns the open database. The first call opens it: apps start in any order, so
// a request may come before App.Start.
func (d *database) open(ctx context.Context) (*inbox.Store, error) {
	d.mu.Lock()
	if d.store != nil || d.retrying || d.ended.Err() != nil {
		defer d.mu.Unlock()
		return d.state()
	}
	ended := d.tryOpen()
	d.mu.Unlock()
	select {
	case <-ended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state()
}

// state returns the open database, or why it is not open. The lock must be held.
func (d *database) state() (*inbox.Store, error) {
	switch {
	case d.ended.Err() != nil:
		return nil, inbox.ErrClosed
	case d.store == nil:
		return nil, d.problem
	}
	return d.store, nil
}

// tryOpen begins an attempt to open the database, if none is under way. It returns a
// channel that is closed when the attempt ends. The lock must be held, and the database
// must not be open.
func (d *database) tryOpen() (ended <-chan struct{}) {
	if d.opening == nil {
		d.opening = make(chan struct{})
		go d.openOnce(d.opening)
	}
	return d.opening
}

// openOnce opens the database, and starts what waits for it. If that fails, somebody
// tries again and again.
func (d *database) openOnce(ended chan struct{}) {
	ctx, cancel := context.WithTimeout(d.ended, openTimeout)
	defer cancel()
	var err error
	var store *inbox.Store
	if folder := filepath.Dir(d.location); folder == defaultFolder() {
		err = os.MkdirAll(folder, 0o700) //nolint:gosec // the configuration names it
	}
	if err == nil {
		store, err = inbox.Open(ctx, d.location)
	}
	if err == nil {
		if risk, err := store.Risk(ctx); err == nil && risk != "" {
			d.log().Warn("the inbox's database is not safe", zap.String("database", inbox.Shown(d.location)), zap.String("problem", risk))
		}
	}
	d.mu.Lock()
	if err == nil && d.ended.Err() != nil { // Destruct did not see it
		_ = store.Close()
		store, err = nil, inbox.ErrClosed
	}
	d.opening, d.problem, d.store = nil, err, store
	if err != nil && !d.retrying && d.ended.Err() == nil {
		d.retrying = true
		go d.retry()
	}
	queues := slices.Collect(maps.Values(d.queues))
	d.mu.Unlock()
	close(ended)
	if err == nil {
		for _, q := range queues {
			q.adjust()
		}
	}
}

// retry tries to open the database until it is open, or given back.
func (d *database) retry() {
	tick := time.NewTicker(openEvery)
	defer tick.Stop()
	for last := ""; ; {
		select {
		case <-d.ended.Done():
			return
		case <-tick.C:
		}
		d.mu.Lock()
		ended := d.tryOpen()
		d.mu.Unlock()
		<-ended
		d.mu.Lock()
		d.retrying = d.store == nil
		retrying, problem := d.retrying, d.problem
		d.mu.Unlock()
		if !retrying {
			d.log().Info("the inbox can be reached again", zap.String("database", inbox.Shown(d.location)))
			return
		}
		if problem.Error() != last {
			last = problem.Error()
			d.log().Warn("the inbox cannot be reached: events are forwarded at once until it can", zap.Error(problem))
		}
	}
}

// start opens the database. If it may be there later, start only logs that.
func (d *database) start(logger *zap.Logger) error {
	d.logger.Store(logger)
	ctx, cancel := context.WithTimeout(d.ended, startTimeout)
	defer cancel()
	_, err := d.open(ctx)
	if err != nil && !errors.Is(err, inbox.ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if err != nil {
		logger.Warn("the inbox cannot be reached: events are forwarded at once until it can", zap.Error(err))
	}
	return nil
}

// log returns the logger of the newest configuration.
func (d *database) log() *zap.Logger { return d.logger.Load() }

// opened returns the database if it is open, or nil.
func (d *database) opened() *inbox.Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.store
}

// logLeftovers warns of events that nobody delivers, since their inbox or destination was
// renamed or taken out.
func (d *database) logLeftovers() {
	store := d.opened()
	if store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(d.ended, storeTimeout)
	defer cancel()
	counts, err := store.Counts(ctx)
	if err != nil {
		return // the runners say so
	}
	for q, count := range counts {
		waiting := count.States[inbox.Waiting] + count.States[inbox.Dead]
		if waiting > 0 && !d.queue(q).served() {
			d.log().Warn("an inbox has events and no handler: add a handler with this inbox and destination, or let the command discard or forget the events",
				append(queueFields(q), zap.Int64("events", waiting), zap.String("database", inbox.Shown(d.location)))...)
		}
	}
}

// inboxQueue is an inbox, or one of its destinations. Its runner belongs to the process.
// The newest configuration delivers, so that a reload makes no gap and no second runner.
type inboxQueue struct {
	inbox.Queue
	database *database
	bypassed atomic.Int64 // events that were forwarded at once

	mu           sync.Mutex
	destinations []*destination // the last one delivers
	runner       *inbox.Runner
	options      inbox.Options   // of the runner
	retired      []*inbox.Runner // that still have deliveries under way
	ending       bool            // the last destination leaves
}

// queueFields are the fields of a log line about a queue.
func queueFields(q inbox.Queue) []zap.Field {
	fields := []zap.Field{zap.String("inbox", q.Inbox)}
	if q.Destination != "" {
		fields = append(fields, zap.String("destination", q.Destination))
	}
	return fields
}

// finalGrace is how long deliveries may go on when Caddy ends.
const finalGrace = 10 * time.Second

// add puts a destination on top.
func (q *inboxQueue) add(d *destination) {
	q.mu.Lock()
	q.destinations = append(q.destinations, d)
	q.mu.Unlock()
	q.adjust()
}

// remove takes a destination away. If it is the last one, remove waits until all
// deliveries have ended.
func (q *inboxQueue) remove(d *destination) {
	q.mu.Lock()
	if !slices.Contains(q.destinations, d) {
		q.mu.Unlock()
		return
	}
	if len(q.destinations) > 1 {
		q.destinations = slices.DeleteFunc(q.destinations, func(other *destination) bool { return other == d })
		q.mu.Unlock()
		q.adjust()
		return
	}
	q.ending = true
	q.retire()
	retired := q.retired
	q.retired = nil
	q.mu.Unlock()

	var ending sync.WaitGroup // deliveries still ask for the destination
	for _, runner := range retired {
		ending.Go(func() { runner.Stop(finalGrace) })
	}
	ending.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.destinations, q.ending = nil, false
}

// adjust lets the runner have the options of the destination on top. One with other options
// claims no more, and ends with its deliveries.
func (q *inboxQueue) adjust() {
	store := q.database.opened()
	q.mu.Lock()
	defer q.mu.Unlock()
	if store == nil || q.ending || len(q.destinations) == 0 {
		return
	}
	options := q.top().options
	if q.runner != nil && reflect.DeepEqual(options, q.options) {
		return
	}
	q.retire()
	q.options, q.runner = options, store.Start(options, q)
}

// retire lets the runner claim no more. The lock must be held.
func (q *inboxQueue) retire() {
	if q.runner == nil {
		return
	}
	runner := q.runner
	q.runner = nil
	q.retired = append(q.retired, runner)
	go func() {
		runner.Drain()
		q.mu.Lock()
		defer q.mu.Unlock()
		q.retired = slices.DeleteFunc(q.retired, func(other *inbox.Runner) bool { return other == runner })
	}()
}

func (q *inboxQueue) top() *destination { return q.destinations[len(q.destinations)-1] }

// current returns the destination that delivers. The runner ends before the last one
// leaves.
func (q *inboxQueue) current() *destination {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.top()
}

// served reports whether a configuration delivers.
func (q *inboxQueue) served() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.destinations) > 0
}

// abandonAfter is how long an attempt may go on when its time is over.
const abandonAfter = 3 * time.Second

// Deliver implements inbox.Deliverer. Some attempts do not end with their context: the
// transport for FastCGI looks at it only while it connects, and lb_try_duration not at
// all. Deliver then abandons them. The next attempt may find them still at work.
func (q *inboxQueue) Deliver(ctx context.Context, c *inbox.Claim, body *inbox.StoredBody) inbox.Outcome {
	d := q.current()
	done := make(chan inbox.Outcome, 1)
	go func() { done <- d.deliverStored(ctx, c, body) }()
	select {
	case outcome := <-done:
		return outcome
	case <-ctx.Done():
	}
	timer := time.NewTimer(abandonAfter)
	defer timer.Stop()
	select {
	case outcome := <-done:
		return outcome
	case <-timer.C:
	}
	return d.failed(c, facts.BackendTimeout, context.Cause(ctx))
}

// Settled implements inbox.Deliverer.
func (q *inboxQueue) Settled(c *inbox.Claim, o inbox.Outcome, state inbox.State) {
	q.current().settled(c, o, state)
}

// BackendDown implements inbox.Deliverer.
func (q *inboxQueue) BackendDown(*inbox.Claim) {
	d := q.current()
	d.logger.Warn("the backend of an inbox is unreachable: events wait, and one at a time is tried", queueFields(q.Queue)...)
	d.notifier.notifyInbox(eventInboxDown, q.Queue, nil)
}

// BackendUp implements inbox.Deliverer.
func (q *inboxQueue) BackendUp(down time.Duration) {
	d := q.current()
	d.logger.Warn("the backend of an inbox answers again", append(queueFields(q.Queue), zap.Duration("down", down))...)
	d.notifier.notifyInbox(eventInboxUp, q.Queue, map[string]any{"down_seconds": down.Seconds()})
}

// GivenUp implements inbox.Deliverer.
func (q *inboxQueue) GivenUp(gone inbox.Queue, events int) {
	q.current().logger.Error("events are given up, since their destination was renamed or taken out: let the command redeliver them to another one, or discard them",
		append(queueFields(gone), zap.Int("events", events))...)
}

// Trouble implements inbox.Deliverer.
func (q *inboxQueue) Trouble(doing string, err error) {
	q.current().sampledElevenLabs.Error("the database of an inbox fails: "+doing, append(queueFields(q.Queue), zap.Error(err))...)
}

var _ inbox.Deliverer = (*inboxQueue)(nil)
