package deliveries

import (
	"sync"
	"time"
)

// HistoryHours is how many hours a History covers, this one included.
const HistoryHours = 24

// History counts deliveries by the hour. It covers the last 24 hours, or less if the
// process began later.
type History struct {
	mu    sync.Mutex
	hours [HistoryHours]Hour // by the hour's number modulo their count
}

// Hour counts the deliveries that ended within an hour.
type Hour struct {
	Start time.Time `json:"start"`
	Tally
}

// Add counts a delivery.
func (h *History) Add(d *Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	start := d.Ended.UTC().Truncate(time.Hour)
	hour := &h.hours[place(start)]
	switch {
	case hour.Start.Before(start):
		*hour = Hour{Start: start}
	case hour.Start.After(start): // the clock was set back
		return
	}
	hour.count(d.Result)
}

// place returns where an hour is kept.
func place(start time.Time) int {
	const hours = HistoryHours
	return int((start.Unix()/3600%hours + hours) % hours)
}

// Hours returns the last hours, oldest first. The last one is that of the time now.
func (h *History) Hours(now time.Time) []Hour {
	h.mu.Lock()
	defer h.mu.Unlock()
	hours := make([]Hour, HistoryHours)
	for i := range hours {
		start := now.UTC().Truncate(time.Hour).Add(time.Duration(i-HistoryHours+1) * time.Hour)
		hours[i].Start = start
		if kept := h.hours[place(start)]; kept.Start.Equal(start) {
			hours[i] = kept
		}
	}
	return hours
}
