package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// position is the place of an event in the order of receipt: by its time, and among events
// of one time by its number.
type position struct{ received, seq int64 }

func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.received, other.received), cmp.Compare(p.seq, other.seq))
}

// positionOf returns the position of an event. If that is deleted, it is the position after
// the one before it.
func positionOf(ctx context.Context, tx statements, seq int64) (*position, error) {
	if seq == 0 {
		return nil, nil //nolint:nilnil // no event, no position
	}
	positions, err := scanPositions(tx.QueryContext(ctx, `SELECT received_at, seq FROM elevenlabs_inbox_event
WHERE seq <= $1 AND state <> 'receiving' ORDER BY seq DESC LIMIT 1`, seq))
	if err != nil || len(positions) == 0 {
		return new(position), err
	}
	if positions[0].seq < seq {
		positions[0].seq++ // that one is before the position too
	}
	return &positions[0], nil
}

// page finds the first events that are selected and come after a position, in the order of
// receipt, or those before it, newest first. No position is the beginning.
//
// It reads parts of an index that are in this order already, and of each no more than the
// page holds. So a page takes as long in a large inbox as in a small one.
func (s *Store) page(ctx context.Context, tx statements, its Selection, newestFirst bool, from *position, limit int) ([]position, error) {
	parts, err := its.parts(ctx, tx)
	if err != nil {
		return nil, err
	}
	order, sign, further := "received_at, seq", 1, "received_at >= %s AND (received_at > %s OR seq > %s)"
	if newestFirst {
		order, sign, further = "received_at DESC, seq DESC", -1, "received_at <= %s AND (received_at < %s OR seq < %s)"
	}
	var all []position
	for _, c := range parts {
		its.filter(&c)
		if from != nil {
			c.add(further, from.received, from.received, from.seq)
		}
		some, err := scanPositions(tx.QueryContext(ctx, `SELECT received_at, seq FROM elevenlabs_inbox_event
WHERE `+c.String()+` ORDER BY `+order+fmt.Sprintf(` LIMIT %d`, limit), c.args...))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b position) int { return sign * a.compare(b) })
	all = slices.Compact(all) // an event may be in several parts
	return all[:min(limit, len(all))], nil
}

// kind is what the index elevenlabs_inbox_list begins with.
type kind struct {
	queue Queue
	state State
	typ   string
}

// inboxes returns the inboxes that have events. Like kinds, it looks up each in the index,
// and passes over its events.
func inboxes(ctx context.Context, tx statements) ([]string, error) {
	return steps(ctx, tx, `SELECT inbox FROM elevenlabs_inbox_event WHERE inbox > $1 ORDER BY inbox LIMIT 1`)
}

// kinds returns the kinds of which there are events, of those that are selected.
func (s *Selection) kinds(ctx context.Context, tx statements) (all []kind, err error) {
	queues, err := s.queues(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		for _, state := range s.states() {
			types, err := steps(ctx, tx, `SELECT type FROM elevenlabs_inbox_event
WHERE type > $1 AND inbox = $2 AND destination = $3 AND state = $4 ORDER BY type LIMIT 1`, q.Inbox, q.Destination, string(state))
			if err != nil {
				return nil, err
			}
			for _, typ := range append([]string{""}, types...) {
				if len(s.Types) == 0 || slices.ContainsFunc(s.Types, func(selected string) bool { return text(selected) == typ }) {
					all = append(all, kind{q, state, typ})
				}
			}
		}
	}
	return all, nil
}

// queues returns the queues that may have events, of those that are selected.
func (s *Selection) queues(ctx context.Context, tx statements) (all []Queue, err error) {
	names := []string{text(s.Inbox)}
	if s.Inbox == "" {
		if names, err = inboxes(ctx, tx); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		destinations := []string{text(s.Destination)}
		if s.Destination == "" {
			named, err := destinationsOf(ctx, tx, name)
			if err != nil {
				return nil, err
			}
			destinations = append(destinations, named...)
		}
		for _, destination := range destinations {
			all = append(all, Queue{name, destination})
		}
	}
	return all, nil
}

// destinationsOf returns the named destinations of an inbox that have events.
func destinationsOf(ctx context.Context, tx statements, inbox string) ([]string, error) {
	return steps(ctx, tx, `SELECT destination FROM elevenlabs_inbox_event
WHERE destination > $1 AND inbox = $2 ORDER BY destination LIMIT 1`, inbox)
}

