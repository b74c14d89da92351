package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

const (
	// maxActSize is how long the JSON of a request may be that changes events.
	maxActSize = 1 << 20
	// actTimeout is how long such a request may take.
	actTimeout = 5 * time.Minute
)

// eventCount is the answer to a request that changes events.
type eventCount struct {
	Events int `json:"events"`
}

// words are JSON: a string, or a list of strings.
type words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(w))
}

// redeliverRequest names events by their numbers, or selects them.
type redeliverRequest struct {
	Inbox          string      `json:"inbox"`
	Events         []int64     `json:"events"`
	State          inbox.State `json:"state"`
	Types          words       `json:"type"`
	ConversationID string      `json:"conversation_id"`
	Since          time.Time   `json:"since"`
	Until          time.Time   `json:"until"`
}

func (q redeliverRequest) check() error {
	selects := q.State != "" || len(q.Types) > 0 || q.ConversationID != "" || !q.Since.IsZero() || !q.Until.IsZero()
	states := []inbox.State{inbox.Waiting, inbox.Delivered, inbox.Dead}
	switch {
	case len(q.Events) > 0 && selects:
		return errors.New("name events, or select them by their state, not both")
	case len(q.Events) == 0 && !slices.Contains(states, q.State):
		return fmt.Errorf("name events, or select them by a state, one of %v", states)
	}
	return checkSpan(q.Since, q.Until)
}

// redeliver lets events be delivered again.
func redeliver(w http.ResponseWriter, r *http.Request) error {
	var q redeliverRequest
	ctx, cancel, err := readAct(w, r, &q)
	if err != nil {
		return err
	}
	defer cancel()
	if err := q.check(); err != nil {
		return apiError(http.StatusBadRequest, "%w", err)
	}
	places, err := q.places(ctx)
	if err != nil {
		return err
	}
	if len(q.Events) > 0 && len(places) == 0 {
		return apiError(http.StatusNotFound, "%w", inbox.ErrNotFound)
	}
	var count int
	var conflict error
	for _, p := range places {
		for some := range p.selections(inbox.Selection{Inbox: p.inbox, State: q.State, Types: q.Types, ConversationID: q.ConversationID, Since: q.Since, Until: q.Until}) {
			n, err := p.store.Redeliver(ctx, some)
			count += n
			inboxRedelivered.WithLabelValues(p.inbox).Add(float64(n))
			p.logAct(r, "events are delivered again, as the admin endpoint was asked to", p.inbox, n)
			switch {
			case errors.Is(err, inbox.ErrBodyGone), errors.Is(err, inbox.ErrDelivering), errors.Is(err, inbox.ErrNotFound):
				conflict = err
			case err != nil:
				return p.unanswered(err, count)
			}
		}
	}
	if count == 0 && conflict != nil {
		return apiError(http.StatusConflict, "%w", conflict)
	}
	return writeJSON(w, eventCount{count})
}

// places returns where the events are. Without numbers, it returns each inbox.
func (q redeliverRequest) places(ctx context.Context) (places []placed, err error) {
	if len(q.Events) > 0 {
		return placeEvents(ctx, q.Events, q.Inbox)
	}
	all, err := openDatabases(ctx, q.Inbox)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		counts, err := d.store.Counts(ctx)
		if err != nil {
			return nil, d.unanswered(err, 0)
		}
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			if q.Inbox == "" || name == q.Inbox {
				places = append(places, placed{d, name, nil})
			}
		}
	}
	return places, nil
}

// selections yields the selection once, or for some of the numbers at a time.
func (p placed) selections(all inbox.Selection) func(yield func(inbox.Selection) bool) {
	return func(yield func(inbox.Selection) bool) {
		if len(p.seqs) == 0 {
			yield(all)
			return
		}
		for some := range slices.Chunk(p.seqs, eventsPerQuery) {
			all.Events = some
			if !yield(all) {
				return
			}
		}
	}
}

// forgetRequest names events by their numbers or by their conversation.
type forgetRequest struct {
	Inbox          string  `json:"inbox"`
	Events         []int64 `json:"events"`
	ConversationID string  `json:"conversation_id"`
}

// forget deletes events and their bodies.
func forget(w http.ResponseWriter, r *http.Request) error {
	var q forgetRequest
	ctx, cancel, err := readAct(w, r, &q)
	if err != nil {
		return err
	}
	defer cancel()
	if (len(q.Events) > 0) == (q.ConversationID != "") {
		return apiError(http.StatusBadRequest, "name a conversation or events, and not both")
	}
	var places []placed
	if len(q.Events) > 0 {
		places, err = placeEvents(ctx, q.Events, q.Inbox)
	} else {
		var all []openDatabase
		all, err = openDatabases(ctx, q.Inbox)
		for _, d := range all {
			places = append(places, placed{d, q.Inbox, nil})
		}
	}
	if err != nil {
		return err
	}
	var count int
	for _, p := range places {
		for some := range p.selections(inbox.Selection{Inbox: p.inbox, ConversationID: q.ConversationID}) {
			n, err := p.store.Forget(ctx, some)
			count += n
			p.logAct(r, "events are deleted, as the admin endpoint was asked to", p.inbox, n)
			if err != nil {
				return p.unanswered(err, count)
			}
		}
	}
	return writeJSON(w, eventCount{count})
}

// readAct reads the JSON of a request that changes events.
func readAct(w http.ResponseWriter, r *http.Request, q any) (context.Context, context.CancelFunc, error) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxActSize))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(q)
	if _, more := decoder.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("something follows the object")
	}
	if err != nil {
		return nil, nil, apiError(http.StatusBadRequest, "reading the request's JSON: %w", err)
	}
	if err := withoutReadDeadline(w); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), actTimeout)
	return ctx, cancel, nil
}

// logAct tells the log who changed events.
func (d openDatabase) logAct(r *http.Request, message, name string, events int) {
	if events > 0 {
		d.log().Info(message, zap.String("inbox", name), zap.Int("events", events),
			zap.String("database", inbox.Shown(d.location)), zap.String("remote_addr", r.RemoteAddr))
	}
}
