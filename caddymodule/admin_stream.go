package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

const eventStream = "text/event-stream"

// wantsStream reports whether a client asks for server-sent events.
func wantsStream(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), eventStream) }

// streamWriteTimeout is how long a client may take to read an event of the stream.
var streamWriteTimeout = 10 * time.Second

// sseStream sends server-sent events.
type sseStream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	// left is closed when the client leaves.
	left <-chan struct{}
	streamEnds
}

// streamEnds are closed when the server of a stream ends.
type streamEnds struct{ replaced, ended <-chan struct{} }

// streamEnds returns when the admin server ends.
func (a *Admin) streamEnds() streamEnds {
	ends := streamEnds{replaced: a.replaced}
	if a.config.Err() == nil { // otherwise Caddy rejected the configuration, and this endpoint stays
		ends.ended = a.config.Done() // the next configuration may have no admin endpoint
	}
	return ends
}

func newStream(w http.ResponseWriter, r *http.Request, ends streamEnds) (*sseStream, error) {
	if err := withoutReadDeadline(w); err != nil {
		return nil, err
	}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	return &sseStream{w: w, controller: http.NewResponseController(w), left: r.Context().Done(), streamEnds: ends}, nil
}

// send sends an event. It is with the client after the next flush.
func (s *sseStream) send(id any, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = s.controller.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
	}
	if err == nil {
		_, err = fmt.Fprintf(s.w, "id: %v\ndata: %s\n\n", id, text) //nolint:gosec // JSON, and not sent as HTML
	}
	return err
}

// sendPosition sends where a later stream goes on, without an event.
func (s *sseStream) sendPosition(id int64) error {
	err := s.controller.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
	if err == nil {
		_, err = fmt.Fprintf(s.w, "id: %d\n\n", id) //nolint:gosec // a number
	}
	return err
}

// flush sends what was written. Until more is, HTTP/2 must not end the stream.
func (s *sseStream) flush() error {
	if err := s.controller.Flush(); err != nil {
		return err
	}
	return s.controller.SetWriteDeadline(time.Time{})
}

// streamDeliveries sends deliveries until the client leaves, does not keep up, or the
// server ends.
func streamDeliveries(w http.ResponseWriter, r *http.Request, filter deliveries.Filter, ends streamEnds) error {
	s, err := newStream(w, r, ends)
	if err != nil {
		return err
	}
	last, follower := deliveryLog.Follow(filter)
	defer deliveryLog.Unfollow(follower)
	for _, d := range last {
		if err := s.send(d.Sequence, d); err != nil {
			return err
		}
	}
	for {
		if err := s.flush(); err != nil {
			return err
		}
		select {
		case d, open := <-follower.C:
			if !open {
				return nil
			}
			if err := s.send(d.Sequence, d); err != nil {
				return err
			}
		case <-s.left:
			return nil
		case <-s.replaced:
			return nil
		case <-s.ended:
			return nil
		}
	}
}

// followEvery is how often a stream looks for new events in an inbox. Another Caddy may
// have stored them.
const followEvery = time.Second

// positionEvery is how often a stream sends its position at least, so that the client
// can tell a quiet inbox from a lost connection.
var positionEvery = 15 * time.Second

// streamInbox sends stored events as they come. With since or Last-Event-ID it begins
// with those that are there, oldest first. An id is where a later stream goes on, as soon
// as the client has it. That one may send some events again, which their seq tells.
func streamInbox(w http.ResponseWriter, r *http.Request, selection inbox.Selection, ends streamEnds) error {
	follower, err := followInbox(r, selection)
	if err != nil {
		return err
	}
	s, err := newStream(w, r, ends)
	if err != nil {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var told time.Time // when the position was sent
	for {
		// The next position is after these events, and the client may not get them all.
		position := follower.Position()
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		entries, err := follower.Next(ctx)
		cancel()
		if err != nil {
			return nil //nolint:nilerr // the client connects again, and is then told
		}
		for _, entry := range entries {
			event, err := stored.NewEvent(entry)
			if err == nil {
				err = s.send(position, event)
			}
			if err != nil {
				return err
			}
		}
		if follower.Position() != position || time.Since(told) >= positionEvery {
			if err := s.sendPosition(follower.Position()); err != nil {
				return err
			}
			told = time.Now()
		}
		if err := s.flush(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-s.left:
			return nil
		case <-s.replaced:
			return nil
		case <-s.ended:
			return nil
		}
	}
}

// followInbox begins to follow the events of one database.
func followInbox(r *http.Request, selection inbox.Selection) (*inbox.Follower, error) {
	var position int64
	last := r.Header.Get("Last-Event-ID")
	if last != "" {
		var err error
		if position, err = strconv.ParseInt(last, 10, 64); err != nil || position < 0 {
			return nil, apiError(http.StatusBadRequest, "Last-Event-ID must be the id of an earlier event, not %q", last)
		}
	}
	if selection.Before > 0 {
		return nil, apiError(http.StatusBadRequest, "a stream has only what comes later: leave before out")
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	all, err := openDatabases(ctx, selection.Inbox)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, apiError(http.StatusBadRequest, "several databases are open, and each counts its events by itself: name an inbox")
	}
	follower := all[0].store.Follow(selection, position)
	if last == "" && selection.Since.IsZero() {
		err = follower.Skip(ctx)
	}
	if err != nil {
		return nil, all[0].unanswered(err, 0)
	}
	return follower, nil
}
