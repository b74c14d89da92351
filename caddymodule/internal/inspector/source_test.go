package inspector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// noon is the clock of the tests.
var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// source is a Source with these events. It notes what it is asked.
type source struct {
	webhooks   []Webhook
	inboxes    []stored.Inbox
	hours      []deliveries.Hour
	deliveries []deliveries.Delivery
	details    []stored.Detail
	bodies     map[int64]string
	actErr     error

	selected inbox.Selection
	acts     []string
}

func (s *source) Webhooks() []Webhook                                { return s.webhooks }
func (s *source) Inboxes(context.Context) []stored.Inbox             { return s.inboxes }
func (s *source) Deliveries(deliveries.Filter) []deliveries.Delivery { return s.deliveries }

func (s *source) Hours() []deliveries.Hour {
	if s.hours != nil {
		return s.hours
	}
	return new(deliveries.History).Hours(noon)
}

func (s *source) Body(_ context.Context, seq int64, _ string) (Body, error) {
	return strings.NewReader(s.bodies[seq]), nil
}

func (s *source) Act(_ context.Context, verb string, act stored.Act, who Visitor) (int, error) {
	text := fmt.Sprintf("%s in %q: %v %s %v %s", verb, act.Inbox, act.Events, act.State, act.Types, act.ConversationID)
	if act.Destination != "" || act.To != "" {
		text += fmt.Sprintf(" for %q to %q", act.Destination, act.To)
	}
	if !act.Since.IsZero() {
		text += " since " + act.Since.Format(time.RFC3339)
	}
	s.acts = append(s.acts, text+" by "+who.User)
	return max(1, len(act.Events)), s.actErr
}

func (s *source) Queues() (all []inbox.Queue) {
	for _, i := range s.inboxes {
		all = append(all, inbox.Queue{Inbox: i.Name, Destination: i.Destination})
	}
	return all
}

func (s *source) Events(_ context.Context, selection inbox.Selection, limit int) (all []stored.Event, err error) {
	s.selected = selection
	for _, d := range s.details {
		all = append(all, d.Event)
	}
	return all[:min(limit, len(all))], nil
}

func (s *source) Event(_ context.Context, seq int64, _ string) (stored.Detail, error) {
	for _, d := range s.details {
		if d.Seq == seq {
			return d, nil
		}
	}
	return stored.Detail{}, statusError{http.StatusNotFound, errors.New("there is no such event")}
}

// add adds an event with a body.
func (s *source) add(seq int64, state inbox.State, body string) {
	s.details = append(s.details, stored.Detail{Event: stored.Event{
		Seq: seq, Inbox: "default", EventID: fmt.Sprintf("%064x", seq), State: state, Size: int64(len(body)), HasBody: true, ReceivedAt: noon,
	}})
	if s.bodies == nil {
		s.bodies = map[int64]string{}
	}
	s.bodies[seq] = body
	s.inboxes = []stored.Inbox{{Name: "default", Up: true, Handlers: 1}}
}

// visit asks for a page, or presses a button if there is a form.
func (s *source) visit(t *testing.T, path, form string, options ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	return serve(t, New(s, false), path, form, options...)
}

func serve(t *testing.T, p *Pages, path, form string, options ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	p.now = func() time.Time { return noon }
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if form != "" {
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, option := range options {
		option(r)
	}
	w := httptest.NewRecorder()
	p.Serve(w, r, Visitor{Base: "/inspect", User: "alice"})
	require.NotEmpty(t, w.Header().Get("Content-Security-Policy"))
	return w
}
