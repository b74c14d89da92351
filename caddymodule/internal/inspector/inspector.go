// Package inspector has the pages on which an operator looks at what came in. It knows
// nothing of Caddy: a Source has what the pages show, and does what their buttons ask.
package inspector

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// Source has what the pages show. Its errors may have a method HTTPStatus.
type Source interface {
	// Webhooks returns the state of each group of handlers.
	Webhooks() []Webhook
	// Inboxes returns the state of each inbox.
	Inboxes(ctx context.Context) []stored.Inbox
	// Queues returns the inboxes that have a handler, and their destinations, sorted.
	Queues() []inbox.Queue
	// Hours counts deliveries by the hour, oldest first.
	Hours() []deliveries.Hour
	// Deliveries returns the last deliveries, newest first.
	Deliveries(filter deliveries.Filter) []deliveries.Delivery
	// Events returns stored events, newest first.
	Events(ctx context.Context, selection inbox.Selection, limit int) ([]stored.Event, error)
	// Event returns a stored event. The inbox may be empty if only one database has an
	// event of this number.
	Event(ctx context.Context, seq int64, inbox string) (stored.Detail, error)
	// Body returns the body of a stored event.
	Body(ctx context.Context, seq int64, inbox string) (Body, error)
	// Act does something to stored events, and returns how many it changed.
	Act(ctx context.Context, verb string, act stored.Act, who Visitor) (int, error)
}

// Body is the body of an event. Reading at an offset costs more than reading on.
type Body interface {
	ReadAt(p []byte, offset int64) (int, error)
	Size() int64
}

// Webhook is the state of a group of handlers.
type Webhook struct {
	Handler string
	deliveries.Status
	Secrets    []deliveries.SecretStatus
	ReportOnly bool
}

// Visitor is who looks at the pages.
type Visitor struct {
	// Base is the path below which the pages are. It is empty at the root of a site.
	Base string
	// User is who has signed in. It is empty if Caddy does not know.
	User string
	// RemoteAddr is the address of the client.
	RemoteAddr string
}

type visitorKey struct{}

// Pages is the handler of the pages.
type Pages struct {
	source   Source
	readOnly bool
	now      func() time.Time
	mux      http.Handler
	located  audioCache
}

// New makes the pages. If they are only to be read, they have no buttons.
func New(source Source, readOnly bool) *Pages {
	p := &Pages{source: source, readOnly: readOnly, now: time.Now}
	mux := http.NewServeMux()
	for pattern, show := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /{$}":                p.showOverview,
		"GET /events":             p.showEvents,
		"GET /events/{seq}":       p.showEvent,
		"GET /events/{seq}/audio": p.playAudio,
		"GET /deliveries":         p.showDeliveries,
		"POST /redeliver":         p.act,
		"POST /discard":           p.act,
		"POST /forget":            p.act,
	} {
		mux.HandleFunc(pattern, p.page(show))
	}
	mux.HandleFunc("/", p.page(func(http.ResponseWriter, *http.Request) error {
		return statusError{http.StatusNotFound, errors.New("there is no such page")}
	}))
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux.Handle("GET /assets/", http.StripPrefix("/assets", http.FileServerFS(files)))
	// other sites cannot press the buttons
	p.mux = http.NewCrossOriginProtection().Handler(mux)
	return p
}

//go:embed assets
var assets embed.FS

// policy lets a browser load and run only what the pages' own server sends as a file, so
// that a text in an event cannot become a script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Serve serves a request of a visitor.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, v Visitor) {
	Protect(w)
	p.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
}

// Protect sets the headers that every answer has.
func Protect(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("Cross-Origin-Resource-Policy", "same-origin") // a recording, too
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

func visitorOf(r *http.Request) Visitor {
	v, _ := r.Context().Value(visitorKey{}).(Visitor)
	return v
}

// statusError is an error with a status of HTTP.
type statusError struct {
	status int
	error
}

// HTTPStatus returns the status.
func (e statusError) HTTPStatus() int { return e.status }

// page shows the error of a page.
func (p *Pages) page(show func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := show(w, r)
		if err == nil {
			return
		}
		status := http.StatusInternalServerError
		if known, ok := errors.AsType[interface {
			error
			HTTPStatus() int
		}](err); ok {
			status = known.HTTPStatus()
		}
		p.render(w, r, status, "error", view{Title: http.StatusText(status), Data: err.Error()})
	}
}

// seqOf reads the number of the event in the URL.
func seqOf(r *http.Request) (int64, error) {
	seq, err := strconv.ParseInt(r.PathValue("seq"), 10, 64)
	if err != nil || seq < 1 {
		return 0, statusError{http.StatusNotFound, errors.New("there is no such event")}
	}
	return seq, nil
}

// eventPath returns the path of an event's page. Each database counts by itself, so the
// inbox is part of it.
func eventPath(base string, seq int64, inbox, rest string) string {
	return base + "/events/" + strconv.FormatInt(seq, 10) + rest + "?inbox=" + url.QueryEscape(inbox)
}
