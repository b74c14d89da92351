package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Event is what is stored of an event beside its body.
type Event struct {
	Queue
	// ID identifies the event within its inbox.
	ID             string
	Type           string
	ConversationID string
	AgentID        string
	RequestID      string
	// Webhook is the name of the secret that signed the event.
	Webhook string
	// Fields and Request are JSON that the package does not look into.
	Fields  string
	Request string
}

// Body is a body that is read at any place, by several goroutines. A read that comes
// after Accept has returned must fail, if the body is not there any more.
type Body interface {
	io.ReaderAt
	Size() int64
}

// Accept stores an event for its queue, and for the other destinations of the inbox; its
// body is stored once. When it returns nil, the event is on disk. It reports whether all of
// them have an event of this ID already. Where that one was dead, it waits for delivery
// again. One that was discarded stays so.
//
// After an error of the context, the event may be there or not. The limit is how many
// bytes the bodies of the inbox may hold.
func (s *Store) Accept(ctx context.Context, e Event, body Body, limit int64, others ...string) (repeat bool, err error) {
	if s.closed.Load() {
		return false, ErrClosed
	}
	if err := cmp.Or(s.accepts(), s.intact()); err != nil {
		return false, err
	}
	used, size := s.usedBy(e.Inbox), body.Size()
	if !used.reserve(size, limit) {
		return false, ErrFull
	}
	defer func() { used.arrived(size, err == nil && !repeat) }()
	store := s.acceptSmall
	if size > chunkSize {
		store = s.acceptLarge
	}
	destinations := append([]string{e.Destination}, others...)
	repeat, err = store(ctx, e, destinations, body)
	if err == nil {
		for _, name := range destinations {
			s.awaken(Queue{e.Inbox, name})
		}
		err = s.intact()
	}
	if err != nil {
		return false, fmt.Errorf("storing the event: %w", err)
	}
	return repeat, nil
}

const rearm = `
	repeats  = elevenlabs_inbox_event.repeats + 1,
	tries    = CASE elevenlabs_inbox_event.state WHEN 'dead' THEN 0 ELSE elevenlabs_inbox_event.tries END,
	armed_at = CASE elevenlabs_inbox_event.state WHEN 'dead' THEN {now} ELSE elevenlabs_inbox_event.armed_at END,
	next_at  = CASE elevenlabs_inbox_event.state WHEN 'dead' THEN {now} ELSE elevenlabs_inbox_event.next_at END,
	done_at  = CASE elevenlabs_inbox_event.state WHEN 'dead' THEN 0 ELSE elevenlabs_inbox_event.done_at END,
	state    = CASE elevenlabs_inbox_event.state WHEN 'dead' THEN 'waiting' ELSE elevenlabs_inbox_event.state END`

const insertEvent = `
INSERT INTO elevenlabs_inbox_event
	(inbox, destination, event_id, type, conversation_id, agent_id, request_id, webhook, fields, request, size, stored, body, state, armed_at, received_at, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, {now}, {now}, {now})`

// columns returns the parameters of insertEvent. The owner is the event that has the body.
func (e *Event) columns(size, stored, owner int64, state State) []any {
	return []any{
		e.Inbox, e.Destination, e.ID, text(e.Type), text(e.ConversationID), text(e.AgentID), text(e.RequestID), text(e.Webhook),
		text(e.Fields), text(e.Request), size, stored, owner, string(state),
	}
}

// text returns a text as every database can hold it.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// acceptSmall stores an event whose body is one chunk, in one write.
func (s *Store) acceptSmall(ctx context.Context, e Event, destinations []string, body Body) (repeat bool, err error) {
	size := body.Size()
	return updateReturning(ctx, s, size, func(ctx context.Context, tx statements) (repeat bool, err error) {
		owner, err := insertFor(ctx, tx, e, destinations, size, 0)
		if err != nil || owner == 0 || size == 0 {
			return owner == 0, err
		}
		return false, insertChunk(ctx, tx, owner, 0, body)
	})
}

