package inspector

import (
	"net/http"
	"slices"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// overview is what the overview shows.
type overview struct {
	Webhooks []Webhook
	Inboxes  []inboxCard
	Charts   []chart
	Since    time.Time
	// DisabledAfter is after how many failures in a row ElevenLabs may disable a webhook.
	DisabledAfter int
	FirstAlarm    int
	States        []inbox.State
	LongWait      time.Duration
}

// chart shows how often a result occurred in each hour. Each has a scale of its own, so
// that a flood of forgeries does not hide three failures.
type chart struct {
	Result deliveries.Result
	Total  int64
	Most   int64
	Bars   []bar
}

// bar is an hour of a chart.
type bar struct {
	Start         time.Time
	Count         int64
	X, Y          int
	Width, Height int
}

// The size of a chart.
const (
	chartHeight = 48
	barWidth    = 9
	barStep     = 12
)

func (p *Pages) showOverview(w http.ResponseWriter, r *http.Request) error {
	hours := p.source.Hours()
	o := overview{
		Webhooks: p.source.Webhooks(), Inboxes: inboxCards(p.source.Inboxes(r.Context())), Charts: charts(hours), Since: hours[0].Start,
		DisabledAfter: facts.DisabledAfter, FirstAlarm: deliveries.FirstAlarm, States: inbox.States, LongWait: facts.InboxLongWait,
	}
	p.render(w, r, http.StatusOK, "overview", view{Title: "Overview", Data: o})
	return nil
}

// When says how long ago something occurred at a webhook, as the command status does.
func (w *Webhook) When(t, now time.Time) string {
	switch {
	case !t.IsZero():
		return ago(t, now)
	case w.Tests != (deliveries.Tally{}):
		return "none since Caddy started (tests do not count)"
	}
	return "none since Caddy started"
}

// inboxCard is the state of an inbox. If it has named destinations, each has its own state,
// and only what concerns the whole inbox counts beside them.
type inboxCard struct {
	stored.Inbox
	Destinations []stored.Inbox
}

// inboxCards puts the destinations of each inbox together.
func inboxCards(all []stored.Inbox) (cards []inboxCard) {
	for _, i := range all {
		last := len(cards) - 1
		if last < 0 || cards[last].Name != i.Name || cards[last].Database != i.Database {
			card := inboxCard{Inbox: i}
			if i.Destination != "" {
				card.Destinations = []stored.Inbox{i}
			}
			cards = append(cards, card)
			continue
		}
		card := &cards[last]
		if len(card.Destinations) == 0 { // events of before the inbox had named ones
			card.Destinations = []stored.Inbox{card.Inbox}
		}
		card.Destinations = append(card.Destinations, i)
		card.Handlers += i.Handlers
		card.LimitBytes = max(card.LimitBytes, i.LimitBytes) // a destination that was taken out has none
	}
	return cards
}

// charts returns the chart of each result that a handler can have.
func charts(hours []deliveries.Hour) (all []chart) {
	for _, result := range deliveries.Results {
		c := chart{Result: result}
		for i, hour := range hours {
			n := hour.Of(result)
			c.Total, c.Most = c.Total+n, max(c.Most, n)
			c.Bars = append(c.Bars, bar{Start: hour.Start, Count: n, X: i * barStep, Width: barWidth})
		}
		for i := range c.Bars {
			b := &c.Bars[i]
			if b.Count > 0 { // one is seen beside a thousand
				b.Height = max(2, int(b.Count*chartHeight/c.Most))
			}
			b.Y = chartHeight - b.Height
		}
		all = append(all, c)
	}
	return slices.DeleteFunc(all, func(c chart) bool { return c.Total == 0 && c.Result != deliveries.Failed })
}
