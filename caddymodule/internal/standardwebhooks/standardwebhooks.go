// Package standardwebhooks signs webhooks by the symmetric scheme of the specification
// Standard Webhooks, https://www.standardwebhooks.com.
package standardwebhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// The headers of a signed webhook, in net/http's spelling.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// A key has from minKey to maxKey bytes.
const minKey, maxKey = 24, 64

// ParseKey returns the bytes of a key, which is written as whsec_ and base64. The error
// has nothing of the key.
func ParseKey(text string) ([]byte, error) {
	encoded, found := strings.CutPrefix(text, facts.KeyPrefix)
	switch {
	case strings.HasPrefix(text, facts.SecretPrefix):
		return nil, fmt.Errorf("it begins with %s: it is the secret of a webhook at ElevenLabs, and sign needs a key of your own, %s and base64", facts.SecretPrefix, facts.KeyPrefix)
	case !found:
		return nil, fmt.Errorf("it does not begin with %s", facts.KeyPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil { // its text has the place, which is of no use, since the key is not shown
		return nil, fmt.Errorf("what follows %s is not base64 with the characters + and / and with its padding", facts.KeyPrefix)
	}
	if len(key) < minKey || len(key) > maxKey {
		return nil, fmt.Errorf("it has %d bytes after base64 is decoded, and must have from %d to %d", len(key), minKey, maxKey)
	}
	return key, nil
}

// buffers halve the time that a small body takes.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// Sign returns the value of the header webhook-signature, with a signature of each key.
// It reads the body up to its end. The error is the reader's.
func Sign(keys [][]byte, id string, at time.Time, body io.Reader) (string, error) {
	macs, writers := make([]hash.Hash, len(keys)), make([]io.Writer, len(keys))
	for i, key := range keys {
		macs[i] = hmac.New(sha256.New, key)
		writers[i] = macs[i]
	}
	all := io.MultiWriter(writers...)
	_, _ = io.WriteString(all, id+"."+Timestamp(at)+".") // a hash never fails
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	if _, err := io.CopyBuffer(all, body, buffer[:]); err != nil {
		return "", err
	}
	signatures := make([]string, len(keys))
	for i, mac := range macs {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}

// Timestamp returns the value of the header webhook-timestamp.
func Timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
