package stored

import (
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// Inbox is the state of an inbox, or of one of its destinations.
type Inbox struct {
	Name string `json:"inbox"`
	// Destination is missing if the inbox has no named destinations.
	Destination string `json:"destination,omitempty"`
	// Database has no user and no password.
	Database string `json:"database"`
	// Handlers is the number of configurations that deliver the events. If it is 0,
	// nobody does: the inbox was renamed or taken out.
	Handlers int `json:"handlers"`
	// Up reports whether the database answers, and keeps what it stores. If not, Problem
	// says why, and counts may be missing.
	Up      bool   `json:"up"`
	Problem string `json:"problem,omitempty"`

	Events               map[inbox.State]int64 `json:"events"`
	OldestWaitingSeconds float64               `json:"oldest_waiting_seconds"`
	// Bytes and LimitBytes are those of the whole inbox.
	Bytes      int64 `json:"bytes"`
	LimitBytes int64 `json:"limit_bytes,omitempty"`
	// RememberSeconds is how long an event stays at least after it is delivered or dead,
	// though perhaps without its body. It is missing if no handler says so.
	RememberSeconds float64 `json:"remember_seconds,omitempty"`
	// Bypassed counts the events that were forwarded at once since Caddy started.
	Bypassed int64 `json:"bypassed"`
	// BackendDownSince is when the backend became unreachable. It is missing if it is not.
	BackendDownSince time.Time `json:"backend_down_since,omitzero"`
}

// Title returns the name of the inbox, with that of the destination if it has one.
func (i *Inbox) Title() string {
	return inbox.Queue{Inbox: i.Name, Destination: i.Destination}.String()
}

// OldestWaiting returns how long the event waits that has waited longest.
func (i *Inbox) OldestWaiting() time.Duration {
	return time.Duration(i.OldestWaitingSeconds * float64(time.Second))
}

// Orphans returns the number of events in an inbox that no handler has.
func (i *Inbox) Orphans() (count int64) {
	if i.Handlers > 0 {
		return 0
	}
	for _, n := range i.Events {
		count += n
	}
	return count
}
