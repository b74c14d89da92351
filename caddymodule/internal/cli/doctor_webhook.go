package cli

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
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// findWorkspace makes ready to ask ElevenLabs, if there is an API key.
func (d *doctor) findWorkspace(cmd *cobra.Command) error {
	named := cmd.Flags().Changed("api-key-file") || cmd.Flags().Changed("api-key-env")
	if !named && strings.TrimSpace(os.Getenv(d.workspace.apiKey.Env)) == "" {
		return nil
	}
	return d.workspace.connect(cmd)
}

func (d *doctor) checkWebhook(ctx context.Context) []finding {
	switch {
	case d.workspace.client == nil:
		why := "not set"
		if _, set := os.LookupEnv(d.workspace.apiKey.Env); set {
			why = "blank"
		}
		return only(statusSkip, "there is no API key: the environment variable %s is %s; see --api-key-file", d.workspace.apiKey.Env, why)
	case d.url == nil:
		return only(statusSkip, "there is no URL")
	}
	all, err := d.workspace.client.Webhooks(ctx)
	if err != nil {
		f := found(statusFail, "%s", err)
		if refused, ok := errors.AsType[*elevenlabs.Error](err); ok && refused.Permission != "" {
			return []finding{f.mendBy("Give the API key the permission %s.", refused.Permission)}
		}
		return []finding{f.mendBy("This takes an API key of the workspace that has the webhook, and a way from here to ElevenLabs. --region names the workspace's data residency.")}
	}
	var near []string
	for _, w := range all {
		switch u, err := url.Parse(w.URL); {
		case err != nil:
		case destination(u) == destination(d.url):
			d.workspace.webhooks = append(d.workspace.webhooks, w)
		case strings.EqualFold(u.Hostname(), d.url.Hostname()):
			near = append(near, u.Redacted())
		}
	}
	if len(d.workspace.webhooks) == 0 {
		f := found(statusFail, "none of the workspace's %d webhooks is for %s", len(all), d.url)
		if len(near) > 0 {
			f.Detail += ", but for this host there is " + strings.Join(near, ", ")
		}
		return []finding{f}
	}
	silent := new(cobra.Command) // the check has a bar of its own
	silent.SetContext(ctx)
	silent.SetErr(io.Discard)
	d.uses, d.usesUnknown = d.workspace.uses(silent)
	return d.checkStates()
}

// destination is what tells URLs apart.
func destination(u *url.URL) string {
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + delivery.PortOf(u) + cmp.Or(u.EscapedPath(), "/") + "?" + u.RawQuery
}

// checkStates looks whether ElevenLabs sends to the webhooks, and signs what it
// sends with secrets that the server has.
func (d *doctor) checkStates() []finding {
	enabled := 0
	for _, w := range d.workspace.webhooks {
		if !w.IsDisabled && !w.IsAutoDisabled {
			enabled++
		}
	}
	var findings []finding
	for _, w := range d.workspace.webhooks {
		off := statusFail
		if enabled > 0 && len(d.usesOf(w)) == 0 {
			off = statusWarn // it may be an old one that is kept
		}
		f := found(statusOK, "%s is for this URL, and enabled", label(w))
		switch {
		case w.IsAutoDisabled:
			f = found(off, "%s was disabled by ElevenLabs, since its deliveries failed", label(w)).
				mendBy("Mend what it failed by, until a signed event passes here, and then: %s. What it was not sent meanwhile is lost.", d.workspace.commandLine("enable", w.ID))
		case w.IsDisabled:
			f = found(off, "%s is disabled", label(w)).mendBy("%s.", d.workspace.commandLine("enable", w.ID))
		case w.AuthType != "" && w.AuthType != "hmac":
			f = found(statusFail, "%s does not sign what it sends: it authenticates by %q", label(w), w.AuthType).
				mendBy("Create another webhook, which signs: caddy elevenlabs webhooks create.")
		}
		findings = append(findings, f)
	}
	if enabled < 2 {
		return findings
	}
	const each = "%d enabled webhooks are for this URL, each with a secret of its own"
	switch {
	case d.handler == nil:
		return append(findings, found(statusWarn, each, enabled).
			mendBy("See that the server has a `secret` for each, or delete those that are not needed."))
	case len(d.handler.Secrets) < enabled:
		return append(findings, found(statusFail, each+", but the configuration has %d", enabled, len(d.handler.Secrets)).
			mendBy("Give elevenlabs_webhook a `secret` for each, or delete those that are not needed."))
	}
	return append(findings, found(statusOK, each+", and the configuration has %d", enabled, len(d.handler.Secrets)))
}

// eachWebhook looks at every webhook for the URL. If there is none, there is no
// more to say than why.
func (d *doctor) eachWebhook(look func(elevenlabs.Webhook) finding) []finding {
	findings := make([]finding, 0, len(d.workspace.webhooks))
	for _, w := range d.workspace.webhooks {
		findings = append(findings, look(w))
	}
	return findings
}

