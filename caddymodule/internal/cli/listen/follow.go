package listen

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// follower handles events as they come, each once, also after the connection was lost.
type follower struct {
	source *source.Source
	query  url.Values
	handle func(cmd *cobra.Command, e stored.Event, lastTry bool) error
	// announce is called when the first stream has begun.
	announce func() error
	// pause is how long it waits before it connects again; twice as long each time, up
	// to longest.
	pause, longest time.Duration

	begun    bool   // the first stream said where it began
	position string // from which another stream goes on
	// passed are the numbers above the position of events that were handled, or came
	// before.
	passed map[int64]bool
	// known is the newest event of which the follower knows. It shows whether the database
	// is still the same.
	known    *stored.Event
	handled  history
	replaced bool // the database was, so that equal events have other numbers
	// resume is the time from which a new database's events count.
	resume time.Time

	tried int64 // the number of the event that could not be read
	tries int
}

// firstPause is how long listen waits before it connects again.
var firstPause = time.Second

const (
	// passedAtFirst is how many events of before are recognised if they come again. More
	// than these do not come in the seconds between an event and its position.
	passedAtFirst = 300
	// maxTries is how often an event is read that the server does not send whole.
	maxTries = 5
	// margin is how much earlier a large event may be received than another one that is
	// whole before.
	margin = time.Minute
)

func newFollower(from *source.Source, query url.Values, handle func(*cobra.Command, stored.Event, bool) error) *follower {
	return &follower{
		source: from, query: query, handle: handle, announce: func() error { return nil }, pause: firstPause, longest: 15 * time.Second,
		passed: map[int64]bool{}, handled: history{numbers: map[string]int64{}},
	}
}

// errLost is the error of an event that could not be read, since the server or the
// connection failed.
var errLost = errors.New("the server did not send the event")

// run follows until the context ends.
func (f *follower) run(cmd *cobra.Command) error {
	if err := f.begin(cmd); err != nil {
		return unlessInterrupted(cmd, err)
	}
	for pause, gone := f.pause, false; ; {
		stream, err := f.connect(cmd)
		switch {
		case err == nil:
			if gone {
				note(cmd, "the server is back")
			}
			pause, gone = f.pause, false
			if err := f.read(cmd, stream); err != nil {
				return unlessInterrupted(cmd, err)
			}
		case !f.begun || cmd.Context().Err() != nil || final(err):
			return unlessInterrupted(cmd, err)
		case !gone:
			note(cmd, "the server is gone, and listen waits for it: %s", err)
			gone = true
		}
		select {
		case <-time.After(pause):
		case <-cmd.Context().Done():
			return nil
		}
		if gone {
			pause = min(2*pause, f.longest)
		}
	}
}

// unlessInterrupted returns the error, or nil after an interrupt, which is the usual end.
func unlessInterrupted(cmd *cobra.Command, err error) error {
	if cmd.Context().Err() != nil {
		return nil
	}
	return err
}

// final reports whether to wait is in vain: the server answers, and does not let in.
func final(err error) bool {
	answer, ok := errors.AsType[*cmdutil.AdminError](err)
	return ok && slices.Contains([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden}, answer.Status)
}

// begin looks at what the inbox has, so that the follower recognises it.
func (f *follower) begin(cmd *cobra.Command) error {
	newest, err := f.source.Newest(cmd, f.copies(), passedAtFirst)
	if err != nil {
		return err
	}
	if len(newest) > 0 {
		f.known, f.resume = &newest[0], newest[0].ReceivedAt.Add(-margin)
	}
	if f.query.Has("since") {
		f.resume = time.Time{}
		return nil
	}
	for _, e := range newest {
		f.passed[e.Seq] = true
		f.handled.add(e)
	}
	return nil
}

// copies selects events of the same destination, or one for all, and nothing else.
func (f *follower) copies() url.Values {
	query := url.Values{}
	for _, name := range []string{"destination", "once"} {
		if value, there := f.query[name]; there {
			query[name] = value
		}
	}
	return query
}

// connect begins a stream where the last one was.
func (f *follower) connect(cmd *cobra.Command) (*source.Stream, error) {
	if f.begun {
		if err := f.checkDatabase(cmd); err != nil {
			return nil, err
		}
	}
	return f.source.Follow(cmd, f.query, f.position)
}

