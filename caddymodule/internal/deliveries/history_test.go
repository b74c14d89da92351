package deliveries

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHistoryCountsTheLastDayByTheHour(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 30, 0, 0, time.UTC)
	at := func(hours int, result Result) *Delivery {
		return &Delivery{Ended: noon.Add(time.Duration(hours) * time.Hour), Result: result}
	}
	var h History
	for _, d := range []*Delivery{
		at(-24, Failed), // a day ago: its place is taken by the present hour
		at(-23, Accepted), at(-1, Failed), at(-1, Rejected), at(-1, Rejected), at(0, Stored),
		at(-24, Failed), // the clock was set back
	} {
		h.Add(d)
	}
	hours := h.Hours(noon)
	assert.Len(t, hours, HistoryHours)
	want := map[int]Tally{0: {Accepted: 1}, 22: {Failed: 1, Rejected: 2}, 23: {Stored: 1}}
	for i, hour := range hours {
		assert.Equal(t, noon.Truncate(time.Hour).Add(time.Duration(i-23)*time.Hour), hour.Start)
		assert.Equal(t, want[i], hour.Tally, i)
	}
	assert.Equal(t, Tally{Stored: 1}, h.Hours(noon.Add(23 * time.Hour))[0].Tally, "hours without deliveries")
	for _, hour := range h.Hours(noon.Add(24 * time.Hour)) {
		assert.Zero(t, hour.Tally, "what is older is not shown")
	}
}
