package inspector

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// eventView is what the page of an event shows.
type eventView struct {
	stored.Detail
	SignedAt time.Time
	Headers  []header
	Body     *node
	// Whole reports whether all of the body is shown.
	Whole        bool
	Conversation *conversation
	Audio        bool
	Find         string
	Found        int
	// Others are the same event for other destinations of its inbox.
	Others []stored.Event
	// Missing are the destinations that do not have the event, and Source is the number by
	// which they can get it. It is 0 if nothing has the body.
	Missing []string
	Source  int64
	// CanRedeliver and CanDiscard say which buttons there are.
	CanRedeliver, CanDiscard bool
}

type header struct{ Name, Value string }

func (p *Pages) showEvent(w http.ResponseWriter, r *http.Request) error {
	seq, err := seqOf(r)
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("inbox")
	detail, err := p.source.Event(r.Context(), seq, name)
	if err != nil {
		return err
	}
	v := eventView{Detail: detail, Find: r.URL.Query().Get("find")}
	if seconds, err := strconv.ParseInt(detail.SignedAt, 10, 64); err == nil {
		v.SignedAt = time.Unix(seconds, 0)
	}
	copied, withheld := detail.CopyHeader(max(1, detail.Attempts))
	copied.Set("Content-Length", strconv.FormatInt(detail.Size, 10))
	for _, name := range withheld {
		copied[name] = detail.Request.Header[name]
	}
	for _, name := range slices.Sorted(maps.Keys(copied)) {
		for _, value := range copied[name] {
			v.Headers = append(v.Headers, header{name, value})
		}
	}
	v.CanRedeliver = detail.HasBody && detail.State != inbox.Delivering
	v.CanDiscard = detail.State == inbox.Waiting || detail.State == inbox.Dead
	if err := p.findOthers(r, &v); err != nil {
		return err
	}
	if detail.HasBody && !r.URL.Query().Has("live") { // the script renews the rest of the page
		if err := p.readBody(r, &v, name); err != nil {
			return err
		}
	}
	p.render(w, r, http.StatusOK, "event", view{Title: "Event " + strconv.FormatInt(seq, 10), Page: "events", Notice: notice(r), Data: v})
	return nil
}

// maxOthers is more than an inbox has destinations.
const maxOthers = 100

// findOthers finds the same event for other destinations, and those that do not have it.
func (p *Pages) findOthers(r *http.Request, v *eventView) error {
	named := p.destinationsOf(v.Inbox)
	if len(named) == 0 && v.Destination == "" {
		return nil
	}
	same, err := p.source.Events(r.Context(), inbox.Selection{Inbox: v.Inbox, EventID: v.EventID}, maxOthers)
	if err != nil {
		return err
	}
	slices.Reverse(same) // in the order of the destinations
	for _, e := range same {
		if e.HasBody && v.Source == 0 {
			v.Source = e.Seq
		}
		if e.Seq != v.Seq {
			v.Others = append(v.Others, e)
		}
	}
	for _, name := range named {
		if !slices.ContainsFunc(same, func(e stored.Event) bool { return e.Destination == name }) {
			v.Missing = append(v.Missing, name)
		}
	}
	return nil
}

// readBody reads what is shown of the body.
func (p *Pages) readBody(r *http.Request, v *eventView, name string) error {
	body, err := p.source.Body(r.Context(), v.Seq, name)
	if err != nil {
		return err
	}
	v.Body, v.Whole = parseTree(io.NewSectionReader(body, 0, min(body.Size(), maxShown)))
	if v.Body == nil { // the signature is genuine all the same
		return nil
	}
	v.Conversation = readConversation(v.Body)
	_, err = p.located.locate(v.EventID, body)
	v.Audio = err == nil
	if v.Find != "" {
		v.Found = v.Body.find(v.Find)
	}
	return nil
}
