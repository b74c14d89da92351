package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

func init() {
	caddy.RegisterModule(Admin{})
	caddy.OnExit(func(context.Context) { replaceAdminServer() })
}

// Admin shows on Caddy's [admin endpoint](/docs/api) what the `elevenlabs_webhook`
// handlers of this process did with each request, and what is in their inboxes. It has
// no options. Only the three routes with POST change anything.
//
// `GET /elevenlabs/status` returns a JSON array with an object for each name of
// handlers. The object has
//
//   - the number of deliveries by result,
//   - the number of failures in a row, as ElevenLabs counts them,
//   - the last success, and the last failure with its reason,
//   - the same for each secret, since each webhook of ElevenLabs has its own,
//   - the handlers' options, without secrets.
//
// `GET /elevenlabs/deliveries` returns a JSON array of the last deliveries, newest
// first. It has the last 256 that ElevenLabs signed, the last 256 others from its
// addresses, and the last 256 of the rest, so that forgeries displace nothing genuine.
// `?result=` (accepted, stored, rejected, ignored, failed), `?type=` and `?limit=`
// select from them. A delivery has no body and no secret, and values of the body only if
// a genuine signature proves them.
//
// With `Accept: text/event-stream`, the route sends [server-sent
// events](https://html.spec.whatwg.org/multipage/server-sent-events.html): the same
// deliveries, oldest first, and then each new one. `Last-Event-ID` continues after
// that event. The stream ends at a reload; the deliveries stay.
//
// `GET /elevenlabs/inbox` returns a JSON array with an object for each inbox: its
// database without user and password, whether that answers, the number of events by
// state, how long the oldest one waits, the bytes of the bodies and their limit, how
// many events bypassed the inbox, and since when the backend is unreachable.
//
// `GET /elevenlabs/inbox/events` returns a JSON array of stored events, newest first,
// without their bodies. These parameters select from them:
//
//   - `inbox`, `state` (waiting, delivering, delivered, dead, discarded) and `type`,
//   - `conversation`, `agent`, `request` and `event`, the id of the event or its beginning,
//   - `webhook`, the name of the secret that signed the event,
//   - `search`, any of these ids, or the first 4 characters of an event's id at least,
//   - `since` and `until`, RFC 3339 times of receipt,
//   - `limit`, at most 1000, by default 100,
//   - `before`, an event's `seq`: only events before it, for the next page.
//
// With `Accept: text/event-stream`, the route streams each event as it comes, and with
// `since` first those that are stored, oldest first. `Last-Event-ID` continues from an
// earlier stream. Some events may then come again: their `seq` tells.
//
// `GET /elevenlabs/inbox/events/{seq}` returns one event with its attempts and with the
// request as it came. Values of headers that may hold a signature or a credential are
// not shown. If several databases have an event of that number, `?inbox=` chooses.
//
// `GET /elevenlabs/inbox/events/{seq}/body` returns the body of an event, byte for byte
// as ElevenLabs sent it. It is the one route by which the content of events leaves:
// whoever reaches the admin endpoint can read it. They could also load a configuration
// of their own, so let nobody else reach it.
//
// `GET /elevenlabs/inbox/stats` returns a JSON object with figures of the events that came
// since the time `since`, for each `inbox` and `type`: by state, the attempts, the bytes,
// and how long deliveries took. It also has the number of events for each of the last 24
// hours, by state.
//
// `POST /elevenlabs/inbox/redeliver` lets events be delivered again,
// `POST /elevenlabs/inbox/discard` gives up events that wait or are dead, and
// `POST /elevenlabs/inbox/forget` deletes events with their bodies. All take JSON, and
// return how many events it were, as in `{"events": 3}`:
//
//   - `{"events": [42, 43]}` names events by their `seq`,
//   - `{"conversation_id": "conv_1"}` lets `forget` delete all of a conversation,
//   - `{"inbox": "default", "state": "dead", "since": "2026-11-29T10:00:00Z"}` lets
//     `redeliver` and `discard` select by `inbox`, `state` (required), `type`,
//     `conversation_id`, `agent_id`, `since` and `until`,
//   - `"limit": 1000` with a selection ends after so many events. The answer then has
//     `last`, and the same request with `"after"` and that number goes on.
//
// `redeliver` and `discard` answer 404 if there is none of the events that are named, and
// 409 if none can be changed: the body is deleted, the event is finished already, or an
// attempt is under way. Each route answers 503 if a database does not answer.
type Admin struct {
	config   context.Context // ends with the configuration, at once if Caddy rejects it
	replaced <-chan struct{} // closed when another admin server replaces this one
}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.elevenlabs",
		New: func() caddy.Module { return new(Admin) },
	}
}

