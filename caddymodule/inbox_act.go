package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

const (
	// maxActSize is how long the JSON of a request may be that changes events.
	maxActSize = 1 << 20
	// actTimeout is how long such a request may take.
	actTimeout = 5 * time.Minute
)

// verb is a kind of change that operators ask for.
type verb struct {
	// check returns an error if the act does not say clearly which events it means.
	check func(stored.Act) error
	// change changes the selected events. It looks at no more than so many; 0 means all.
	change func(*inbox.Store, context.Context, inbox.Selection, int) (inbox.Change, error)
	// message is logged after a change.
	message string
	// total counts the events that were changed. It may be nil.
	total *prometheus.CounterVec
	// removes reports whether the events are gone afterwards. So an act that names none
	// that is there succeeds, and ends what an earlier one began.
	removes bool
}

// verbs are the changes, by the names that they have in URLs.
var verbs = map[string]*verb{
	"redeliver": {
		check:  redeliverable,
		change: (*inbox.Store).Redeliver, message: "events are delivered again, as an operator asked", total: inboxRedelivered,
	},
	"discard": {
		check:  byState(inbox.Waiting, inbox.Dead),
		change: (*inbox.Store).Discard, message: "events are discarded, as an operator asked", total: inboxDiscarded,
	},
	"forget": {
		check:  byConversation,
		change: (*inbox.Store).Forget, message: "events are deleted, as an operator asked", removes: true,
	},
}

// redeliverable is the check of redeliver. What goes to another destination may be in any
// state.
func redeliverable(q stored.Act) error {
	if q.To == "" {
		return byState(inbox.Waiting, inbox.Delivered, inbox.Dead, inbox.Discarded)(q)
	}
	if (len(q.Events) > 0) == q.Selects() {
		return errors.New("name events, or select them, and not both")
	}
	return nil
}

var errOnlyRedelivered = errors.New("to is for redeliver")

// byState returns the check of a verb that selects events by one of these states.
func byState(states ...inbox.State) func(stored.Act) error {
	return func(q stored.Act) error {
		switch {
		case q.To != "":
			return errOnlyRedelivered
		case len(q.Events) > 0 && q.Selects():
			return errors.New("name events, or select them by their state, not both")
		case len(q.Events) == 0 && !slices.Contains(states, q.State):
			return fmt.Errorf("name events, or select them by a state, one of %v", states)
		}
		return nil
	}
}

// byConversation is the check of a verb that selects events by their conversation.
func byConversation(q stored.Act) error {
	if q.To != "" {
		return errOnlyRedelivered
	}
	if (len(q.Events) > 0) == (q.ConversationID != "") {
		return errors.New("name a conversation or events, and not both")
	}
	q.ConversationID = ""
	if q.Selects() {
		return errors.New("name a conversation or events: nothing else selects what is deleted")
	}
	return nil
}

// actor is who changes events.
type actor struct {
	// user is the name by which the operator signed in. It is empty if nobody knows.
	user string
	// remoteAddr is where the operator's request came from.
	remoteAddr string
	// by is what the operator used: "admin endpoint" or "inspector".
	by string
}

