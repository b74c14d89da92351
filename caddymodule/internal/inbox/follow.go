package inbox

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Follower finds events as they come. They come in the order of their numbers, except
// that a large event has its number when it begins to arrive, and is found when it is
// whole. None is missed.
type Follower struct {
	store     *Store
	selection Selection
	// position is the number up to which nothing can come any more.
	position int64
	// span is how many numbers are looked through at once.
	span  int64
	found map[int64]struct{} // above the position
}

const (
	// settledAfter is more than a small event takes from its number to its commit. Of a
	// large one, it is known that it is being received.
	settledAfter = 15 * time.Second
	// followLimit is how many events are found at once.
	followLimit = 1000
	// followSpan is how many numbers are looked through at once, for events that may be few
	// among them. It takes less time than a caller has.
	followSpan = 100_000
	// arrivesWithin is how long an event may be received and hold the position. One that
	// is older was left by a process that ended.
	arrivesWithin = 15 * time.Minute
)

// Follow returns a follower of events that are selected. It begins after a position,
// which an earlier follower had; 0 is before all events.
func (s *Store) Follow(selection Selection, position int64) *Follower {
	return &Follower{store: s, selection: selection, position: position, span: followSpan, found: map[int64]struct{}{}}
}

// Skip passes over the events that are there.
func (f *Follower) Skip(ctx context.Context) error {
	if err := f.advance(ctx, math.MaxInt64); err != nil { // so that not all of them are read
		return err
	}
	for {
		if events, err := f.Next(ctx); err != nil || len(events) < followLimit {
			return err
		}
	}
}

// Position returns the position from which another follower can go on. It finds again
// some events that this one has found.
func (f *Follower) Position() int64 { return f.position }

// Next returns the events that have come since the last call, oldest first, perhaps none. It
// looks through a long past in steps: the position then shows that there is more.
func (f *Follower) Next(ctx context.Context) (events []Entry, err error) {
	if f.position == 0 && !f.selection.Since.IsZero() {
		if err := f.start(ctx); err != nil {
			return nil, err
		}
	}
	through, err := f.through(ctx)
	if err != nil {
		return nil, err
	}
	var c conditions
	c.add("seq > %s AND seq <= %s AND {+}state <> 'receiving'", f.position, through)
	f.selection.filter(&c)
	rows, err := f.store.read().QueryContext(ctx, `SELECT `+entryColumns+` FROM elevenlabs_inbox_event
WHERE `+c.String()+fmt.Sprintf(` ORDER BY seq LIMIT %d`, followLimit+len(f.found)), c.args...)
	if err != nil {
		return nil, fmt.Errorf("looking for new events: %w", err)
	}
	defer rows.Close()
	last := int64(math.MaxInt64)
	for rows.Next() && len(events) < followLimit {
		e, err := scanEntry(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("looking for new events: %w", err)
		}
		last = e.Seq
		if _, known := f.found[e.Seq]; !known {
			f.found[e.Seq] = struct{}{}
			events = append(events, e)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("looking for new events: %w", err)
	}
	if len(events) < followLimit {
		last = through
	}
	return events, f.advance(ctx, last)
}

// start moves the position past the events that came before the selection begins. A large
// event may have a lower number than those that came before it.
func (f *Follower) start(ctx context.Context) error {
	before := Selection{Inbox: f.selection.Inbox, Destination: f.selection.Destination, Until: f.selection.Since.Add(-arrivesWithin)}
	last, err := f.store.page(ctx, f.store.read(), before, true, nil, 1)
	if err != nil {
		return fmt.Errorf("looking for new events: %w", err)
	}
	if len(last) > 0 {
		f.position = last[0].seq
	}
	return nil
}

// through returns the number up to which events are looked for. That is a step only if
// nothing can come any more in it. Otherwise the position would hold up later events.
func (f *Follower) through(ctx context.Context) (int64, error) {
	var first int64
	err := f.store.read().QueryRowContext(ctx, `SELECT COALESCE(MIN(seq), 0) FROM elevenlabs_inbox_event WHERE seq > $1`, f.position).Scan(&first)
	if err != nil {
		return 0, fmt.Errorf("looking for new events: %w", err)
	}
	settled, err := f.settled(ctx, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	if step := first + f.span - 1; settled > step {
		return step, nil
	}
	return math.MaxInt64, nil
}

// advance moves the position to where nothing can come any more: before the first event
// that is being received, and before those that came just now. It does not move past the
// last event that was read.
func (f *Follower) advance(ctx context.Context, last int64) error {
	position, err := f.settled(ctx, last)
	if err != nil {
		return err
	}
	if position <= f.position {
		return nil
	}
	f.position = position
	for seq := range f.found {
		if seq <= position {
			delete(f.found, seq)
		}
	}
	return nil
}

// settled returns the last number, up to that one, to which nothing can come any more. It
// is 0 if that is none after the position.
func (f *Follower) settled(ctx context.Context, last int64) (position int64, err error) {
	err = f.store.read().QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM elevenlabs_inbox_event
WHERE seq > $1 AND seq <= $4 AND received_at <= {now} - $2
	AND seq < (SELECT COALESCE(MIN(seq), 9223372036854775807) FROM elevenlabs_inbox_event 
		WHERE state = 'receiving' AND done_at = 0 AND received_at > {now} - $3)`,
		f.position, settledAfter.Milliseconds(), arrivesWithin.Milliseconds(), last).Scan(&position)
	if err != nil {
		return 0, fmt.Errorf("looking for new events: %w", err)
	}
	return position, nil
}
