package doctor

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// dialTimeout is short, since an application is near.
const dialTimeout = 5 * time.Second

func (e *examination) checkConfig(context.Context) []finding {
	switch {
	case e.config == nil:
		return only(statusSkip, "there is no Caddyfile here; --config names one")
	case e.config.Problem != nil:
		text := strings.ReplaceAll(e.config.Problem.Error(), "\n", " ")
		return only(statusFail, "%s does not load: %s", e.config.File, cmdutil.Printable(withoutSecrets(e.config, text)))
	}
	return only(statusOK, "%s loads", e.config.File)
}

// withoutSecrets hides secrets in an error, even those that look like other words.
func withoutSecrets(c *cmdutil.Config, text string) string {
	for _, h := range c.Handlers {
		for _, s := range slices.Concat(h.Secrets, h.SignKeys) {
			if value := strings.TrimSpace(s.Value); value != "" {
				text = strings.ReplaceAll(text, value, "…")
			}
		}
	}
	return facts.HideCredentials(text, "…")
}

func (e *examination) checkHandler(context.Context) []finding {
	switch {
	case e.config == nil:
		return only(statusSkip, "there is no configuration")
	case len(e.config.Handlers) == 0 && e.config.Problem != nil:
		return only(statusSkip, "unknown, since the configuration does not load")
	case len(e.config.Handlers) == 0:
		return only(statusFail, "there is no elevenlabs_webhook in %s", e.config.File)
	case e.url != nil && e.handler == nil:
		return []finding{found(statusFail, "no elevenlabs_webhook in %s is for %s", e.config.File, e.url).
			withRemedy("Compare the URL's host and path with the file's, or name another file by --config.")}
	}
	var findings []finding
	for _, h := range e.handlers() {
		where := routeOf(h)
		findings = append(findings, found(statusOK, "elevenlabs_webhook for %s", where))
		if h.ReportOnly {
			findings = append(findings, found(statusWarn, "report_only forwards forged requests to the application, marked, and those of this command too").
				withRemedy("Remove it when the switch-over is done."))
		}
		if h.BodyLimit > 0 && h.BodyLimit < h.MaxSize {
			findings = append(findings, found(statusWarn, "request_body in front allows %s, less than max_size, which is %s: Caddy answers larger events with 413, and neither status nor tail shows them",
				humanize.Bytes(uint64(h.BodyLimit)), humanize.IBytes(uint64(h.MaxSize))).
				withRemedy("Raise it for the webhook's path, or leave it out there: max_size limits the body. Audio takes about 1.2 MiB a minute."))
		}
		if len(h.UnknownTypes) > 0 {
			findings = append(findings, found(statusWarn, "events names %s, which this version does not know: if it is mistyped, Caddy drops the events that were meant", cmdutil.Printable(strings.Join(h.UnknownTypes, ", "))).
				withRemedy("Correct it. The names are: %s.", strings.Join(facts.EventNames, ", ")))
		}
		if h.AllowHTTP {
			findings = append(findings, found(statusWarn, "allow_http accepts events over plain HTTP, where others can read them").
				withRemedy("Remove it, except for local development."))
		}
	}
	return findings
}

func (e *examination) checkUpstreams(ctx context.Context) []finding {
	if len(e.handlers()) == 0 {
		return only(statusSkip, "unknown without a configuration that has the handler")
	}
	var findings []finding
	for _, h := range e.handlers() {
		for _, u := range h.Upstreams {
			findings = append(findings, checkUpstream(ctx, u))
		}
	}
	if len(findings) == 0 {
		return []finding{found(statusWarn, "no reverse_proxy is inside elevenlabs_webhook or after it").
			withRemedy("Put one inside, unless another handler takes the events, such as respond in a test.")}
	}
	return findings
}

func checkUpstream(ctx context.Context, u cmdutil.ConfigUpstream) finding {
	label := u.Text
	if u.Destination != "" {
		label = "destination " + u.Destination + ": " + label
	}
	if u.Address == "" {
		return found(statusSkip, "%s is known only when a request comes", label)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, u.Network, u.Address)
	if err != nil {
		return found(statusFail, "%s does not listen: %s", label, err)
	}
	_ = connection.Close()
	return found(statusOK, "%s listens", label)
}
