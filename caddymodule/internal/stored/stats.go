package stored

import (
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// Stats are the figures of the events that came in a span.
type Stats struct {
	// Since is missing if the span has no beginning.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until"`
	// Types has each type of events in each inbox and destination, sorted by these.
	Types []TypeStats `json:"types"`
	// Hours has each of the last 24 hours in which events came, sorted by inbox,
	// destination and time.
	Hours []HourStats `json:"hours"`
}

// TypeStats are the figures of the events of one type in an inbox, or for one of its
// destinations.
type TypeStats struct {
	Inbox       string `json:"inbox"`
	Destination string `json:"destination,omitempty"`
	// EventType is empty for events whose type cannot be read.
	EventType string                `json:"event_type"`
	Received  int64                 `json:"received"`
	Events    map[inbox.State]int64 `json:"events"`
	Attempts  int64                 `json:"attempts"`
	Repeats   int64                 `json:"repeats"`
	Bytes     int64                 `json:"bytes"`
	// Delivery is how long it took from receipt to delivery. It is missing if no event
	// is delivered.
	Delivery *Durations `json:"delivery,omitempty"`
}

// Durations sum up how long something took.
type Durations struct {
	MedianSeconds  float64 `json:"median_seconds"`
	P95Seconds     float64 `json:"p95_seconds"`
	LongestSeconds float64 `json:"longest_seconds"`
}

// HourStats are how many events came in an hour, by the state that they have now.
type HourStats struct {
	Inbox       string                `json:"inbox"`
	Destination string                `json:"destination,omitempty"`
	Start       time.Time             `json:"start"`
	Events      map[inbox.State]int64 `json:"events"`
}

// Add adds the figures of a database.
func (s *Stats) Add(its inbox.Stats) {
	s.Since, s.Until = its.Since.UTC(), its.Until.UTC()
	for _, t := range its.Types {
		figures := TypeStats{
			Inbox: t.Inbox, Destination: t.Destination, EventType: t.Type, Received: t.Received(), Events: everyState(t.States), Attempts: t.Attempts, Repeats: t.Repeats, Bytes: t.Bytes,
		}
		if t.States[inbox.Delivered] > 0 {
			figures.Delivery = &Durations{t.Median.Seconds(), t.P95.Seconds(), t.Longest.Seconds()}
		}
		s.Types = append(s.Types, figures)
	}
	for _, h := range its.Hours {
		s.Hours = append(s.Hours, HourStats{h.Inbox, h.Destination, h.Start.UTC(), everyState(h.States)})
	}
}

// everyState adds the states that are missing.
func everyState(counts map[inbox.State]int64) map[inbox.State]int64 {
	all := map[inbox.State]int64{}
	for _, state := range inbox.States {
		all[state] = counts[state]
	}
	return all
}
