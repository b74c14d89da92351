package caddymodule

import (
	"net"
	"slices"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// These stand for a host and a path that the configuration does not name.
const (
	anyHost = "any-host.invalid"
	anyPath = "/any-path"
)

// followRequests follows requests through the configuration: those to a handler, and
// those that could reach its backend past the handler.
func followRequests(h *foundHandler, servers []inspectedServer) {
	host := anyHost
	if len(h.Hosts) > 0 {
		host = concrete(h.Hosts[0])
	}
	patterns := h.Paths
	if len(patterns) == 0 {
		patterns = []string{anyPath}
	}
	for _, pattern := range patterns {
		path := strings.TrimSuffix(pattern, "*")
		if strings.ContainsAny(path, "*{") || !strings.HasPrefix(path, "/") {
			continue
		}
		known := facts.Spellings(path) // to the application
		own, _ := servers[h.server].trace(host, known[0], true)
		if own.limit > 0 && (h.BodyLimit == 0 || own.limit < h.BodyLimit) {
			h.BodyLimit = own.limit
		}
		paths := []string{known[0]}
		for _, p := range own.proxies {
			if !slices.Contains(known, p.path) && sharedUpstream(p.upstreams, h.Upstreams) != "" { // rewritten
				known = append(known, p.path)
				paths = append(paths, p.path)
			}
		}
		for i, s := range servers {
			for _, host := range s.hosts() {
				b, found := s.bypass(host, paths, known, h.Upstreams)
				b.OtherSite = i != h.server || len(h.Hosts) > 0 && !slices.ContainsFunc(h.Hosts, func(own string) bool { return concrete(own) == host })
				if found && !slices.Contains(h.Bypasses, b) {
					h.Bypasses = append(h.Bypasses, b)
				}
			}
		}
	}
}

// bypass finds a way through a server's site to an upstream that does not pass
// elevenlabs_webhook. The application knows the webhook by the paths that are known.
func (s inspectedServer) bypass(host string, paths, known []string, upstreams []cmdutil.ConfigUpstream) (b cmdutil.ConfigBypass, found bool) {
	if host != anyHost {
		b.Host = host
	}
	candidates := slices.Clone(known)
	for _, prefix := range s.valuesOf("strip_path_prefix") {
		for _, path := range paths {
			candidates = append(candidates, prefix+path)
		}
	}
	for _, path := range candidates {
		way, _ := s.trace(host, path, false)
		for _, p := range way.proxies {
			if upstream := sharedUpstream(p.upstreams, upstreams); upstream != "" && slices.Contains(known, p.path) {
				b.Path, b.Upstream, b.Stripped = path, upstream, p.stripped
				return b, true
			}
		}
	}
	other, _ := s.trace(host, anyPath, false)
	_, failed := s.trace(host, known[0], false)
	for i, p := range append(slices.Clip(other.proxies), failed...) {
		if upstream := sharedUpstream(p.upstreams, upstreams); upstream != "" && !p.stripped {
			b.Upstream, b.Error = upstream, i >= len(other.proxies)
			return b, true
		}
	}
	return b, false
}

// hosts returns the hosts of a server's sites, and one that no site has.
func (s inspectedServer) hosts() []string {
	hosts := []string{anyHost}
	for _, host := range s.valuesOf("host") {
		if host = concrete(host); !strings.Contains(host, "{") && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// concrete returns a host that a pattern matches.
func concrete(pattern string) string { return strings.ReplaceAll(pattern, "*", "any") }

// valuesOf returns the texts at a key anywhere in a server's routes.
func (s inspectedServer) valuesOf(key string) (found []string) {
	var search func(any)
	search = func(part any) {
		switch part := part.(type) {
		case []any:
			for _, element := range part {
				search(element)
			}
		case map[string]any:
			for name, value := range part {
				if text, ok := value.(string); ok && name == key {
					found = append(found, text)
				} else if name == key {
					found = appendStrings(found, value)
				}
				search(value)
			}
		}
	}
	search(s.Routes)
	for _, route := range s.NamedRoutes {
		search(route)
	}
	slices.Sort(found)
	return found
}

// sharedUpstream returns the first upstream that is in both lists, or an empty string.
func sharedUpstream(a, b []cmdutil.ConfigUpstream) string {
	for _, u := range a {
		if u.Text != dynamicUpstreams && slices.ContainsFunc(b, func(other cmdutil.ConfigUpstream) bool { return dialled(other) == dialled(u) }) {
			return u.Text
		}
	}
	return ""
}

// dialled returns an upstream in a form to compare: this machine has several names.
func dialled(u cmdutil.ConfigUpstream) string {
	host, port, err := net.SplitHostPort(u.Address)
	if err != nil {
		return u.Text
	}
	if ip := net.ParseIP(host); host == "" || ip.IsLoopback() {
		host = "localhost"
	}
	return net.JoinHostPort(strings.ToLower(host), port)
}
