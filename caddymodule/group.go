package caddymodule

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// group is all handlers of one name, and what is known of them. It lives as long as
// the process: a request may outlive its configuration, and a handler that was taken
// out may come back. The operator makes up the names, so there are few.
type group struct {
	name    string
	counter deliveries.Counter
	metrics groupMetrics

	// groups guards these
	handlers []*Handler // that are configured, in the order in which they joined
	keys     map[keyDigest]struct{}
}

// keyDigest identifies a key without keeping it.
type keyDigest = [sha256.Size]byte

// groups are all groups of the process.
var groups = struct {
	sync.Mutex
	byName map[string]*group
}{byName: map[string]*group{}}

// joinGroup adds a handler, whose secrets have these keys, to its group. The handler
// must not change after that: the admin endpoint and the metrics read its options.
func joinGroup(h *Handler, keys [][]byte) {
	name := h.name()
	groups.Lock()
	defer groups.Unlock()
	g := groups.byName[name]
	if g == nil {
		g = &group{name: name, metrics: newGroupMetrics(name), keys: map[keyDigest]struct{}{}}
		groups.byName[name] = g
	}
	for _, key := range keys {
		g.keys[sha256.Sum256(key)] = struct{}{}
	}
	if len(g.handlers) == 0 {
		g.inheritStreak()
	}
	h.group = g
	g.handlers = append(g.handlers, h)
	g.metrics.initSeries(h)
}

// inheritStreak continues the failure streak of the most recently active group that
// shares a key. To ElevenLabs it is the same webhook, whatever the secrets are called
// here.
func (g *group) inheritStreak() {
	streak := g.counter.Status().Streak
	for _, other := range groups.byName {
		if its := other.counter.Status().Streak; its.LaterThan(streak) && other.sharesKey(g) {
			streak = its
		}
	}
	g.counter.SetStreak(streak)
}

func (g *group) sharesKey(other *group) bool {
	for key := range g.keys {
		if _, shared := other.keys[key]; shared {
			return true
		}
	}
	return false
}

// leave removes a handler when its configuration ends. Requests may still be in the
// handler.
func (g *group) leave(h *Handler) {
	groups.Lock()
	defer groups.Unlock()
	g.handlers = slices.DeleteFunc(g.handlers, func(other *Handler) bool { return other == h })
}

// name returns the handler's name for the operator. It consists of the names of the
// secrets. For a secret without a name, it has the variable or file of the secret.
func (h *Handler) name() string {
	names := make([]string, len(h.Secrets))
	for i, s := range h.Secrets {
		names[i] = s.Name
		if s.Name == "" {
			names[i] = fmt.Sprintf("secret %d", i+1)
			if source, ok := s.placeholder(); ok {
				_, names[i], _ = strings.Cut(source, ".") // env.NAME, file./path
			}
		}
	}
	return strings.Join(names, ",")
}

// groupStatus is the status of a group, and its configuration.
type groupStatus struct {
	Handler string `json:"handler"`
	deliveries.Status
	Config []map[string]any `json:"config"` // of each handler

	spoolLimit int64 // the lowest of the handlers
}

// allStatus returns the status of each group that has a handler, sorted by name.
func allStatus() []groupStatus {
	groups.Lock()
	defer groups.Unlock()
	all := make([]groupStatus, 0, len(groups.byName))
	for _, name := range slices.Sorted(maps.Keys(groups.byName)) {
		g := groups.byName[name]
		if len(g.handlers) == 0 {
			continue
		}
		status := groupStatus{Handler: name, Status: g.counter.Status()}
		for _, h := range g.handlers {
			status.Config = append(status.Config, h.shown())
			if status.spoolLimit == 0 || h.SpoolLimit < status.spoolLimit {
				status.spoolLimit = h.SpoolLimit
			}
		}
		all = append(all, status)
	}
	return all
}
