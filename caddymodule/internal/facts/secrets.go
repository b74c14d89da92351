package facts

import "regexp"

const (
	// SecretPrefix begins every signing secret that ElevenLabs makes. It belongs
	// to the key.
	SecretPrefix = "wsec_"
	// KeyPrefix begins the keys of Standard Webhooks, which sign takes. Stripe's secrets
	// have it too.
	KeyPrefix = "whsec_"
	// APIKeyPrefix begins the API keys of ElevenLabs.
	APIKeyPrefix = "sk_"
)

var (
	secretPattern     = regexp.MustCompile(SecretPrefix + `\w+`)
	credentialPattern = regexp.MustCompile(`\b(?:wh?sec_|sk_)\S*[\w+/=-]|[0-9A-Fa-f]{32,}`)
)

// FindSecrets returns the signing secrets in a text.
func FindSecrets(text string) []string { return secretPattern.FindAllString(text, -1) }

// HideSecrets replaces the signing secrets in a text.
func HideSecrets(text, by string) string { return secretPattern.ReplaceAllString(text, by) }

// HideCredentials replaces what looks like a signing secret, an API key or another
// key in a text, such as an error that quotes a file.
func HideCredentials(text, by string) string { return credentialPattern.ReplaceAllString(text, by) }
