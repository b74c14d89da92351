package caddymodule

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// webhook is what is known of all handlers of one name. It lives as long as any
// of them, thus over reloads.
type webhook struct {
	name    string
	status  deliveries.Webhook
	metrics handlerMetrics

	handlers map[*Handler]struct{} // guarded by webhooks
}

// webhooks are those of the process.
var webhooks = struct {
	sync.Mutex
	byName map[string]*webhook
}{byName: map[string]*webhook{}}

// deliveryLog is that of the process.
var deliveryLog = deliveries.NewLog(time.Now())

// joinWebhook finds or makes the handler's webhook.
func joinWebhook(h *Handler) *webhook {
	name := h.name()
	webhooks.Lock()
	defer webhooks.Unlock()
	hook := webhooks.byName[name]
	if hook == nil {
		hook = &webhook{name: name, metrics: newHandlerMetrics(name), handlers: map[*Handler]struct{}{}}
		webhooks.byName[name] = hook
	}
	hook.handlers[h] = struct{}{}
	return hook
}

// leave is for the end of a handler's configuration.
func (hook *webhook) leave(h *Handler) {
	webhooks.Lock()
	defer webhooks.Unlock()
	delete(hook.handlers, h)
	if len(hook.handlers) == 0 {
		delete(webhooks.byName, hook.name)
		deleteHandlerMetrics(hook.name)
	}
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
				_, source, _ = strings.Cut(source, ".") // env.NAME, file./path
				names[i] = path.Base(source)
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

// allStatus returns the status of each webhook, by name.
func allStatus() []webhookStatus {
	webhooks.Lock()
	defer webhooks.Unlock()
	all := make([]webhookStatus, 0, len(webhooks.byName))
	for _, name := range slices.Sorted(maps.Keys(webhooks.byName)) {
		hook := webhooks.byName[name]
		status := webhookStatus{Handler: name, Status: hook.status.Status()}
		for h := range hook.handlers {
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
