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
	Inboxes  []stored.Inbox
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
		Webhooks: p.source.Webhooks(), Inboxes: p.source.Inboxes(r.Context()), Charts: charts(hours), Since: hours[0].Start,
		DisabledAfter: facts.DisabledAfter, FirstAlarm: deliveries.FirstAlarm, States: inbox.States, LongWait: facts.InboxLongWait,
	}
	p.render(w, r, http.StatusOK, "overview", view{Title: "Overview", Data: o})
	return nil
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
