// Package backfill proves that `caddy elevenlabs inbox backfill` made an event.
//
// Anyone can send a header. So the mark of a backfill is a MAC that takes the webhook's
// secret to make, and that fits one body and one time of signing. Who has captured a
// genuine request, or a marked one, can mark nothing with it.
package backfill

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// purpose is what a key is derived for. ElevenLabs signs only messages that begin with a
// digit, so none of its signatures is such a key.
const purpose = "caddy-elevenlabs backfill"

// Key derives the key of marks from a webhook's secret.
func Key(secret []byte) []byte { return mac(secret, purpose) }

// Mark returns the mark of an event: of its body, by the event id, and of the time in its
// signature, as that is written there.
func Mark(key []byte, signedAt, eventID string) string {
	return hex.EncodeToString(mac(key, signedAt+"."+eventID))
}

// Genuine reports whether a mark is that of the event.
func Genuine(key []byte, mark, signedAt, eventID string) bool {
	return hmac.Equal([]byte(mark), []byte(Mark(key, signedAt, eventID)))
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
