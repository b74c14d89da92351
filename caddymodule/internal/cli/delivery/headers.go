package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// Headers are request headers that a flag names.
type Headers struct{ lines []string }

// HeaderFlag adds the flag that names request headers.
func HeaderFlag(cmd *cobra.Command) *Headers {
	h := new(Headers)
	cmd.Flags().StringArrayVar(&h.lines, "header", nil, "send this `name=value` as a header too, such as one that a proxy in front would add; may be repeated")
	return h
}

// fixed are the headers that the URL, the body or the secret determine.
var fixed = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", http.CanonicalHeaderKey(signature.HeaderName)}

// Read returns the headers. Each line is name=value, or Name: value as curl takes it.
func (h *Headers) Read() (http.Header, error) {
	header := http.Header{}
	for _, line := range h.lines {
		i := strings.IndexAny(line, "=:")
		if i < 0 {
			return nil, errHeader
		}
		name, value := http.CanonicalHeaderKey(line[:i]), strings.TrimSpace(line[i+1:])
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errHeader
		}
		if slices.Contains(fixed, name) {
			return nil, fmt.Errorf("--header cannot set %s: it follows from the URL, the body and the secret", name)
		}
		header.Add(name, value)
	}
	return header, nil
}

// errHeader does not repeat the header, since its value may be secret.
var errHeader = errors.New("--header must be name=value, as an HTTP header can have them")
