package deliveries

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Capacity is how many deliveries are kept of those that are proven, and as many
// again of the others: whoever sends forgeries cannot push out what is genuine.
const Capacity = 256

// Log keeps the last deliveries and hands new ones to whoever follows it.
type Log struct {
	mu             sync.Mutex
	sequence       uint64
	proven, others ring
	followers      map[*Follower]struct{}
}

// NewLog makes a log whose sequence begins at the time.
func NewLog(now time.Time) *Log {
	return &Log{sequence: uint64(now.UnixMicro()), followers: map[*Follower]struct{}{}}
}

// ring holds the last Capacity deliveries.
type ring struct {
	kept [Capacity]Delivery
	next int // the oldest, once it is full
	full bool
}

func (r *ring) add(d Delivery) {
	r.kept[r.next] = d
	r.next++
	if r.next == Capacity {
		r.next, r.full = 0, true
	}
}

// all returns a copy, oldest first.
func (r *ring) all() []Delivery {
	if !r.full {
		return slices.Clone(r.kept[:r.next])
	}
	return slices.Concat(r.kept[r.next:], r.kept[:r.next])
}

// Add keeps a delivery and returns it with its sequence.
func (l *Log) Add(d Delivery) Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	d.Sequence = l.sequence
	if d.Proven {
		l.proven.add(d)
	} else {
		l.others.add(d)
	}
	for f := range l.followers {
		if !f.filter.matches(d) {
			continue
		}
		select {
		case f.c <- d:
		default: // it does not keep up: it has to come again
			l.drop(f)
		}
	}
	return d
}

// all returns a copy of what is kept, in no order.
func (l *Log) all() []Delivery { return append(l.proven.all(), l.others.all()...) }

// Filter selects deliveries. An empty field selects all.
type Filter struct {
	Result Result
	Type   string
	// After is the sequence after which they came.
	After uint64
	// Limit is how many of the last; 0 is all that are kept.
	Limit int
}

func (f Filter) matches(d Delivery) bool {
	return (f.Result == "" || d.Result == f.Result) && (f.Type == "" || d.EventType == f.Type) && d.Sequence > f.After
}

// Last returns what is kept of the deliveries that a filter selects, oldest
// first.
func (l *Log) Last(filter Filter) []Delivery {
	l.mu.Lock()
	all := l.all()
	l.mu.Unlock()
	return filter.last(all)
}

func (f Filter) last(all []Delivery) []Delivery {
	all = slices.DeleteFunc(all, func(d Delivery) bool { return !f.matches(d) })
	slices.SortFunc(all, func(a, b Delivery) int { return cmp.Compare(a.Sequence, b.Sequence) })
	if f.Limit > 0 && len(all) > f.Limit {
		all = all[len(all)-f.Limit:]
	}
	return all
}

// Follower gets deliveries as they come.
type Follower struct {
	// C is closed if the follower does not keep up.
	C      <-chan Delivery
	c      chan Delivery
	filter Filter
}

// Follow returns what Last returns, and a follower for all that comes after it.
func (l *Log) Follow(filter Filter) ([]Delivery, *Follower) {
	c := make(chan Delivery, Capacity)
	f := &Follower{C: c, c: c, filter: filter}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers[f] = struct{}{}
	return filter.last(l.all()), f
}

// Unfollow ends a follower.
func (l *Log) Unfollow(f *Follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(f)
}

func (l *Log) drop(f *Follower) {
	if _, follows := l.followers[f]; follows {
		delete(l.followers, f)
		close(f.c)
	}
}
