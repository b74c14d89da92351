package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

var errForgotten = errors.New("the event was forgotten")

// Change is what an act changed.
type Change struct {
	// Events is how many events it changed, by their queue.
	Events map[Queue]int
	// Discarded is how many it discarded of destinations that are no more, by their queue.
	Discarded map[Queue]int
	// Last is the number of the last event that the act looked at, if there may be more:
	// another act can go on after it. Otherwise it is 0.
	Last int64
}

// Total returns how many events were changed.
func (c *Change) Total() (count int) {
	for _, n := range c.Events {
		count += n
	}
	return count
}

// act runs a change on the events that are selected, in the order of receipt, few a write.
// It looks at no more than limit events; 0 means all. The change returns the events
// that it changed.
func (s *Store) act(ctx context.Context, selection Selection, limit int, change func(ctx context.Context, its conditions) ([]changed, error)) (Change, error) {
	done := Change{Events: map[Queue]int{}, Discarded: map[Queue]int{}}
	if err := selection.check(); err != nil {
		return done, err
	}
	var last *position
	for looked := 0; limit == 0 || looked < limit; {
		some := sweepBatch
		if limit > 0 {
			some = min(some, limit-looked)
		}
		var positions []position
		if err := s.snapshot(ctx, func(tx statements) (err error) {
			if last == nil {
				last, err = positionOf(ctx, tx, selection.After)
			}
			if err == nil {
				positions, err = s.page(ctx, tx, selection, false, last, some)
			}
			return err
		}); err != nil {
			return done, fmt.Errorf("selecting events: %w", err)
		}
		if len(positions) == 0 {
			done.Last = 0
			return done, nil
		}
		var its conditions
		its.in("seq", seqsOf(positions))
		if selection.State != "" { // it may have gone on
			its.add("{+}state = %s", string(selection.State))
		}
		all, err := change(ctx, its)
		for _, c := range all {
			if c.discarded {
				done.Discarded[c.queue]++
			} else {
				done.Events[c.queue]++
			}
		}
		looked += len(positions)
		last = &positions[len(positions)-1]
		done.Last = last.seq
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// changed is an event that was changed.
type changed struct {
	seq       int64
	id        string
	queue     Queue
	discarded bool // for a destination that is no more
}

// set sets columns of events, and returns which it were.
func (s *Store) set(ctx context.Context, columns string, its conditions) ([]changed, error) {
	return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (all []changed, err error) {
		return setIn(ctx, tx, columns, its)
	})
}

// setIn does what set does, in a write.
func setIn(ctx context.Context, tx statements, columns string, its conditions) (all []changed, err error) {
	rows, err := tx.QueryContext(ctx, `UPDATE elevenlabs_inbox_event SET `+columns+` WHERE `+its.String()+` RETURNING seq, event_id, inbox, destination`, its.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c changed
		if err := rows.Scan(&c.seq, &c.id, &c.queue.Inbox, &c.queue.Destination); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// Forget deletes events and their bodies, whatever their state, for all destinations of
// their inbox. It counts each event once. A delivery that is under way is canceled, in another process when it next renews its claims. It looks at no more
// than limit events; 0 means all.
//
// Afterwards nothing of the bodies is in the files of a SQLite database. A Postgres keeps
// what was deleted in its own files, until it needs the space.
func (s *Store) Forget(ctx context.Context, selection Selection, limit int) (Change, error) {
	done, err := s.act(ctx, selection, limit, func(ctx context.Context, its conditions) ([]changed, error) {
		its.texts = []string{"state <> 'receiving' AND (inbox, event_id) IN (SELECT inbox, event_id FROM elevenlabs_inbox_event WHERE " + its.String() + ")"}
		all, err := s.set(ctx, removed, its)
		if err != nil {
			return nil, err
		}
		s.claiming.Lock()   // waits until the claims under way can be canceled
		s.claiming.Unlock() //nolint:staticcheck // the wait is all that the lock is for
		for _, c := range all {
			s.cancel(c.seq, errForgotten)
		}
		slices.SortFunc(all, func(a, b changed) int { return cmp.Or(cmp.Compare(a.id, b.id), a.queue.Compare(b.queue)) })
		return slices.CompactFunc(all, func(a, b changed) bool { return a.id == b.id && a.queue.Inbox == b.queue.Inbox }), nil
	})
	if err != nil {
		return done, err
	}
	// also what an earlier call that failed has left
	if err := repeatedly(ctx, s.sweepRest); err != nil {
		return done, err
	}
	if err := s.refreshUsed(ctx); err != nil {
		return done, err
	}
	return done, s.forget(ctx)
}

// Redeliver lets events be delivered again: the attempts begin as if they had just come.
// Events whose body is deleted, and those that are being delivered, stay as they are. It
// looks at no more than limit events; 0 means all.
//
// If events are selected by their numbers and none can be delivered, the error says why.
func (s *Store) Redeliver(ctx context.Context, selection Selection, limit int) (Change, error) {
	done, err := s.act(ctx, selection, limit, func(ctx context.Context, its conditions) ([]changed, error) {
		its.texts = append(its.texts, "{+}state IN ('waiting', 'delivered', 'dead', 'discarded') AND stored = size")
		return s.set(ctx, `state = 'waiting', next_at = {now}, armed_at = {now}, tries = 0, done_at = 0`, its)
	})
	for q := range done.Events {
		s.awaken(q)
	}
	if err == nil && done.Total() == 0 {
		err = s.whyNone(ctx, selection.Events, ErrBodyGone)
	}
	return done, err
}

// Discard gives up events that wait or are dead: no attempt is made any more, and they
// stay as long as delivered ones. It looks at no more than limit events; 0 means all.
//
// If events are selected by their numbers and none can be discarded, the error says why.
func (s *Store) Discard(ctx context.Context, selection Selection, limit int) (Change, error) {
	done, err := s.act(ctx, selection, limit, func(ctx context.Context, its conditions) ([]changed, error) {
		its.texts = append(its.texts, "{+}state IN ('waiting', 'dead')")
		return s.set(ctx, `state = 'discarded', done_at = {now}`, its)
	})
	if err == nil && done.Total() == 0 {
		err = s.whyNone(ctx, selection.Events, ErrFinished)
	}
	return done, err
}

// whyNone returns why none of the events was changed. The error is other if they are there,
// and no attempt is under way.
func (s *Store) whyNone(ctx context.Context, seqs []int64, other error) error {
	if len(seqs) == 0 {
		return nil
	}
	why := ErrNotFound
	for _, seq := range seqs {
		e, err := s.Get(ctx, seq)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return err
		case e.State == Delivering:
			return ErrDelivering
		}
		why = other
	}
	return why
}
