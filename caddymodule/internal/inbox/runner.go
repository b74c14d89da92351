package inbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Options are how the events of an inbox are delivered, and how long they stay.
type Options struct {
	Queue
	// Destinations are all destinations of the inbox. The runner of the first one deletes
	// what is past its retention, and gives up what waits for none of them.
	Destinations []string
	// Concurrency is how many deliveries run at once.
	Concurrency int
	// Timeout bounds an attempt, with a second more for each MiB.
	Timeout time.Duration
	// Retry are the pauses after the attempts. The last one repeats.
	Retry []time.Duration
	// GiveUp is how long after receipt, or after it was sent again, an event is dead.
	GiveUp time.Duration
	Retention
}

// AttemptTimeout returns how long an attempt may take with a body of a size.
func (o *Options) AttemptTimeout(size int64) time.Duration {
	return o.Timeout + time.Duration(size>>20)*time.Second
}

// MaxRetryAfter is the longest pause that a backend can ask for.
const MaxRetryAfter = 24 * time.Hour

// unreachablePause is the longest pause of an event whose backend was unreachable.
const unreachablePause = time.Minute

const (
	pollEvery  = time.Second
	sweepEvery = time.Minute
	// usedEvery is how often the bytes in use are read anew.
	usedEvery = 10 * time.Second
	// usedShare bounds the share of the time in which the database reads that.
	usedShare = 200
)

// Deliverer delivers events, and learns what becomes of them.
type Deliverer interface {
	// Deliver makes one attempt. The context ends with the attempt's time, and with the
	// cause ErrInterrupted if the outcome is not wanted any more.
	Deliver(ctx context.Context, c *Claim, body *StoredBody) Outcome
	// Settled is called when an outcome is stored, with the state of the event after it.
	Settled(c *Claim, o Outcome, state State)
	// BackendDown and BackendUp are called when the backend became unreachable, and
	// when it answered again after that time.
	BackendDown(c *Claim)
	BackendUp(down time.Duration)
	// GivenUp is called when events were given up since their queue is none of the inbox's
	// destinations any more.
	GivenUp(q Queue, events int)
	// Trouble is called for an error of the database that stops nothing.
	Trouble(doing string, err error)
}

// ErrInterrupted is the cause of the end of a delivery that has no outcome.
var ErrInterrupted = errors.New("the delivery was interrupted")

// Runner delivers the events of one queue.
type Runner struct {
	store   *Store
	options Options
	deliver Deliverer
	queue   queue

	freed    chan struct{}
	stopping chan struct{}
	stopOnce sync.Once
	claims   sync.WaitGroup // the loop that begins attempts
	attempts sync.WaitGroup
	others   sync.WaitGroup // the other loops

	mu      sync.Mutex
	current map[*Claim]*delivery
	renewed time.Time
}

// delivery is an attempt under way.
type delivery struct {
	cancel context.CancelCauseFunc
	begun  time.Time
}

// Start begins to deliver.
func (s *Store) Start(o Options, d Deliverer) *Runner {
	r := &Runner{
		store: s, options: o, deliver: d,
		freed: make(chan struct{}, 1), stopping: make(chan struct{}),
		current: map[*Claim]*delivery{}, renewed: time.Now(),
	}
	r.claims.Go(r.claimLoop)
	r.others.Go(r.renewLoop)
	if o.Destination == o.Destinations[0] {
		r.others.Go(r.sweepLoop)
	}
	return r
}

// Stop ends the runner. It claims no more, gives deliveries under way so much time, and
// then cancels them and puts their events back.
func (r *Runner) Stop(grace time.Duration) {
	r.stopClaiming()
	timer := time.AfterFunc(grace, func() { r.interrupt(func(*delivery) bool { return true }) })
	defer timer.Stop()
	r.Drain()
}

// Drain ends the runner. It claims no more, and waits for the deliveries under way.
func (r *Runner) Drain() {
	r.stopClaiming()
	r.attempts.Wait()
	r.others.Wait()
}

// stopClaiming ends the loop that begins attempts.
func (r *Runner) stopClaiming() {
	r.stopOnce.Do(func() { close(r.stopping) })
	r.claims.Wait()
}

// DownSince returns since when the backend is unreachable, or the zero time.
func (r *Runner) DownSince() time.Time { return r.queue.downSince() }

