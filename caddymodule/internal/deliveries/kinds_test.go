package deliveries

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoKindOfDeliveryPushesOutAnother(t *testing.T) {
	kinds := []Delivery{
		{Proven: true, Size: 1},
		{FromElevenLabs: true, Size: 2},
		{Size: 3},
	}
	floods := []Delivery{
		{Proven: true, Size: 10},
		{Proven: true, FromElevenLabs: true, Size: 10},
		{FromElevenLabs: true, Size: 20},
		{Size: 30},
		{Proven: true, Replay: true, Size: 30},
	}
	for _, flood := range floods {
		l := NewLog(start)
		for _, d := range kinds {
			l.Add(&d)
		}
		for range 2 * Capacity {
			l.Add(&flood)
		}
		var kept []int64
		last := l.Last(Filter{})
		require.Greater(t, len(last), Capacity)
		for _, d := range last {
			if d.Size < 10 {
				kept = append(kept, d.Size)
			}
		}
		want := []int64{1, 2, 3}
		own := int(flood.Size/10) - 1
		assert.Equal(t, append(want[:own:own], want[own+1:]...), kept, "after a flood of %+v", flood)
	}
}
