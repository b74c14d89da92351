package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

var errForgotten = errors.New("the event was forgotten")

// Forget deletes events and their bodies, whatever their state, by their number or by
// their conversation. A delivery that is under way is canceled, in another process when it
// next renews its claims. Forget returns how many events it deleted.
//
// Afterwards nothing of the bodies is in the files of a SQLite database. A Postgres keeps
// what was deleted in its own files, until it needs the space.
func (s *Store) Forget(ctx context.Context, selection Selection) (count int, err error) {
	where, args, err := selection.where()
	if err != nil {
		return 0, err
	}
	for more := true; more; {
		seqs, err := updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) ([]int64, error) {
			return scanSeqs(tx.QueryContext(ctx, `UPDATE elevenlabs_inbox_event SET `+removed+`
WHERE state <> 'receiving' AND seq IN (
	SELECT seq FROM elevenlabs_inbox_event WHERE state <> 'receiving' AND `+where+fmt.Sprintf(` LIMIT %d)
RETURNING seq`, sweepBatch), args...))
		})
		if err != nil {
			return count, err
		}
		s.claiming.Lock()   // waits until the claims under way can be canceled
		s.claiming.Unlock() //nolint:staticcheck // the wait is all that the lock is for
		for _, seq := range seqs {
			s.cancel(seq, errForgotten)
		}
		count += len(seqs)
		more = len(seqs) > 0
	}
	// also what an earlier call that failed has left
	if err := repeatedly(ctx, s.sweepRest); err != nil {
		return count, err
	}
	if err := s.refreshUsed(ctx); err != nil {
		return count, err
	}
	return count, s.forget(ctx)
}

// deliverable is the condition for an event to be delivered again.
const deliverable = `state IN ('waiting', 'delivered', 'dead') AND stored = size`

// Redeliver lets events be delivered again: the attempts begin as if they had just
// come. Events whose body is deleted stay as they are. If events are selected by their
// numbers and none can be delivered, the error says why.
func (s *Store) Redeliver(ctx context.Context, selection Selection) (count int, err error) {
	where, args, err := selection.where()
	if err != nil {
		return 0, err
	}
	woken := map[string]bool{}
	after := int64(0)
	for more := true; more; {
		query := `UPDATE elevenlabs_inbox_event
SET state = 'waiting', next_at = {now}, armed_at = {now}, tries = 0, done_at = 0
WHERE ` + deliverable + ` AND seq IN (
	SELECT seq FROM elevenlabs_inbox_event WHERE ` + deliverable + ` AND ` + where + fmt.Sprintf(` AND seq > $%d ORDER BY seq LIMIT %d)
RETURNING seq, inbox`, len(args)+1, sweepBatch)
		inboxes, err := updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (map[int64]string, error) {
			rows, err := tx.QueryContext(ctx, query, append(slices.Clone(args), after)...)
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			inboxes := map[int64]string{}
			for rows.Next() {
				var seq int64
				var inbox string
				if err := rows.Scan(&seq, &inbox); err != nil {
					return nil, err
				}
				inboxes[seq] = inbox
			}
			return inboxes, rows.Err()
		})
		if err != nil {
			return count, err
		}
		for seq, inbox := range inboxes {
			after, woken[inbox] = max(after, seq), true
		}
		count += len(inboxes)
		more = len(inboxes) > 0
	}
	for inbox := range woken {
		s.awaken(inbox)
	}
	if count == 0 && len(selection.Events) > 0 {
		return 0, s.whyNone(ctx, selection.Events)
	}
	return count, nil
}

// whyNone returns why none of the events can be delivered again.
func (s *Store) whyNone(ctx context.Context, seqs []int64) error {
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
		return ErrBodyGone
	}
	return ErrNotFound
}
