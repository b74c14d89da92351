package stored

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// Request is what a request was when its event was stored, without the body. A delivery
// makes it anew, so that reverse_proxy finds what it would have found then. What handlers
// before ours have set, such as the variables of vars and map, is lost.
type Request struct {
	Proto        string      `json:"proto,omitempty"`
	Host         string      `json:"host"`
	URI          string      `json:"uri"`
	Header       http.Header `json:"header"`
	RemoteAddr   string      `json:"remote_addr"`
	LocalAddr    string      `json:"local_addr,omitempty"`
	ClientIP     string      `json:"client_ip"`
	TrustedProxy bool        `json:"trusted_proxy,omitempty"`
	TLS          *TLS        `json:"tls,omitempty"`
	// Bytes has the parts of the request that are not UTF-8. JSON cannot hold them as text.
	Bytes *Bytes `json:"bytes,omitempty"`
}

// Bytes are parts of a request that are not UTF-8.
type Bytes struct {
	URI    []byte              `json:"uri,omitempty"`
	Header map[string][][]byte `json:"header,omitempty"`
}

// TLS is what is kept of the connection's encryption.
type TLS struct {
	Version    uint16 `json:"version"`
	Cipher     uint16 `json:"cipher"`
	ServerName string `json:"server_name,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
}

// KeepBytes copies the parts of the request that are not UTF-8 into Bytes.
func (r *Request) KeepBytes() {
	var b Bytes
	if !utf8.ValidString(r.URI) {
		b.URI = []byte(r.URI)
	}
	for name, values := range r.Header {
		if !slices.ContainsFunc(values, func(value string) bool { return !utf8.ValidString(value) }) {
			continue
		}
		if b.Header == nil {
			b.Header = map[string][][]byte{}
		}
		for _, value := range values {
			b.Header[name] = append(b.Header[name], []byte(value))
		}
	}
	if b.URI != nil || b.Header != nil {
		r.Bytes = &b
	}
}

// RestoreBytes puts the parts in Bytes back where they were.
func (r *Request) RestoreBytes() {
	if r.Bytes == nil {
		return
	}
	if r.Bytes.URI != nil {
		r.URI = string(r.Bytes.URI)
	}
	for name, values := range r.Bytes.Header {
		r.Header[name] = nil
		for _, value := range values {
			r.Header[name] = append(r.Header[name], string(value))
		}
	}
}

// redacted stands for a value that is not shown, as in Caddy's access log.
const redacted = "REDACTED"

// credentialHeader matches the names of headers whose values are not shown: those of
// HTTP, ElevenLabs' signature, and those by which a webhook's own headers may carry a
// credential.
var credentialHeader = regexp.MustCompile(`(?i)auth|cookie|signature|token|secret|password|api-?key`)

// hideCredentials redacts a request. It returns a function that does so in the answers
// of a backend, which may repeat the request.
func (r *Request) hideCredentials() (hide func(answer string) string) {
	var pairs []string
	r.RestoreBytes()
	r.Bytes = nil
	r.URI = facts.HideCredentials(r.URI, "…")
	for name, values := range r.Header {
		for i, value := range values {
			values[i] = facts.HideSecrets(value, "…")
			if credentialHeader.MatchString(name) {
				values[i] = redacted
				if value != "" {
					pairs = append(pairs, value, redacted)
				}
			}
		}
	}
	r.KeepBytes() // of what is left
	known := strings.NewReplacer(pairs...)
	return func(answer string) string { return facts.HideCredentials(known.Replace(answer), "…") }
}
