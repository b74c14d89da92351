package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Entry is an event as an operator sees it.
type Entry struct {
	Event
	Seq   int64
	State State
	Size  int64
	// BodySeq is the number of the event that has the body, for Store.Body.
	BodySeq int64
	// Stored is how many bytes of the body are there.
	Stored     int64
	Attempts   int
	Repeats    int
	ReceivedAt time.Time
	// NextAt is when the next attempt begins, if the event waits.
	NextAt time.Time
	// DoneAt is when the event was delivered, given up or discarded.
	DoneAt time.Time
}

const entryColumns = `seq, inbox, destination, event_id, type, conversation_id, agent_id, request_id, webhook, fields, request,
	state, size, stored, ` + bodySeq + `, attempts, repeats, received_at, next_at, done_at`

func scanEntry(scan func(...any) error) (e Entry, err error) {
	var state string
	var received, next, done int64
	err = scan(&e.Seq, &e.Inbox, &e.Destination, &e.ID, &e.Type, &e.ConversationID, &e.AgentID, &e.RequestID, &e.Webhook, &e.Fields, &e.Request,
		&state, &e.Size, &e.Stored, &e.BodySeq, &e.Attempts, &e.Repeats, &received, &next, &done)
	e.State = State(state)
	e.ReceivedAt, e.DoneAt = fromMilliseconds(received), fromMilliseconds(done)
	if e.State == Waiting {
		e.NextAt = fromMilliseconds(next)
	}
	return e, err
}

// List returns the events that are selected, newest first, at most so many.
func (s *Store) List(ctx context.Context, selection Selection, limit int) ([]Entry, error) {
	entries := []Entry{}
	err := s.snapshot(ctx, func(tx statements) error {
		before, err := positionOf(ctx, tx, selection.Before)
		if err != nil {
			return err
		}
		positions, err := s.page(ctx, tx, selection, true, before, limit)
		if err != nil || len(positions) == 0 {
			return err
		}
		var c conditions
		c.in("seq", seqsOf(positions))
		rows, err := tx.QueryContext(ctx, `SELECT `+entryColumns+` FROM elevenlabs_inbox_event
WHERE `+c.String()+` ORDER BY received_at DESC, seq DESC`, c.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e, err := scanEntry(rows.Scan)
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	return entries, nil
}

// Get returns an event.
func (s *Store) Get(ctx context.Context, seq int64) (Entry, error) {
	row := s.read().QueryRowContext(ctx, `SELECT `+entryColumns+` FROM elevenlabs_inbox_event
WHERE seq = $1 AND state <> 'receiving'`, seq)
	e, err := scanEntry(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return e, ErrNotFound
	}
	return e, err
}

// Attempt is an attempt to deliver an event.
type Attempt struct {
	Number   int
	EndedAt  time.Time
	Duration time.Duration
	Status   int    // of the backend's answer; 0 without an answer
	Reason   string // why it failed; empty if the backend took the event
	Answer   string // the beginning of the backend's answer, if it failed
}

// Attempts returns the attempts to deliver an event, oldest first.
func (s *Store) Attempts(ctx context.Context, seq int64) ([]Attempt, error) {
	rows, err := s.read().QueryContext(ctx, `SELECT n, ended_at, milliseconds, status, reason, answer
FROM elevenlabs_inbox_attempt WHERE seq = $1 ORDER BY n`, seq)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	attempts := []Attempt{}
	for rows.Next() {
		var a Attempt
		var ended, took int64
		if err := rows.Scan(&a.Number, &ended, &took, &a.Status, &a.Reason, &a.Answer); err != nil {
			return nil, err
		}
		a.EndedAt, a.Duration = fromMilliseconds(ended), time.Duration(took)*time.Millisecond
		attempts = append(attempts, a)
	}
	return attempts, rows.Err()
}

// Count is how many events a queue has, and what of them.
type Count struct {
	States map[State]int64
	// Bytes is what the bodies take. One that several destinations share counts once.
	Bytes int64
	// Oldest is how long the event waits that has waited longest, since it was
	// received or sent again.
	Oldest time.Duration
}

// Counts returns the counts of each queue that has events.
func (s *Store) Counts(ctx context.Context) (map[Queue]Count, error) {
	rows, err := s.read().QueryContext(ctx, `
SELECT inbox, destination, state, COUNT(*), SUM(CASE body WHEN 0 THEN stored ELSE 0 END), {now} - MIN(armed_at)
FROM elevenlabs_inbox_event WHERE state <> 'receiving' GROUP BY inbox, destination, state`)
	if err != nil {
		return nil, fmt.Errorf("counting events: %w", err)
	}
	defer rows.Close()
	counts := map[Queue]Count{}
	for rows.Next() {
		var name Queue
		var state string
		var count, bytes, age int64
		if err := rows.Scan(&name.Inbox, &name.Destination, &state, &count, &bytes, &age); err != nil {
			return nil, fmt.Errorf("counting events: %w", err)
		}
		c, ok := counts[name]
		if !ok {
			c.States = map[State]int64{}
		}
		c.States[State(state)] = count
		c.Bytes += bytes
		if State(state) == Waiting || State(state) == Delivering {
			c.Oldest = max(c.Oldest, time.Duration(age)*time.Millisecond)
		}
		counts[name] = c
	}
	return counts, rows.Err()
}
