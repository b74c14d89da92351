package inbox

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Retention is how long events stay after they are done.
type Retention struct {
	// Delivered is how long the body of an event stays that is delivered or discarded.
	Delivered time.Duration
	// Remember is how long such an event stays without its body, so that a repeat of it
	// is recognized. It is at least as long as Delivered.
	Remember time.Duration
	// Dead is how long a dead event stays.
	Dead time.Duration
	// Limit is how many bytes the bodies of the inbox may hold. When four fifths are
	// used, the bodies of delivered and discarded events go, oldest first.
	Limit int64
}

// finished is the condition for an event of which no more is expected. Its body gives way
// first.
const finished = `state IN ('delivered', 'discarded')`

// unshared is the condition for an event whose body no other one needs.
const unshared = `sharers = 0`

// sweepBatch is how many events one step of a sweep looks at.
const sweepBatch = 100

// sweep deletes what is past its retention. It looks at each state by itself, since one
// statement for all would read the whole table.
func (s *Store) sweep(ctx context.Context, inbox string, keep Retention) error {
	for _, step := range []func(context.Context) (more bool, err error){
		func(ctx context.Context) (bool, error) { return s.sweepBodies(ctx, inbox, keep.Delivered) },
		func(ctx context.Context) (bool, error) { return s.crowdOut(ctx, inbox, keep.Limit) },
		func(ctx context.Context) (bool, error) { return s.sweepFinished(ctx, inbox, keep.Remember) },
		func(ctx context.Context) (bool, error) { return s.sweepDead(ctx, inbox, keep.Dead) },
		s.sweepRest,
	} {
		if err := repeatedly(ctx, step); err != nil {
			return err
		}
	}
	if err := s.refreshUsed(ctx); err != nil {
		return err
	}
	return s.idle(ctx)
}

// repeatedly runs a step while there is more to do.
func repeatedly(ctx context.Context, step func(context.Context) (more bool, err error)) error {
	for {
		if more, err := step(ctx); err != nil || !more {
			return err
		}
	}
}

// sweepBodies deletes bodies of events that are delivered or discarded.
func (s *Store) sweepBodies(ctx context.Context, inbox string, keep time.Duration) (more bool, err error) {
	seqs, err := scanSeqs(s.read().QueryContext(ctx, `SELECT seq FROM elevenlabs_inbox_event
WHERE inbox = $1 AND `+finished+` AND stored > 0 AND `+unshared+` AND done_at <= {now} - $2 ORDER BY done_at LIMIT $3`,
		inbox, keep.Milliseconds(), sweepBatch))
	if err != nil {
		return false, err
	}
	return len(seqs) > 0, s.deleteBodies(ctx, seqs) // the last one to need a body makes its owner's next
}

// crowded returns how many bytes are too many, if the inbox is nearly full.
func (s *Store) crowded(inbox string, limit int64) int64 {
	return max(0, s.usedBy(inbox).get()-limit/5*4)
}

// crowdOut deletes the oldest bodies of such events while the inbox is nearly full.
func (s *Store) crowdOut(ctx context.Context, inbox string, limit int64) (more bool, err error) {
	if s.crowded(inbox, limit) == 0 {
		return false, nil
	}
	if err := s.refreshUsed(ctx); err != nil { // another process may have made room
		return false, err
	}
	rows, err := s.read().QueryContext(ctx, `SELECT seq, CASE body WHEN 0 THEN stored ELSE 0 END FROM elevenlabs_inbox_event
WHERE inbox = $1 AND `+finished+` AND stored > 0 AND `+unshared+` ORDER BY done_at LIMIT $2`, inbox, sweepBatch)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	var seqs []int64
	for excess := s.crowded(inbox, limit); excess > 0 && rows.Next(); {
		var seq, stored int64
		if err := rows.Scan(&seq, &stored); err != nil {
			return false, err
		}
		seqs = append(seqs, seq)
		excess -= stored
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return false, err
	}
	return len(seqs) > 0, s.deleteBodies(ctx, seqs)
}