// Provision registers the metrics with the registry of this configuration. If Caddy
// then rejects the configuration, its admin endpoint stays all the same, in front of
// the handlers from before.
func (a *Admin) Provision(ctx caddy.Context) error {
	a.config, a.replaced = ctx, replaceAdminServer()
	return registerMetrics(ctx.GetMetricsRegistry())
}

// adminServer is the admin server of the process. There is one at a time.
var adminServer = struct {
	sync.Mutex
	replaced chan struct{}
}{replaced: make(chan struct{})}

// replaceAdminServer ends the streams of the previous admin server, which would delay
// its end. The channel that it returns is closed when the new one's streams must end.
func replaceAdminServer() <-chan struct{} {
	adminServer.Lock()
	defer adminServer.Unlock()
	close(adminServer.replaced)
	adminServer.replaced = make(chan struct{})
	return adminServer.replaced
}

// Routes returns the routes of the admin endpoint.
func (a *Admin) Routes() []caddy.AdminRoute {
	routes := []caddy.AdminRoute{ //nolint:prealloc // the rest is few
		{Pattern: "/elevenlabs/status", Handler: readOnly(showStatus)},
		{Pattern: "/elevenlabs/deliveries", Handler: readOnly(a.streams(showDeliveries))},
		{Pattern: "/elevenlabs/inbox", Handler: readOnly(showInboxes)},
		{Pattern: "/elevenlabs/inbox/stats", Handler: readOnly(showInboxStats)},
		{Pattern: "/elevenlabs/inbox/events", Handler: readOnly(a.streams(listInbox))},
		{Pattern: "/elevenlabs/inbox/events/{seq}", Handler: readOnly(showInboxEvent)},
		{Pattern: "/elevenlabs/inbox/events/{seq}/body", Handler: readOnly(sendInboxBody)},
	}
	for name, v := range verbs {
		routes = append(routes, caddy.AdminRoute{Pattern: "/elevenlabs/inbox/" + name, Handler: changing(act(v))})
	}
	return routes
}

func readOnly(show caddy.AdminHandlerFunc) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("method %s is not allowed", r.Method)}
		}
		return show(w, r)
	}
}

// changing lets only POST requests with JSON through. A browser sends JSON to another
// site only if that lets it, and Caddy's admin endpoint does not.
func changing(change caddy.AdminHandlerFunc) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("method %s is not allowed", r.Method)}
		}
		if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
			return caddy.APIError{HTTPStatus: http.StatusUnsupportedMediaType, Err: errors.New("the header Content-Type must be application/json")}
		}
		return change(w, r)
	}
}

func showStatus(w http.ResponseWriter, _ *http.Request) error { return writeJSON(w, allStatus()) }

// streams returns the handler of a route that may send a stream.
func (a *Admin) streams(show func(http.ResponseWriter, *http.Request, streamEnds) error) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error { return show(w, r, a.streamEnds()) }
}

func showDeliveries(w http.ResponseWriter, r *http.Request, ends streamEnds) error {
	filter, err := parseFilter(r)
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	if wantsStream(r) {
		return streamDeliveries(w, r, filter, ends)
	}
	last := deliveryLog.Last(filter)
	slices.Reverse(last)
	return writeJSON(w, last)
}

func writeJSON(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

func parseFilter(r *http.Request) (filter deliveries.Filter, err error) {
	query := r.URL.Query()
	filter.Types = slices.DeleteFunc(query["type"], func(name string) bool { return name == "" })
	filter.Result = deliveries.Result(query.Get("result"))
	if filter.Result != "" && !slices.Contains(deliveries.Results, filter.Result) {
		return filter, fmt.Errorf("there is no result %q: choose one of %v", filter.Result, deliveries.Results)
	}
	if limit := query.Get("limit"); limit != "" {
		filter.Limit, err = strconv.Atoi(limit)
		if err != nil || filter.Limit < 1 {
			return filter, fmt.Errorf("limit must be a number above 0, not %q", limit)
		}
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if filter.After, err = strconv.ParseUint(last, 10, 64); err != nil {
			return filter, fmt.Errorf("Last-Event-ID must be the id of an earlier event, not %q", last) //nolint:staticcheck // the header's name
		}
	}
	return filter, nil
}

// Interface guards
var (
	_ caddy.Provisioner = (*Admin)(nil)
	_ caddy.AdminRouter = (*Admin)(nil)
)
