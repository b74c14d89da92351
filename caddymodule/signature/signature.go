// Package signature signs and verifies ElevenLabs webhooks. It knows nothing
// of Caddy or of HTTP servers, and may be imported by any Go program.
//
// ElevenLabs signs each delivery with a header of the form
//
//	ElevenLabs-Signature: t=<unix seconds>,v0=<hex>
//
// where the hex digits are the HMAC-SHA256 of "<t>.<raw body>", keyed by the
// webhook's secret: the whole string as the dashboard shows it, "wsec_"
// included (https://elevenlabs.io/docs/eleven-api/resources/webhooks).
//
// A Verifier is stricter than the official SDKs where they are lax: it bounds
// the timestamp on both sides, refuses one that is not plain digits, and
// compares in constant time. It is laxer where they disagree with each other:
// of several "v0", any may match.
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
	// ErrMismatch says that no secret made any of the signatures: a forgery, a
	// body that was changed on its way, or another webhook's secret.
	ErrMismatch = errors.New("the signature does not match")
	// ErrStale says that the signature is genuine, but was made longer ago than
	// the tolerance.
	ErrStale = errors.New("the signature is genuine but too old")
	// ErrFuture says that the signature is genuine, but was made further in the
	// future than the tolerance.
	ErrFuture = errors.New("the signature is genuine but made in the future")

	// ErrNoSecret says that a Verifier was asked for without a secret, or with
	// an empty one.
	ErrNoSecret = errors.New("a signature cannot be verified without a secret")
)

// Verifier verifies deliveries. It is safe for concurrent use. The zero value
// is not usable; make one with NewVerifier.
type Verifier struct {
	past, future time.Duration
	now          func() time.Time
	keyed        sync.Pool // of *keyed: keying costs two hash blocks a secret
}

// keyed is what a check needs and another may use after it.
type keyed struct {
	macs    []hash.Hash // one a secret
	scratch [sha256.Size]byte
}

// NewVerifier makes a Verifier of one or more secrets, any of which may have
// signed. A signature counts for as long as past after it was made, and up to
// future before. now is the clock; nil means time.Now.
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

// Begin starts the check of one delivery. The age of its signature is measured
// now, when the header has arrived, so that a slow body does not make it stale.
// Write the raw body to the Check, in pieces of any size, then ask for the
// Result, or call Discard.
func (v *Verifier) Begin(h Header) *Check {
	c := &Check{verifier: v, header: h, age: v.now().Sub(h.SignedAt()), keyed: v.keyed.Get().(*keyed)}
	prefix := append(append(c.keyed.scratch[:0], h.time...), '.')
	for _, mac := range c.keyed.macs {
		mac.Reset()
		mac.Write(prefix) // hash.Hash never returns an error
	}
	return c
}

// Verify checks a whole delivery at once: the lines of its signature header and
// its raw body. It returns what Parse and Result return.
func (v *Verifier) Verify(lines []string, body []byte) (Match, error) {
	h, err := Parse(lines)
	if err != nil {
		return Match{}, err
	}
	c := v.Begin(h)
	_, _ = c.Write(body)
	return c.Result()
}

// Check is the check of one delivery, for one goroutine. After Result or Discard
// nothing but Discard may be called.
type Check struct {
	verifier *Verifier
	header   Header
	age      time.Duration
	keyed    *keyed // nil once the check has ended
}

// Match tells which secret signed, and when.
type Match struct {
	// Secret is the index of the first secret that matched.
	Secret int
	// Age is how long ago the delivery was signed by this side's clock when
	// Begin was called; negative if in the future.
	Age time.Duration
}

// Write adds a piece of the raw body. It never fails.
func (c *Check) Write(p []byte) (int, error) {
	for _, mac := range c.keyed.macs {
		mac.Write(p)
	}
	return len(p), nil
}

// Result ends the check. The error is nil, ErrMismatch, ErrStale or ErrFuture;
// with the latter two the Match is filled, since the signature is genuine.
// Every secret is compared with every signature, in constant time.
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
	case c.age < -c.verifier.future: // not -c.age: the least Duration has no opposite
		return match, ErrFuture
	}
	return match, nil
}

// Discard ends the check without a result. After Result it does nothing.
func (c *Check) Discard() {
	if c.keyed != nil {
		c.verifier.keyed.Put(c.keyed)
		c.keyed = nil
	}
}

// Sign returns the value of the signature header for a raw body signed with a
// secret at a time.
func Sign(secret []byte, at time.Time, body []byte) string {
	header, _ := SignReader(secret, at, bytes.NewReader(body)) // which never fails
	return header
}

// SignReader is Sign for a body that need not be in memory. The error is the
// reader's.
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
