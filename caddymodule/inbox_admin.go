package caddymodule

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// showInboxes shows the state of each inbox.
func showInboxes(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, inboxStatuses(r.Context()))
}

// listInbox lists stored events, newest first, or streams them.
func listInbox(w http.ResponseWriter, r *http.Request, ends streamEnds) error {
	selection, limit, err := parseSelection(r.URL.Query())
	if err != nil {
		return apiError(http.StatusBadRequest, "%w", err)
	}
	if wantsStream(r) {
		return streamInbox(w, r, selection, ends)
	}
	shown, err := listEvents(r.Context(), selection, limit)
	if err != nil {
		return err
	}
	return writeJSON(w, shown)
}

const (
	defaultEvents = 100  // events in a list without a limit
	maxEvents     = 1000 // the highest limit
)

// listParameters select events for a list.
var listParameters = []string{"inbox", "destination", "state", "type", "conversation", "agent", "event", "webhook", "request", "search", "since", "until", "once", "before", "limit"}

var eventIDPrefix = regexp.MustCompile(`^[0-9a-f]{0,64}$`)

// parseSelection reads the parameters of a list. An empty one counts as missing.
func parseSelection(query url.Values) (s inbox.Selection, limit int, err error) {
	if s, err = parseParameters(query, listParameters...); err != nil {
		return s, 0, err
	}
	limit = defaultEvents
	if text := query.Get("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxEvents {
			return s, 0, fmt.Errorf("limit must be a number from 1 to %d, not %q", maxEvents, text)
		}
	}
	return s, limit, nil
}

// parseParameters reads parameters that select events. No others may be there.
func parseParameters(query url.Values, known ...string) (s inbox.Selection, err error) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return s, fmt.Errorf("there is no parameter %q: choose from %s", name, strings.Join(known, ", "))
		}
	}
	s = inbox.Selection{
		Inbox: query.Get("inbox"), Destination: query.Get("destination"), State: inbox.State(query.Get("state")), EventID: query.Get("event"),
		Types:          slices.DeleteFunc(query["type"], func(name string) bool { return name == "" }),
		ConversationID: query.Get("conversation"), AgentID: query.Get("agent"), RequestID: query.Get("request"), Webhook: query.Get("webhook"), Search: query.Get("search"),
	}
	switch {
	case s.State != "" && !slices.Contains(inbox.States, s.State):
		return s, fmt.Errorf("there is no state %q: choose one of %v", s.State, inbox.States)
	case !eventIDPrefix.MatchString(s.EventID):
		return s, fmt.Errorf("event must be the beginning of an event's id, in hexadecimal digits, not %q", s.EventID)
	}
	if text := query.Get("once"); text != "" {
		if s.Once, err = strconv.ParseBool(text); err != nil {
			return s, fmt.Errorf("once must be true or false, not %q", text)
		}
	}
	if text := query.Get("before"); text != "" {
		if s.Before, err = parseSeq(text); err != nil {
			return s, fmt.Errorf("before: %w", err)
		}
	}
	for name, t := range map[string]*time.Time{"since": &s.Since, "until": &s.Until} {
		if text := query.Get(name); text != "" {
			if *t, err = time.Parse(time.RFC3339, text); err != nil {
				return s, fmt.Errorf("%s must be a time such as 2026-11-29T10:00:00Z, not %q", name, text)
			}
		}
	}
	return s, stored.CheckSpan(s.Since, s.Until)
}

func parseSeq(text string) (int64, error) {
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 1 {
		return 0, fmt.Errorf("the number of an event must be above 0, not %q", text)
	}
	return seq, nil
}

// namedEvent returns the number and the inbox of the event that the URL names.
func namedEvent(r *http.Request) (seq int64, name string, err error) {
	seq, err = parseSeq(r.PathValue("seq"))
	if err != nil {
		return 0, "", apiError(http.StatusBadRequest, "%w", err)
	}
	return seq, r.URL.Query().Get("inbox"), nil
}

// showInboxEvent shows all of an event except its body.
func showInboxEvent(w http.ResponseWriter, r *http.Request) error {
	seq, name, err := namedEvent(r)
	if err != nil {
		return err
	}
	detail, err := eventDetail(r.Context(), seq, name)
	if err != nil {
		return err
	}
	return writeJSON(w, detail)
}

// sendInboxBody sends the body of an event, a chunk at a time.
func sendInboxBody(w http.ResponseWriter, r *http.Request) error {
	seq, name, err := namedEvent(r)
	if err != nil {
		return err
	}
	body, err := storedBody(r.Context(), seq, name)
	if err != nil {
		return err
	}
	if err := withoutReadDeadline(w); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="event-%d.json"`, seq))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.FormatInt(body.Size(), 10))
	reader := body.NewReader()
	defer reader.Close()
	if _, err := io.Copy(w, reader); err != nil {
		panic(http.ErrAbortHandler) // an error's text would look like the rest of the body
	}
	return nil
}

// withoutReadDeadline lets an answer take long. The admin server's deadline to read a
// request would cancel it.
func withoutReadDeadline(w http.ResponseWriter) error {
	return http.NewResponseController(w).SetReadDeadline(time.Time{})
}
