package caddymodule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// inspect reads a configuration file for `caddy elevenlabs doctor`, and loads it as
// `caddy validate` does. It starts nothing and leaves no file: one with another owner
// than the server's could stop the server. So it does not open the configuration's
// logs, and its storage is a temporary folder.
func inspect(file, adapter string) cmdutil.Config {
	config := cmdutil.Config{File: file, Admin: caddy.DefaultAdminListen}
	defer silenceLogs()()

	text, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		config.Problem = err
		return config
	}
	text = caddy.RemoveMetaFields(text)
	config.Admin = configuredAdmin(text)
	if config.Handlers, err = findHandlers(text); err != nil {
		config.Problem = err
		return config
	}
	var parsed *caddy.Config
	if err := caddy.StrictUnmarshalJSON(text, &parsed); err != nil {
		config.Problem = fmt.Errorf("decoding the configuration: %w", err)
		return config
	}
	if parsed == nil {
		parsed = new(caddy.Config)
	}
	folder, err := os.MkdirTemp("", "caddy-elevenlabs-")
	if err != nil {
		config.Problem = fmt.Errorf("making a temporary folder for the check: %w", err)
		return config
	}
	defer os.RemoveAll(folder)
	storage := caddy.DefaultStorage
	defer func() { caddy.DefaultStorage = storage }()
	caddy.DefaultStorage = &certmagic.FileStorage{Path: folder}
	parsed.StorageRaw, parsed.Logging = nil, discardLogs()
	config.Problem = caddy.Validate(parsed)
	return config
}

// configuredAdmin returns the address of the admin endpoint that a configuration has, or
// an empty string if the configuration turns the endpoint off.
func configuredAdmin(text []byte) string {
	var config struct {
		Admin struct {
			Listen   string `json:"listen"`
			Disabled bool   `json:"disabled"`
		} `json:"admin"`
	}
	_ = json.Unmarshal(text, &config) // loading the configuration reports what cannot be decoded
	if config.Admin.Disabled {
		return ""
	}
	return cmp.Or(config.Admin.Listen, caddy.DefaultAdminListen)
}

// silenceLogs lets Caddy log nothing until the function that it returns is called.
// Caddy would log much about a configuration, and every problem is in the errors too.
func silenceLogs() (end func()) {
	caddy.BufferedLog()
	_ = caddy.Validate(&caddy.Config{Logging: discardLogs()}) // the buffer too
	return func() { _ = caddy.Validate(new(caddy.Config)) }   // logs to standard error again
}

// discardLogs returns a new configuration of logs each time, since Caddy changes it.
func discardLogs() *caddy.Logging {
	return &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}},
	}}
}