// usesOf lists what points at a webhook.
func (d *doctor) usesOf(w elevenlabs.Webhook) []string {
	list := make([]string, 0, len(d.uses[w.ID]))
	for _, u := range d.uses[w.ID] {
		list = append(list, u.String())
	}
	if len(list) == 0 {
		return w.Usage // which names but the kind
	}
	return list
}

func (d *doctor) checkAttached(context.Context) []finding {
	used := slices.ContainsFunc(d.workspace.webhooks, func(w elevenlabs.Webhook) bool { return len(d.usesOf(w)) > 0 })
	return d.eachWebhook(func(w elevenlabs.Webhook) finding {
		uses := d.usesOf(w)
		switch {
		case len(uses) > 0:
			return found(statusOK, "%s gets: %s", label(w), cmdutil.Printable(strings.Join(uses, "; ")))
		case d.usesUnknown != nil:
			f := found(statusWarn, "it is not known what points at %s: %s", label(w), d.usesUnknown)
			if refused, ok := errors.AsType[*elevenlabs.Error](d.usesUnknown); ok && refused.Status == http.StatusNotFound {
				return f.mendBy("There is no such agent in this workspace: give its id by --agent, as it stands in the dashboard.")
			}
			return f.mendBy("Give the API key the permission to read the settings of ElevenAgents, or look into the dashboard.")
		case w.Usage != nil && !used: // and ElevenLabs tells this key all
			return found(statusFail, "nothing points at %s: it is not called, but by requests that name it", label(w)).
				mendBy("%s.", d.workspace.commandLine("attach", w.ID))
		}
		return found(statusWarn, "nothing that can be seen here points at %s, and then it is never called", label(w)).
			mendBy("%s. An agent may have it in settings of its own: --agent looks there.", d.workspace.commandLine("attach", w.ID))
	})
}

func (d *doctor) checkRetries(context.Context) []finding {
	return d.eachWebhook(func(w elevenlabs.Webhook) finding {
		remedy := d.workspace.commandLine("update", w.ID, "--retries") + ". Without, a transcript that fails once is lost."
		switch string(w.Extra["retry_enabled"]) {
		case "true":
			return found(statusOK, "they are on for %s", label(w))
		case "false":
			return found(statusWarn, "they are off for %s", label(w)).mendBy("%s", remedy)
		}
		return found(statusSkip, "ElevenLabs does not tell whether they are on for %s", label(w)).mendBy("To be sure: %s", remedy)
	})
}

func (d *doctor) checkFailures(context.Context) []finding {
	return d.eachWebhook(func(w elevenlabs.Webhook) finding {
		_, failure := healthOf(w, d.env.Now())
		if failure == nil {
			return found(statusOK, "none is known of %s", label(w))
		}
		f := found(statusWarn, "the last of %s: %s", label(w), failure)
		if failure.At != nil && d.env.Now().Sub(*failure.At) > failingFor {
			f.Status = statusOK // ElevenLabs tells of it for ever
			return f
		}
		return f.mendBy("%s", failureRemedy(failure.Code))
	})
}

// failureRemedies are by the status that ElevenLabs was answered.
var failureRemedies = map[int]string{
	http.StatusBadRequest:            "Look into the proxies in front of Caddy, one of which removes or changes the ElevenLabs-Signature header, or breaks connections.",
	http.StatusUnauthorized:          "Put this webhook's own secret into the configuration: one that is created anew has another. If it is lost: caddy elevenlabs webhooks rotate.",
	http.StatusForbidden:             "Look for the reason in Caddy's log. timestamp_stale, timestamp_future: set the clock right (timedatectl), or raise tolerance. source_not_allowed: leave source_ips out. insecure_transport: set trusted_proxies.",
	http.StatusNotFound:              "Compare the webhook's URL with the path in the Caddyfile: a slash at the end counts.",
	http.StatusMethodNotAllowed:      "Compare the webhook's URL with the path in the Caddyfile: something else answers there.",
	http.StatusRequestTimeout:        "Raise read_timeout.",
	http.StatusRequestEntityTooLarge: "Raise max_size, as the audio of a long call needs it, and the limit of every proxy in front.",
	http.StatusTooEarly:              "Switch TLS early data off in the proxy in front.",
	http.StatusTooManyRequests:       "Raise that limit for this URL.",
	http.StatusBadGateway:            "Let the application run all the time, and answer each event.",
	http.StatusServiceUnavailable:    "Look for the reason in Caddy's log. overloaded: raise spool_limit. spool_failed: the disk is full.",
	http.StatusGatewayTimeout:        "Let the application answer first, and work later.",
}

// failureRemedy says what is to be done about deliveries that were answered so.
func failureRemedy(code int) string {
	switch {
	case failureRemedies[code] != "":
		return failureRemedies[code]
	case code/100 == 2:
		return "Let events go through elevenlabs_webhook, which answers 200 for any 2xx of the application."
	case code/100 == 3:
		return "Create a webhook with the URL that the redirect ends at."
	case code/100 == 4 || code/100 == 5:
		return "Look into the application's log, and into Caddy's."
	}
	return "See the checks of dns, connection and certificate above, from a machine on the internet."
}