// actOn changes events as an operator asks. It says how many it changed.
func actOn(ctx context.Context, v *verb, q stored.Act, who actor) (stored.Changed, error) {
	var done stored.Changed
	if err := cmp.Or(v.check(q), q.Check()); err != nil {
		return done, apiError(http.StatusBadRequest, "%w", err)
	}
	change := v.change
	if q.To != "" {
		name, destinations, err := inboxWith(q.Inbox, q.To)
		if err != nil {
			return done, apiError(http.StatusBadRequest, "%w", err)
		}
		q.Inbox = name
		change = func(s *inbox.Store, ctx context.Context, selection inbox.Selection, limit int) (inbox.Change, error) {
			return s.DeliverTo(ctx, selection, q.To, destinations, limit)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	places, err := placesOf(ctx, q)
	switch {
	case err != nil:
		return done, err
	case len(places) == 0 && !v.removes:
		return done, apiError(http.StatusNotFound, "%w", inbox.ErrNotFound)
	case len(places) > 1 && q.Limit > 0:
		return done, apiError(http.StatusBadRequest, "several databases are open, and each counts its events by itself: with limit, name an inbox")
	}
	var conflict error
	for _, p := range places {
		for some := range p.selections(q.Selection()) {
			changed, err := change(p.store, ctx, some, q.Limit)
			done.Events += changed.Total()
			for _, n := range changed.Discarded {
				done.Discarded += n
			}
			done.Last = changed.Last
			p.record(v, changed, who)
			switch {
			case errors.Is(err, inbox.ErrBodyGone), errors.Is(err, inbox.ErrDelivering), errors.Is(err, inbox.ErrFinished), errors.Is(err, inbox.ErrNotFound), errors.Is(err, inbox.ErrHasEvent):
				conflict = err
			case err != nil:
				return done, p.unanswered(err, done.Events)
			}
		}
	}
	if done.Events == 0 && done.Discarded == 0 && conflict != nil {
		return done, apiError(http.StatusConflict, "%w", conflict)
	}
	return done, nil
}

// inboxWith returns the inbox that has a destination, and all destinations of it. The name
// of the inbox may be empty if only one has it.
func inboxWith(name, destination string) (_ string, destinations []string, _ error) {
	of := map[string][]string{}
	var all, having []string
	for _, q := range servedQueues() {
		if q.Destination == "" || name != "" && q.Inbox != name {
			continue
		}
		of[q.Inbox] = append(of[q.Inbox], q.Destination)
		all = append(all, q.Destination)
		if q.Destination == destination {
			having = append(having, q.Inbox)
		}
	}
	switch {
	case len(all) == 0:
		return "", nil, errors.New("the inbox has no named destinations")
	case len(having) == 0:
		slices.Sort(all)
		return "", nil, fmt.Errorf("there is no destination %q: choose one of %s", destination, strings.Join(slices.Compact(all), ", "))
	case len(having) > 1:
		return "", nil, fmt.Errorf("several inboxes have a destination %q: name one of %s", destination, strings.Join(having, ", "))
	}
	return having[0], of[having[0]], nil
}

// placesOf returns where the events are. Without numbers, that is each database.
func placesOf(ctx context.Context, q stored.Act) (places []placed, err error) {
	if len(q.Events) > 0 {
		return placeEvents(ctx, q.Events, q.Inbox)
	}
	all, err := openDatabases(ctx, q.Inbox)
	for _, d := range all {
		places = append(places, placed{d, nil})
	}
	return places, err
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

// record counts what was changed, and tells the log who did it.
func (p placed) record(v *verb, changed inbox.Change, who actor) {
	p.recordEach(v, changed.Events, who)
	p.recordEach(verbs["discard"], changed.Discarded, who)
}

func (p placed) recordEach(v *verb, events map[inbox.Queue]int, who actor) {
	for _, q := range slices.SortedFunc(maps.Keys(events), inbox.Queue.Compare) {
		if v.total != nil {
			v.total.WithLabelValues(q.Inbox, q.Destination).Add(float64(events[q]))
		}
		p.log().Info(v.message, append(queueFields(q), zap.Int("events", events[q]), zap.String("database", inbox.Shown(p.location)),
			zap.String("by", who.by), zap.String("user", who.user), zap.String("remote_addr", who.remoteAddr))...)
	}
}

// act is the route of the admin endpoint for a verb.
func act(v *verb) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		q, err := readAct(w, r)
		if err != nil {
			return err
		}
		done, err := actOn(r.Context(), v, q, actor{remoteAddr: r.RemoteAddr, by: "admin endpoint"})
		if err != nil {
			return err
		}
		return writeJSON(w, done)
	}
}

// readAct reads the JSON of a request that changes events.
func readAct(w http.ResponseWriter, r *http.Request) (q stored.Act, err error) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxActSize))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&q)
	if _, more := decoder.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("something follows the object")
	}
	if err != nil {
		return q, apiError(http.StatusBadRequest, "reading the request's JSON: %w", err)
	}
	return q, withoutReadDeadline(w)
}
