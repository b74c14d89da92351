package cli

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// secretPattern is for what must not be shown in an error that quotes a file:
// signing secrets, API keys, and what else looks like a key.
var secretPattern = regexp.MustCompile(`\b(?:wh?sec_|sk_)\S+|[0-9A-Fa-f]{32,}`)

// withoutSecrets hides them in an error, also those that look like other words.
func withoutSecrets(c *cmdutil.Config, text string) string {
	for _, h := range c.Handlers {
		for _, s := range h.Secrets {
			if value := strings.TrimSpace(s.Value); value != "" {
				text = strings.ReplaceAll(text, value, "…")
			}
		}
	}
	return hideSecrets(text)
}

func hideSecrets(text string) string { return secretPattern.ReplaceAllString(text, "…") }

func (d *doctor) checkConfig(context.Context) []finding {
	switch {
	case d.config == nil:
		return only(statusSkip, "there is no Caddyfile here; --config names one")
	case d.config.Problem != nil:
		text := strings.ReplaceAll(d.config.Problem.Error(), "\n", " ")
		return only(statusFail, "%s does not load: %s", d.config.File, cmdutil.Printable(withoutSecrets(d.config, text)))
	}
	return only(statusOK, "%s loads", d.config.File)
}

func (d *doctor) checkHandler(context.Context) []finding {
	switch {
	case d.config == nil:
		return only(statusSkip, "there is no configuration to look at")
	case len(d.config.Handlers) == 0 && d.config.Problem != nil:
		return only(statusSkip, "not known, since the configuration does not load")
	case len(d.config.Handlers) == 0:
		return only(statusFail, "there is no elevenlabs_webhook in %s", d.config.File)
	case d.url != nil && d.handler == nil:
		return []finding{found(statusFail, "no elevenlabs_webhook in %s is for %s", d.config.File, d.url).
			mendBy("Compare the URL's host and path with the file's, or name another file by --config.")}
	}
	var findings []finding
	for _, h := range d.handlers() {
		where := routeOf(h)
		findings = append(findings, found(statusOK, "elevenlabs_webhook for %s", where))
		if h.ReportOnly {
			findings = append(findings, found(statusWarn, "report_only lets forged requests through to the application, marked, also those of this command").
				mendBy("Take it out when the change-over is done."))
		}
		if h.AllowHTTP {
			findings = append(findings, found(statusWarn, "allow_http takes events over plain HTTP, where others can read them").
				mendBy("Take it out, but for local development."))
		}
	}
	return findings
}

// where says which requests get to the handler.
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

func (d *doctor) checkSecrets(context.Context) []finding {
	var findings []finding
	known := false // or may be one that cannot be read here
	for _, h := range d.handlers() {
		for i, s := range h.Secrets {
			findings = append(findings, checkSecret(s, i+1)...)
			known = known || s.Problem != nil || d.key != nil && strings.TrimSpace(s.Value) == string(d.key)
		}
	}
	switch {
	case d.blank:
		findings = append(findings, found(statusFail, "the secret in %s is blank", d.secret.Source()))
	case d.key == nil && len(findings) == 0:
		return []finding{found(statusSkip, "there is none: the environment variable %s is not set", d.secret.Env).
			mendBy("Name another by --secret-env, or a file by --secret-file.")}
	case len(findings) == 0:
		return examine("the secret in "+d.secret.Source(), string(d.key))
	case d.key != nil && !known:
		findings = append(findings, found(statusFail, "the secret in %s is none of the configuration's", d.secret.Source()).
			mendBy("Give both the secret that ElevenLabs showed when the webhook was created, or leave out --secret-file and --secret-env."))
	}
	return findings
}

// check looks at a secret of the configuration.
func checkSecret(s cmdutil.ConfigSecret, number int) []finding {
	label := fmt.Sprintf("secret %d", number)
	if s.Name != "" {
		label += fmt.Sprintf(" %q", s.Name)
	}
	var findings []finding
	if s.Literal {
		findings = append(findings, found(statusWarn, "%s is written out in the configuration, where others may read it", label).
			mendBy("Put it into the environment or a file, and write {env.NAME} or {file./path} for it. {$NAME} does not do: Caddy writes the secret itself into its configuration then."))
	} else {
		label += " (" + hideSecrets(s.Text) + ")" // it may stand in the braces itself
	}
	if s.Problem != nil {
		return append(findings, found(statusFail, "%s cannot be had: %s", label, hideSecrets(s.Problem.Error())).
			mendBy("Set it where Caddy runs. If it is missing only here, run doctor as the server's user and with its environment."))
	}
	return append(findings, examine(label, s.Value)...)
}

// shortestSecret is well below the length of those that ElevenLabs makes, of
// which the observed ones have 69 characters.
const shortestSecret = 32

// examine looks at the form of a secret, which it never shows.
func examine(label, secret string) []finding {
	trimmed := strings.TrimSpace(secret)
	notASCII := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case trimmed == "":
		return only(statusFail, "%s is blank", label)
	case cmdutil.TrimQuotes(trimmed) != trimmed:
		return only(statusFail, "%s has quotes round it", label)
	case strings.ContainsAny(trimmed, "{}$%"):
		return []finding{found(statusFail, "%s looks like a placeholder that was not replaced", label).
			mendBy("What reads the variable or the file (systemd, Docker, .env) does not replace such names: put the secret itself there.")}
	case strings.ContainsAny(trimmed, " \t\r\n"):
		return only(statusFail, "%s has blanks or line ends in it", label)
	case strings.ContainsFunc(trimmed, notASCII):
		return only(statusFail, "%s has characters in it that are not plain ASCII, such as a byte order mark", label)
	case strings.HasPrefix(trimmed, facts.ForeignSecretPrefix):
		return only(statusFail, "%s begins with %s: it is another service's", label, facts.ForeignSecretPrefix)
	case !strings.HasPrefix(trimmed, facts.SecretPrefix):
		return only(statusWarn, "%s does not begin with %s, as those of ElevenLabs do", label, facts.SecretPrefix)
	case len(trimmed) < shortestSecret:
		return only(statusWarn, "%s has but %d characters: is it the whole one?", label, len(trimmed))
	case trimmed != secret:
		return []finding{found(statusWarn, "%s has blanks or line ends round it", label).
			mendBy("They are left out here, but other software may take them for part of the secret: remove them.")}
	}
	return only(statusOK, "%s has the right form", label)
}

// dialTimeout is for an application, which is near.
const dialTimeout = 5 * time.Second

func (d *doctor) checkUpstreams(ctx context.Context) []finding {
	if len(d.handlers()) == 0 {
		return only(statusSkip, "not known without a configuration that has the handler")
	}
	var findings []finding
	for _, h := range d.handlers() {
		for _, u := range h.Upstreams {
			findings = append(findings, checkUpstream(ctx, u))
		}
	}
	if len(findings) == 0 {
		return []finding{found(statusWarn, "no reverse_proxy is inside elevenlabs_webhook or after it").
			mendBy("Put one inside, unless something else takes the events, such as respond in a test.")}
	}
	return findings
}

func checkUpstream(ctx context.Context, u cmdutil.ConfigUpstream) finding {
	if u.Address == "" {
		return found(statusSkip, "%s is known only when a request comes", u.Text)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, u.Network, u.Address)
	if err != nil {
		return found(statusFail, "%s does not listen: %s", u.Text, err)
	}
	_ = connection.Close()
	return found(statusOK, "%s listens", u.Text)
}
