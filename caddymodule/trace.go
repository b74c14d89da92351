package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// tracer follows a POST of a stranger through the routes of a server, without running
// them. It knows what most configurations have. Of matchers that it does not know, it
// assumes that they may match.
type tracer struct {
	named   map[string]any // routes
	invoked []string       // of them
	through bool           // elevenlabs_webhook lets the request pass

	host string
	state

	limit   int64 // the lowest max_size of request_body before elevenlabs_webhook; 0 without
	proxies []tracedProxy
}

// state is what handlers change for those that follow.
type state struct {
	path     string // escaped
	stripped bool   // elevenlabs_strip has run
	maxSize  int64  // of request_body; 0 without
}

// tracedProxy is a proxy that the request may reach.
type tracedProxy struct {
	upstreams []cmdutil.ConfigUpstream
	state
}

// trace follows a request through a server's routes. It also returns the proxies that
// the request may reach through the error routes, if another handler fails it.
func (s inspectedServer) trace(host, path string, through bool) (way tracer, failed []tracedProxy) {
	way = tracer{named: s.NamedRoutes, through: through, host: host, state: state{path: path}}
	way.routes(s.Routes)
	after := tracer{named: s.NamedRoutes, through: through, host: host, state: state{path: path, stripped: way.stripped}}
	if routes, ok := s.Errors.(map[string]any); ok {
		after.routes(routes["routes"])
	}
	return way, after.proxies
}

// certainty is whether a matcher matches.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

// routes follows the request through a list of routes. It reports whether the request
// surely ends in one of them.
func (t *tracer) routes(list any) (ended bool) {
	routes, _ := list.([]any)
	var taken []string // groups
	for _, element := range routes {
		route, _ := element.(map[string]any)
		group, _ := route["group"].(string)
		if group != "" && slices.Contains(taken, group) {
			continue
		}
		before := t.state
		switch matched := t.match(route["match"]); {
		case matched == no:
		case matched == maybe:
			t.handlers(route["handle"])
			t.state = before
		case t.handlers(route["handle"]) || route["terminal"] == true:
			return true
		default:
			taken = append(taken, group)
		}
	}
	return false
}

// handlers follows the request through the handlers of a route.
func (t *tracer) handlers(list any) (ended bool) {
	handlers, _ := list.([]any)
	return slices.ContainsFunc(handlers, func(element any) bool {
		handler, _ := element.(map[string]any)
		return t.handler(handler)
	})
}

// handler follows the request through a handler. It reports whether the request ends
// there.
func (t *tracer) handler(handler map[string]any) (ended bool) {
	before := t.state
	responses, _ := handler["handle_response"].([]any)
	for _, response := range responses { // of reverse_proxy and intercept
		response, _ := response.(map[string]any)
		t.routes(response["routes"])
		t.state = before
	}
	switch handler["handler"] {
	case "elevenlabs_webhook":
		if t.maxSize > 0 && (t.limit == 0 || t.maxSize < t.limit) {
			t.limit = t.maxSize
		}
		if !t.through {
			return true
		}
		for _, inner := range innerProxies(handler) {
			t.proxy(inner.config)
			ended = true
		}
		return ended
	case stripDirective:
		t.stripped = true
	case "request_body":
		if size, ok := handler["max_size"].(float64); ok && (t.maxSize == 0 || int64(size) < t.maxSize) {
			t.maxSize = int64(size)
		}
	case "rewrite":
		t.rewrite(handler)
	case "subroute":
		ended = t.routes(handler["routes"])
	case "invoke":
		name, _ := handler["name"].(string)
		if !slices.Contains(t.invoked, name) {
			t.invoked = append(t.invoked, name)
			ended = t.handlers([]any{map[string]any{"handler": "subroute", "routes": []any{t.named[name]}}})
			t.invoked = t.invoked[:len(t.invoked)-1]
		}
	case "reverse_proxy":
		t.proxy(handler)
		return true
	case "file_server":
		return handler["pass_thru"] != true
	case "static_response", "error", "authentication": // a stranger has no password
		return true
	}
	return ended
}

// innerProxy is a reverse_proxy in an elevenlabs_webhook handler.
type innerProxy struct {
	destination string // of the handler's inbox; empty without named destinations
	config      map[string]any
}

// innerProxies returns the reverse_proxy of an elevenlabs_webhook handler, or that of each
// destination of its inbox.
func innerProxies(handler map[string]any) (all []innerProxy) {
	add := func(destination string, proxy any) {
		if config, ok := proxy.(map[string]any); ok {
			all = append(all, innerProxy{destination, config})
		}
	}
	add("", handler["reverse_proxy"])
	inbox, _ := handler["inbox"].(map[string]any)
	destinations, _ := inbox["destinations"].([]any)
	for _, element := range destinations {
		destination, _ := element.(map[string]any)
		name, _ := destination["name"].(string)
		add(name, destination["reverse_proxy"])
	}
	return all
}

// rewrite changes the path as the handler rewrite does.
func (t *tracer) rewrite(handler map[string]any) {
	if uri, ok := handler["uri"].(string); ok && !strings.Contains(uri, "{") {
		t.path, _, _ = strings.Cut(uri, "?")
	}
	if prefix, ok := handler["strip_path_prefix"].(string); ok {
		if rest, found := strings.CutPrefix(t.path, prefix); found {
			t.path = "/" + strings.TrimPrefix(rest, "/")
		}
	}
}

// proxy adds a proxy that forwards the request as a POST. Other requests, such as those
// of forward_auth, bring no event.
func (t *tracer) proxy(handler map[string]any) {
	before := t.state
	if rewrite, ok := handler["rewrite"].(map[string]any); ok {
		if method, changed := rewrite["method"].(string); changed && method != http.MethodPost {
			return
		}
		t.rewrite(rewrite)
	}
	t.proxies = append(t.proxies, tracedProxy{upstreams(handler), t.state})
	t.state = before
}

// match reports whether one of the sets of matchers matches.
func (t *tracer) match(sets any) certainty {
	list, _ := sets.([]any)
	if len(list) == 0 {
		return yes
	}
	best := no
	for _, set := range list {
		matchers, _ := set.(map[string]any)
		worst := yes
		for name, matcher := range matchers {
			worst = min(worst, t.matcher(name, matcher))
		}
		best = max(best, worst)
	}
	return best
}

// matcher reports whether a matcher matches.
func (t *tracer) matcher(name string, config any) certainty {
	if name == "not" {
		return yes - t.match(config)
	}
	text, _ := json.Marshal(config)
	path, err := url.PathUnescape(t.path)
	if err != nil {
		return maybe
	}
	request := (&http.Request{Method: http.MethodPost, Host: t.host, URL: &url.URL{Path: path, RawPath: t.path}}).
		WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	var matched bool
	switch name {
	case "host":
		var hosts caddyhttp.MatchHost
		if json.Unmarshal(text, &hosts) != nil || hosts.Provision(caddy.Context{}) != nil {
			return maybe
		}
		matched, err = hosts.MatchWithError(request)
	case "path":
		var paths caddyhttp.MatchPath
		if json.Unmarshal(text, &paths) != nil || paths.Provision(caddy.Context{}) != nil {
			return maybe
		}
		matched, err = paths.MatchWithError(request)
	case "method":
		var methods caddyhttp.MatchMethod
		if json.Unmarshal(text, &methods) != nil {
			return maybe
		}
		matched, err = methods.MatchWithError(request)
	case "elevenlabs_event", "remote_ip", "client_ip": // of a stranger
		return no
	default:
		return maybe
	}
	switch {
	case err != nil:
		return maybe
	case matched:
		return yes
	}
	return no
}
