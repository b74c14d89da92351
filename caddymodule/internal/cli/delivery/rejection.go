package delivery

import (
	"net/http"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// HeaderRejection is the response header in which the handler names the reason of
// a rejection.
const HeaderRejection = "X-ElevenLabs-Rejection"

// HeaderInbox is the response header in which the handler says what its inbox did.
const HeaderInbox = "X-ElevenLabs-Inbox"

// Reason returns the handler's reason of a rejection, fit to be printed, or an
// empty string.
func Reason(header http.Header) string { return cmdutil.Brief(header.Get(HeaderRejection), 40) }
