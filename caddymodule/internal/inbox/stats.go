package inbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Stats are the figures of an inbox, from the events that it received in a span.
type Stats struct {
	// Since and Until are the span. Until is the time by the database's clock.
	Since, Until time.Time
	Types        []TypeStats // sorted by queue and type
	Hours        []HourStats // of the last day of the span, sorted by queue and time
}

// TypeStats are the figures of the events of one type in a queue.
type TypeStats struct {
	Queue
	Type     string
	States   map[State]int64
	Attempts int64
	Repeats  int64
	// Bytes is the size of the bodies when they came.
	Bytes int64
	// Median, P95 and Longest are times from receipt to delivery, of the events that are
	// delivered. Times above a second are rounded down to three digits.
	Median, P95, Longest time.Duration
}

// Received returns how many events there are.
func (t *TypeStats) Received() (count int64) {
	for _, n := range t.States {
		count += n
	}
	return count
}

// HourStats are how many events came in an hour, by the state that they have now.
type HourStats struct {
	Queue
	Start  time.Time
	States map[State]int64
}

const (
	// hoursShown is how many hours the figures have one by one.
	hoursShown = 24
	hour       = int64(time.Hour / time.Millisecond)
)

// Stats returns the figures of the events that came since a time, of an inbox, a
// destination or all, of some types or of all. It reads one index, each part once or twice.
func (s *Store) Stats(ctx context.Context, q Queue, types []string, since time.Time) (Stats, error) {
	var result Stats
	err := s.snapshot(ctx, func(tx statements) error {
		var now int64
		if err := tx.QueryRowContext(ctx, `SELECT {now}`).Scan(&now); err != nil {
			return err
		}
		result = Stats{Since: since, Until: fromMilliseconds(now)}
		its := Selection{Inbox: q.Inbox, Destination: q.Destination, Types: types}
		all, err := its.kinds(ctx, tx)
		if err != nil {
			return err
		}
		for _, k := range all {
			if err := result.add(ctx, tx, k, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Stats{}, fmt.Errorf("adding up events: %w", err)
	}
	slices.SortFunc(result.Types, func(a, b TypeStats) int { return cmp.Or(a.Queue.Compare(b.Queue), cmp.Compare(a.Type, b.Type)) })
	slices.SortFunc(result.Hours, func(a, b HourStats) int { return cmp.Or(a.Queue.Compare(b.Queue), a.Start.Compare(b.Start)) })
	return result, nil
}

// add adds the events of a kind. It reads the hours that are shown one by one, and what
// came before them or after them, by a clock that was wrong, at once.
func (r *Stats) add(ctx context.Context, tx statements, k kind, now int64) error {
	first := now/hour - (hoursShown - 1)
	start := int64(0)
	if !r.Since.IsZero() {
		start = r.Since.UnixMilli()
	}
	var t *TypeStats
	for begin := start; ; {
		n := max(first, begin/hour+1) // the hour with which this step ends
		end := n * hour
		if n > first+hoursShown {
			end = int64(1)<<62 - 1
		}
		var count, attempts, repeats, bytes int64
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(SUM(attempts), 0), COALESCE(SUM(repeats), 0), COALESCE(SUM(size), 0)
FROM elevenlabs_inbox_event WHERE inbox = $1 AND destination = $2 AND state = $3 AND type = $4 AND received_at >= $5 AND received_at < $6`,
			k.queue.Inbox, k.queue.Destination, string(k.state), k.typ, begin, end).Scan(&count, &attempts, &repeats, &bytes)
		if err != nil {
			return err
		}
		if count > 0 {
			if t == nil {
				t = r.of(k)
			}
			t.States[k.state] += count
			t.Attempts += attempts
			t.Repeats += repeats
			t.Bytes += bytes
			if n > first && n <= first+hoursShown {
				r.hour(k.queue, (n-1)*hour).States[k.state] += count
			}
		}
		if n > first+hoursShown {
			break
		}
		begin = end
	}
	if k.state != Delivered || t == nil {
		return nil
	}
	return t.measure(ctx, tx, k, start)
}

// of returns the figures to which the events of a kind are added.
func (r *Stats) of(k kind) *TypeStats {
	i := slices.IndexFunc(r.Types, func(t TypeStats) bool { return t.Queue == k.queue && t.Type == k.typ })
	if i < 0 {
		i = len(r.Types)
		r.Types = append(r.Types, TypeStats{Queue: k.queue, Type: k.typ, States: map[State]int64{}})
	}
	return &r.Types[i]
}

func (r *Stats) hour(q Queue, start int64) *HourStats {
	at := fromMilliseconds(start)
	i := slices.IndexFunc(r.Hours, func(h HourStats) bool { return h.Queue == q && h.Start.Equal(at) })
	if i < 0 {
		i = len(r.Hours)
		r.Hours = append(r.Hours, HourStats{Queue: q, Start: at, States: map[State]int64{}})
	}
	return &r.Hours[i]
}

// measure sets the times from receipt to delivery. The database counts how many events
// took each time, so that their number does not matter here.
func (t *TypeStats) measure(ctx context.Context, tx statements, k kind, start int64) error {
	rows, err := tx.QueryContext(ctx, `
SELECT CASE WHEN ms < 1000 THEN ms WHEN ms < 10000 THEN ms / 10 * 10 WHEN ms < 100000 THEN ms / 100 * 100
	WHEN ms < 1000000 THEN ms / 1000 * 1000 WHEN ms < 10000000 THEN ms / 10000 * 10000
	WHEN ms < 100000000 THEN ms / 100000 * 100000 ELSE ms / 1000000 * 1000000 END AS took, COUNT(*)
FROM (SELECT CASE WHEN done_at > received_at THEN done_at - received_at ELSE 0 END AS ms FROM elevenlabs_inbox_event
	WHERE inbox = $1 AND destination = $2 AND state = $3 AND type = $4 AND received_at >= $5) AS delivered
GROUP BY took ORDER BY took`, k.queue.Inbox, k.queue.Destination, string(k.state), k.typ, start)
	if err != nil {
		return err
	}
	defer rows.Close()
	delivered := t.States[Delivered]
	for counted := int64(0); rows.Next(); {
		var ms, count int64
		if err := rows.Scan(&ms, &count); err != nil {
			return err
		}
		t.Longest = time.Duration(ms) * time.Millisecond
		before := counted
		counted += count
		for _, quantile := range []struct {
			rank int64 // from 1
			of   *time.Duration
		}{{(delivered + 1) / 2, &t.Median}, {(delivered*95 + 99) / 100, &t.P95}} {
			if before < quantile.rank && quantile.rank <= counted {
				*quantile.of = t.Longest
			}
		}
	}
	return rows.Err()
}
