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
	copied, withheld := detail.CopyHeader()
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
	if detail.HasBody && !r.URL.Query().Has("live") { // the script renews the rest of the page
		if err := p.readBody(r, &v, name); err != nil {
			return err
		}
	}
	p.render(w, r, http.StatusOK, "event", view{Title: "Event " + strconv.FormatInt(seq, 10), Page: "events", Notice: notice(r), Data: v})
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
