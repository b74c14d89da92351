package inbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// ErrHasEvent is returned for events that a destination has already.
var ErrHasEvent = errors.New("the destination has the event already")

// DeliverTo lets events be delivered to a destination that does not have them, such as one
// that is new. They share the bodies that are there. Events whose body is deleted stay as
// they are. It looks at no more than limit events; 0 means all.
//
// The destinations are those that the inbox has now. What waits for another one, or is dead
// there, is discarded: nobody would deliver it.
//
// If events are selected by their numbers and none is added, the error says why.
func (s *Store) DeliverTo(ctx context.Context, selection Selection, destination string, destinations []string, limit int) (Change, error) {
	done, err := s.act(ctx, selection, limit, func(ctx context.Context, its conditions) ([]changed, error) {
		its.texts = append(its.texts, "{+}state <> 'receiving' AND stored = size")
		return updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (all []changed, err error) {
			sources, err := scanSeqs(tx.QueryContext(ctx, `SELECT seq FROM elevenlabs_inbox_event WHERE `+its.String(), its.args...))
			for _, seq := range sources {
				c := changed{queue: Queue{Destination: destination}}
				err := addTo(ctx, tx, seq, &c)
				if errors.Is(err, ErrHasEvent) || errors.Is(err, ErrBodyGone) {
					continue
				}
				if err != nil {
					return nil, err
				}
				all = append(all, c)
			}
			if err != nil || len(sources) == 0 {
				return all, err
			}
			var orphans conditions
			orphans.in("seq", anys(sources))
			orphans.add("{+}state IN ('waiting', 'dead') AND NOT (destination IN ("+strings.Repeat("%s,", len(destinations)-1)+"%s))", anys(destinations)...)
			discarded, err := setIn(ctx, tx, `state = 'discarded', done_at = {now}`, orphans)
			for _, c := range discarded {
				c.discarded = true
				all = append(all, c)
			}
			return all, err
		})
	})
	for q := range done.Events {
		s.awaken(q)
	}
	if err == nil && done.Total() == 0 {
		err = s.whyNotAdded(ctx, selection.Events)
	}
	return done, err
}

// whyNotAdded returns why none of the events was added to a destination.
func (s *Store) whyNotAdded(ctx context.Context, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	why := ErrNotFound
	for _, seq := range seqs {
		switch e, err := s.Get(ctx, seq); {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		case e.Stored == e.Size:
			return ErrHasEvent
		default:
			why = ErrBodyGone
		}
	}
	return why
}

// addTo adds an event of another destination to that of the queue.
func addTo(ctx context.Context, tx statements, source int64, c *changed) error {
	// the body's owner is locked first, so that nobody deletes the body meanwhile
	var owner, size int64
	if err := tx.QueryRowContext(ctx, `SELECT `+bodySeq+`, size, inbox FROM elevenlabs_inbox_event WHERE seq = $1`, source).Scan(&owner, &size, &c.queue.Inbox); err != nil {
		return err
	}
	if size == 0 {
		owner = 0
	} else if err := changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event SET sharers = sharers + 1 WHERE seq = $1 AND stored = size`, owner); err != nil {
		return replaceNotFound(err, ErrBodyGone)
	}
	err := changeOne(ctx, tx, `
INSERT INTO elevenlabs_inbox_event
	(inbox, destination, event_id, type, conversation_id, agent_id, request_id, webhook, fields, request, size, stored, body, state, armed_at, received_at, next_at)
SELECT inbox, $1, event_id, type, conversation_id, agent_id, request_id, webhook, fields, request, size, stored, $2, 'waiting', {now}, received_at, {now}
FROM elevenlabs_inbox_event WHERE seq = $3 AND stored = size
ON CONFLICT (inbox, event_id, destination) WHERE state <> 'receiving' DO NOTHING`, c.queue.Destination, owner, source)
	if errors.Is(err, ErrNotFound) && size > 0 {
		if err := changeOne(ctx, tx, `UPDATE elevenlabs_inbox_event SET sharers = sharers - 1 WHERE seq = $1`, owner); err != nil {
			return err
		}
	}
	return replaceNotFound(err, ErrHasEvent)
}

func replaceNotFound(err, other error) error {
	if errors.Is(err, ErrNotFound) {
		return other
	}
	return err
}

// giveUpOrphans gives up events of destinations that are none of the inbox's any more, and
// that nobody has tried to deliver for so long. It returns how many.
func (s *Store) giveUpOrphans(ctx context.Context, inbox string, destinations []string, after time.Duration) (map[Queue]int, error) {
	named, err := steps(ctx, s.read(), `SELECT destination FROM elevenlabs_inbox_event
WHERE destination > $1 AND inbox = $2 AND state = 'waiting' ORDER BY destination LIMIT 1`, inbox)
	if err != nil {
		return nil, err
	}
	given := map[Queue]int{}
	for _, destination := range append([]string{""}, named...) {
		if slices.Contains(destinations, destination) {
			continue
		}
		err := repeatedly(ctx, func(ctx context.Context) (more bool, err error) {
			count, err := updateReturning(ctx, s, 0, func(ctx context.Context, tx statements) (int64, error) {
				result, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET state = 'dead', done_at = {now} WHERE state = 'waiting' AND seq IN (
	SELECT seq FROM elevenlabs_inbox_event
	WHERE inbox = $1 AND destination = $2 AND state = 'waiting' AND next_at <= {now} - $3 ORDER BY next_at LIMIT $4 {skip locked})`,
					inbox, destination, after.Milliseconds(), sweepBatch)
				if err != nil {
					return 0, err
				}
				return result.RowsAffected()
			})
			if count > 0 {
				given[Queue{inbox, destination}] += int(count)
			}
			return count > 0, err
		})
		if err != nil {
			return given, err
		}
	}
	return given, nil
}
