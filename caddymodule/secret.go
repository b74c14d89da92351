package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
)

// secretPrefix begins every signing secret that ElevenLabs makes.
const secretPrefix = "wsec_"

// Secret is a signing secret of a webhook, as the ElevenLabs dashboard shows it
// once, when the webhook is created.
type Secret struct {
	// The secret, `wsec_` included, best by the placeholder `{env.NAME}` or
	// `{file./path}`, which is resolved once, when the configuration is loaded.
	// What is written out here can be read by whoever reads the configuration.
	//
	// After a change of the variable or the file, reload with `caddy reload
	// --force`, since to Caddy the configuration itself did not change.
	Value string `json:"value,omitempty"`

	// A name for the secret, to tell the backend and the logs which one signed.
	// Optional; need not be unique.
	Name string `json:"name,omitempty"`
}

// check finds out what is wrong with the secret as it is configured.
func (s Secret) check() error {
	if s.Value == "" {
		return errors.New("it is empty: give the webhook's signing secret, as {env.NAME} or {file./path}")
	}
	for _, c := range []byte(s.Name) { // by the same rule as for values out of the body
		if c < ' ' || c > '~' || len(s.Name) > envelope.MaxValue {
			return fmt.Errorf("a name must be printable ASCII of at most %d bytes, since it goes into a header", envelope.MaxValue)
		}
	}
	return nil
}

// placeholder returns the placeholder's key if the secret is one and nothing else.
func (s Secret) placeholder() (key string, ok bool) {
	key, opened := strings.CutPrefix(s.Value, "{")
	key, closed := strings.CutSuffix(key, "}")
	return key, opened && closed && !strings.ContainsAny(key, "{}:")
}

// resolveSecrets returns the keys. It never puts one into an error, a log or an
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
			log.Warn("the secret is written out in the configuration, where others may read it: use {env.NAME} or {file./path}")
		}
		value, err := repl.ReplaceOrErr(secret.Value, true, true)
		if err != nil && strings.Contains(secret.Value, secretPrefix) {
			return nil, fmt.Errorf("secret %d: the secret itself seems to stand where a name is to be: write {env.NAME}, or {file./path}", i+1)
		}
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		key := strings.TrimSpace(value)
		if key == "" {
			return nil, fmt.Errorf("secret %d: %s is blank", i+1, secret.Value)
		}
		if key != value {
			log.Warn("blanks or line ends around the secret were removed")
		}
		if !strings.HasPrefix(key, secretPrefix) {
			log.Warn("the secret does not begin with " + secretPrefix + " as those of ElevenLabs do: is it the whole one?")
		}
		keys[i] = []byte(key)
	}
	return keys, nil
}
