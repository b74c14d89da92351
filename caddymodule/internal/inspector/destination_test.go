package inspector

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// shared is a source whose inbox has the destinations crm, archive and search. The first two
// have an event, and one that was taken out has it too.
func shared() *source {
	s := new(source)
	for seq, destination := range map[int64]string{7: "crm", 8: "archive", 9: "old"} {
		s.add(seq, inbox.Delivered, `{"a":1}`)
		last := len(s.details) - 1
		s.details[last].Destination, s.details[last].EventID = destination, strings.Repeat("5b1c", 16)
	}
	state := func(destination string, i stored.Inbox) stored.Inbox {
		i.Name, i.Destination, i.Up, i.Bytes = "default", destination, true, 1<<20
		return i
	}
	s.inboxes = []stored.Inbox{
		state("archive", stored.Inbox{Handlers: 1, LimitBytes: 10 << 20, BackendDownSince: noon, Bypassed: 3, Events: map[inbox.State]int64{inbox.Dead: 4}, OldestWaitingSeconds: 1800}),
		state("crm", stored.Inbox{Handlers: 1, LimitBytes: 10 << 20, Events: map[inbox.State]int64{inbox.Waiting: 5}}),
		state("search", stored.Inbox{Handlers: 1, LimitBytes: 10 << 20}),
		{Name: "sales", Up: true, Handlers: 1},
	}
	return s
}

// between returns what is between two texts on a page.
func between(t *testing.T, page, from, to string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, from)
	require.True(t, found, from)
	part, _, found := strings.Cut(rest, to)
	require.True(t, found, to)
	return part
}

func TestTheOverviewHasALineForEachDestinationOfAnInbox(t *testing.T) {
	s := shared()
	s.inboxes = append(s.inboxes[:2:2], stored.Inbox{Name: "default", Destination: "old", Up: true, Events: map[inbox.State]int64{inbox.Waiting: 2}}, s.inboxes[3])
	page := s.visit(t, "/", "").Body.String()
	card := between(t, page, "<h3><bdi>default</bdi></h3>", "</article>")
	assert.Equal(t, 1, strings.Count(card, "1.0 MiB of 10 MiB"), "that of the whole inbox")
	assert.NotContains(t, card, "No handler delivers")
	rows := strings.Split(card, "<tr>")[2:]
	require.Len(t, rows, 3)
	assert.Contains(t, rows[0], `<a href="/inspect/events?inbox=default&amp;destination=archive"><bdi>archive</bdi></a>`)
	assert.Contains(t, rows[0], `<a href="/inspect/events?inbox=default&amp;destination=archive&amp;state=dead" class="bad">4</a>`)
	for _, text := range []string{"not reached since", "3 bypassed the inbox", `class="number bad">30m0s`} {
		assert.Contains(t, rows[0], text)
		assert.NotContains(t, rows[1], text)
	}
	assert.Contains(t, rows[1], `destination=crm&amp;state=waiting">5</a>`)
	assert.Contains(t, rows[2], "no handler delivers to it")
	assert.NotContains(t, between(t, page, "<h3><bdi>sales</bdi></h3>", "</article>"), "<table", "it has no named destinations")
}

func TestTheOverviewShowsEventsOfBeforeAnInboxHadDestinations(t *testing.T) {
	cards := inboxCards([]stored.Inbox{{Name: "a"}, {Name: "a", Destination: "crm", Handlers: 1, LimitBytes: 5}, {Name: "b", Database: "1"}, {Name: "b", Database: "2"}})
	require.Len(t, cards, 3)
	assert.Len(t, cards[0].Destinations, 2)
	assert.Equal(t, []int64{1, 5}, []int64{int64(cards[0].Handlers), cards[0].LimitBytes})
	assert.Empty(t, append(cards[1].Destinations, cards[2].Destinations...), "while a reload moves an inbox")
}

