package inbox

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// options are those of a runner that tries again soon.
func options() Options {
	return Options{
		Queue: testQueue, Destinations: []string{""}, Concurrency: 16, Timeout: time.Minute, Retry: []time.Duration{10 * time.Millisecond}, GiveUp: time.Hour,
		Retention: Retention{Delivered: time.Hour, Remember: time.Hour, Dead: time.Hour, Limit: noLimit},
	}
}

// backend is a Deliverer that answers as it is told.
type backend struct {
	t       testing.TB
	answers func(context.Context, *Claim) Outcome

	begun    chan *Claim
	canceled chan error // causes
	settled  chan State
	troubles chan error

	mu       sync.Mutex
	got      map[string]int // bodies that came whole, by the event's ID
	attempts []time.Time
	downs    int
	ups      []time.Duration
}

func newBackend(t testing.TB) *backend {
	return &backend{
		t: t, got: map[string]int{},
		answers:  func(context.Context, *Claim) Outcome { return taken },
		begun:    make(chan *Claim, 10_000),
		canceled: make(chan error, 10_000),
		settled:  make(chan State, 10_000),
		troubles: make(chan error, 10_000),
	}
}

// hang answers nothing until the delivery is canceled.
func hang(ctx context.Context, _ *Claim) Outcome {
	<-ctx.Done()
	return Outcome{Unreachable: true}
}

func (b *backend) Deliver(ctx context.Context, c *Claim, body *StoredBody) Outcome {
	read, err := io.Copy(io.Discard, body.NewReader())
	if err == nil {
		assert.Equal(b.t, c.Size, read)
	}
	b.mu.Lock()
	b.got[c.ID]++
	b.attempts = append(b.attempts, time.Now())
	b.mu.Unlock()
	b.begun <- c
	o := b.answers(ctx, c)
	if ctx.Err() != nil {
		b.canceled <- context.Cause(ctx)
	}
	return o
}

func (b *backend) Settled(_ *Claim, _ Outcome, state State) { b.settled <- state }
func (b *backend) GivenUp(Queue, int)                       {}
func (b *backend) Trouble(_ string, err error)              { b.troubles <- err }

func (b *backend) BackendDown(*Claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.downs++
}

func (b *backend) BackendUp(down time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ups = append(b.ups, down)
}
