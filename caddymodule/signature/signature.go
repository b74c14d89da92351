// Package signature signs and verifies ElevenLabs webhooks. It depends only on
// the standard library, not on Caddy, so any Go program can import it.
//
// ElevenLabs signs each delivery with a header of the form
//
//	ElevenLabs-Signature: t=<unix seconds>,v0=<hex>
//
// The hex digits are the HMAC-SHA256 of "<t>.<raw body>". Its key is the webhook's
// secret: the whole string that the dashboard shows, "wsec_" included. The form of
// the header is documented at
// https://elevenlabs.io/docs/eleven-api/resources/webhooks. The message and the key
// are those of the official SDKs: elevenlabs-js 2.73.0 and elevenlabs-python 2.59.0.
//
// A Verifier is stricter than the SDKs in three ways:
//   - it bounds the time of signing on both sides, while the SDKs accept any time
//     in the future;
//   - it rejects a time that is not plain digits;
//   - it compares signatures in constant time.
//
// If a header has several "v0", a Verifier accepts any that matches. The JavaScript
// SDK takes the first, the Python SDK the last.
package signature

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strconv"
	"sync"
	"time"
)

var (
	// ErrMismatch is returned if no secret made any of the signatures. The request
	// is forged, its body was changed on the way, or it belongs to another secret.
	ErrMismatch = errors.New("the signature does not match")
	// ErrStale is returned if the signature is genuine, but older than the
	// Verifier allows.
	ErrStale = errors.New("the signature is genuine but too old")
	// ErrFuture is returned if the signature is genuine, but further in the future
	// than the Verifier allows.
	ErrFuture = errors.New("the signature is genuine but made in the future")

	// ErrNoSecret is returned by NewVerifier if there is no secret, or an empty one.
	ErrNoSecret = errors.New("a signature cannot be verified without a secret")
)

// Verifier verifies requests. Any number of goroutines may use it at once. The zero
// value is not usable: call NewVerifier.
type Verifier struct {
	past, future time.Duration
	now          func() time.Time
	keyed        sync.Pool // of *keyed: keying an HMAC costs two hash blocks
}

// keyed is the part of a Check that the next Check uses again.
type keyed struct {
	macs    []hash.Hash // one for each secret
	scratch [sha256.Size]byte
}

// NewVerifier returns a Verifier for one or more secrets. It accepts a request that
// any of them signed. It accepts a signature from past before the present to future
// after it, both limits included; ElevenLabs's own SDKs use 30 minutes for past.
// now is the clock, and nil means time.Now. The error is nil or ErrNoSecret.
//
// The secrets must not be changed afterwards.
func NewVerifier(secrets [][]byte, past, future time.Duration, now func() time.Time) (*Verifier, error) {
	if len(secrets) == 0 {
		return nil, ErrNoSecret
	}
	if now == nil {
		now = time.Now
	}
	for _, secret := range secrets {
		if len(secret) == 0 {
			return nil, ErrNoSecret
		}
	}
	v := &Verifier{past: past, future: future, now: now}
	v.keyed.New = func() any {
		k := new(keyed)
		for _, secret := range secrets {
			k.macs = append(k.macs, hmac.New(sha256.New, secret))
		}
		return k
	}
	return v, nil
}

// Begin starts the check of one request. It takes the age of the signature at once,
// so a body that arrives slowly does not make the signature stale.
//
// Write the raw body to the Check, in pieces of any size. Then call Result, or
// Discard to give up.
func (v *Verifier) Begin(h Header) *Check {
	c := &Check{verifier: v, header: h, age: v.now().Sub(h.SignedAt()), keyed: v.keyed.Get().(*keyed)}
	prefix := append(append(c.keyed.scratch[:0], h.time...), '.')
	for _, mac := range c.keyed.macs {
		mac.Reset()
		mac.Write(prefix) // hash.Hash never returns an error
	}
	return c
}

// Verify checks a whole request: the values of its signature header, as
// http.Header.Values returns them, and its raw body. The errors are those of Parse
// and of Result.
func (v *Verifier) Verify(values []string, body []byte) (Match, error) {
	h, err := Parse(values)
	if err != nil {
		return Match{}, err
	}
	c := v.Begin(h)
	_, _ = c.Write(body)
	return c.Result()
}

// Check is the check of one request. Only one goroutine may use it. After Result or
// Discard, only Discard may be called. Begin returns a Check.
type Check struct {
	verifier *Verifier
	header   Header
	age      time.Duration
	keyed    *keyed // nil once the check has ended
}

// Match says which secret signed a request, and when.
type Match struct {
	// Secret is the index of the first secret that matched, in the order given to
	// NewVerifier.
	Secret int
	// Age is the time from the signing to the call of Begin, by the Verifier's
	// clock. It is negative if the request was signed in the future.
	Age time.Duration
}

// Write adds a piece of the raw body. It never fails and keeps nothing of p.
func (c *Check) Write(p []byte) (int, error) {
	for _, mac := range c.keyed.macs {
		mac.Write(p)
	}
	return len(p), nil
}

// Result ends the check. The error is nil, ErrMismatch, ErrStale or ErrFuture. With
// ErrStale and ErrFuture the Match is filled too, since the signature is genuine.
//
// Result compares every secret with every signature, in constant time.
func (c *Check) Result() (Match, error) {
	defer c.Discard()
	secret := -1
	for i, mac := range c.keyed.macs {
		sum := mac.Sum(c.keyed.scratch[:0])
		equal := 0
		for j := range c.header.macs {
			equal |= subtle.ConstantTimeCompare(sum, c.header.macs[j][:])
		}
		if equal == 1 && secret < 0 {
			secret = i
		}
	}
	if secret < 0 {
		return Match{}, ErrMismatch
	}
	match := Match{Secret: secret, Age: c.age}
	switch {
	case c.age > c.verifier.past:
		return match, ErrStale
	case c.age < -c.verifier.future: // not -c.age > …: the smallest Duration has no opposite
		return match, ErrFuture
	}
	return match, nil
}

// Discard ends the check without a result. It does nothing after Result or another
// Discard, so it can be deferred.
func (c *Check) Discard() {
	if c.keyed != nil {
		c.verifier.keyed.Put(c.keyed)
		c.keyed = nil
	}
}

// Sign returns the value of the signature header for a raw body that is signed with
// a secret at a time, to the second.
func Sign(secret []byte, at time.Time, body []byte) string {
	header, _ := SignReader(secret, at, bytes.NewReader(body)) // a bytes.Reader never fails
	return header
}

// SignReader is like Sign, and reads the body up to its end, so that the body need
// not fit in memory. The error is the reader's.
func SignReader(secret []byte, at time.Time, body io.Reader) (string, error) {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t))
	mac.Write([]byte{'.'})
	if _, err := io.Copy(mac, body); err != nil {
		return "", err
	}
	return "t=" + t + ",v0=" + hex.EncodeToString(mac.Sum(nil)), nil
}