func TestTheListFiltersByDestination(t *testing.T) {
	s := shared()
	page := s.visit(t, "/events?inbox=default&destination=crm&state=dead", "").Body.String()
	assert.Equal(t, inbox.Selection{Inbox: "default", Destination: "crm", State: inbox.Dead}, s.selected)
	assert.Contains(t, page, `<select name="destination"><option value="">any</option><option>archive</option><option selected>crm</option><option>search</option></select>`)
	assert.Contains(t, page, `<input type="hidden" name="destination" value="crm">`, "what acts on all of the filter")
	assert.Contains(t, page, `value="/events?destination=crm&amp;inbox=default&amp;state=dead"`, "and leads back")
	assert.Contains(t, page, `data-stream="/inspect/events?inbox=default&amp;destination=crm"`)
	assert.Contains(t, page, `<td data-label="Destination"><bdi>archive</bdi></td>`)

	page = s.visit(t, "/events?inbox=default&destination=old", "").Body.String()
	assert.Contains(t, page, `<option selected>old</option>`, "one that was taken out stays chosen")

	s.details = nil
	page = s.visit(t, "/events?inbox=sales", "").Body.String()
	assert.NotContains(t, strings.ToLower(page), "destination", "an inbox without any")
}

func TestAnEventsPageShowsTheOtherDestinations(t *testing.T) {
	s := shared()
	page := s.visit(t, "/events/7?inbox=default", "").Body.String()
	assert.Equal(t, inbox.Selection{Inbox: "default", EventID: strings.Repeat("5b1c", 16)}, s.selected)
	assert.Contains(t, page, `<dt>destination</dt><dd><bdi>crm</bdi></dd>`)
	assert.Contains(t, page, `<dt>for <bdi>archive</bdi></dt><dd><a href="/inspect/events/8?inbox=default">Event 8</a> <span class="tag delivered">delivered</span></dd>`)
	assert.Contains(t, page, `<dt>for <bdi>old</bdi></dt>`)
	assert.NotContains(t, page, `<dt>for <bdi>crm</bdi></dt>`)
	assert.Equal(t, 1, strings.Count(page, "Deliver to"), "only to what does not have it")
	assert.Contains(t, page, `<button name="to" value="search">Deliver to <bdi>search</bdi></button>`)
	assert.NotContains(t, serve(t, New(s, true), "/events/7?inbox=default", "").Body.String(), "Deliver to", "read-only")

	for i := range s.details { // the body of another one serves as well
		s.details[i].HasBody = s.details[i].Seq == 9
	}
	page = s.visit(t, "/events/7?inbox=default", "").Body.String()
	assert.Regexp(t, `name="event" value="9">[^\n]*\n<button name="to"`, page)
	for i := range s.details {
		s.details[i].HasBody = false
	}
	assert.NotContains(t, s.visit(t, "/events/7?inbox=default", "").Body.String(), "Deliver to", "there is no body")
}

func TestAnEventsPageWithoutDestinationsLooksForNone(t *testing.T) {
	s := new(source)
	s.add(1, inbox.Dead, `{}`)
	assert.NotContains(t, strings.ToLower(s.visit(t, "/events/1", "").Body.String()), "destination")
	assert.Zero(t, s.selected)
}

func TestButtonsOfDestinationsDoWhatTheySay(t *testing.T) {
	for _, test := range []struct{ name, path, form, want, notice string }{
		{"deliver to", "/redeliver", "event=7&inbox=default&to=search&return=/events/7%3Finbox%3Ddefault", `redeliver in "default": [7]  []  for "" to "search" by alice`, "1 event will be delivered to the other destination."},
		{"all of a filter", "/discard", "state=dead&inbox=default&destination=crm&confirmed=yes", `discard in "default": [] dead []  for "crm" to "" by alice`, "1 event given up."},
	} {
		s := shared()
		w := s.visit(t, test.path, test.form)
		require.Equal(t, http.StatusSeeOther, w.Code, test.name)
		assert.Equal(t, []string{test.want}, s.acts)
		back := strings.TrimPrefix(w.Header().Get("Location"), "/inspect")
		assert.Contains(t, s.visit(t, back, "").Body.String(), test.notice)
	}
}

func TestToForgetSaysThatItIsForAllDestinations(t *testing.T) {
	assert.Contains(t, shared().visit(t, "/forget", "event=7").Body.String(), "Delete them for all destinations, with their bodies? This cannot be undone.")
	s := new(source)
	s.add(1, inbox.Dead, `{}`)
	assert.Contains(t, s.visit(t, "/forget", "event=1").Body.String(), "Delete them, with their bodies? This cannot be undone.")
}
