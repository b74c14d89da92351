package caddymodule

import (
	"context"
	"net/http"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// statsTimeout is how long a database may take to add up its events.
const statsTimeout = 30 * time.Second

// inboxStats returns the figures of the events that came since a time, of an inbox, a
// destination or of all, of some types or of all.
func inboxStats(ctx context.Context, q inbox.Queue, types []string, since time.Time) (stored.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	all, err := openDatabases(ctx, q.Inbox)
	if err != nil {
		return stored.Stats{}, err
	}
	total := stored.Stats{Types: []stored.TypeStats{}, Hours: []stored.HourStats{}}
	for _, d := range all {
		its, err := d.store.Stats(ctx, q, types, since)
		if err != nil {
			return stored.Stats{}, d.unanswered(err, 0)
		}
		total.Add(its)
	}
	return total, nil
}

// showInboxStats shows the figures of inboxes.
func showInboxStats(w http.ResponseWriter, r *http.Request) error {
	selection, err := parseParameters(r.URL.Query(), "inbox", "destination", "type", "since")
	if err != nil {
		return apiError(http.StatusBadRequest, "%w", err)
	}
	if err := withoutReadDeadline(w); err != nil {
		return err
	}
	stats, err := inboxStats(r.Context(), inbox.Queue{Inbox: selection.Inbox, Destination: selection.Destination}, selection.Types, selection.Since)
	if err != nil {
		return err
	}
	return writeJSON(w, stats)
}
