package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// Destination is one of several backends that get the events of an inbox. Each has a queue
// of its own: attempts, state and dead events. One that is slow or away holds up no other.
// The body of an event is stored once.
//
// A new destination gets what comes from then on. `caddy elevenlabs inbox redeliver --to`
// sends it what is stored. What still waits for a destination that was taken out is dead
// after `give_up`.
type Destination struct {
	// The name of the destination: 1 to 64 of a to z, 0 to 9, `_` and `-`.
	Name string `json:"name"`

	// The types of events that it gets, as in `events` of the handler. Default: all.
	Events []string `json:"events,omitempty"`

	// The agents whose events it gets, by their ids. An event without an agent, such as
	// a transcription, is not one of them. Default: all, and events without an agent.
	Agents []string `json:"agents,omitempty"`

	// Only events whose request matches one of these sets. The matchers see the
	// placeholders `{http.elevenlabs.*}` and the headers, which the signature does not
	// cover, and not the body. If one fails, the destination gets the event, and the log says why.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`

	InboxDelivery

	// Sign each event for this backend, as `sign` of the handler does.
	Sign []string `json:"sign,omitempty"`

	// The configuration of a
	// [`reverse_proxy`](/docs/modules/http.handlers.reverse_proxy) handler that
	// the events are forwarded to, without the `handler` key.
	ReverseProxyRaw json.RawMessage `json:"reverse_proxy,omitempty"`
}

// destination is where a handler's inbox delivers, at run time. An inbox without named
// destinations has one with an empty name.
type destination struct {
	*Handler
	to         backend
	rawProxy   json.RawMessage
	eventTypes []string
	agents     []string
	matchers   caddyhttp.MatcherSets
	options    inbox.Options
	queue      *inboxQueue
	metrics    queueMetrics
}

// newDestinations returns the destinations of the handler's inbox.
func (h *Handler) newDestinations(ctx caddy.Context) ([]*destination, error) {
	if len(h.Inbox.Destinations) == 0 {
		d := &destination{Handler: h, to: h.backend, rawProxy: h.ReverseProxyRaw, options: h.inboxOptions(h.Inbox.InboxDelivery)}
		d.options.Queue, d.options.Destinations = inbox.Queue{Inbox: h.Inbox.Name}, []string{""}
		return []*destination{d}, nil
	}
	var all []*destination
	var names []string
	for _, config := range h.Inbox.Destinations {
		d := &destination{
			Handler: h, rawProxy: config.ReverseProxyRaw, agents: config.Agents,
			eventTypes: facts.EventTypesNamedBy(config.Events), options: h.inboxOptions(config.InboxDelivery),
		}
		d.options.Queue = inbox.Queue{Inbox: h.Inbox.Name, Destination: config.Name}
		var err error
		if d.to, err = newBackend(ctx, config.ReverseProxyRaw, config.Sign, h.logger); err != nil {
			return nil, fmt.Errorf("destination %s: %w", config.Name, err)
		}
		if config.MatcherSetsRaw != nil {
			sets, err := ctx.LoadModule(config, "MatcherSetsRaw")
			if err == nil {
				err = d.matchers.FromInterface(sets)
			}
			if err != nil {
				return nil, fmt.Errorf("destination %s: loading its matchers: %w", config.Name, err)
			}
		}
		all, names = append(all, d), append(names, config.Name)
	}
	for _, d := range all {
		d.options.Destinations = names
	}
	return all, nil
}

// sameDelivery reports whether another destination of the same queue does the same, so
// that either may deliver what the other one stored.
func (d *destination) sameDelivery(other *destination) bool {
	return reflect.DeepEqual(d.options, other.options) && sameProxy(d.rawProxy, other.rawProxy) && reflect.DeepEqual(d.to.signKeys, other.to.signKeys)
}

// wants reports whether the destination gets an event.
func (d *destination) wants(r *http.Request, e *event) bool {
	if len(d.eventTypes) > 0 && !slices.Contains(d.eventTypes, e.EventType) || len(d.agents) > 0 && !slices.Contains(d.agents, e.AgentID) {
		return false
	}
	matches, err := d.matchers.AnyMatchWithError(r)
	if err != nil {
		d.logger.Error("a matcher of a destination failed, so the destination gets the event", append(queueFields(d.queue.Queue), zap.Object("event", e), zap.Error(err))...)
	}
	return matches || err != nil
}

// wanting returns the destinations that get an event.
func (i *inboxState) wanting(r *http.Request, e *event) (all []*destination) {
	for _, d := range i.destinations {
		if d.wants(r, e) {
			all = append(all, d)
		}
	}
	return all
}

// signs reports whether events are signed for a backend.
func (h *Handler) signs() bool {
	if len(h.Sign) > 0 || h.Inbox == nil {
		return len(h.Sign) > 0
	}
	return slices.ContainsFunc(h.Inbox.Destinations, func(d *Destination) bool { return len(d.Sign) > 0 })
}

var (
	errProxyAndDestinations  = errors.New("each destination has a reverse_proxy of its own: move the one of elevenlabs_webhook into a destination")
	errSignAndDestinations   = errors.New("each destination signs by itself: move sign into the destinations")
	errReportAndDestinations = errors.New("report_only needs one backend to forward to: remove it, or the destinations of the inbox")
	errNoProxyInDestination  = errors.New("it needs a reverse_proxy")
)

// checkDestinations checks what the options of the destinations must have in common.
func checkDestinations(h *Handler) error {
	names := map[string]bool{}
	for _, d := range h.Inbox.Destinations {
		switch {
		case !inboxName.MatchString(d.Name):
			return fmt.Errorf("the name %q must be 1 to 64 of a to z, 0 to 9, _ and -", d.Name)
		case names[d.Name]:
			return fmt.Errorf("%s is set twice", d.Name)
		}
		names[d.Name] = true
		if err := checkSign(d.Sign); err != nil {
			return fmt.Errorf("%s: sign: %w", d.Name, err)
		}
	}
	switch {
	case len(names) == 0:
		return nil
	case h.ReportOnly:
		return errReportAndDestinations
	case len(h.Sign) > 0:
		return errSignAndDestinations
	}
	return nil
}

// checkProxies checks that each backend is there, and only those that are used.
func (h *Handler) checkProxies() error {
	if len(h.Inbox.Destinations) == 0 {
		if h.ReverseProxyRaw == nil {
			return errInboxWithoutProxy
		}
		return nil
	}
	if h.ReverseProxyRaw != nil {
		return errProxyAndDestinations
	}
	for _, d := range h.Inbox.Destinations {
		if d.ReverseProxyRaw == nil {
			return fmt.Errorf("destination %s: %w", d.Name, errNoProxyInDestination)
		}
	}
	return nil
}
