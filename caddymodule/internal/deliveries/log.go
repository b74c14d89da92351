package deliveries

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Capacity is how many deliveries the log keeps of each kind: those that are proven,
// others that came from an address of ElevenLabs, and the rest. So forgeries cannot
// push out what ElevenLabs sent.
const Capacity = 256

// Log keeps the last deliveries and sends new ones to its followers.
type Log struct {
	mu        sync.Mutex
	sequence  uint64
	proven    ring // without replays
	addressed ring // from an address of ElevenLabs, and not proven
	others    ring
	followers map[*Follower]struct{}
}

// NewLog makes a log. Its sequence begins at the time, in microseconds.
func NewLog(now time.Time) *Log {
	return &Log{sequence: uint64(now.UnixMicro()), followers: map[*Follower]struct{}{}}
}

// ring holds the last Capacity deliveries.
type ring struct {
	kept [Capacity]Delivery
	next int // the oldest, if full
	full bool
}

func (r *ring) add(d *Delivery) {
	r.kept[r.next] = *d
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

// Add gives a delivery its sequence and keeps a copy.
func (l *Log) Add(d *Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	d.Sequence = l.sequence
	switch {
	case d.Proven && !d.Replay:
		l.proven.add(d)
	case d.FromElevenLabs:
		l.addressed.add(d)
	default:
		l.others.add(d)
	}
	for f := range l.followers {
		if !f.filter.matches(d) {
			continue
		}
		select {
		case f.c <- *d:
		default: // the follower does not keep up, and must connect again
			l.drop(f)
		}
	}
}

// all returns a copy of all deliveries that are kept, in no order.
func (l *Log) all() []Delivery {
	all := append(l.proven.all(), l.addressed.all()...)
	return append(all, l.others.all()...)
}

// Filter selects deliveries. An empty field selects all.
type Filter struct {
	Result Result
	// Types selects events of any of these types.
	Types []string
	// After selects deliveries with a higher sequence.
	After uint64
	// Limit is the number of deliveries, the last ones; 0 means all.
	Limit int
}

func (f *Filter) matches(d *Delivery) bool {
	return (f.Result == "" || d.Result == f.Result) && (len(f.Types) == 0 || slices.Contains(f.Types, d.EventType)) && d.Sequence > f.After
}

// Last returns the deliveries that are kept and that the filter selects, oldest
// first.
func (l *Log) Last(filter Filter) []Delivery {
	l.mu.Lock()
	all := l.all()
	l.mu.Unlock()
	return filter.last(all)
}

func (f *Filter) last(all []Delivery) []Delivery {
	all = slices.DeleteFunc(all, func(d Delivery) bool { return !f.matches(&d) })
	slices.SortFunc(all, func(a, b Delivery) int { return cmp.Compare(a.Sequence, b.Sequence) })
	if f.Limit > 0 && len(all) > f.Limit {
		all = all[len(all)-f.Limit:]
	}
	return all
}

// Follower receives deliveries as they come.
type Follower struct {
	// C is closed if the follower does not keep up, and by Unfollow.
	C      <-chan Delivery
	c      chan Delivery
	filter Filter
}

// Follow returns what Last returns, and a follower that receives every later
// delivery.
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
