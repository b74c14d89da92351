package deliveries

import (
	"slices"
	"sync"
	"time"
)

// Counters count the deliveries of one group of handlers, apart for each secret:
// ElevenLabs gives each webhook its own secret, and counts failures for each webhook.
//
// A delivery that no secret proves counts to the only secret. If there are several,
// it counts to the handler, whose counter has no secret's name.
type Counters struct {
	mu       sync.Mutex
	names    []string // of the secrets; the handler's is the last, and empty
	byName   map[string]*Counter
	awaiting map[string]struct{} // the secrets without a success since the handler's last failure
}

// unproven is the name of the handler's counter.
const unproven = ""

// NewCounters makes the counters for secrets of these names. Secrets of the same name
// share one.
func NewCounters(secrets []string) *Counters {
	c := &Counters{byName: map[string]*Counter{}}
	for _, name := range secrets {
		c.add(name)
	}
	if len(c.names) > 1 {
		c.add(unproven)
	}
	return c
}

func (c *Counters) add(name string) {
	if c.byName[name] == nil {
		c.names = append(c.names, name)
		c.byName[name] = new(Counter)
	}
}

// Names returns the names of the secrets, and an empty one for the handler if there are
// several.
func (c *Counters) Names() []string { return c.names }

// NameFor returns the name of the secret that a delivery counts to. It is empty if the
// delivery counts to the handler.
func (c *Counters) NameFor(d *Delivery) string {
	switch {
	case len(c.names) == 1:
		return c.names[0]
	case d.Proven && c.byName[d.Secret] != nil:
		return d.Secret
	}
	return unproven
}

// Raised is an alarm about the deliveries of a secret, or of the handler if the name
// is empty.
type Raised struct {
	Alarm Alarm
	SecretStatus
}

// SecretStatus is the status of a secret, or of the handler if the name is empty.
type SecretStatus struct {
	Secret string `json:"secret,omitempty"`
	Status
}

// Count counts a delivery. It returns the alarms that the delivery raises, each with
// the status after it. For Recovered the status is the one before it.
func (c *Counters) Count(d *Delivery) (raised []Raised) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := c.NameFor(d)
	if alarm, status := c.byName[name].Count(d); alarm != None {
		raised = append(raised, Raised{alarm, SecretStatus{name, status}})
	}
	handler := c.byName[unproven]
	switch {
	case handler == nil || !d.Counts:
	case name == unproven && !d.Success():
		c.await()
	case name != unproven && d.Success():
		delete(c.awaiting, name)
		if before, ended := handler.succeed(c.earliestSuccess(), len(c.awaiting) == 0); ended {
			raised = append(raised, Raised{Recovered, SecretStatus{unproven, before}})
		}
	}
	return raised
}

// await notes that any of the secrets may be that of the webhook whose delivery
// failed. A success of one says nothing about the others.
func (c *Counters) await() {
	c.awaiting = map[string]struct{}{}
	for _, name := range c.names {
		if name != unproven {
			c.awaiting[name] = struct{}{}
		}
	}
}

// earliestSuccess returns the earliest of the last successes of the secrets, or the
// zero time if one had none.
func (c *Counters) earliestSuccess() (earliest time.Time) {
	for i, name := range c.names[:len(c.names)-1] {
		if last := c.byName[name].Status().LastSuccess; i == 0 || last.Before(earliest) {
			earliest = last
		}
	}
	return earliest
}

// All returns the status of each secret, and then of the handler if there are several.
func (c *Counters) All() []SecretStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]SecretStatus, 0, len(c.names))
	for _, name := range c.names {
		all = append(all, SecretStatus{name, c.byName[name].Status()})
	}
	return all
}

// Streak returns the streak of a secret, or of the handler if the name is empty. It
// reports whether there is one.
func (c *Counters) Streak(name string) (Streak, bool) {
	counter := c.byName[name]
	if counter == nil {
		return Streak{}, false
	}
	return counter.Status().Streak, true
}

// Continue replaces the streak of a secret, or of the handler if the name is empty, by
// one that had more to tell until now.
func (c *Counters) Continue(name string, streak Streak) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counter := c.byName[name]
	if counter == nil || !streak.LaterThan(counter.Status().Streak) {
		return
	}
	counter.SetStreak(streak)
	if name == unproven && streak.FailuresInRow > 0 {
		c.await()
	}
}

// Total sums up statuses. Of the streaks, it has the one with the most failures in a
// row. If nothing fails, it has what came last.
func Total(all []SecretStatus) (total Status) {
	for _, s := range all {
		total.Results.add(s.Results)
		total.Tests.add(s.Tests)
		total.WouldReject += s.WouldReject
	}
	worst := slices.MaxFunc(all, func(a, b SecretStatus) int { return a.FailuresInRow - b.FailuresInRow })
	total.Streak = worst.Streak
	for _, s := range all {
		total.LastDelivery = latest(total.LastDelivery, s.LastDelivery)
		if worst.FailuresInRow > 0 {
			continue
		}
		total.LastSuccess = latest(total.LastSuccess, s.LastSuccess)
		if f := s.LastFailure; f != nil && (total.LastFailure == nil || f.Ended.After(total.LastFailure.Ended)) {
			total.LastFailure = f
		}
	}
	return total
}
