package caddymodule

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// webhook is what is known of all handlers of one name. It lives as long as the
// process: a request may outlive its configuration, and a handler that was taken
// out may come back. There are as many as the operator has made up names.
type webhook struct {
	name    string
	status  deliveries.Webhook
	metrics handlerMetrics

	// guarded by webhooks
	handlers []*Handler // that are configured, in the order in which they came
	keys     map[keyDigest]struct{}
}

// keyDigest tells keys apart without keeping them.
type keyDigest = [sha256.Size]byte

// webhooks are those of the process.
var webhooks = struct {
	sync.Mutex
	byName map[string]*webhook
}{byName: map[string]*webhook{}}

// deliveryLog is that of the process.
var deliveryLog = deliveries.NewLog(time.Now())

// joinWebhook finds or makes the webhook of a handler whose secrets have these
// keys.
func joinWebhook(h *Handler, keys [][]byte) *webhook {
	name := h.name()
	webhooks.Lock()
	defer webhooks.Unlock()
	hook := webhooks.byName[name]
	if hook == nil {
		hook = &webhook{
			name:    name,
			metrics: newHandlerMetrics(name), keys: map[keyDigest]struct{}{},
		}
		webhooks.byName[name] = hook
	}
	for _, key := range keys {
		hook.keys[sha256.Sum256(key)] = struct{}{}
	}
	if len(hook.handlers) == 0 {
		hook.takeOver()
	}
	hook.handlers = append(hook.handlers, h)
	hook.metrics.prepare(h)
	return hook
}

// takeOver makes the webhook go on with the run of failures of the one that was
// last heard of, of all that have one of its keys: to ElevenLabs, that is the same
// one, whatever its secrets are called here.
func (hook *webhook) takeOver() {
	run := hook.status.Status().Run
	for _, other := range webhooks.byName {
		if its := other.status.Status().Run; its.LaterThan(run) && other.sharesKey(hook) {
			run = its
		}
	}
	hook.status.GoOnWith(run)
}

func (hook *webhook) sharesKey(other *webhook) bool {
	for key := range hook.keys {
		if _, shared := other.keys[key]; shared {
			return true
		}
	}
	return false
}

// leave is for the end of a handler's configuration. Requests may still be in
// the handler.
func (hook *webhook) leave(h *Handler) {
	webhooks.Lock()
	defer webhooks.Unlock()
	hook.handlers = slices.DeleteFunc(hook.handlers, func(other *Handler) bool { return other == h })
}

// name is the handler's name for the operator: those of its secrets, or, where
// one has none, the variable or file that it is in.
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

// webhookStatus is how a webhook fares, and how it is configured.
type webhookStatus struct {
	Handler string `json:"handler"`
	deliveries.Status
	// Config are the handlers of that name, with nothing secret.
	Config []Handler `json:"config"`
}

// allStatus returns the status of each webhook that has a handler, by name.
func allStatus() []webhookStatus {
	webhooks.Lock()
	defer webhooks.Unlock()
	all := make([]webhookStatus, 0, len(webhooks.byName))
	for _, name := range slices.Sorted(maps.Keys(webhooks.byName)) {
		hook := webhooks.byName[name]
		if len(hook.handlers) == 0 {
			continue
		}
		status := webhookStatus{Handler: name, Status: hook.status.Status()}
		for _, h := range hook.handlers {
			status.Config = append(status.Config, h.withoutSecrets())
		}
		all = append(all, status)
	}
	return all
}

// withoutSecrets returns the options that anyone may see: of the secrets only
// where they are, and nothing of the proxy, whose headers may hold others.
func (h *Handler) withoutSecrets() Handler {
	shown := *h
	shown.ReverseProxyRaw = nil
	shown.Secrets = slices.Clone(h.Secrets)
	for i, s := range shown.Secrets {
		if _, ok := s.placeholder(); !ok {
			shown.Secrets[i].Value = ""
		}
	}
	return shown
}