// insertFor inserts an event for each destination that does not have it, and counts a
// repeat for the others. The first of them owns the body, if it has no owner yet. It returns
// the owner, or 0.
func insertFor(ctx context.Context, tx statements, e Event, destinations []string, size, owner int64) (int64, error) {
	sharers := 0
	for _, e.Destination = range destinations {
		var seq, repeats int64
		err := tx.QueryRowContext(ctx, insertEvent+`
ON CONFLICT (inbox, event_id, destination) WHERE state <> 'receiving' DO UPDATE SET `+rearm+`
RETURNING seq, repeats`, e.columns(size, size, owner, Waiting)...).Scan(&seq, &repeats)
		switch {
		case err != nil:
			return 0, err
		case repeats > 0:
		case owner == 0:
			owner = seq
		default:
			sharers++
		}
	}
	if sharers == 0 || size == 0 {
		return owner, nil
	}
	return owner, changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event SET sharers = sharers + $1 WHERE seq = $2`, sharers, owner)
}

// countRepeats counts a repeat of an event for each destination that has it. It returns the
// destinations from the first one that does not.
func countRepeats(ctx context.Context, tx statements, e Event, destinations []string) (rest []string, err error) {
	for i, name := range destinations {
		err := changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event SET `+rearm+`
WHERE inbox = $1 AND event_id = $2 AND destination = $3 AND state <> 'receiving'`, e.Inbox, e.ID, name)
		if errors.Is(err, ErrNotFound) {
			return destinations[i:], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// acceptLarge stores an event in several writes, so that others need not wait for all
// of it. Until the last one, the event is not there for anybody.
func (s *Store) acceptLarge(ctx context.Context, e Event, destinations []string, body Body) (repeat bool, err error) {
	size := body.Size()
	var have conditions
	have.add("inbox = %s AND event_id = %s AND state <> 'receiving'", e.Inbox, e.ID)
	have.in("destination", anys(destinations))
	seq, err := updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (seq int64, err error) {
		var there int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM elevenlabs_inbox_event WHERE `+have.String(), have.args...).Scan(&there); err != nil {
			return 0, err
		}
		if there == len(destinations) {
			_, err := countRepeats(ctx, tx, e, destinations)
			return 0, err
		}
		err = tx.QueryRowContext(ctx, insertEvent+` RETURNING seq`, e.columns(size, 0, 0, receiving)...).Scan(&seq)
		return seq, err
	})
	if err != nil || seq == 0 {
		return err == nil, err
	}
	defer func() {
		if err != nil || repeat {
			s.abandon(seq)
		}
	}()
	for n := int64(0); n*chunkSize < size; n++ {
		err := s.update(ctx, chunkSize, func(ctx context.Context, tx statements) error {
			return insertChunk(ctx, tx, seq, n, body)
		})
		if err != nil {
			return false, err
		}
	}
	return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (repeat bool, err error) {
		rest, err := countRepeats(ctx, tx, e, destinations)
		if err != nil || len(rest) == 0 {
			return err == nil, err
		}
		err = changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event
SET state = 'waiting', destination = $2, stored = size, armed_at = {now}, next_at = {now} WHERE seq = $1 AND state = 'receiving' AND done_at = 0`, seq, rest[0])
		if err == nil {
			_, err = insertFor(ctx, tx, e, rest[1:], size, seq)
		}
		return false, err
	})
}

// chunks are buffers for pieces of bodies. A write takes one when its turn comes, so
// events that wait for it hold none.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// insertChunk stores the n-th piece of a body.
func insertChunk(ctx context.Context, tx statements, seq, n int64, body Body) error {
	buffer := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(buffer)
	offset := n * chunkSize
	data := buffer[:min(body.Size()-offset, chunkSize)]
	if read, err := body.ReadAt(data, offset); read < len(data) {
		return fmt.Errorf("reading the body: %w", err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO elevenlabs_inbox_chunk (seq, n, data) VALUES ($1, $2, $3)`, seq, n, data)
	return err
}

// changeOne runs a statement that must change one row.
func changeOne(ctx context.Context, tx statements, query string, args ...any) error {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if changed, err := result.RowsAffected(); err != nil || changed == 0 {
		return cmp.Or(err, ErrNotFound)
	}
	return nil
}

// abandon removes what was stored of an event that is not whole. Nobody waits for it.
func (s *Store) abandon(seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return
	}
	s.work.Go(func() {
		_ = s.remove(s.ended, []int64{seq}) // what stays is removed later
	})
}