// states returns the states that are selected.
func (s *Selection) states() []State {
	if s.State != "" {
		return []State{s.State}
	}
	return States
}

// steps returns the values that a query returns one after the other, if each time it gets
// the last one as its first parameter.
func steps(ctx context.Context, tx statements, query string, more ...any) (values []string, _ error) {
	for last := ""; ; values = append(values, last) {
		err := tx.QueryRowContext(ctx, query, append([]any{last}, more...)...).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			return values, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// shortEventID is how long the beginning of an event's ID is at most that so many events
// share that a page of them is found sooner among the newest than by the index.
const shortEventID = 1

// parts returns conditions of which each selects a part of an index. All events that are
// selected are in one of the parts.
func (s *Selection) parts(ctx context.Context, tx statements) (parts []conditions, err error) {
	part := func(format string, values ...any) {
		var c conditions
		c.add(format, values...)
		parts = append(parts, c)
	}
	ofAgent := func(id string) {
		for _, state := range s.states() {
			part("agent_id = %s AND agent_id <> '' AND state = %s", id, string(state))
		}
	}
	const whole = " AND {+}state <> 'receiving'"
	switch {
	case len(s.Events) > 0:
		var c conditions
		c.in("seq", anys(s.Events))
		c.texts = append(c.texts, "{+}state <> 'receiving'")
		return []conditions{c}, nil
	case s.RequestID != "":
		part("request_id = %s AND request_id <> ''"+whole, s.RequestID)
		return parts, nil
	case s.ConversationID != "":
		part("conversation_id = %s AND conversation_id <> ''"+whole, s.ConversationID)
		return parts, nil
	case s.AgentID != "" && len(s.Types) == 0:
		ofAgent(s.AgentID)
		return parts, nil
	case s.Webhook != "" && (s.State == "" || s.State == Delivered): // of other states there are few
		part("webhook = %s"+whole, s.Webhook)
		return parts, nil
	}
	ofKinds := func(all []kind) {
		for _, k := range all {
			part("inbox = %s AND destination = %s AND state = %s AND type = %s", k.queue.Inbox, k.queue.Destination, string(k.state), k.typ)
		}
	}
	byEventID := func(prefix string) error {
		names, err := inboxes(ctx, tx)
		for _, name := range names {
			part("inbox = %s AND event_id >= %s AND event_id < %s AND state <> 'receiving'", name, prefix, prefix+afterHex)
		}
		return err
	}
	switch {
	case s.AgentID != "":
		var all []kind
		all, err = s.kinds(ctx, tx)
		few := false
		if err == nil {
			few, err = areRare(ctx, tx, all)
		}
		if few {
			ofKinds(all)
		} else {
			ofAgent(s.AgentID)
		}
	case s.Search != "":
		part("request_id = %s AND request_id <> ''"+whole, s.Search)
		part("conversation_id = %s AND conversation_id <> ''"+whole, s.Search)
		ofAgent(s.Search)
		if s.searchesEventID() {
			err = byEventID(s.Search)
		}
	case len(s.EventID) > shortEventID:
		err = byEventID(s.EventID)
	default:
		var all []kind
		all, err = s.kinds(ctx, tx)
		ofKinds(all)
	}
	return parts, err
}

// rare is how few events a kind has that are all looked at, rather than those of an agent.
const rare = 1000

// areRare reports whether each kind has few events.
func areRare(ctx context.Context, tx statements, all []kind) (bool, error) {
	for _, k := range all {
		var count int
		if err := tx.QueryRowContext(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM (SELECT 1 FROM elevenlabs_inbox_event
WHERE inbox = $1 AND destination = $2 AND state = $3 AND type = $4 LIMIT %d) AS few`, rare), k.queue.Inbox, k.queue.Destination, string(k.state), k.typ).Scan(&count); err != nil || count == rare {
			return false, err
		}
	}
	return true, nil
}

func scanPositions(rows *sql.Rows, err error) (all []position, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p position
		if err := rows.Scan(&p.received, &p.seq); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

func seqsOf(positions []position) []any {
	seqs := make([]any, len(positions))
	for i, p := range positions {
		seqs[i] = p.seq
	}
	return seqs
}
