package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

var errNoSecret = errors.New("at least one is required: the webhook's signing secret, as {env.NAME} or {file./path}")

// Secret is the signing secret of a webhook. The ElevenLabs dashboard shows it once,
// when the webhook is created.
type Secret struct {
	// The secret, with `wsec_`. Use a placeholder, `{env.NAME}` or `{file./path}`:
	// Caddy resolves it once, when it loads the configuration. A secret that is
	// written out can be read by everyone who can read the configuration.
	//
	// After you changed the file, run `caddy reload --force`, since the configuration
	// itself is the same. After you changed the variable, restart Caddy.
	Value string `json:"value,omitempty"`

	// A name for the secret. The backend and the logs get the name of the secret
	// that signed. Optional. It need not be unique.
	Name string `json:"name,omitempty"`
}

// check returns what is wrong with the secret as it is configured.
func (s Secret) check() error {
	if s.Value == "" {
		return errors.New("it is empty: set the webhook's signing secret, as {env.NAME} or {file./path}")
	}
	for _, c := range []byte(s.Name) { // the same rule as for values of the body
		if c < ' ' || c > '~' || len(s.Name) > envelope.MaxValue {
			return fmt.Errorf("a name must be printable ASCII of at most %d bytes, since it goes into a header", envelope.MaxValue)
		}
	}
	return nil
}

// placeholder returns the placeholder's key, if the value is a placeholder and nothing
// else.
func (s Secret) placeholder() (key string, ok bool) {
	key, opened := strings.CutPrefix(s.Value, "{")
	key, closed := strings.CutSuffix(key, "}")
	return key, opened && closed && !strings.ContainsAny(key, "{}:")
}

// resolveSecrets returns the keys. It never puts a key into an error, a log or an
// exported field.
func resolveSecrets(secrets []Secret, logger *zap.Logger) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("secret: %w", errNoSecret)
	}
	repl := caddy.NewReplacer()
	keys := make([][]byte, len(secrets))
	for i, secret := range secrets {
		log := logger.With(zap.Int("secret", i+1), zap.String("name", secret.Name))
		if !strings.Contains(secret.Value, "{") {
			log.Warn("the secret is written out in the configuration, where others may read it: set it as {env.NAME} or {file./path}")
		}
		value, err := repl.ReplaceOrErr(secret.Value, true, true)
		if err != nil && strings.Contains(secret.Value, facts.SecretPrefix) {
			return nil, fmt.Errorf("secret %d: the secret itself seems to stand in place of a name: write {env.NAME} or {file./path}", i+1)
		}
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		key := strings.TrimSpace(value)
		if key == "" {
			return nil, fmt.Errorf("secret %d: %s is blank", i+1, secret.Value)
		}
		if key != value {
			log.Warn("spaces or line ends around the secret were removed")
		}
		if !strings.HasPrefix(key, facts.SecretPrefix) {
			log.Warn("the secret does not begin with " + facts.SecretPrefix + " as the secrets of ElevenLabs do: is it complete?")
		}
		keys[i] = []byte(key)
	}
	return keys, nil
}
