package inbox

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Retention is how long events stay after they are done.
type Retention struct {
	// Delivered is how long the body of a delivered event stays.
	Delivered time.Duration
	// Remember is how long a delivered event stays without its body, so that a repeat
	// of it is recognized. It is at least as long as Delivered.
	Remember time.Duration
	// Dead is how long a dead event stays.
	Dead time.Duration
	// Limit is how many bytes the bodies of the inbox may hold. When four fifths are
	// used, the bodies of delivered events go, oldest first.
	Limit int64
}

// sweepBatch is how many events one step of a sweep looks at.
const sweepBatch = 100

// sweep deletes what is past its retention. It looks at each state by itself, since one
// statement for all would read the whole table.
func (s *Store) sweep(ctx context.Context, inbox string, keep Retention) error {
	steps := []func(context.Context, string, Retention) (more bool, err error){
		s.sweepBodies, s.crowdOut, s.sweepDelivered, s.sweepDead, s.sweepRest,
	}
	for _, step := range steps {
		for more := true; more; {
			var err error
			if more, err = step(ctx, inbox, keep); err != nil {
				return err
			}
		}
	}
	return s.idle(ctx)
}

// sweepBodies deletes bodies of delivered events.
func (s *Store) sweepBodies(ctx context.Context, inbox string, keep Retention) (more bool, err error) {
	seqs, err := s.seqs(ctx, `SELECT seq FROM elevenlabs_inbox_event
WHERE inbox = $1 AND state = 'delivered' AND stored > 0 AND done_at <= {now} - $2 ORDER BY done_at LIMIT $3`,
		inbox, milliseconds(keep.Delivered), sweepBatch)
	if err != nil {
		return false, err
	}
	return len(seqs) == sweepBatch, s.deleteBodies(ctx, inbox, seqs, func() bool { return true })
}

// crowdOut deletes the oldest bodies of delivered events while the inbox is nearly full.
func (s *Store) crowdOut(ctx context.Context, inbox string, keep Retention) (more bool, err error) {
	crowded := func() bool { return s.usedBy(inbox).Load() > keep.Limit/5*4 }
	if !crowded() {
		return false, nil
	}
	seqs, err := s.seqs(ctx, `SELECT seq FROM elevenlabs_inbox_event
WHERE inbox = $1 AND state = 'delivered' AND stored > 0 ORDER BY done_at LIMIT $2`, inbox, sweepBatch)
	if err != nil {
		return false, err
	}
	return len(seqs) == sweepBatch && crowded(), s.deleteBodies(ctx, inbox, seqs, crowded)
}

// deleteBodies deletes the bodies of delivered events, while it is wanted.
func (s *Store) deleteBodies(ctx context.Context, inbox string, seqs []int64, wanted func() bool) error {
	for _, seq := range seqs {
		for more := true; more && wanted(); {
			var freed int64
			err := s.update(ctx, 0, func(ctx context.Context, tx statements) error {
				var stored int64
				err := tx.QueryRowContext(ctx, `SELECT stored FROM elevenlabs_inbox_event
WHERE seq = $1 AND state = 'delivered' {for update}`, seq).Scan(&stored)
				if errors.Is(err, sql.ErrNoRows) { // sent again meanwhile, or forgotten
					freed, more = 0, false
					return nil
				}
				if err != nil {
					return err
				}
				// from the end, so that a body that is not whole is known by its length
				if _, err = tx.ExecContext(ctx, deleteChunks, seq, deletesPerWrite); err != nil {
					return err
				}
				var left int64
				if err = tx.QueryRowContext(ctx, `SELECT COALESCE(SUM(LENGTH(data)), 0) FROM elevenlabs_inbox_chunk WHERE seq = $1`, seq).Scan(&left); err != nil {
					return err
				}
				freed, more = stored-left, left > 0
				_, err = tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET stored = $1 WHERE seq = $2`, left, seq)
				return err
			})
			if err != nil {
				return err
			}
			s.usedBy(inbox).Add(-freed)
		}
	}
	return nil
}

const deleteChunks = `DELETE FROM elevenlabs_inbox_chunk
WHERE seq = $1 AND n IN (SELECT n FROM elevenlabs_inbox_chunk WHERE seq = $1 ORDER BY n DESC LIMIT $2)`

// sweepDelivered deletes events that need not be remembered any more.
func (s *Store) sweepDelivered(ctx context.Context, inbox string, keep Retention) (more bool, err error) {
	err = s.update(ctx, 0, func(ctx context.Context, tx statements) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM elevenlabs_inbox_event WHERE seq IN (
	SELECT seq FROM elevenlabs_inbox_event
	WHERE inbox = $1 AND state = 'delivered' AND stored = 0 AND done_at <= {now} - $2 ORDER BY done_at LIMIT $3)`,
			inbox, milliseconds(keep.Remember), sweepBatch)
		if err != nil {
			return err
		}
		deleted, err := result.RowsAffected()
		more = deleted == sweepBatch
		return err
	})
	return more, err
}

// sweepDead deletes dead events.
func (s *Store) sweepDead(ctx context.Context, inbox string, keep Retention) (more bool, err error) {
	var seqs []int64
	err = s.update(ctx, 0, func(ctx context.Context, tx statements) error {
		rows, err := tx.QueryContext(ctx, `UPDATE elevenlabs_inbox_event SET `+removed+` WHERE seq IN (
	SELECT seq FROM elevenlabs_inbox_event
	WHERE inbox = $1 AND state = 'dead' AND done_at <= {now} - $2 ORDER BY done_at LIMIT $3) AND state = 'dead' RETURNING seq`,
			inbox, milliseconds(keep.Dead), sweepBatch)
		if err != nil {
			return err
		}
		seqs, err = scanSeqs(rows)
		return err
	})
	if err != nil {
		return false, err
	}
	return len(seqs) == sweepBatch, s.remove(ctx, seqs)
}

// removed is the state of an event that is there for nobody any more. Its body is
// deleted piece by piece, also if this process ends in between.
const removed = `state = 'receiving', done_at = {now}, owner = '', lease_until = 0`

// abandonedAfter is how long another process may take to receive an event.
const abandonedAfter = 24 * time.Hour

// sweepRest deletes what is left of events that are removed, or were never whole.
func (s *Store) sweepRest(ctx context.Context, _ string, _ Retention) (more bool, err error) {
	seqs, err := s.seqs(ctx, `SELECT seq FROM elevenlabs_inbox_event
WHERE state = 'receiving' AND (done_at > 0 OR received_at < {now} - $1) LIMIT $2`, milliseconds(abandonedAfter), sweepBatch)
	if err != nil {
		return false, err
	}
	return len(seqs) == sweepBatch, s.remove(ctx, seqs)
}

// remove deletes events that are in no use, some pieces of the body a write.
func (s *Store) remove(ctx context.Context, seqs []int64) error {
	for _, seq := range seqs {
		for more := true; more; {
			err := s.update(ctx, 0, func(ctx context.Context, tx statements) error {
				result, err := tx.ExecContext(ctx, deleteChunks, seq, deletesPerWrite)
				if err != nil {
					return err
				}
				deleted, err := result.RowsAffected()
				if more = deleted == deletesPerWrite; more || err != nil {
					return err
				}
				_, err = tx.ExecContext(ctx, `DELETE FROM elevenlabs_inbox_event WHERE seq = $1 AND state = 'receiving'`, seq)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) seqs(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := s.read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return scanSeqs(rows)
}