func (r *Runner) stopped() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// claimLoop claims as many events as there are free places, while there are any.
func (r *Runner) claimLoop() {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	wake := r.store.wake(r.options.Queue)
	defer r.store.awaken(r.options.Queue) // the next runner, if it is there
	for more := true; !r.stopped(); {
		if more {
			more = r.claim()
		}
		select {
		case <-r.stopping:
		case <-wake:
			more = true
		case <-r.freed:
		case <-tick.C:
			more = more || r.isDue()
		}
	}
}

// claim begins deliveries. It reports whether more events may be due.
func (r *Runner) claim() (more bool) {
	r.mu.Lock()
	free := r.options.Concurrency - len(r.current)
	r.mu.Unlock()
	free = r.queue.allowed(free, time.Now())
	if free <= 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(r.store.ended, statementTimeout)
	defer cancel()
	r.store.claiming.RLock()
	defer r.store.claiming.RUnlock()
	claims, err := r.store.claim(ctx, r.options.Queue, free)
	if err != nil {
		r.trouble("claiming events", err)
		return false // the next tick looks again
	}
	epoch := r.queue.begin(len(claims))
	for _, c := range claims {
		r.begin(c, epoch)
	}
	return len(claims) == free
}

func (r *Runner) isDue() bool {
	ctx, cancel := context.WithTimeout(r.store.ended, statementTimeout)
	defer cancel()
	due, err := r.store.due(ctx, r.options.Queue)
	if err != nil {
		r.trouble("looking for events", err)
	}
	return due
}

func (r *Runner) trouble(doing string, err error) {
	if r.store.ended.Err() == nil {
		r.deliver.Trouble(doing, err)
	}
}

// begin begins one delivery.
func (r *Runner) begin(c *Claim, epoch int) {
	ctx, cancel := context.WithCancelCause(r.store.ended)
	d := &delivery{cancel, time.Now()}
	r.mu.Lock()
	r.current[c] = d
	r.mu.Unlock()
	r.store.mu.Lock()
	r.store.deliveries[c.Seq] = d
	r.store.mu.Unlock()
	r.attempts.Go(func() {
		defer r.end(c, d)
		r.attempt(ctx, c, epoch)
	})
}

func (r *Runner) end(c *Claim, d *delivery) {
	d.cancel(nil)
	r.mu.Lock()
	delete(r.current, c)
	r.mu.Unlock()
	r.store.mu.Lock()
	if r.store.deliveries[c.Seq] == d { // else the claim was lost, and the event claimed again
		delete(r.store.deliveries, c.Seq)
	}
	r.store.mu.Unlock()
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// attempt delivers an event once, and stores the outcome.
func (r *Runner) attempt(ctx context.Context, c *Claim, epoch int) {
	limit, cancel := context.WithTimeout(ctx, r.options.AttemptTimeout(c.Size))
	defer cancel()
	start := time.Now()
	outcome := r.deliver.Deliver(limit, c, r.store.Body(c.BodySeq, c.Size))
	outcome.Duration = time.Since(start)
	if cause := context.Cause(ctx); cause != nil && !outcome.Taken {
		r.queue.giveBack(epoch)
		r.putBack(c, cause)
		return
	}
	r.note(c, epoch, outcome)
	r.settle(ctx, c, outcome)
}

// note tells the queue what an attempt says of the backend.
func (r *Runner) note(c *Claim, epoch int, o Outcome) {
	if !o.Unreachable && !o.Taken && o.Status == 0 { // neither an answer nor a failed connection
		r.queue.giveBack(epoch)
		return
	}
	switch change, down := r.queue.end(epoch, o.Unreachable, time.Now()); change {
	case wentDown:
		r.deliver.BackendDown(c)
	case cameUp:
		r.deliver.BackendUp(down)
	case same:
	}
}

// putBack ends a claim without an outcome, except if it was lost.
func (r *Runner) putBack(c *Claim, cause error) {
	if errors.Is(cause, errForgotten) || errors.Is(cause, errClaimLost) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.store.ended), statementTimeout)
	defer cancel()
	if err := r.store.release(ctx, c); err != nil {
		r.trouble("putting an event back", err) // its lease will run out
	}
}