// deleteBodies deletes the bodies of events that are delivered or discarded.
func (s *Store) deleteBodies(ctx context.Context, seqs []int64) error {
	return s.inSteps(ctx, seqs, func(ctx context.Context, tx statements, seq, most int64) (deleted int64, err error) {
		var owner int64
		err = tx.QueryRowContext(ctx, `SELECT body FROM elevenlabs_inbox_event WHERE seq = $1 AND `+finished+` AND `+unshared+` {for update}`, seq).Scan(&owner)
		if errors.Is(err, sql.ErrNoRows) { // sent again meanwhile, or forgotten
			return 0, nil
		}
		if err == nil && owner > 0 {
			return 0, release(ctx, tx, seq, owner)
		}
		if err == nil {
			deleted, err = deleteChunks(ctx, tx, seq, most)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event
SET stored = (SELECT COALESCE(SUM(LENGTH(data)), 0) FROM elevenlabs_inbox_chunk WHERE elevenlabs_inbox_chunk.seq = $1) WHERE seq = $1`, seq)
		}
		return deleted, err
	})
}

// release ends an event's need of a body that another event owns.
func release(ctx context.Context, tx statements, seq, owner int64) error {
	err := changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event SET stored = 0 WHERE seq = $1 AND stored > 0`, seq)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event SET sharers = sharers - 1 WHERE seq = $1`, owner)
}

// inSteps deletes bodies, few pieces a write. The step deletes at most so many pieces of
// one body, and returns how many it deleted.
func (s *Store) inSteps(ctx context.Context, seqs []int64, step func(ctx context.Context, tx statements, seq, most int64) (deleted int64, err error)) error {
	for len(seqs) > 0 {
		done, err := updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (done int, err error) {
			for left := int64(deletesPerWrite); done < len(seqs) && left > 0; {
				deleted, err := step(ctx, tx, seqs[done], left)
				if err != nil {
					return 0, err
				}
				if left -= deleted; left > 0 {
					done++
				}
			}
			return done, nil
		})
		if err != nil {
			return err
		}
		seqs = seqs[done:]
	}
	return nil
}

// deleteChunks deletes pieces of a body from its end.
func deleteChunks(ctx context.Context, tx statements, seq, most int64) (deleted int64, err error) {
	result, err := tx.ExecContext(ctx, `DELETE FROM elevenlabs_inbox_chunk
WHERE seq = $1 AND n IN (SELECT n FROM elevenlabs_inbox_chunk WHERE seq = $1 ORDER BY n DESC LIMIT $2)`, seq, most)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// sweepFinished deletes events that need not be remembered any more.
func (s *Store) sweepFinished(ctx context.Context, inbox string, keep time.Duration) (more bool, err error) {
	return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (more bool, err error) {
		result, err := tx.ExecContext(ctx, `DELETE FROM elevenlabs_inbox_event WHERE `+finished+` AND seq IN (
	SELECT seq FROM elevenlabs_inbox_event
	WHERE inbox = $1 AND `+finished+` AND stored = 0 AND done_at <= {now} - $2 ORDER BY done_at LIMIT $3)`,
			inbox, keep.Milliseconds(), sweepBatch)
		if err != nil {
			return false, err
		}
		deleted, err := result.RowsAffected()
		return deleted == sweepBatch, err
	})
}

// sweepDead gives up dead events.
func (s *Store) sweepDead(ctx context.Context, inbox string, keep time.Duration) (more bool, err error) {
	return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (more bool, err error) {
		result, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET `+removed+` WHERE state = 'dead' AND `+unshared+` AND seq IN (
	SELECT seq FROM elevenlabs_inbox_event
	WHERE inbox = $1 AND state = 'dead' AND `+unshared+` AND done_at <= {now} - $2 ORDER BY done_at LIMIT $3)`,
			inbox, keep.Milliseconds(), sweepBatch)
		if err != nil {
			return false, err
		}
		changed, err := result.RowsAffected()
		return changed > 0, err
	})
}

// removed is the state of an event that is there for nobody any more. Its body is
// deleted piece by piece, also if this process ends in between.
const removed = `state = 'receiving', done_at = {now}, owner = '', lease_until = 0`

// abandonedAfter is how long another process may take to receive an event.
const abandonedAfter = 24 * time.Hour

// sweepRest deletes what is left of events that are removed, or were never whole.
func (s *Store) sweepRest(ctx context.Context) (more bool, err error) {
	seqs, err := scanSeqs(s.read().QueryContext(ctx, `SELECT seq FROM elevenlabs_inbox_event
WHERE state = 'receiving' AND `+unshared+` AND (done_at > 0 OR received_at < {now} - $1) LIMIT $2`, abandonedAfter.Milliseconds(), sweepBatch))
	if err != nil {
		return false, err
	}
	return len(seqs) > 0, s.remove(ctx, seqs)
}

// remove deletes events that are not whole. One that became whole after all stays: the
// last write of an upload can take effect after its caller has left.
func (s *Store) remove(ctx context.Context, seqs []int64) error {
	return s.inSteps(ctx, seqs, func(ctx context.Context, tx statements, seq, most int64) (deleted int64, err error) {
		var owner int64
		err = tx.QueryRowContext(ctx, `UPDATE elevenlabs_inbox_event SET done_at = {now} WHERE seq = $1 AND state = 'receiving' AND `+unshared+`
RETURNING body`, seq).Scan(&owner)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return 0, nil
		case err == nil && owner > 0:
			err = release(ctx, tx, seq, owner)
		case err == nil:
			deleted, err = deleteChunks(ctx, tx, seq, most)
		}
		if err == nil && deleted < most {
			_, err = tx.ExecContext(ctx, `DELETE FROM elevenlabs_inbox_event WHERE seq = $1`, seq)
		}
		return deleted, err
	})
}
