package deliveries

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
)

var start = time.Unix(1_795_421_654, 0)

func sizes(all []Delivery) []int64 {
	out := make([]int64, 0, len(all))
	for _, d := range all {
		out = append(out, d.Size)
	}
	return out
}

func TestForgeriesCannotPushOutGenuineDeliveries(t *testing.T) {
	l := NewLog(start)
	l.Add(&Delivery{Proven: true, Size: -1})
	for i := range 3 * Capacity {
		l.Add(&Delivery{Size: int64(i)})
	}
	last := l.Last(Filter{})
	require.Len(t, last, 1+Capacity)
	assert.True(t, last[0].Proven)
	assert.Equal(t, int64(2*Capacity), last[1].Size, "the oldest must go first")
	assert.Equal(t, int64(3*Capacity-1), last[Capacity].Size)
}

func TestAddSetsTheSequence(t *testing.T) {
	l := NewLog(start)
	first, second := Delivery{Size: 7}, Delivery{}
	l.Add(&first)
	assert.Equal(t, []Delivery{first}, l.Last(Filter{}))
	l.Add(&second)
	assert.Equal(t, first.Sequence+1, second.Sequence)
}

func TestEmptyLogIsAnEmptyListAndNotNil(t *testing.T) {
	l := NewLog(start)
	last, follower := l.Follow(Filter{})
	l.Unfollow(follower)
	for _, none := range [][]Delivery{l.Last(Filter{}), last} {
		assert.NotNil(t, none)
		assert.Empty(t, none)
	}
}

func TestLastSelects(t *testing.T) {
	l := NewLog(start)
	for i, d := range []Delivery{
		{Result: Accepted, Fields: envelope.Fields{EventType: "a"}, Proven: true},
		{Result: Rejected},
		{Result: Failed, Fields: envelope.Fields{EventType: "a"}, Proven: true},
		{Result: Accepted, Fields: envelope.Fields{EventType: "b"}, Proven: true},
	} {
		d.Size = int64(i)
		l.Add(&d)
	}
	all := l.Last(Filter{})
	tests := []struct {
		name   string
		filter Filter
		want   []int64
	}{
		{"all, oldest first", Filter{}, []int64{0, 1, 2, 3}},
		{"by result", Filter{Result: Accepted}, []int64{0, 3}},
		{"by type", Filter{Types: []string{"a"}}, []int64{0, 2}},
		{"by types", Filter{Types: []string{"a", "b"}}, []int64{0, 2, 3}},
		{"by type and result", Filter{Types: []string{"a"}, Result: Accepted}, []int64{0}},
		{"the last two", Filter{Limit: 2}, []int64{2, 3}},
		{"the last by result", Filter{Limit: 1, Result: Rejected}, []int64{1}},
		{"after a sequence", Filter{After: all[1].Sequence}, []int64{2, 3}},
		{"none", Filter{Types: []string{"c"}}, []int64{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, sizes(l.Last(test.filter))) })
	}
}

func TestSequenceRisesOverARestart(t *testing.T) {
	before := NewLog(start)
	before.Add(&Delivery{})
	after := NewLog(start.Add(time.Second))
	after.Add(&Delivery{})
	assert.Greater(t, after.Last(Filter{})[0].Sequence, before.Last(Filter{})[0].Sequence)
}

func TestFollowMissesNoDelivery(t *testing.T) {
	l := NewLog(start)
	const n = 200
	var adding sync.WaitGroup
	adding.Go(func() {
		for i := range n {
			l.Add(&Delivery{Size: int64(i), Proven: true})
		}
	})
	last, f := l.Follow(Filter{})
	adding.Wait()
	l.Unfollow(f)
	for d := range f.C {
		last = append(last, d)
	}
	require.Len(t, last, n)
	for i, d := range last {
		assert.Equal(t, int64(i), d.Size)
	}
	l.Unfollow(f) // a second call must do no harm
}

func TestFollowerGetsOnlyWhatItsFilterSelects(t *testing.T) {
	l := NewLog(start)
	_, f := l.Follow(Filter{Result: Failed})
	l.Add(&Delivery{Result: Accepted})
	l.Add(&Delivery{Result: Failed, Size: 1})
	l.Unfollow(f)
	assert.Equal(t, int64(1), (<-f.C).Size)
	assert.Empty(t, f.C)
}

func TestLogDropsAFollowerThatDoesNotKeepUp(t *testing.T) {
	l := NewLog(start)
	_, slow := l.Follow(Filter{})
	for range Capacity + 1 {
		l.Add(&Delivery{})
	}
	n := 0
	for range slow.C { // until the log closes it
		n++
	}
	assert.Equal(t, Capacity, n)
	assert.Empty(t, l.followers)
}

// BenchmarkLog measures how long it takes to keep and count a delivery. BenchmarkRecord
// in package caddymodule includes the metrics.
func BenchmarkLog(b *testing.B) {
	l := NewLog(start)
	var c Counter
	d := Delivery{Time: start, Handler: "h", Result: Accepted, Proven: true, Counts: true, Fields: envelope.Fields{EventType: "post_call_audio"}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Add(&d)
			c.Count(&d)
		}
	})
}
