package inspector

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// rows is how many rows a page of a list has.
const rows = 50

// filter is what the fields above a list say.
type filter struct {
	Search, State, Result, Type, Inbox, Destination, Webhook string
	// Period is one of the periods. From and To are times in UTC that replace it.
	Period, From, To string
	Since, Until     time.Time // that these say
	Before           int64
}

// fieldTime is the form in which a browser sends the field of a time.
const fieldTime = "2006-01-02T15:04"

// periods are the choices of the field for the time.
var periods = []struct {
	Name, Label string
	Length      time.Duration
}{
	{"", "any time", 0},
	{"1h", "last hour", time.Hour},
	{"24h", "last 24 hours", 24 * time.Hour},
	{"7d", "last 7 days", 7 * 24 * time.Hour},
	{"30d", "last 30 days", 30 * 24 * time.Hour},
}

func readFilter(query url.Values, now time.Time) (f filter, err error) {
	f = filter{
		Search: query.Get("search"), State: query.Get("state"), Result: query.Get("result"), Type: query.Get("type"),
		Inbox: query.Get("inbox"), Destination: query.Get("destination"), Webhook: query.Get("webhook"), Period: query.Get("period"),
		From: query.Get("from"), To: query.Get("to"),
	}
	if err := f.readSpan(now); err != nil {
		return f, err
	}
	if text := query.Get("before"); text != "" {
		if f.Before, err = strconv.ParseInt(text, 10, 64); err != nil || f.Before < 1 {
			return f, statusError{http.StatusBadRequest, errors.New("before must be the number of an event")}
		}
	}
	return f, nil
}

// readSpan reads the fields for the time.
func (f *filter) readSpan(now time.Time) (err error) {
	for _, period := range periods {
		if period.Name == f.Period && period.Length > 0 {
			f.Since = now.Add(-period.Length)
		}
	}
	for _, field := range []struct {
		text string
		time *time.Time
	}{{f.From, &f.Since}, {f.To, &f.Until}} {
		if field.text == "" {
			continue
		}
		if *field.time, err = time.Parse(fieldTime, field.text); err != nil {
			return statusError{http.StatusBadRequest, fmt.Errorf("a time must be like 2026-11-29T10:00, not %q", field.text)}
		}
	}
	if err := stored.CheckSpan(f.Since, f.Until); err != nil {
		return statusError{http.StatusBadRequest, err}
	}
	return nil
}

// Query returns the filter as the query of a URL, without the place in the list.
func (f filter) Query() template.URL {
	query := url.Values{}
	for name, value := range map[string]string{
		"search": f.Search, "state": f.State, "result": f.Result, "type": f.Type, "inbox": f.Inbox, "destination": f.Destination, "webhook": f.Webhook, "period": f.Period,
		"from": f.From, "to": f.To,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return template.URL(query.Encode()) //nolint:gosec // it is encoded
}

// types returns the types of events that the filter has, or nil for all.
func (f *filter) types() []string {
	if f.Type == "" {
		return nil
	}
	return []string{f.Type}
}

// eventList is what the list of stored events shows.
type eventList struct {
	Filter  filter
	Events  []stored.Event
	Next    int64 // the number before which the next page begins; 0 on the last one
	Inboxes []string
	// Destinations are those of the inbox, if it has named ones.
	Destinations []string
	Webhooks     []string // the names of their secrets
	States       []inbox.State
	Types        []string
	Periods      any
	// ShowDestination reports whether the list has a column for destinations.
	ShowDestination bool
}

func (p *Pages) showEvents(w http.ResponseWriter, r *http.Request) error {
	f, err := readFilter(r.URL.Query(), p.now())
	if err != nil {
		return err
	}
	if f.State != "" && !slices.Contains(inbox.States, inbox.State(f.State)) {
		return statusError{http.StatusBadRequest, fmt.Errorf("there is no state %q", f.State)}
	}
	list := eventList{Filter: f, Webhooks: p.secrets(), States: inbox.States, Types: facts.EventTypeNames, Periods: periods}
	for _, q := range p.source.Queues() {
		list.Inboxes = append(list.Inboxes, q.Inbox)
	}
	list.Inboxes = slices.Compact(list.Inboxes)
	if len(list.Inboxes) > 0 && f.Inbox == "" { // each counts by itself
		list.Filter.Inbox = list.Inboxes[0]
	}
	if f.Inbox != "" && !slices.Contains(list.Inboxes, f.Inbox) { // it has no handler any more
		list.Inboxes = append(list.Inboxes, f.Inbox)
	}
	list.Destinations = p.destinationsOf(list.Filter.Inbox)
	if f.Destination != "" && !slices.Contains(list.Destinations, f.Destination) {
		list.Destinations = append(list.Destinations, f.Destination)
	}
	selection := inbox.Selection{
		Inbox: list.Filter.Inbox, Destination: f.Destination, State: inbox.State(f.State), Types: f.types(), Since: f.Since, Until: f.Until, Before: f.Before, Search: f.Search, Webhook: f.Webhook,
	}
	if list.Events, err = p.source.Events(r.Context(), selection, rows+1); err != nil {
		return err
	}
	if len(list.Events) > rows {
		list.Events = list.Events[:rows]
		list.Next = list.Events[rows-1].Seq
	}
	list.ShowDestination = len(list.Destinations) > 0 || slices.ContainsFunc(list.Events, func(e stored.Event) bool { return e.Destination != "" })
	p.render(w, r, http.StatusOK, "events", view{Title: "Events", Notice: notice(r), Data: list})
	return nil
}

// destinationsOf returns the named destinations of an inbox that have a handler.
func (p *Pages) destinationsOf(name string) (all []string) {
	for _, q := range p.source.Queues() {
		if q.Inbox == name && q.Destination != "" {
			all = append(all, q.Destination)
		}
	}
	return all
}

// secrets returns the names of the secrets that sign events: one for each webhook.
func (p *Pages) secrets() (names []string) {
	for _, webhook := range p.source.Webhooks() {
		for _, its := range webhook.Secrets {
			if its.Secret != "" { // that of deliveries by none
				names = append(names, its.Secret)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// deliveryList is what the list of deliveries shows.
type deliveryList struct {
	Filter     filter
	Deliveries []deliveries.Delivery
	Results    []deliveries.Result
	Types      []string
	Webhooks   []string
	Kept       int
}

func (p *Pages) showDeliveries(w http.ResponseWriter, r *http.Request) error {
	f, err := readFilter(r.URL.Query(), p.now())
	if err != nil {
		return err
	}
	list := deliveryList{Filter: f, Results: deliveries.Results, Types: facts.EventTypeNames, Kept: deliveries.Capacity}
	for _, webhook := range p.source.Webhooks() {
		list.Webhooks = append(list.Webhooks, webhook.Handler)
	}
	all := p.source.Deliveries(deliveries.Filter{Result: deliveries.Result(f.Result), Types: f.types()})
	list.Deliveries = slices.DeleteFunc(all, func(d deliveries.Delivery) bool { return !f.matches(&d) })
	p.render(w, r, http.StatusOK, "deliveries", view{Title: "Deliveries", Data: list})
	return nil
}

// matches reports whether a delivery is of the webhook, and has the id that was searched
// for.
func (f *filter) matches(d *deliveries.Delivery) bool {
	if f.Webhook != "" && d.Handler != f.Webhook {
		return false
	}
	if f.Search == "" {
		return true
	}
	return slices.Contains([]string{d.ConversationID, d.AgentID, d.RequestID}, f.Search) ||
		len(f.Search) >= inbox.MinEventID && strings.HasPrefix(d.EventID, f.Search)
}
