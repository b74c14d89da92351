package deliveries

import (
	"crypto/sha256"
	"sync"
)

// EventID is the SHA-256 of an event's body.
type EventID = [sha256.Size]byte

// seenEvents is how many events a Seen remembers.
const seenEvents = 1 << 14

// Seen remembers the last genuine events that came.
type Seen struct {
	mu   sync.Mutex
	ids  map[EventID]struct{}
	ring []EventID
	next int // the oldest, if the ring is full
}

// Add remembers an event. It reports whether the event came before.
func (s *Seen) Add(id EventID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, before := s.ids[id]; before {
		return true
	}
	if s.ids == nil {
		s.ids = map[EventID]struct{}{}
	}
	if len(s.ring) < seenEvents {
		s.ring = append(s.ring, id)
	} else {
		delete(s.ids, s.ring[s.next])
		s.ring[s.next] = id
		s.next = (s.next + 1) % seenEvents
	}
	s.ids[id] = struct{}{}
	return false
}
