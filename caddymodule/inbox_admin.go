package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
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

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// showInboxes shows the state of each inbox.
func showInboxes(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, inboxStatuses(r.Context()))
}

// inboxEvent is a stored event in a list.
type inboxEvent struct {
	Seq            int64  `json:"seq"`
	Inbox          string `json:"inbox"`
	EventID        string `json:"event_id"`
	EventType      string `json:"event_type,omitempty"`
	ConversationID string `json:"conversation_id,omitempty"`
	AgentID        string `json:"agent_id,omitempty"`
	storedFields
	State inbox.State `json:"state"`
	Size  int64       `json:"size"`
	// HasBody reports whether the body is still there.
	HasBody  bool `json:"has_body"`
	Attempts int  `json:"attempts"`
	// Repeats counts how often ElevenLabs sent the event again.
	Repeats    int       `json:"repeats"`
	ReceivedAt time.Time `json:"received_at"`
	NextAt     time.Time `json:"next_at,omitzero"`
	DoneAt     time.Time `json:"done_at,omitzero"`
}

// inboxEventDetail is a stored event with its attempts and its request.
type inboxEventDetail struct {
	inboxEvent
	Timeline []attemptMade `json:"timeline"`
	Request  storedRequest `json:"request"`
}

// attemptMade is an attempt to deliver an event.
type attemptMade struct {
	Attempt        int       `json:"attempt"`
	EndedAt        time.Time `json:"ended_at"`
	Seconds        float64   `json:"seconds"`
	UpstreamStatus int       `json:"upstream_status,omitempty"`
	Reason         string    `json:"reason,omitempty"`
	Answer         string    `json:"answer,omitempty"`
}

func shownEvent(e inbox.Entry) (inboxEvent, error) {
	shown := inboxEvent{
		Seq: e.Seq, Inbox: e.Inbox, EventID: e.ID, EventType: e.Type, ConversationID: e.ConversationID, AgentID: e.AgentID,
		State: e.State, Size: e.Size, HasBody: e.Stored == e.Size, Attempts: e.Attempts, Repeats: e.Repeats,
		ReceivedAt: e.ReceivedAt.UTC(), NextAt: e.NextAt.UTC(), DoneAt: e.DoneAt.UTC(),
	}
	err := json.Unmarshal([]byte(e.Fields), &shown.storedFields)
	return shown, err
}

// listInbox lists stored events, newest first, or streams them.
func (a *Admin) listInbox(w http.ResponseWriter, r *http.Request) error {
	selection, limit, err := parseSelection(r.URL.Query())
	if err != nil {
		return apiError(http.StatusBadRequest, "%w", err)
	}
	if wantsStream(r) {
		return a.streamInbox(w, r, selection)
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	all, err := openDatabases(ctx, selection.Inbox)
	if err != nil {
		return err
	}
	if selection.Before > 0 && len(all) > 1 {
		return apiError(http.StatusBadRequest, "several databases are open, and each counts its events by itself: with before, name an inbox")
	}
	shown := []inboxEvent{}
	for _, d := range all {
		entries, err := d.store.List(ctx, selection, limit)
		if err != nil {
			return d.unanswered(err, 0)
		}
		for _, e := range entries {
			event, err := shownEvent(e)
			if err != nil {
				return fmt.Errorf("reading event %d: %w", e.Seq, err)
			}
			shown = append(shown, event)
		}
	}
	if len(all) > 1 {
		slices.SortStableFunc(shown, func(a, b inboxEvent) int { return b.ReceivedAt.Compare(a.ReceivedAt) })
	}
	return writeJSON(w, shown[:min(limit, len(shown))])
}

const (
	defaultEvents = 100  // events in a list without a limit
	maxEvents     = 1000 // the highest limit
)

var (
	selectionParameters = []string{"inbox", "state", "type", "conversation", "agent", "event", "since", "until", "before", "limit"}
	eventIDPrefix       = regexp.MustCompile(`^[0-9a-f]{0,64}$`)
)

// parseSelection reads the parameters of a list. An empty one counts as missing.
func parseSelection(query url.Values) (s inbox.Selection, limit int, err error) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(selectionParameters, name) {
			return s, 0, fmt.Errorf("there is no parameter %q: choose from %s", name, strings.Join(selectionParameters, ", "))
		}
	}
	s = inbox.Selection{
		Inbox: query.Get("inbox"), State: inbox.State(query.Get("state")), EventID: query.Get("event"),
		Types:          slices.DeleteFunc(query["type"], func(name string) bool { return name == "" }),
		ConversationID: query.Get("conversation"), AgentID: query.Get("agent"),
	}
	limit = defaultEvents
	switch {
	case s.State != "" && !slices.Contains(inbox.States, s.State):
		return s, 0, fmt.Errorf("there is no state %q: choose one of %v", s.State, inbox.States)
	case !eventIDPrefix.MatchString(s.EventID):
		return s, 0, fmt.Errorf("event must be the beginning of an event's id, in hexadecimal digits, not %q", s.EventID)
	}
	if text := query.Get("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxEvents {
			return s, 0, fmt.Errorf("limit must be a number from 1 to %d, not %q", maxEvents, text)
		}
	}
	if text := query.Get("before"); text != "" {
		if s.Before, err = parseSeq(text); err != nil {
			return s, 0, fmt.Errorf("before: %w", err)
		}
	}
	for name, t := range map[string]*time.Time{"since": &s.Since, "until": &s.Until} {
		if text := query.Get(name); text != "" {
			if *t, err = time.Parse(time.RFC3339, text); err != nil {
				return s, 0, fmt.Errorf("%s must be a time such as 2026-11-29T10:00:00Z, not %q", name, text)
			}
		}
	}
	return s, limit, checkSpan(s.Since, s.Until)
}

