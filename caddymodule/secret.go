package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
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
	if _, placeholder := placeholderKey(s.Name); placeholder || slices.ContainsFunc(secretPrefixes, func(p string) bool { return strings.HasPrefix(s.Name, p) }) {
		return errors.New("a second secret stands in place of the name: write each secret in a line of its own")
	}
	for _, c := range []byte(s.Name) { // the same rule as for values of the body
		if c < ' ' || c > '~' || len(s.Name) > envelope.MaxValue {
			return fmt.Errorf("a name must be printable ASCII of at most %d bytes, since it goes into a header", envelope.MaxValue)
		}
	}
	return nil
}

// placeholderKey returns a placeholder's key, if the value is a placeholder and nothing
// else.
func placeholderKey(value string) (key string, ok bool) {
	key, opened := strings.CutPrefix(value, "{")
	key, closed := strings.CutSuffix(key, "}")
	return key, opened && closed && !strings.ContainsAny(key, "{}:")
}

// resolveSecret replaces the placeholders of a secret. The error has nothing of the secret.
func resolveSecret(text string) (value string, err error) {
	value, err = caddy.NewReplacer().ReplaceOrErr(text, true, true)
	key := strings.TrimSpace(value)
	prefix := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case err != nil && slices.ContainsFunc(secretPrefixes, prefix):
		return "", errors.New("the secret itself seems to stand in place of a name: write {env.NAME} or {file./path}")
	case err != nil:
		return "", placeholderProblem(text, err, "the secret")
	case key == "":
		return "", fmt.Errorf("%s is blank", text)
	case strings.ContainsAny(key, "\r\n"):
		return "", fmt.Errorf("%s has more than one line: put nothing but the secret there", sourceOf(text))
	case slices.ContainsFunc(secretPrefixes, func(s string) bool { return strings.Trim(strings.TrimPrefix(key, s), ".…") == "" }):
		return "", fmt.Errorf("%s has %q, which stands for a secret in the documentation: put your own there", sourceOf(text), key)
	}
	return value, nil
}

// secretPrefixes begin the secrets of a configuration: ElevenLabs' and those of sign.
var secretPrefixes = []string{facts.SecretPrefix, facts.KeyPrefix}

// sourceOf returns where a secret comes from. It never returns the secret.
func sourceOf(text string) string {
	if _, ok := placeholderKey(text); ok {
		return text
	}
	return "the configuration"
}

// placeholderProblem returns why a placeholder has no value. Of a file, Caddy only says
// that it is empty.
func placeholderProblem(value string, err error, wanted string) error {
	key, _ := placeholderKey(value)
	if path, isFile := strings.CutPrefix(key, "file."); isFile {
		return fileProblem(path, wanted)
	}
	return err
}

// fileProblem returns why a file does not have what is wanted of it.
func fileProblem(path, wanted string) error {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory: name the file in it", path)
	}
	if err == nil {
		var file *os.File
		if file, err = os.Open(path); err == nil {
			defer file.Close()
			return fmt.Errorf("the file %s is empty, or larger than 1 MiB: put %s there", path, wanted)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the file %s does not exist: create it, or correct the path", path)
	case errors.Is(err, fs.ErrPermission) && info != nil:
		return fmt.Errorf("the file %s cannot be read by the user %s, its mode is %s: let this user read it", path, userName(), info.Mode())
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the file %s cannot be reached by the user %s: let this user enter the directories above it", path, userName())
	}
	return fmt.Errorf("reading the file of %s: %w", wanted, err)
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

// resolveSecrets returns the keys. It never puts a key into an error, a log or an
// exported field.
func resolveSecrets(secrets []Secret, logger *zap.Logger) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("secret: %w", errNoSecret)
	}
	keys := make([][]byte, len(secrets))
	for i, secret := range secrets {
		log := logger.With(zap.Int("secret", i+1), zap.String("name", secret.Name))
		key, err := resolveTrimmed(secret.Value, log)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		if !strings.HasPrefix(key, facts.SecretPrefix) {
			log.Warn("the secret does not begin with " + facts.SecretPrefix + " as the secrets of ElevenLabs do: is it complete?")
		}
		keys[i] = []byte(key)
	}
	return keys, nil
}

// resolveTrimmed is resolveSecret without the blanks around the secret. It warns of what
// may be wrong, and never logs the secret.
func resolveTrimmed(text string, logger *zap.Logger) (string, error) {
	if !strings.Contains(text, "{") {
		logger.Warn("the secret is written out in the configuration, where others may read it: set it as {env.NAME} or {file./path}")
	}
	value, err := resolveSecret(text)
	secret := strings.TrimSpace(value)
	if secret != value {
		logger.Warn("spaces or line ends around the secret were removed")
	}
	return secret, err
}
