package setup

import "strings"

// layout is what a Caddyfile is made of.
type layout struct {
	domain, path, backend string
	inbox                 bool
	secretFile            string // an absolute path
}

// url is the webhook's URL.
func (l layout) url() string { return "https://" + l.domain + l.path }

// onlyHere reports whether the domain is this machine's, for a try.
func (l layout) onlyHere() bool {
	host, _, _ := strings.Cut(l.domain, ":")
	return host == local || strings.HasSuffix(host, "."+local)
}

// caddyfile writes the Caddyfile as `caddy fmt` formats it.
func (l layout) caddyfile() string {
	globals, inbox := "", ""
	if l.onlyHere() {
		globals = `{
	# For a try on this machine: Caddy needs neither port 80 nor root.
	auto_https disable_redirects
	skip_install_trust
}

`
	}
	if l.inbox {
		inbox = `
			# Each event is on disk before ElevenLabs gets its 200.
			inbox
`
	}
	return strings.NewReplacer("$GLOBALS", globals, "$DOMAIN", l.domain, "$PATH", l.path, "$SECRET", l.secret(), "$INBOX", inbox, "$BACKEND", l.backend).Replace(`$GLOBALS$DOMAIN {
	handle $PATH {
		elevenlabs_webhook {
			# The file has the webhook's signing secret. Only Caddy's user needs to read it.
			secret $SECRET
$INBOX
			# Your application.
			reverse_proxy $BACKEND
		}
	}

	# Without this, Caddy answers 200 to other paths. ElevenLabs takes that for success.
	handle {
		respond 404
	}
}
`)
}

// secret is the placeholder of the secret's file. In quotes, it may have blanks.
func (l layout) secret() string {
	placeholder := "{file." + l.secretFile + "}"
	if strings.ContainsAny(placeholder, " \t") {
		return `"` + placeholder + `"`
	}
	return placeholder
}
