package doctor

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

// urlOf returns a handler's public URL, if the configuration has only one.
func urlOf(h cmdutil.ConfigHandler) (string, bool) {
	path, ok := pathOf(h.Paths)
	if !ok || len(h.Hosts) != 1 || len(h.Listen) == 0 || strings.ContainsAny(h.Hosts[0], "*{") {
		return "", false
	}
	scheme, usual := "https", uint(443)
	if h.Plain {
		scheme, usual = "http", 80
	}
	host := h.Hosts[0]
	if address, err := netip.ParseAddr(host); err == nil && address.Is6() {
		host = "[" + host + "]"
	}
	port := h.Listen[0]
	for _, p := range h.Listen {
		if p == usual {
			port = p
		}
	}
	if port != usual {
		host += fmt.Sprintf(":%d", port)
	}
	return (&url.URL{Scheme: scheme, Host: host, Path: path}).String(), true
}

// pathOf returns the webhook's path, if the patterns are those of one path: the path
// itself, or with other spellings of it that begin so.
func pathOf(patterns []string) (string, bool) {
	if len(patterns) == 0 {
		return "", false
	}
	shortest := slices.MinFunc(patterns, func(a, b string) int { return len(a) - len(b) })
	path := strings.TrimSuffix(shortest, "*")
	if path == "" || path != shortest && strings.HasSuffix(path, "/") { // only paths below it
		return "", false
	}
	for _, pattern := range patterns {
		begin, whole := strings.CutSuffix(pattern, "*")
		if !strings.HasPrefix(begin, path) || strings.ContainsAny(begin, "*{") || !whole && pattern != path && pattern != path+"/" {
			return "", false
		}
	}
	return path, true
}

// listens reports whether a handler's server has a URL's port.
func listens(h cmdutil.ConfigHandler, u *url.URL) bool {
	return slices.ContainsFunc(h.Listen, func(port uint) bool { return strconv.FormatUint(uint64(port), 10) == delivery.PortOf(u) })
}

// serves reports whether a URL leads to a handler, as far as simple matchers tell.
func serves(h cmdutil.ConfigHandler, u *url.URL) bool {
	matches := func(patterns []string, value string) bool {
		for _, p := range patterns {
			before, after, wild := strings.Cut(p, "*")
			if strings.EqualFold(p, value) || wild && strings.HasPrefix(value, before) && strings.HasSuffix(value, after) {
				return true
			}
		}
		return len(patterns) == 0
	}
	return matches(h.Hosts, u.Hostname()) && matches(h.Paths, u.Path)
}

// routeOf says which requests reach a handler.
func routeOf(h cmdutil.ConfigHandler) string {
	hosts, paths := strings.Join(h.Hosts, ", "), strings.Join(h.Paths, ", ")
	if hosts == "" {
		hosts = "any host"
	}
	if paths == "" {
		paths = "any path"
	}
	return hosts + ", " + paths
}
