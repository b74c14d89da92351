package doctor

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

func (e *examination) checkWebhook(ctx context.Context) []finding {
	switch {
	case e.workspace.Client == nil:
		why := "not set"
		if _, set := os.LookupEnv(e.workspace.APIKey.Env); set {
			why = "blank"
		}
		return only(statusSkip, "there is no API key: the environment variable %s is %s; see --api-key-file", e.workspace.APIKey.Env, why)
	case e.url == nil:
		return only(statusSkip, "there is no URL")
	}
	all, err := e.workspace.Client.Webhooks(ctx)
	if err != nil {
		f := found(statusFail, "%s", err)
		if refused, ok := errors.AsType[*elevenlabs.Error](err); ok && refused.Permission != "" {
			return []finding{f.withRemedy("Give the API key the permission %s.", refused.Permission)}
		}
		return []finding{f.withRemedy("This check needs an API key of the workspace that has the webhook, and a connection to ElevenLabs. --region names the workspace's data residency.")}
	}
	var near []string
	for _, w := range all {
		switch u, err := url.Parse(w.URL); {
		case err != nil:
		case destination(u) == destination(e.url):
			e.workspace.Webhooks = append(e.workspace.Webhooks, w)
		case strings.EqualFold(u.Hostname(), e.url.Hostname()):
			near = append(near, u.Redacted())
		}
	}
	if len(e.workspace.Webhooks) == 0 {
		f := found(statusFail, "none of the workspace's %d webhooks is for %s", len(all), e.url)
		if len(near) > 0 {
			f.Detail += "; this host has " + strings.Join(near, ", ")
		}
		return []finding{f}
	}
	silent := new(cobra.Command) // the check has a progress bar of its own
	silent.SetContext(ctx)
	silent.SetErr(io.Discard)
	e.uses, e.usesUnknown = e.workspace.Uses(silent)
	return e.checkStates()
}

// destination returns the parts of a URL that distinguish it from others.
func destination(u *url.URL) string {
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + delivery.PortOf(u) + cmp.Or(u.EscapedPath(), "/") + "?" + u.RawQuery
}

// checkStates checks whether ElevenLabs sends to the webhooks, and signs with secrets
// that the server has.
func (e *examination) checkStates() []finding {
	enabled := 0
	for _, w := range e.workspace.Webhooks {
		if !w.IsDisabled && !w.IsAutoDisabled {
			enabled++
		}
	}
	var findings []finding
	for _, w := range e.workspace.Webhooks {
		off := statusFail
		if enabled > 0 && len(e.usesOf(w)) == 0 {
			off = statusWarn // it may be an old one
		}
		f := found(statusOK, "%s is for this URL, and enabled", workspace.Label(w))
		switch {
		case w.IsAutoDisabled:
			f = found(off, "ElevenLabs disabled %s, since its deliveries failed", workspace.Label(w)).
				withRemedy("Fix the cause until the check \"signed\" passes, and then: %s. Events that occur meanwhile are lost.", e.workspace.CommandLine("enable", w.ID))
		case w.IsDisabled:
			f = found(off, "%s is disabled", workspace.Label(w)).withRemedy("%s.", e.workspace.CommandLine("enable", w.ID))
		case w.AuthType != "" && w.AuthType != "hmac":
			f = found(statusFail, "%s does not sign its events: it authenticates by %q", workspace.Label(w), w.AuthType).
				withRemedy("Create another webhook, which signs: caddy elevenlabs webhooks create.")
		}
		findings = append(findings, f)
	}
	if enabled < 2 {
		return findings
	}
	const each = "%d enabled webhooks are for this URL, each with a secret of its own"
	switch {
	case e.handler == nil:
		return append(findings, found(statusWarn, each, enabled).
			withRemedy("Give the server a `secret` for each, or delete those that you do not need."))
	case len(e.handler.Secrets) < enabled:
		return append(findings, found(statusFail, each+", but the configuration has %d", enabled, len(e.handler.Secrets)).
			withRemedy("Give elevenlabs_webhook a `secret` for each, or delete those that you do not need."))
	}
	return append(findings, found(statusOK, each+", and the configuration has %d", enabled, len(e.handler.Secrets)))
}

// eachWebhook checks every webhook for the URL. There may be none.
func (e *examination) eachWebhook(look func(elevenlabs.Webhook) finding) []finding {
	findings := make([]finding, 0, len(e.workspace.Webhooks))
	for _, w := range e.workspace.Webhooks {
		findings = append(findings, look(w))
	}
	return findings
}

// usesOf lists what points at a webhook.
func (e *examination) usesOf(w elevenlabs.Webhook) []string {
	list := make([]string, 0, len(e.uses[w.ID]))
	for _, u := range e.uses[w.ID] {
		list = append(list, u.String())
	}
	if len(list) == 0 {
		return w.Usage // only the kinds
	}
	return list
}

func (e *examination) checkAttached(context.Context) []finding {
	used := slices.ContainsFunc(e.workspace.Webhooks, func(w elevenlabs.Webhook) bool { return len(e.usesOf(w)) > 0 })
	return e.eachWebhook(func(w elevenlabs.Webhook) finding {
		uses := e.usesOf(w)
		switch {
		case len(uses) > 0:
			return found(statusOK, "%s gets: %s", workspace.Label(w), cmdutil.Printable(strings.Join(uses, "; ")))
		case e.usesUnknown != nil:
			f := found(statusWarn, "it is unknown what points at %s: %s", workspace.Label(w), e.usesUnknown)
			if refused, ok := errors.AsType[*elevenlabs.Error](e.usesUnknown); ok && refused.Status == http.StatusNotFound {
				return f.withRemedy("There is no such agent in this workspace: give its id by --agent, as in the dashboard.")
			}
			return f.withRemedy("Give the API key the permission to read the settings of ElevenAgents, or look into the dashboard.")
		case w.Usage != nil && !used: // and ElevenLabs shows this key all uses
			return found(statusFail, "nothing points at %s: ElevenLabs calls it only for requests that name it", workspace.Label(w)).
				withRemedy("%s.", e.workspace.CommandLine("attach", w.ID))
		}
		return found(statusWarn, "nothing that this API key sees points at %s: ElevenLabs never calls such a webhook", workspace.Label(w)).
			withRemedy("%s. An agent may have it in settings of its own: --agent looks there.", e.workspace.CommandLine("attach", w.ID))
	})
}

func (e *examination) checkRetries(context.Context) []finding {
	return e.eachWebhook(func(w elevenlabs.Webhook) finding {
		remedy := e.workspace.CommandLine("update", w.ID, "--retries") + ". Without retries, a transcript that fails once is lost."
		switch string(w.Extra["retry_enabled"]) {
		case "true":
			return found(statusOK, "they are on for %s", workspace.Label(w))
		case "false":
			return found(statusWarn, "they are off for %s", workspace.Label(w)).withRemedy("%s", remedy)
		}
		return found(statusSkip, "ElevenLabs does not show whether they are on for %s", workspace.Label(w)).withRemedy("To be sure: %s", remedy)
	})
}

func (e *examination) checkFailures(context.Context) []finding {
	return e.eachWebhook(func(w elevenlabs.Webhook) finding {
		_, failure := workspace.HealthOf(w, e.env.Now())
		if failure == nil {
			return found(statusOK, "none is known of %s", workspace.Label(w))
		}
		f := found(statusWarn, "the last of %s: %s", workspace.Label(w), failure)
		if !failure.Recent(e.env.Now()) {
			f.Status = statusOK
			return f
		}
		return f.withRemedy("%s", facts.AnswerRemedy(failure.Code))
	})
}
