package caddymodule

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

const (
	// statusTimeout bounds how long a database may take to answer at all.
	statusTimeout = 2 * time.Second
	// countTimeout bounds how long it may take to count its events. A million take a
	// second or more on a busy machine. Prometheus waits 10 seconds.
	countTimeout = 8 * time.Second
)

// allDatabases returns the databases of the process, sorted by location.
func allDatabases() (all []*database) {
	databases.Range(func(_, value any) bool {
		all = append(all, value.(*database))
		return true
	})
	slices.SortFunc(all, func(a, b *database) int { return cmp.Compare(a.location, b.location) })
	return all
}

// inboxStatuses returns the state of each inbox, or of each of its destinations, sorted by
// name: of those that have a handler, and of those that have events.
func inboxStatuses(ctx context.Context) []stored.Inbox {
	all := []stored.Inbox{} //nolint:prealloc // each database has any number
	for _, d := range allDatabases() {
		all = append(all, d.statuses(ctx)...)
	}
	slices.SortStableFunc(all, func(a, b stored.Inbox) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Destination, b.Destination))
	})
	return all
}

func (d *database) statuses(ctx context.Context) (all []stored.Inbox) {
	d.mu.Lock()
	store, problem := d.store, d.problem
	queues := maps.Clone(d.queues)
	d.mu.Unlock()
	var counts map[inbox.Queue]inbox.Count
	var damage error
	if store != nil {
		counts, problem = countsOf(ctx, store)
		damage = store.Intact()
	}
	bytes := map[string]int64{}
	for name, count := range counts {
		if queues[name] == nil {
			queues[name] = &inboxQueue{database: d, Queue: name}
		}
		bytes[name.Inbox] += count.Bytes
	}
	for name, q := range queues {
		s := q.status()
		if s.Handlers == 0 && len(counts[name].States) == 0 {
			continue
		}
		s.Events = map[inbox.State]int64{}
		for _, state := range inbox.States {
			s.Events[state] = counts[name].States[state]
		}
		s.Bytes, s.OldestWaitingSeconds = bytes[name.Inbox], counts[name].Oldest.Seconds()
		s.Up = store != nil && problem == nil && damage == nil
		switch {
		case damage != nil:
			s.Problem = damage.Error()
		case problem != nil && store == nil:
			s.Problem = problem.Error()
		case problem != nil: // its text may name the user
			s.Problem = fmt.Sprintf("the database %s does not answer", s.Database)
		}
		all = append(all, s)
	}
	return all
}

// countsOf returns the counts of a database that answers.
func countsOf(ctx context.Context, store *inbox.Store) (map[inbox.Queue]inbox.Count, error) {
	checking, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if err := store.Check(checking); err != nil {
		return nil, err
	}
	counting, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	return store.Counts(counting)
}

// status returns what is known of a queue without its database.
func (q *inboxQueue) status() stored.Inbox {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := stored.Inbox{Name: q.Inbox, Destination: q.Destination, Database: inbox.Shown(q.database.location), Handlers: len(q.destinations), Bypassed: q.bypassed.Load()}
	if len(q.destinations) > 0 {
		top := q.top()
		s.LimitBytes = top.Inbox.Limit
		retention := top.options.Retention
		s.RememberSeconds = min(retention.Remember, retention.Dead).Seconds()
	}
	if q.runner != nil {
		s.BackendDownSince = q.runner.DownSince()
	}
	return s
}
