package inspector

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// verbs has the texts of each button.
var verbs = map[string]struct {
	// done follows the number of events on the page after the button was pressed.
	done string
	// asks is the question before the button deletes events, or changes more than the page
	// shows.
	asks string
}{
	"redeliver": {done: "will be delivered again", asks: "Deliver them again?"},
	"discard":   {done: "given up", asks: "Give them up? No more attempts are made."},
	"forget":    {done: "deleted", asks: "Delete them, with their bodies? This cannot be undone."},
}

// doneTo is what a button did that delivers to a destination without the event.
const doneTo = "redeliver_to"

// maxForm is how long the form of a button is at most.
const maxForm = 64 << 10

// confirmation is what the page that asks back shows.
type confirmation struct {
	Verb, What, Question, Return string
	Fields                       url.Values
}

// act does what a button asks.
func (p *Pages) act(w http.ResponseWriter, r *http.Request) error {
	if p.readOnly {
		return statusError{http.StatusForbidden, errors.New("these pages are read-only")}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return statusError{http.StatusBadRequest, fmt.Errorf("reading the form: %w", err)}
	}
	verb := strings.TrimPrefix(r.URL.Path, "/")
	act, err := readAct(r.PostForm)
	if err != nil {
		return statusError{http.StatusBadRequest, err}
	}
	back := ownPath(r.PostForm.Get("return"))
	var what string
	switch {
	case len(act.Events) > 0:
		what = fmt.Sprintf("Selected: %s.", events(len(act.Events)))
	case act.ConversationID != "":
		what = fmt.Sprintf("All events of the conversation %s.", act.ConversationID)
	case act.State != "":
		what = fmt.Sprintf("All %s events that the filter has, on every page of the list.", act.State)
	default:
		return statusError{http.StatusBadRequest, errors.New("no event is selected: go back, and select some")}
	}
	if (verb == "forget" || len(act.Events) == 0) && r.PostForm.Get("confirmed") == "" {
		question := verbs[verb].asks
		if verb == "forget" && slices.ContainsFunc(p.source.Queues(), func(q inbox.Queue) bool { return q.Destination != "" }) {
			question = "Delete them for all destinations, with their bodies? This cannot be undone."
		}
		c := confirmation{Verb: verb, What: what, Question: question, Return: back, Fields: r.PostForm}
		p.render(w, r, http.StatusOK, "confirm", view{Title: "Please confirm", Page: "events", Data: c})
		return nil
	}
	visitor := visitorOf(r)
	did := verb
	if act.To != "" {
		did = doneTo
	}
	count, err := p.source.Act(r.Context(), verb, act, visitor)
	if err != nil {
		return err
	}
	if verb == "forget" && strings.HasPrefix(back, "/events/") { // its page is gone
		back = "/events?" + url.Values{"inbox": {act.Inbox}}.Encode()
	}
	http.Redirect(w, r, visitor.Base+withNotice(back, did, count), http.StatusSeeOther) //nolint:gosec // ownPath lets only paths of these pages through
	return nil
}

// readAct reads which events a form names or selects.
func readAct(form url.Values) (act stored.Act, err error) {
	act.Inbox, act.ConversationID, act.State = form.Get("inbox"), form.Get("conversation"), inbox.State(form.Get("state"))
	act.Destination, act.To = form.Get("destination"), form.Get("to")
	if typ := form.Get("type"); typ != "" {
		act.Types = []string{typ}
	}
	for name, t := range map[string]*time.Time{"since": &act.Since, "until": &act.Until} {
		if text := form.Get(name); text != "" {
			if *t, err = time.Parse(time.RFC3339, text); err != nil {
				return act, fmt.Errorf("%s must be a time, not %q", name, text)
			}
		}
	}
	for _, text := range form["event"] {
		seq, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seq < 1 {
			return act, fmt.Errorf("%q is no number of an event", text)
		}
		act.Events = append(act.Events, seq)
	}
	if len(act.Events) > 0 { // the filter of the list says nothing more
		act = stored.Act{Inbox: act.Inbox, Events: act.Events, To: act.To}
	}
	return act, nil
}

// ownPath returns a path of these pages, also if the form says another.
func ownPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || path.Clean(u.Path) != u.Path || u.Host != "" || u.Scheme != "" || u.Path != "/events" && !strings.HasPrefix(u.Path, "/events/") {
		return "/events"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

func withNotice(page, verb string, count int) string {
	u, err := url.Parse(page)
	if err != nil {
		return "/events"
	}
	query := u.Query()
	query.Set("done", verb)
	query.Set("events", strconv.Itoa(count))
	u.RawQuery = query.Encode()
	return u.String()
}

// notice says what a button did, before the page was shown.
func notice(r *http.Request) string {
	query := r.URL.Query()
	verb, known := verbs[query.Get("done")]
	if query.Get("done") == doneTo {
		verb.done, known = "will be delivered to the other destination", true
	}
	count, err := strconv.Atoi(query.Get("events"))
	if !known || err != nil || count < 0 {
		return ""
	}
	return events(count) + " " + verb.done + "."
}

// events writes a number of events.
func events(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}
