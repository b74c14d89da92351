package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Claim is an event that this process delivers, and nobody else meanwhile.
type Claim struct {
	Event
	Seq  int64
	Size int64
	// BodySeq is the number of the event that has the body, for Store.Body.
	BodySeq int64
	// Attempt is the number of this attempt, from 1.
	Attempt    int
	ReceivedAt time.Time

	tries int   // since the event was armed, this one too
	due   int64 // when the attempt was due
}

// claim takes events that are due, at most so many, in the order in which they are due.
func (s *Store) claim(ctx context.Context, q Queue, count int) ([]*Claim, error) {
	claims, err := updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (claims []*Claim, err error) {
		rows, err := tx.QueryContext(ctx, `
WITH due AS MATERIALIZED (
	SELECT seq FROM elevenlabs_inbox_event
	WHERE inbox = $1 AND destination = $2 AND state = 'waiting' AND next_at <= {now}
	ORDER BY next_at, seq LIMIT $3 {skip locked}
)
UPDATE elevenlabs_inbox_event
SET state = 'delivering', attempts = attempts + 1, tries = tries + 1, owner = $4, lease_until = {now} + $5
WHERE seq IN (SELECT seq FROM due)
RETURNING seq, event_id, type, conversation_id, agent_id, request_id, webhook, fields, request, size, `+bodySeq+`, attempts, tries, received_at, next_at`,
			q.Inbox, q.Destination, count, s.owner, leaseTime.Milliseconds())
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			c := &Claim{Event: Event{Queue: q}}
			var received int64
			if err := rows.Scan(&c.Seq, &c.ID, &c.Type, &c.ConversationID, &c.AgentID, &c.RequestID, &c.Webhook, &c.Fields, &c.Request,
				&c.Size, &c.BodySeq, &c.Attempt, &c.tries, &received, &c.due); err != nil {
				return nil, err
			}
			c.ReceivedAt = fromMilliseconds(received)
			claims = append(claims, c)
		}
		slices.SortFunc(claims, func(a, b *Claim) int {
			return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.Seq, b.Seq))
		})
		return claims, rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("claiming events: %w", err)
	}
	return claims, nil
}

// bodySeq is the number of the event that has an event's body.
const bodySeq = `CASE body WHEN 0 THEN seq ELSE body END`

// due reports whether an event is due. It writes nothing.
func (s *Store) due(ctx context.Context, q Queue) (bool, error) {
	var one int
	err := s.read().QueryRowContext(ctx, `
SELECT 1 FROM elevenlabs_inbox_event WHERE inbox = $1 AND destination = $2 AND state = 'waiting' AND next_at <= {now} LIMIT 1`, q.Inbox, q.Destination).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Outcome is what became of an attempt.
type Outcome struct {
	// Taken reports whether the backend took the event.
	Taken bool
	// Unreachable reports whether no connection brought an answer, so that other
	// events would fare the same.
	Unreachable bool
	// Status is that of the backend's answer, or 0.
	Status int
	// Reason is why the attempt failed.
	Reason string
	// Answer is the beginning of the backend's answer, if the attempt failed.
	Answer string
	// RetryAfter is how long the backend asks to wait, or 0.
	RetryAfter time.Duration
	Duration   time.Duration
}

// schedule is when an event is tried again.
type schedule struct {
	pause  time.Duration
	giveUp time.Duration // after the event was armed
}

// settle notes the outcome of an attempt, and returns the state that the event then
// has. If the claim was lost, it returns errClaimLost and notes nothing.
func (s *Store) settle(ctx context.Context, c *Claim, o Outcome, retry schedule) (State, error) {
	return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (state State, err error) {
		query, args := `
SET state = 'delivered', done_at = {now}`, []any{c.Seq, s.owner, c.Attempt}
		if !o.Taken {
			query = `
SET state   = CASE WHEN {now} >= armed_at + $4 THEN 'dead' ELSE 'waiting' END,
    done_at = CASE WHEN {now} >= armed_at + $4 THEN {now} ELSE 0 END,
    next_at = {now} + $5`
			args = append(args, retry.giveUp.Milliseconds(), retry.pause.Milliseconds())
		}
		err = tx.QueryRowContext(ctx, `UPDATE elevenlabs_inbox_event `+query+`, owner = '', lease_until = 0
WHERE seq = $1 AND owner = $2 AND attempts = $3 AND state = 'delivering' RETURNING state`, args...).Scan((*string)(&state))
		if errors.Is(err, sql.ErrNoRows) {
			return settled(ctx, tx, c)
		}
		if err != nil {
			return "", err
		}
		_, err = tx.ExecContext(ctx, `
INSERT INTO elevenlabs_inbox_attempt (seq, n, ended_at, milliseconds, status, reason, answer)
VALUES ($1, $2, {now}, $3, $4, $5, $6)`, c.Seq, c.Attempt, o.Duration.Milliseconds(), o.Status, text(o.Reason), text(o.Answer))
		return state, err
	})
}