func checkSpan(since, until time.Time) error {
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return errors.New("since must be before until")
	}
	return nil
}

func parseSeq(text string) (int64, error) {
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 1 {
		return 0, fmt.Errorf("the number of an event must be above 0, not %q", text)
	}
	return seq, nil
}

// namedEvent finds the event that the URL names.
func namedEvent(ctx context.Context, r *http.Request) (openDatabase, inbox.Entry, error) {
	seq, err := parseSeq(r.PathValue("seq"))
	if err != nil {
		return openDatabase{}, inbox.Entry{}, apiError(http.StatusBadRequest, "%w", err)
	}
	return findEvent(ctx, seq, r.URL.Query().Get("inbox"))
}

// showInboxEvent shows all of an event except its body.
func showInboxEvent(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	d, entry, err := namedEvent(ctx, r)
	if err != nil {
		return err
	}
	attempts, err := d.store.Attempts(ctx, entry.Seq)
	if err != nil {
		return d.unanswered(err, 0)
	}
	detail := inboxEventDetail{Timeline: make([]attemptMade, len(attempts))}
	if detail.inboxEvent, err = shownEvent(entry); err == nil {
		err = json.Unmarshal([]byte(entry.Request), &detail.Request)
	}
	if err != nil {
		return fmt.Errorf("reading event %d: %w", entry.Seq, err)
	}
	hide := hideCredentials(&detail.Request)
	for i, a := range attempts {
		detail.Timeline[i] = attemptMade{
			Attempt: a.Number, EndedAt: a.EndedAt.UTC(), Seconds: a.Duration.Seconds(), UpstreamStatus: a.Status, Reason: a.Reason,
			Answer: hide(a.Answer),
		}
	}
	return writeJSON(w, detail)
}

// redacted stands for a value that is not shown, as in Caddy's access log.
const redacted = "REDACTED"

// credentialHeader matches the names of headers whose values are not shown: those of
// HTTP, ElevenLabs' signature, and those by which a webhook's own headers may carry a
// credential.
var credentialHeader = regexp.MustCompile(`(?i)auth|cookie|signature|token|secret|password|api-?key`)

// hideCredentials redacts a request. It returns a function that does so in the answers
// of a backend, which may repeat the request.
func hideCredentials(r *storedRequest) (hide func(answer string) string) {
	var pairs []string
	r.restoreBytes()
	r.Bytes = nil
	r.URI = facts.HideCredentials(r.URI, "…")
	for name, values := range r.Header {
		for i, value := range values {
			values[i] = facts.HideSecrets(value, "…")
			if credentialHeader.MatchString(name) {
				values[i] = redacted
				if value != "" {
					pairs = append(pairs, value, redacted)
				}
			}
		}
	}
	known := strings.NewReplacer(pairs...)
	return func(answer string) string { return facts.HideCredentials(known.Replace(answer), "…") }
}

// sendInboxBody sends the body of an event, a chunk at a time.
func sendInboxBody(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	d, entry, err := namedEvent(ctx, r)
	if err != nil {
		return err
	}
	if entry.Stored != entry.Size {
		return apiError(http.StatusGone, "%w", inbox.ErrBodyGone)
	}
	if err := withoutReadDeadline(w); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="event-%d.json"`, entry.Seq))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.FormatInt(entry.Size, 10))
	body := d.store.Body(entry.Seq, entry.Size).NewReader()
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		panic(http.ErrAbortHandler) // an error's text would look like the rest of the body
	}
	return nil
}

// withoutReadDeadline lets an answer take long. The admin server's deadline to read a
// request would cancel it.
func withoutReadDeadline(w http.ResponseWriter) error {
	return http.NewResponseController(w).SetReadDeadline(time.Time{})
}