// findHandlers finds every elevenlabs_webhook handler in a configuration, at any depth.
func findHandlers(text []byte) ([]cmdutil.ConfigHandler, error) {
	var config struct {
		Apps struct {
			HTTP struct {
				HTTPPort uint                       `json:"http_port"`
				Servers  map[string]json.RawMessage `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if len(text) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("decoding the configuration: %w", err)
	}
	if config.Apps.HTTP.HTTPPort == 0 {
		config.Apps.HTTP.HTTPPort = caddyhttp.DefaultHTTPPort
	}
	var found []foundHandler
	var servers []inspectedServer
	for _, name := range slices.Sorted(maps.Keys(config.Apps.HTTP.Servers)) {
		var s inspectedServer
		if err := json.Unmarshal(config.Apps.HTTP.Servers[name], &s); err != nil {
			return nil, fmt.Errorf("decoding the server %s: %w", name, err)
		}
		w := walker{named: s.NamedRoutes}
		w.walk(s.Routes, place{})
		w.walk(s.Errors, place{})
		for i := range w.found {
			h := &w.found[i]
			for _, listen := range s.Listen {
				if address, err := caddy.ParseNetworkAddress(listen); err == nil && !address.IsUnixNetwork() {
					h.Listen = append(h.Listen, address.StartPort)
				}
			}
			h.Plain = s.plain(h.ConfigHandler, config.Apps.HTTP.HTTPPort)
			h.server = len(servers)
		}
		found = append(found, w.found...)
		servers = append(servers, s)
	}
	handlers := make([]cmdutil.ConfigHandler, len(found))
	for i, h := range found {
		followRequests(&h, servers)
		handlers[i] = h.ConfigHandler
	}
	return handlers, nil
}

// foundHandler is an elevenlabs_webhook handler, and the number of its server.
type foundHandler struct {
	cmdutil.ConfigHandler
	server int
}

// inspectedServer is the part of a server in Caddy's JSON that doctor needs.
type inspectedServer struct {
	Listen      []string       `json:"listen"`
	Routes      any            `json:"routes"`
	Errors      any            `json:"errors"`
	NamedRoutes map[string]any `json:"named_routes"`
	TLS         []any          `json:"tls_connection_policies"`
	AutoHTTPS   struct {
		Disable bool     `json:"disable"`
		Skip    []string `json:"skip"`
	} `json:"automatic_https"`
}

// plain reports whether a handler's requests come over plain HTTP, by the rules of
// https://caddyserver.com/docs/automatic-https#activation.
func (s inspectedServer) plain(h cmdutil.ConfigHandler, httpPort uint) bool {
	if len(s.TLS) > 0 {
		return false
	}
	onlyHTTP := len(h.Listen) > 0
	for _, port := range h.Listen {
		onlyHTTP = onlyHTTP && port == httpPort
	}
	skipped := func(host string) bool { return slices.Contains(s.AutoHTTPS.Skip, host) }
	return onlyHTTP || s.AutoHTTPS.Disable || len(h.Hosts) == 0 || slices.ContainsFunc(h.Hosts, skipped)
}

// walker walks through routes.
type walker struct {
	named map[string]any
	found []foundHandler
}

// place is a position in the routes.
type place struct {
	hosts, paths []string
	after        [][]any  // the elements that follow in each enclosing list
	invoked      []string // named routes
}

// walk finds the handlers in any part of the routes.
func (w *walker) walk(part any, at place) {
	switch part := part.(type) {
	case []any:
		for i, element := range part {
			inner := at
			inner.after = append(slices.Clip(at.after), others(element, part[i+1:]))
			w.walk(element, inner)
		}
	case map[string]any:
		at.narrow(part["match"])
		switch part["handler"] {
		case "elevenlabs_webhook":
			w.add(part, at)
			return
		case "invoke":
			name, _ := part["name"].(string)
			if !slices.Contains(at.invoked, name) {
				at.invoked = append(slices.Clip(at.invoked), name)
				w.walk(w.named[name], at)
			}
			return
		}
		for _, key := range slices.Sorted(maps.Keys(part)) {
			w.walk(part[key], at)
		}
	}
}

// others returns the routes that can run after a route: not those of its group.
func others(route any, after []any) []any {
	group := func(route any) any {
		object, _ := route.(map[string]any)
		return object["group"]
	}
	return slices.DeleteFunc(slices.Clone(after), func(other any) bool {
		return group(route) != nil && group(other) == group(route)
	})
}

// narrow adds the matchers of a route.
func (at *place) narrow(match any) {
	sets, _ := match.([]any)
	for _, set := range sets {
		matchers, _ := set.(map[string]any)
		at.hosts = appendStrings(at.hosts, matchers["host"])
		at.paths = appendStrings(at.paths, matchers["path"])
	}
}

func appendStrings(to []string, list any) []string {
	elements, _ := list.([]any)
	to = slices.Clip(to)
	for _, element := range elements {
		if s, ok := element.(string); ok {
			to = append(to, s)
		}
	}
	return to
}

// add adds an elevenlabs_webhook handler.
func (w *walker) add(config map[string]any, at place) {
	var h Handler
	text, err := json.Marshal(config)
	if err == nil {
		_ = json.Unmarshal(text, &h) // loading the configuration reports what cannot be decoded
	}
	h.setDefaults()
	found := cmdutil.ConfigHandler{
		Name: strings.Join(secretNames(h.Secrets), ","), Hosts: at.hosts, Paths: at.paths,
		Past: time.Duration(h.Tolerance.Past), Future: time.Duration(h.Tolerance.Future),
		MaxSize: h.MaxSize, AllowHTTP: h.AllowHTTP, ReportOnly: h.ReportOnly, Events: h.forwardedTypes(), UnknownTypes: h.unknownTypes(),
	}
	for _, secret := range h.Secrets {
		found.Secrets = append(found.Secrets, configSecret(secret.Value, secret.Name))
	}
	for _, key := range h.Sign {
		found.SignKeys = append(found.SignKeys, configSecret(key, ""))
	}
	if h.Inbox != nil {
		found.Inbox = h.Inbox.inspect()
		for _, d := range h.Inbox.Destinations {
			for _, key := range d.Sign {
				found.SignKeys = append(found.SignKeys, configSecret(key, d.Name))
			}
		}
	}
	for _, proxy := range innerProxies(config) {
		for _, u := range upstreams(proxy.config) {
			u.Destination = proxy.destination
			found.Upstreams = append(found.Upstreams, u)
		}
	}
	for i := len(at.after) - 1; i >= 0 && len(found.Upstreams) == 0; i-- {
		found.Upstreams = proxied(at.after[i])
	}
	w.found = append(w.found, foundHandler{ConfigHandler: found})
}

// configSecret reads a secret as the server would.
func configSecret(text, name string) cmdutil.ConfigSecret {
	value, err := resolveSecret(text)
	return cmdutil.ConfigSecret{Text: text, Literal: !strings.Contains(text, "{"), Name: name, Value: value, Problem: err}
}

// proxied finds the upstreams of all proxies in a part of the routes.
func proxied(part any) []cmdutil.ConfigUpstream {
	var found []cmdutil.ConfigUpstream
	switch part := part.(type) {
	case []any:
		for _, element := range part {
			found = append(found, proxied(element)...)
		}
	case map[string]any:
		if part["handler"] == "reverse_proxy" {
			return upstreams(part)
		}
		for _, key := range slices.Sorted(maps.Keys(part)) {
			found = append(found, proxied(part[key])...)
		}
	}
	return found
}

// dynamicUpstreams stands for upstreams that Caddy looks up.
const dynamicUpstreams = "dynamic upstreams"

// upstreams reads the upstreams of a proxy.
func upstreams(proxy any) []cmdutil.ConfigUpstream {
	config, _ := proxy.(map[string]any)
	var found []cmdutil.ConfigUpstream
	list, _ := config["upstreams"].([]any)
	for _, element := range list {
		upstream, _ := element.(map[string]any)
		dial, _ := upstream["dial"].(string)
		u := cmdutil.ConfigUpstream{Text: dial}
		if !strings.Contains(dial, "{") {
			if address, err := caddy.ParseNetworkAddress(dial); err == nil {
				u.Network, u.Address = address.Network, address.JoinHostPort(0)
			}
		}
		found = append(found, u)
	}
	if config["dynamic_upstreams"] != nil {
		found = append(found, cmdutil.ConfigUpstream{Text: dynamicUpstreams})
	}
	return found
}
