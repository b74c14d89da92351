package caddymodule

import (
	"cmp"
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
	name     string
	counters *deliveries.Counters
	metrics  groupMetrics

	// groups guards these
	handlers []*Handler           // that are configured, in the order in which they joined
	keys     map[keyDigest]string // with the name of the secret
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
	h.secretNames = secretNames(h.Secrets)
	name := strings.Join(h.secretNames, ",")
	groups.Lock()
	defer groups.Unlock()
	g := groups.byName[name]
	if g == nil {
		g = &group{name: name, counters: deliveries.NewCounters(h.secretNames), metrics: newGroupMetrics(name), keys: map[keyDigest]string{}}
		groups.byName[name] = g
	}
	for i, key := range keys {
		g.keys[sha256.Sum256(key)] = h.secretNames[i]
	}
	if len(g.handlers) == 0 {
		g.inheritStreaks()
	}
	h.group = g
	g.handlers = append(g.handlers, h)
	g.metrics.initSeries(h)
}

// inheritStreaks continues the streak of each secret from the group in which its key
// was last active. To ElevenLabs it is the same webhook, whatever the secrets are
// called here. The streak of what no secret proves continues likewise.
func (g *group) inheritStreaks() {
	for _, other := range groups.byName {
		shared := false
		for key, name := range g.keys {
			if its, ok := other.keys[key]; ok {
				shared = true
				streak, _ := other.counters.Streak(its)
				g.counters.Continue(name, streak)
			}
		}
		if streak, ok := other.counters.Streak(""); ok && shared {
			g.counters.Continue("", streak)
		}
	}
}

// leave removes a handler when its configuration ends. Requests may still be in the
// handler.
func (g *group) leave(h *Handler) {
	groups.Lock()
	defer groups.Unlock()
	g.handlers = slices.DeleteFunc(g.handlers, func(other *Handler) bool { return other == h })
}

// secretNames returns the names of secrets for the operator. A secret without a name
// has that of its variable or file. The handler's name consists of them.
func secretNames(secrets []Secret) []string {
	names := make([]string, len(secrets))
	for i, s := range secrets {
		names[i] = s.Name
		if s.Name == "" {
			names[i] = fmt.Sprintf("secret %d", i+1)
			if source, ok := placeholderKey(s.Value); ok {
				_, name, _ := strings.Cut(source, ".") // env.NAME, file./path
				names[i] = cmp.Or(name, source)
			}
		}
	}
	return names
}

// groupStatus is the status of a group, and its configuration.
type groupStatus struct {
	Handler string `json:"handler"`
	// Status has the results of all secrets, and the streak of the one that fails most.
	deliveries.Status
	Secrets []deliveries.SecretStatus `json:"secrets"`
	Config  []map[string]any          `json:"config"` // of each handler

	spoolLimit int64 // the lowest of the handlers
	reportOnly bool  // one of the handlers
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
		secrets := g.counters.All()
		status := groupStatus{Handler: name, Status: deliveries.Total(secrets), Secrets: secrets}
		for _, h := range g.handlers {
			status.Config = append(status.Config, h.shown())
			status.reportOnly = status.reportOnly || h.ReportOnly
			if status.spoolLimit == 0 || h.SpoolLimit < status.spoolLimit {
				status.spoolLimit = h.SpoolLimit
			}
		}
		all = append(all, status)
	}
	return all
}