// settle stores an outcome. It tries again until the delivery is canceled, as it is
// before its lease ends.
func (r *Runner) settle(ctx context.Context, c *Claim, o Outcome) {
	retry := schedule{pause: r.pause(c, o), giveUp: r.options.GiveUp}
	for {
		limit, cancel := context.WithTimeout(r.store.ended, statementTimeout)
		state, err := r.store.settle(limit, c, o, retry)
		cancel()
		switch {
		case err == nil:
			r.deliver.Settled(c, o, state)
			return
		case errors.Is(err, errClaimLost), errors.Is(err, ErrClosed):
			return
		}
		r.trouble("storing the outcome of a delivery", err)
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return
		}
	}
}

// pause returns how long an event waits after a failed attempt.
func (r *Runner) pause(c *Claim, o Outcome) time.Duration {
	index := min(max(c.tries, 1), len(r.options.Retry)) - 1
	pause := r.options.Retry[index]
	pause += time.Duration((rand.Float64() - .5) / 5 * float64(pause)) //nolint:gosec // ± 10 %, no secret
	if o.Unreachable {
		pause = min(pause, unreachablePause)
	}
	return max(pause, min(o.RetryAfter, MaxRetryAfter))
}

// longest returns the longest pause that an event can have.
func (r *Runner) longest() time.Duration {
	longest := slices.Max(r.options.Retry)
	return max(longest+longest/10, MaxRetryAfter)
}

// renewLoop keeps the claims.
func (r *Runner) renewLoop() {
	renew, check := time.NewTicker(renewEvery), time.NewTicker(time.Second)
	defer renew.Stop()
	defer check.Stop()
	done := make(chan struct{})
	go func() {
		r.claims.Wait()
		r.attempts.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		case <-check.C:
			r.interrupt(r.unrenewed)
		case <-renew.C:
			r.renew()
		}
	}
}

func (r *Runner) renew() {
	r.mu.Lock()
	claims := make([]*Claim, 0, len(r.current))
	for c := range r.current {
		claims = append(claims, c)
	}
	r.mu.Unlock()
	start := time.Now()
	ctx, cancel := context.WithTimeout(r.store.ended, statementTimeout)
	defer cancel()
	lost, err := r.store.renew(ctx, claims)
	if err != nil {
		r.trouble("renewing claims", err)
		return
	}
	r.mu.Lock()
	r.renewed = start
	for _, c := range lost {
		if d, ok := r.current[c]; ok {
			d.cancel(errClaimLost)
		}
	}
	r.mu.Unlock()
	if err := r.store.free(ctx, r.options.Queue, r.longest()); err != nil {
		r.trouble("freeing claims that ran out", err)
	}
	if err := r.store.intact(); err != nil {
		r.trouble("storing events", err)
	}
}

// unrenewed reports whether a claim could not be renewed for so long that another
// process may soon take the event. The runner's lock is held.
func (r *Runner) unrenewed(d *delivery) bool {
	last := d.begun
	if r.renewed.After(last) {
		last = r.renewed
	}
	return time.Since(last) > renewWithin
}

// interrupt cancels deliveries.
func (r *Runner) interrupt(which func(*delivery) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.current {
		if which(d) {
			d.cancel(ErrInterrupted)
		}
	}
}

// sweepLoop deletes what is past its retention, and reads anew what is in use.
func (r *Runner) sweepLoop() {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	used := time.NewTimer(usedEvery)
	defer used.Stop()
	ctx, cancel := context.WithCancel(r.store.ended)
	defer cancel()
	go func() {
		select {
		case <-r.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-used.C:
			start := time.Now()
			if err := r.store.refreshUsed(ctx); err != nil && ctx.Err() == nil {
				r.trouble("reading the size of the inbox", err)
			}
			used.Reset(max(usedEvery, usedShare*time.Since(start)))
			if r.store.crowded(r.options.Inbox, r.options.Limit) == 0 {
				continue
			}
		case <-sweep.C:
		}
		given, err := r.store.giveUpOrphans(ctx, r.options.Inbox, r.options.Destinations, r.options.GiveUp)
		for q, events := range given {
			r.deliver.GivenUp(q, events)
		}
		if err == nil {
			err = r.store.sweep(ctx, r.options.Inbox, r.options.Retention)
		}
		if err != nil && ctx.Err() == nil {
			r.trouble("deleting what is past its retention", err)
		}
	}
}
