package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/standardwebhooks"
)

// shortestSecret is well below the length of ElevenLabs's secrets. Those observed
// have 69 characters.
const shortestSecret = 32

func (e *examination) checkSecrets(context.Context) []finding {
	var findings []finding
	known := false // or one of them cannot be read here
	inEnvironment := false
	for _, h := range e.handlers() {
		for i, s := range h.Secrets {
			findings = append(findings, checkSecret(s, fmt.Sprintf("secret %d", i+1), examine)...)
			known = known || s.Problem != nil || e.key != nil && strings.TrimSpace(s.Value) == string(e.key)
		}
		inEnvironment = inEnvironment || slices.ContainsFunc(slices.Concat(h.Secrets, h.SignKeys), func(s cmdutil.ConfigSecret) bool { return strings.Contains(s.Text, "{env.") })
	}
	if pid := printsEnvironment(e.configFile); pid != "" && inEnvironment {
		findings = append(findings, found(statusWarn, "process %s was started by `caddy run --environ`, which prints the secret into its log", pid).
			withRemedy("Leave out --environ, as in examples/systemd, or read the secret from a file. Who could read the log may have the secret: caddy elevenlabs webhooks rotate."))
	}
	switch {
	case e.blank:
		findings = append(findings, found(statusFail, "the secret in %s is blank", e.secret.Source()))
	case e.key == nil && len(findings) == 0:
		return []finding{found(statusSkip, "there is no secret: the environment variable %s is not set", e.secret.Env).
			withRemedy("Name another by --secret-env, or a file by --secret-file.")}
	case len(findings) == 0:
		return examine("the secret in "+e.secret.Source(), string(e.key))
	case e.key != nil && !known:
		findings = append(findings, found(statusFail, "the secret in %s is not one of the configuration's", e.secret.Source()).
			withRemedy("Give both the secret that ElevenLabs showed when the webhook was created, or leave out --secret-file and --secret-env."))
	}
	return findings
}

// checkSign checks the keys that events are signed with for the backend.
func (e *examination) checkSign(context.Context) []finding {
	var findings []finding
	for _, h := range e.handlers() {
		count := map[string]int{} // by destination: each numbers its keys by itself
		for _, s := range h.SignKeys {
			count[s.Name]++
			label := fmt.Sprintf("sign %d", count[s.Name])
			if s.Name != "" {
				label = "destination " + s.Name + ": " + label
			}
			s.Name = ""
			findings = append(findings, checkSecret(s, label, examineKey)...)
		}
	}
	return findings
}

// checkSecret checks a secret of the configuration. The form is that of its value.
func checkSecret(s cmdutil.ConfigSecret, label string, form func(label, value string) []finding) []finding {
	if s.Name != "" {
		label += fmt.Sprintf(" %q", s.Name)
	}
	var findings []finding
	if s.Literal {
		findings = append(findings, found(statusWarn, "%s is written out in the configuration, where others may read it", label).
			withRemedy("Put it into the environment or a file, and write {env.NAME} or {file./path} instead. {$NAME} does not help: Caddy would write the secret itself into its configuration."))
	} else {
		label += " (" + facts.HideCredentials(s.Text, "…") + ")" // the secret may be in the braces
	}
	if s.Problem != nil {
		return append(findings, found(statusFail, "%s cannot be read: %s", label, facts.HideCredentials(s.Problem.Error(), "…")).
			withRemedy("Set it where Caddy runs. If it is missing only here, run doctor as the server's user and with its environment."))
	}
	return append(findings, form(label, s.Value)...)
}

// CheckSecretForm returns an error if a text cannot be a webhook's signing secret. The
// error has nothing of the text.
func CheckSecretForm(secret string) error {
	for _, f := range examine("the secret", secret) {
		if f.Status == statusFail || !strings.HasPrefix(secret, facts.SecretPrefix) {
			return errors.New(f.Detail)
		}
	}
	return nil
}

// examine checks the form of a secret. It never shows the secret.
func examine(label, secret string) []finding {
	trimmed := strings.TrimSpace(secret)
	if wrong := misread(label, trimmed); wrong != nil {
		return wrong
	}
	switch {
	case strings.HasPrefix(trimmed, facts.APIKeyPrefix):
		return only(statusFail, "%s begins with %s: it is an API key of ElevenLabs, which does not sign webhooks", label, facts.APIKeyPrefix)
	case strings.HasPrefix(trimmed, facts.KeyPrefix):
		return only(statusFail, "%s begins with %s: it is another service's, or a key of the option sign", label, facts.KeyPrefix)
	case !strings.HasPrefix(trimmed, facts.SecretPrefix):
		return only(statusWarn, "%s does not begin with %s, as ElevenLabs's secrets do", label, facts.SecretPrefix)
	case len(trimmed) < shortestSecret:
		return only(statusWarn, "%s has only %d characters: is it complete?", label, len(trimmed))
	}
	return judgeBlanks(label, secret)
}

// examineKey checks the form of a key to sign with. It never shows the key.
func examineKey(label, key string) []finding {
	trimmed := strings.TrimSpace(key)
	if wrong := misread(label, trimmed); wrong != nil {
		return wrong
	}
	if _, err := standardwebhooks.ParseKey(trimmed); err != nil {
		return only(statusFail, "%s is wrong: %s", label, err)
	}
	return judgeBlanks(label, key)
}

// misread returns what shows that a secret was copied or read wrongly.
func misread(label, trimmed string) []finding {
	notASCII := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case trimmed == "":
		return only(statusFail, "%s is blank", label)
	case cmdutil.TrimQuotes(trimmed) != trimmed:
		return only(statusFail, "%s has quotes around it", label)
	case strings.ContainsAny(trimmed, "{}$%"):
		return []finding{found(statusFail, "%s looks like a placeholder that was not replaced", label).
			withRemedy("Software that reads the variable or the file (systemd, Docker, .env) does not replace such names: put the secret itself there.")}
	case strings.ContainsAny(trimmed, " \t\r\n"):
		return only(statusFail, "%s has blanks or line ends in it", label)
	case strings.ContainsFunc(trimmed, notASCII):
		return only(statusFail, "%s has characters in it that are not plain ASCII, such as a byte order mark", label)
	}
	return nil
}

// judgeBlanks says whether there are blanks around a secret that has the right form.
func judgeBlanks(label, secret string) []finding {
	if strings.TrimSpace(secret) != secret {
		return []finding{found(statusWarn, "%s has blanks or line ends around it", label).
			withRemedy("This command ignores them, but other software may read them as part of the secret: remove them.")}
	}
	return only(statusOK, "%s has the right form", label)
}
