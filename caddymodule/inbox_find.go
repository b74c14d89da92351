package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// openDatabase is a database that is open.
type openDatabase struct {
	*database
	store *inbox.Store
}

// openDatabases returns the databases that have handlers of an inbox. If there are
// none, or if no inbox is named, it returns all. It returns an error if one of them does
// not answer: half of the truth would look like the whole.
func openDatabases(ctx context.Context, name string) ([]openDatabase, error) {
	all := allDatabases()
	if len(all) == 0 {
		return nil, apiError(http.StatusNotFound, "no elevenlabs_webhook handler of this Caddy has an inbox")
	}
	if name != "" {
		serving := slices.DeleteFunc(slices.Clone(all), func(d *database) bool { return !d.serves(name) })
		if len(serving) > 0 {
			all = serving
		} else if err := checkLeftover(ctx, name); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	opened := make([]openDatabase, len(all))
	for i, d := range all {
		d.mu.Lock()
		store, problem := d.store, d.problem
		d.mu.Unlock()
		if store == nil {
			return nil, d.unopened(problem)
		}
		if err := store.Check(ctx); err != nil {
			return nil, d.unanswered(err, 0)
		}
		opened[i] = openDatabase{d, store}
	}
	return havingInbox(ctx, opened, name)
}

// havingInbox leaves out databases that have no event of the inbox, if another one has. While
// a reload moves an inbox, several have its handlers.
func havingInbox(ctx context.Context, all []openDatabase, name string) (some []openDatabase, err error) {
	if name == "" || len(all) == 1 {
		return all, nil
	}
	for _, d := range all {
		entries, err := d.store.List(ctx, inbox.Selection{Inbox: name}, 1)
		if err != nil {
			return nil, d.unanswered(err, 0)
		}
		if len(entries) > 0 {
			some = append(some, d)
		}
	}
	if len(some) == 0 {
		return all, nil
	}
	return some, nil
}

// serves reports whether a handler has the inbox of this name.
func (d *database) serves(name string) bool {
	return slices.ContainsFunc(d.served(), func(q inbox.Queue) bool { return q.Inbox == name })
}

// served returns the queues that a configuration delivers, sorted.
func (d *database) served() (all []inbox.Queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, q := range d.queues {
		if q.served() {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, inbox.Queue.Compare)
	return all
}

// servedQueues returns the queues of all databases that a configuration delivers, sorted.
func servedQueues() (all []inbox.Queue) {
	for _, d := range allDatabases() {
		all = append(all, d.served()...)
	}
	slices.SortFunc(all, inbox.Queue.Compare)
	return slices.Compact(all)
}

// checkLeftover returns an error if an inbox without a handler has no events either.
func checkLeftover(ctx context.Context, name string) error {
	var names []string
	for _, s := range inboxStatuses(ctx) {
		if s.Name == name {
			return nil
		}
		names = append(names, s.Name)
	}
	return apiError(http.StatusNotFound, "there is no inbox %q: choose one of %s", name, strings.Join(slices.Compact(names), ", "))
}

// unopened is the error of a database that is not open. The problem has no password.
func (d *database) unopened(problem error) error {
	if problem == nil {
		return apiError(http.StatusServiceUnavailable, "the database %s is not open yet", inbox.Shown(d.location))
	}
	return apiError(http.StatusServiceUnavailable, "the database %s is not open: %w", inbox.Shown(d.location), problem)
}

// unanswered is the error of a database that does not answer. The cause goes to the log
// only.
func (d *database) unanswered(err error, changed int) error {
	shown := inbox.Shown(d.location)
	if errors.Is(err, context.Canceled) { // the client left
		return apiError(http.StatusServiceUnavailable, "the request was canceled")
	}
	d.log().Error("the database of an inbox does not answer the admin endpoint", zap.String("database", shown), zap.Error(err))
	if changed > 0 {
		return apiError(http.StatusServiceUnavailable, "the database %s does not answer; %d events were changed before", shown, changed)
	}
	return apiError(http.StatusServiceUnavailable, "the database %s does not answer", shown)
}

func apiError(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

// listEvents returns stored events, newest first, at most so many.
func listEvents(ctx context.Context, selection inbox.Selection, limit int) ([]stored.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	all, err := openDatabases(ctx, selection.Inbox)
	if err != nil {
		return nil, err
	}
	if selection.Before > 0 && len(all) > 1 {
		return nil, apiError(http.StatusBadRequest, "several databases are open, and each counts its events by itself: with before, name an inbox")
	}
	shown := []stored.Event{}
	for _, d := range all {
		entries, err := d.store.List(ctx, selection, limit)
		if err != nil {
			return nil, d.unanswered(err, 0)
		}
		for _, e := range entries {
			event, err := stored.NewEvent(e)
			if err != nil {
				return nil, err
			}
			shown = append(shown, event)
		}
	}
	if len(all) > 1 {
		slices.SortStableFunc(shown, func(a, b stored.Event) int { return b.ReceivedAt.Compare(a.ReceivedAt) })
	}
	return shown[:min(limit, len(shown))], nil
}

// eventDetail returns all of an event except its body. The inbox is needed if several
// databases have an event of that number.
func eventDetail(ctx context.Context, seq int64, name string) (stored.Detail, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	d, entry, err := findEvent(ctx, seq, name)
	if err != nil {
		return stored.Detail{}, err
	}
	attempts, err := d.store.Attempts(ctx, entry.Seq)
	if err != nil {
		return stored.Detail{}, d.unanswered(err, 0)
	}
	return stored.NewDetail(entry, attempts)
}

// storedBody returns the body of a stored event, which is read a chunk at a time.
func storedBody(ctx context.Context, seq int64, name string) (*inbox.StoredBody, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	d, entry, err := findEvent(ctx, seq, name)
	if err != nil {
		return nil, err
	}
	if entry.Stored != entry.Size {
		return nil, apiError(http.StatusGone, "%w", inbox.ErrBodyGone)
	}
	return d.store.Body(entry.BodySeq, entry.Size), nil
}

// findEvent finds an event by its number. Each database counts by itself.
func findEvent(ctx context.Context, seq int64, name string) (found openDatabase, e inbox.Entry, err error) {
	all, err := openDatabases(ctx, name)
	if err != nil {
		return found, e, err
	}
	var inboxes []string
	for _, d := range all {
		entry, err := d.store.Get(ctx, seq)
		switch {
		case errors.Is(err, inbox.ErrNotFound) || err == nil && name != "" && entry.Inbox != name:
			continue
		case err != nil:
			return found, e, d.unanswered(err, 0)
		}
		found, e = d, entry
		inboxes = append(inboxes, entry.Inbox)
	}
	switch len(inboxes) {
	case 0:
		return found, e, apiError(http.StatusNotFound, "there is no event %d", seq)
	case 1:
		return found, e, nil
	}
	return found, e, ambiguous(seq, inboxes...)
}

func ambiguous(seq int64, inboxes ...string) error {
	return apiError(http.StatusBadRequest, "several databases have an event %d: name its inbox, one of %s", seq, strings.Join(inboxes, ", "))
}

// placed are events of one database.
type placed struct {
	openDatabase
	seqs []int64
}

// eventsPerQuery is how many numbers of events one statement has.
const eventsPerQuery = 500

// placeEvents finds events by their numbers. Those that are not there are left out.
func placeEvents(ctx context.Context, seqs []int64, name string) ([]placed, error) {
	all, err := openDatabases(ctx, name)
	if err != nil {
		return nil, err
	}
	var places []placed
	inboxes := map[int64]string{}
	for _, d := range all {
		p := placed{d, nil}
		for some := range slices.Chunk(seqs, eventsPerQuery) {
			entries, err := d.store.List(ctx, inbox.Selection{Inbox: name, Events: some}, len(some))
			if err != nil {
				return nil, d.unanswered(err, 0)
			}
			for _, e := range entries {
				if other, there := inboxes[e.Seq]; there && !slices.Contains(p.seqs, e.Seq) {
					return nil, ambiguous(e.Seq, other, e.Inbox)
				}
				inboxes[e.Seq] = e.Inbox
				p.seqs = append(p.seqs, e.Seq)
			}
		}
		if len(p.seqs) > 0 {
			places = append(places, p)
		}
	}
	return places, nil
}