// settled returns the state of an event whose outcome is stored already: an earlier write
// took effect after its caller had left. Otherwise the claim was lost.
func settled(ctx context.Context, tx statements, c *Claim) (state State, err error) {
	err = tx.QueryRowContext(ctx, `SELECT state FROM elevenlabs_inbox_event
WHERE seq = $1 AND EXISTS (SELECT 1 FROM elevenlabs_inbox_attempt WHERE seq = $1 AND n = $2)`, c.Seq, c.Attempt).Scan((*string)(&state))
	if errors.Is(err, sql.ErrNoRows) {
		err = errClaimLost
	}
	return state, err
}

// release puts an event back that was claimed and not tried to the end. It counts as no
// try.
func (s *Store) release(ctx context.Context, c *Claim) error {
	return s.update(ctx, 0, func(ctx context.Context, tx statements) error {
		_, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET `+unclaimed+`
WHERE seq = $1 AND owner = $2 AND attempts = $3 AND state = 'delivering'`, c.Seq, s.owner, c.Attempt)
		return err
	})
}

// unclaimed is how a claim ends that brought no outcome.
const unclaimed = `state = 'waiting', next_at = {now}, tries = tries - 1, owner = '', lease_until = 0`

// renew renews claims, and returns those that were lost.
func (s *Store) renew(ctx context.Context, claims []*Claim) (lost []*Claim, err error) {
	return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (lost []*Claim, err error) {
		for _, c := range claims {
			err := changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event SET lease_until = {now} + $1
WHERE seq = $2 AND owner = $3 AND attempts = $4 AND state = 'delivering'`, leaseTime.Milliseconds(), c.Seq, s.owner, c.Attempt)
			if errors.Is(err, ErrNotFound) {
				lost = append(lost, c)
			} else if err != nil {
				return nil, err
			}
		}
		return lost, nil
	})
}

// free frees claims that ran out, whoever has them. Events of the queue that wait longer
// than the longest pause were given their time by a wrong clock: they are due now. What
// another transaction holds is passed over, since its process may be frozen.
func (s *Store) free(ctx context.Context, q Queue, longest time.Duration) error {
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`UPDATE elevenlabs_inbox_event SET ` + unclaimed + ` WHERE state = 'delivering' AND seq IN (
	SELECT seq FROM elevenlabs_inbox_event WHERE state = 'delivering' AND lease_until < {now} ORDER BY lease_until LIMIT $1 {skip locked})`, []any{sweepBatch}},
		{`UPDATE elevenlabs_inbox_event SET next_at = {now} WHERE state = 'waiting' AND seq IN (
	SELECT seq FROM elevenlabs_inbox_event WHERE inbox = $2 AND destination = $3 AND state = 'waiting' AND next_at > {now} + $4 ORDER BY next_at LIMIT $1 {skip locked})`, []any{sweepBatch, q.Inbox, q.Destination, longest.Milliseconds()}},
	} {
		err := repeatedly(ctx, func(ctx context.Context) (more bool, err error) {
			return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (more bool, err error) {
				result, err := tx.ExecContext(ctx, step.query, step.args...)
				if err != nil {
					return false, err
				}
				changed, err := result.RowsAffected()
				return changed == sweepBatch, err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scanSeqs reads the numbers of events that a query returns.
func scanSeqs(rows *sql.Rows, err error) ([]int64, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var seqs []int64
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	return seqs, rows.Err()
}
