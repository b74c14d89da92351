package facts

import (
	"net/http"
	"time"
)

// ElevenLabs disables a webhook after DisabledAfter failures in a row, if it never
// succeeded or last succeeded longer than DisabledIfNoneFor ago.
const (
	DisabledAfter     = 10
	DisabledIfNoneFor = 7 * 24 * time.Hour
)

// RetriedFor is longer than ElevenLabs goes on to send a transcript again: the last attempt
// is some 40 minutes after the first.
const RetriedFor = time.Hour

// Retried reports whether ElevenLabs retries after an answer with this status. It
// does so for transcripts only, and only if the webhook's retries are on.
func Retried(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}
