package inspector

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// hostile is a text that must stay a text.
const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}` + "\u202e"

func TestTextFromOutsideIsNeverMarkup(t *testing.T) {
	s := new(source)
	s.add(1, inbox.Waiting, `{"type":"`+`\"'><script>alert(1)</script>`+`","data":{"<script>alert(1)</script>":1,"transcript":[{"role":"<script>alert(1)</script>","message":"<script>alert(1)</script>",
"tool_calls":[{"tool_name":"<script>alert(1)</script>","params_as_json":"<script>alert(1)</script>"}]}]}}`)
	d := &s.details[0]
	for _, text := range []*string{&d.EventType, &d.ConversationID, &d.AgentID, &d.RequestID, &d.VoiceID, &d.Secret, &d.Request.Host, &d.Request.URI, &d.Request.ClientIP} {
		*text = hostile
	}
	d.Request.Header = http.Header{hostile: {hostile}}
	d.Timeline = []stored.Attempt{{Attempt: 1, Reason: hostile, Answer: hostile}}
	s.webhooks = []Webhook{
		{Handler: hostile, Status: deliveries.Status{Streak: deliveries.Streak{FailuresInRow: 4, LastFailure: &deliveries.Delivery{Reason: hostile}}}},
		{Handler: "other", ReportOnly: true, Secrets: []deliveries.SecretStatus{{Secret: hostile, Status: deliveries.Status{Streak: deliveries.Streak{FailuresInRow: 1}}}, {}}},
	}
	s.inboxes[0].Problem = hostile
	failed := deliveries.Delivery{Result: deliveries.Failed, Reason: hostile, ClientIP: hostile}
	failed.EventType, failed.ConversationID = hostile, hostile
	s.deliveries = []deliveries.Delivery{failed}
	query := url.QueryEscape(hostile)
	for _, path := range []string{
		"/", "/events", "/events/1", "/deliveries", "/nothing", "/events?search=" + query + "&state=" + query + "&type=" + query + "&period=" + query, "/events?destination=" + query,
		"/events/1?find=" + query, "/deliveries?search=" + query, "/events?done=" + query + "&events=" + query, "/events?before=" + query,
	} {
		w := s.visit(t, path, "")
		require.Less(t, w.Code, 500, path)
		page := w.Body.String()
		assert.NotContains(t, page, "<script>alert", path)
		assert.NotContains(t, page, "<img", path)
		assert.Equal(t, 1, strings.Count(page, "<script"), "only the page's own")
		assert.Contains(t, page, "</html>", path)
	}
	for verb := range verbs {
		w := s.visit(t, "/"+verb, "state=dead&type="+query+"&return="+query)
		assert.NotContains(t, w.Body.String(), "<script>alert", verb)
		assert.NotContains(t, w.Body.String(), "<img", verb)
	}
}

func TestThePagesSayWhatIsABackfill(t *testing.T) {
	for _, backfill := range []bool{true, false} {
		s := new(source)
		s.add(1, inbox.Waiting, "{}")
		s.details[0].Backfill = backfill
		s.deliveries = []deliveries.Delivery{{Result: deliveries.Stored, Backfill: backfill}}
		for _, path := range []string{"/events", "/events/1", "/deliveries"} {
			assert.Equal(t, backfill, strings.Contains(s.visit(t, path, "").Body.String(), `<span class="tag">backfill</span>`), path)
		}
	}
}

func TestTheOverviewSaysThatTestsDoNotCount(t *testing.T) {
	for tests, want := range map[deliveries.Tally]string{{}: "none since Caddy started<", {Failed: 1}: "none since Caddy started (tests do not count)<"} {
		s := &source{webhooks: []Webhook{{Handler: "main", Status: deliveries.Status{Tests: tests}}}}
		assert.Equal(t, 2, strings.Count(s.visit(t, "/", "").Body.String(), want), want)
	}
}

func TestTheListAsksForWhatItsFieldsSay(t *testing.T) {
	s := new(source)
	s.add(1, inbox.Dead, `{}`)
	s.inboxes = append(s.inboxes, stored.Inbox{Name: "sales"})
	s.webhooks = []Webhook{{Secrets: []deliveries.SecretStatus{{Secret: "prod"}, {Secret: "old"}, {}}}, {Secrets: []deliveries.SecretStatus{{Secret: "prod"}}}}
	for query, want := range map[string]inbox.Selection{
		"":                              {Inbox: "default"},
		"inbox=sales&state=dead&type=t": {Inbox: "sales", State: inbox.Dead, Types: []string{"t"}},
		"webhook=old":                   {Inbox: "default", Webhook: "old"},
		"from=2026-11-28T10:00&to=2026-11-28T11:30": {Inbox: "default", Since: noon.Add(-26 * time.Hour), Until: noon.Add(-24*time.Hour - 30*time.Minute)},
		"period=24h&before=5":                       {Inbox: "default", Since: noon.Add(-24 * time.Hour), Before: 5},
		"period=never&search=conv_1":                {Inbox: "default", Search: "conv_1"},
	} {
		assert.Equal(t, http.StatusOK, s.visit(t, "/events?"+query, "").Code, query)
		assert.Equal(t, want, s.selected, query)
	}
	for _, query := range []string{"before=0", "from=yesterday", "from=2026-11-28T10:00&to=2026-11-28T09:00", "state=typo", "state=receiving"} { // forgotten events are in that state until they are deleted
		s.selected = inbox.Selection{}
		assert.Equal(t, http.StatusBadRequest, s.visit(t, "/events?"+query, "").Code, query)
		assert.Zero(t, s.selected, query)
	}
}

func TestTheListOffersTheWebhooksWhoseEventsItShows(t *testing.T) {
	s := new(source)
	s.add(1, inbox.Dead, `{}`)
	s.webhooks = []Webhook{
		{Handler: "main", Secrets: []deliveries.SecretStatus{{Secret: "sales"}, {Secret: "care"}, {Secret: ""}}}, // those of no secret are not stored
		{Handler: "other", Secrets: []deliveries.SecretStatus{{Secret: "sales"}}},
	}
	page := s.visit(t, "/events?webhook=sales", "").Body.String()
	assert.Contains(t, page, `<select name="webhook"><option value="">any</option><option>care</option><option selected>sales</option></select>`)
	s.webhooks = s.webhooks[1:]
	assert.NotContains(t, s.visit(t, "/events", "").Body.String(), `name="webhook"`, "there is no choice")
}

func TestTheListKeepsAnInboxWithoutAHandler(t *testing.T) {
	s := new(source)
	s.add(1, inbox.Dead, `{}`)
	page := s.visit(t, "/events?inbox=old&state=dead", "").Body.String()
	assert.Contains(t, page, `<select name="inbox"><option>default</option><option selected>old</option></select>`, "the next search is in it too")
	assert.NotContains(t, s.visit(t, "/events", "").Body.String(), `name="inbox">`, "there is no choice")
}

func TestDeliveriesAreFoundByWhatEventsAreFoundBy(t *testing.T) {
	s := new(source)
	for search, want := range map[string]int{"": 1, "conv_1": 1, "agent_1": 1, "req_1": 1, "5b1c": 1, "5b1c00": 1, "5b1": 0, "conv": 0, "5b1d": 0} {
		d := deliveries.Delivery{Result: deliveries.Rejected}
		d.ConversationID, d.AgentID, d.RequestID, d.EventID = "conv_1", "agent_1", "req_1", "5b1c0000"
		s.deliveries = []deliveries.Delivery{d}
		page := s.visit(t, "/deliveries?search="+search, "").Body.String()
		assert.Equal(t, want, strings.Count(page, `data-label="Result"`), search)
	}
}

func TestTheNextPageBeginsAfterTheLastRow(t *testing.T) {
	s := new(source)
	for seq := int64(rows + 5); seq > 0; seq-- {
		s.add(seq, inbox.Delivered, `{}`)
	}
	page := s.visit(t, "/events?state=delivered", "").Body.String()
	assert.Equal(t, rows, strings.Count(page, `name="event"`))
	assert.Contains(t, page, `href="/inspect/events?inbox=default&amp;state=delivered&amp;before=6"`)
	s.details = s.details[:rows]
	assert.NotContains(t, s.visit(t, "/events", "").Body.String(), "before=", "the last page")
}

func TestButtonsDoWhatTheySay(t *testing.T) {
	for _, test := range []struct{ name, path, form, want, asks string }{
		{"one event", "/redeliver", "event=5&inbox=default&return=/events/5%3Finbox%3Ddefault", `redeliver in "default": [5]  []  by alice`, ""},
		{"selected ones, whatever the filter", "/discard", "event=5&event=6&inbox=a&state=dead&type=t", `discard in "a": [5 6]  []  by alice`, ""},
		{"to forget asks back", "/forget", "event=5", "", "Selected: 1 event."},
		{"to forget", "/forget", "event=5&confirmed=yes&return=/events/5", `forget in "": [5]  []  by alice`, ""},
		{"a conversation asks back", "/forget", "conversation=c", "", "All events of the conversation c."},
		{"a conversation", "/forget", "conversation=c&confirmed=yes", `forget in "": []  [] c by alice`, ""},
		{"all of a filter asks back", "/redeliver", "state=dead", "", "All dead events"},
		{
			"all of a filter", "/redeliver", "state=dead&type=t&inbox=a&since=2026-11-28T12:00:00Z&confirmed=yes",
			`redeliver in "a": [] dead [t]  since 2026-11-28T12:00:00Z by alice`, "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := new(source)
			w := s.visit(t, test.path, test.form)
			if test.asks != "" {
				assert.Equal(t, http.StatusOK, w.Code)
				assert.Contains(t, w.Body.String(), test.asks)
				assert.Empty(t, s.acts)
				return
			}
			assert.Equal(t, http.StatusSeeOther, w.Code)
			assert.Equal(t, []string{test.want}, s.acts)
			assert.True(t, strings.HasPrefix(w.Header().Get("Location"), "/inspect/events"), w.Header().Get("Location"))
			if test.path == "/forget" {
				assert.NotContains(t, w.Header().Get("Location"), "/events/5", "the page is gone")
			}
		})
	}
}

func TestNothingChangesIfAButtonMayNot(t *testing.T) {
	from := func(site string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) }
	}
	other := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
	s := new(source)
	for name, test := range map[string]struct {
		pages  *Pages
		path   string
		form   string
		option func(*http.Request)
		want   int
	}{
		"another site":                   {New(s, false), "/forget", "event=5&confirmed=yes", from("cross-site"), http.StatusForbidden},
		"another host of the same site":  {New(s, false), "/redeliver", "event=5", from("same-site"), http.StatusForbidden},
		"another origin, an old browser": {New(s, false), "/redeliver", "event=5", other, http.StatusForbidden},
		"read-only":                      {New(s, true), "/redeliver", "event=5", from("same-origin"), http.StatusForbidden},
		"another site, to a destination": {New(s, false), "/redeliver", "event=5&to=archive", from("cross-site"), http.StatusForbidden},
		"read-only, to a destination":    {New(s, true), "/redeliver", "event=5&to=archive", from("same-origin"), http.StatusForbidden},
		"nothing selected":               {New(s, false), "/redeliver", "inbox=default", from("same-origin"), http.StatusBadRequest},
		"no number":                      {New(s, false), "/redeliver", "event=x", from("same-origin"), http.StatusBadRequest},
		"no time":                        {New(s, false), "/redeliver", "state=dead&since=x&confirmed=yes", from("same-origin"), http.StatusBadRequest},
		"a form that is too long":        {New(s, false), "/redeliver", "event=5&x=" + strings.Repeat("x", maxForm), from("same-origin"), http.StatusBadRequest},
		"by GET":                         {New(s, false), "/forget?event=5&confirmed=yes", "", from("same-origin"), http.StatusNotFound},
	} {
		assert.Equal(t, test.want, serve(t, test.pages, test.path, test.form, test.option).Code, name)
	}
	assert.Empty(t, s.acts)
}

func TestReadOnlyPagesHaveNoButtons(t *testing.T) {
	s := new(source)
	s.add(1, inbox.Dead, `{}`)
	for _, path := range []string{"/events?state=dead", "/events/1"} {
		assert.Contains(t, serve(t, New(s, false), path, "").Body.String(), `method="post"`, path)
		page := serve(t, New(s, true), path, "").Body.String()
		assert.NotContains(t, page, `formaction`, path)
		assert.NotContains(t, page, `action="/inspect/redeliver"`, path)
		assert.Contains(t, page, "read-only")
	}
}

func TestAButtonLeadsBackToThesePagesOnly(t *testing.T) {
	for text, want := range map[string]string{
		"/events?state=dead":          "/events?state=dead",
		"/events/5?inbox=a":           "/events/5?inbox=a",
		"":                            "/events",
		"//evil.example/":             "/events",
		"https://evil.example/events": "/events",
		`\\evil.example`:              "/events",
		"/forget":                     "/events",
		"/events/../../x":             "/events",
		"javascript:alert(1)":         "/events",
	} {
		assert.Equal(t, want, ownPath(text), text)
	}
}

func TestErrorsOfTheSourceAreShownWithTheirStatus(t *testing.T) {
	s := &source{actErr: statusError{http.StatusConflict, inbox.ErrDelivering}}
	w := s.visit(t, "/redeliver", "event=5")
	assert.Equal(t, http.StatusConflict, w.Code)
	assert.Contains(t, w.Body.String(), inbox.ErrDelivering.Error())
	assert.Equal(t, http.StatusNotFound, s.visit(t, "/events/9", "").Code)
	assert.Equal(t, http.StatusNotFound, s.visit(t, "/events/x", "").Code)
}

func TestChartsHaveAScaleEach(t *testing.T) {
	hours := new(deliveries.History).Hours(noon)
	hours[0].Rejected, hours[1].Rejected, hours[23].Failed = 1000, 1, 3
	all := charts(hours)
	require.Len(t, all, 2)
	rejected, failed := all[0], all[1]
	assert.Equal(t, deliveries.Rejected, rejected.Result)
	assert.Equal(t, []int64{1001, 1000}, []int64{rejected.Total, rejected.Most})
	assert.Equal(t, []int{chartHeight, 2, 0}, []int{rejected.Bars[0].Height, rejected.Bars[1].Height, rejected.Bars[2].Height}, "one is seen beside a thousand")
	assert.Equal(t, chartHeight, failed.Bars[23].Height)
	assert.Len(t, charts(new(deliveries.History).Hours(noon)), 1, "that nothing failed is shown too")
}

func TestARenewalOfAnEventsPageReadsNoBody(t *testing.T) {
	s := new(source)
	s.add(1, inbox.Waiting, `{"a":"needle"}`)
	assert.Contains(t, s.visit(t, "/events/1", "").Body.String(), "needle")
	renewed := s.visit(t, "/events/1?live=1", "").Body.String()
	assert.NotContains(t, renewed, "needle")
	assert.Contains(t, renewed, "Deliver again")
	assert.Contains(t, renewed, "Download")
}