// checkDatabase looks whether the database still has the event that is known. If another
// one has taken its place, its numbers and positions mean something else.
func (f *follower) checkDatabase(cmd *cobra.Command) error {
	newest, err := f.source.Newest(cmd, f.copies(), 1)
	if err != nil {
		return err
	}
	if f.known == nil { // the inbox was empty, and all that it has is new
		f.position = "0"
		return nil
	}
	same, err := f.sameDatabase(cmd, newest)
	if err != nil || same {
		return err
	}
	note(cmd, "the inbox was replaced or emptied: listen goes on with what it has since %s", f.resume.UTC().Format(time.RFC3339))
	f.position, f.passed, f.replaced, f.known = "", map[int64]bool{}, true, nil
	if !f.resume.IsZero() {
		f.query.Set("since", f.resume.UTC().Format(time.RFC3339))
	}
	if len(newest) > 0 {
		f.known = &newest[0]
	}
	return nil
}

func (f *follower) sameDatabase(cmd *cobra.Command, newest []stored.Event) (bool, error) {
	e, err := f.source.Event(cmd, f.known.Seq)
	if err == nil {
		return e.EventID == f.known.EventID, nil
	}
	if answer, ok := errors.AsType[*cmdutil.AdminError](err); !ok || answer.Status != http.StatusNotFound {
		return false, err
	}
	// It may have been deleted. Then a newer one is there, or an older one that is known.
	return len(newest) > 0 && (newest[0].Seq > f.known.Seq || f.handled.numbers[newest[0].EventID] == newest[0].Seq), nil
}

// read handles the events of a stream until it ends. The next connection shows why it
// ended. An error ends the command.
func (f *follower) read(cmd *cobra.Command, stream *source.Stream) error {
	defer stream.Close()
	for {
		m, err := stream.Next()
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		if !f.begun {
			f.begun = true
			if err := f.announce(); err != nil {
				return err
			}
		}
		f.moveTo(m.Position)
		if m.Event == nil || f.passed[m.Event.Seq] || f.replaced && f.handled.has(m.Event.EventID) {
			continue
		}
		err = f.handle(cmd, *m.Event, f.try(m.Event.Seq) == maxTries)
		if errors.Is(err, errLost) {
			return nil
		}
		if err != nil {
			return err
		}
		f.pass(*m.Event)
	}
}

// moveTo notes a position, up to which nothing comes again.
func (f *follower) moveTo(position string) {
	if position == f.position {
		return
	}
	f.position = position
	upTo, err := strconv.ParseInt(position, 10, 64)
	for seq := range f.passed {
		if err == nil && seq <= upTo {
			delete(f.passed, seq)
		}
	}
}

// try counts how often an event is read.
func (f *follower) try(seq int64) int {
	if f.tried != seq {
		f.tried, f.tries = seq, 0
	}
	f.tries++
	return f.tries
}

// pass notes that an event was handled.
func (f *follower) pass(e stored.Event) {
	f.passed[e.Seq] = true
	f.handled.add(e)
	if f.known == nil || e.Seq > f.known.Seq {
		f.known = &e
	}
	if from := e.ReceivedAt.Add(-margin); from.After(f.resume) {
		f.resume = from
	}
}

// history remembers the last events by their ids.
type history struct {
	numbers map[string]int64
	ids     []string
	oldest  int // its index, once there are as many as there may be
}

// longestHistory is more than come in a minute.
const longestHistory = 10_000

func (h *history) has(id string) bool { _, ok := h.numbers[id]; return ok }

func (h *history) add(e stored.Event) {
	switch {
	case h.has(e.EventID):
	case len(h.ids) < longestHistory:
		h.ids = append(h.ids, e.EventID)
	default:
		delete(h.numbers, h.ids[h.oldest])
		h.ids[h.oldest] = e.EventID
		h.oldest = (h.oldest + 1) % longestHistory
	}
	h.numbers[e.EventID] = e.Seq
}

// lost wraps an error of the server or the connection.
func lost(err error) error { return fmt.Errorf("%w: %w", errLost, err) }
