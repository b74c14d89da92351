package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Selection selects events. A field that is empty selects all.
type Selection struct {
	Inbox          string
	State          State
	Types          []string
	ConversationID string
	AgentID        string
	// EventID is the event's ID, or the beginning of it.
	EventID string
	// Events are numbers of events.
	Events []int64
	// Since and Until are times of receipt. Until is not in the span.
	Since, Until time.Time
	// Before selects events with a smaller number, and After those with a larger one.
	Before, After int64
}

// where returns the condition. Its parameters begin with $1.
func (s *Selection) where() (condition string, args []any, err error) {
	var conditions []string
	add := func(format string, values ...any) {
		names := make([]any, len(values))
		for i, value := range values {
			args = append(args, value)
			names[i] = fmt.Sprintf("$%d", len(args))
		}
		conditions = append(conditions, fmt.Sprintf(format, names...))
	}
	in := func(column string, values []any) {
		add(column+" IN ("+strings.TrimSuffix(strings.Repeat("%s,", len(values)), ",")+")", values...)
	}
	if s.Inbox != "" {
		add("inbox = %s", s.Inbox)
	}
	if s.State != "" {
		add("state = %s", string(s.State))
	}
	if len(s.Types) > 0 {
		in("type", anys(s.Types))
	}
	if s.ConversationID != "" {
		add("conversation_id = %s", s.ConversationID)
	}
	if s.AgentID != "" {
		add("agent_id = %s", s.AgentID)
	}
	if s.EventID != "" {
		add("event_id >= %s AND event_id < %s", s.EventID, s.EventID+"~") // all hex digits are below it
	}
	if len(s.Events) > 0 {
		in("seq", anys(s.Events))
	}
	if !s.Since.IsZero() {
		add("received_at >= %s", s.Since.UnixMilli())
	}
	if !s.Until.IsZero() {
		add("received_at < %s", s.Until.UnixMilli())
	}
	if s.Before > 0 {
		add("seq < %s", s.Before)
	}
	if s.After > 0 {
		add("seq > %s", s.After)
	}
	if len(conditions) == 0 {
		return "", nil, errors.New("nothing selects events")
	}
	return strings.Join(conditions, " AND "), args, nil
}

func anys[T any](values []T) []any {
	all := make([]any, len(values))
	for i, value := range values {
		all[i] = value
	}
	return all
}

// Entry is an event as an operator sees it.
type Entry struct {
	Event
	Seq   int64
	State State
	Size  int64
	// Stored is how many bytes of the body are there.
	Stored     int64
	Attempts   int
	Repeats    int
	ReceivedAt time.Time
	// NextAt is when the next attempt begins, if the event waits.
	NextAt time.Time
	// DoneAt is when the event was delivered, or given up.
	DoneAt time.Time
}

const entryColumns = `seq, inbox, event_id, type, conversation_id, agent_id, fields, request,
	state, size, stored, attempts, repeats, received_at, next_at, done_at`

func scanEntry(scan func(...any) error) (e Entry, err error) {
	var state string
	var received, next, done int64
	err = scan(&e.Seq, &e.Inbox, &e.ID, &e.Type, &e.ConversationID, &e.AgentID, &e.Fields, &e.Request,
		&state, &e.Size, &e.Stored, &e.Attempts, &e.Repeats, &received, &next, &done)
	e.State = State(state)
	e.ReceivedAt, e.DoneAt = fromMilliseconds(received), fromMilliseconds(done)
	if e.State == Waiting {
		e.NextAt = fromMilliseconds(next)
	}
	return e, err
}

// List returns the events that are selected, newest first, at most so many.
func (s *Store) List(ctx context.Context, selection Selection, limit int) ([]Entry, error) {
	condition, args := "seq > 0", []any(nil)
	if where, its, err := selection.where(); err == nil {
		condition, args = where, its
	}
	rows, err := s.read().QueryContext(ctx, `SELECT `+entryColumns+` FROM elevenlabs_inbox_event
WHERE state <> 'receiving' AND `+condition+fmt.Sprintf(` ORDER BY seq DESC LIMIT %d`, limit), args...)
	if err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	defer rows.Close()
	entries := []Entry{}
	for rows.Next() {
		e, err := scanEntry(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("listing events: %w", err)
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
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

// Count is how many events an inbox has, and what of them.
type Count struct {
	States map[State]int64
	// Bytes is what the bodies take.
	Bytes int64
	// Oldest is how long the event waits that has waited longest, since it was
	// received or sent again.
	Oldest time.Duration
}

// Counts returns the counts of each inbox that has events.
func (s *Store) Counts(ctx context.Context) (map[string]Count, error) {
	rows, err := s.read().QueryContext(ctx, `
SELECT inbox, state, COUNT(*), SUM(stored), {now} - MIN(armed_at)
FROM elevenlabs_inbox_event WHERE state <> 'receiving' GROUP BY inbox, state`)
	if err != nil {
		return nil, fmt.Errorf("counting events: %w", err)
	}
	defer rows.Close()
	counts := map[string]Count{}
	for rows.Next() {
		var name, state string
		var count, bytes, age int64
		if err := rows.Scan(&name, &state, &count, &bytes, &age); err != nil {
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

// StoredBody is the body of an event in the database. It reads one chunk at a time, by a
// query of its own: a long read would keep SQLite's log from shrinking.
type StoredBody struct {
	store *Store
	seq   int64
	size  int64
}

// Body returns the body of an event.
func (s *Store) Body(seq, size int64) *StoredBody { return &StoredBody{s, seq, size} }

// Size returns the body's size.
func (b *StoredBody) Size() int64 { return b.size }

// NewReader returns a reader of the whole body. A body that is not whole any more ends
// with an error.
func (b *StoredBody) NewReader() io.ReadCloser { return &chunkReader{body: b} }

type chunkReader struct {
	body   *StoredBody
	offset int64  // of the next chunk
	chunk  []byte // what is left of this one
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.chunk) == 0 {
		if r.offset >= r.body.size {
			return 0, io.EOF
		}
		chunk, err := r.body.chunk(r.offset / chunkSize)
		if err != nil {
			return 0, err
		}
		r.chunk = chunk
		r.offset += int64(len(chunk))
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// Close does nothing.
func (r *chunkReader) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (b *StoredBody) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		if offset >= b.size {
			return n, io.EOF
		}
		chunk, err := b.chunk(offset / chunkSize)
		if err != nil {
			return n, err
		}
		copied := copy(p[n:], chunk[offset%chunkSize:])
		n, offset = n+copied, offset+int64(copied)
	}
	return n, nil
}

// chunk returns the n-th piece of the body.
func (b *StoredBody) chunk(n int64) (data []byte, err error) {
	ctx, cancel := context.WithTimeout(b.store.ended, statementTimeout)
	defer cancel()
	err = b.store.read().QueryRowContext(ctx, `SELECT data FROM elevenlabs_inbox_chunk WHERE seq = $1 AND n = $2`, b.seq, n).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && int64(len(data)) != min(chunkSize, b.size-n*chunkSize) {
		err = ErrBodyGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the body of event %d: %w", b.seq, err)
	}
	return data, nil
}
