package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// setReadDeadline limits how long the request's body may take to arrive. The zero
// time means no limit.
func setReadDeadline(w http.ResponseWriter, r *http.Request, deadline time.Time) {
	reader, _ := caddyhttp.IdleTimeoutsFromContext(r.Context())
	if reader == nil {
		_ = http.NewResponseController(w).SetReadDeadline(deadline) // not every ResponseWriter can; those of Caddy's server do
		return
	}
	_ = reader.SetReadDeadline(deadline) // otherwise the reader sets its own before each read
	if deadline.IsZero() {
		// The line above has started the server's read_body anew, though the body is
		// here. When it ran out, the client would seem to have left.
		_ = reader.Ctrl.SetReadDeadline(deadline)
	}
}

// requestMemory is about what Go and Caddy take for a request in flight beside its
// body: the goroutine, and the buffers of HTTP/2 or of TLS.
const requestMemory = 48 << 10

// maxBodies returns the number of bodies whose requests take half of Go's memory
// limit. It is never so low that a limit set in error stops all events.
func maxBodies() int64 { return max(100, debug.SetMemoryLimit(-1)/2/requestMemory) }

// bodiesFor returns the number of bodies up to which the handler reads that of an
// event. A quarter is for ElevenLabs' addresses alone: bodies of others that are never
// finished must not keep genuine events out.
func (h *Handler) bodiesFor(e *event) int64 {
	if e.FromElevenLabs {
		return h.maxBodies
	}
	return h.maxBodies - h.maxBodies/4
}

var scanners = sync.Pool{New: func() any { return new(envelope.Scanner) }}

// readBody reads the body once. While the body passes, it computes the signatures
// and the event's id, and reads the envelope. It fills the event, with fields of the
// body only if the signature is genuine.
//
// The body is nil if it did not come whole; then the rejection says why. Otherwise
// the rejection is nil, or says what is wrong with the signature.
func (h *Handler) readBody(r *http.Request, header signature.Header, e *event) (*spool.Body, *rejection) {
	check := h.verifier.Begin(header)
	defer check.Discard()
	digest := sha256.New()
	scanner := scanners.Get().(*envelope.Scanner)
	defer scanners.Put(scanner)
	scanner.Reset()

	limits := spool.Limits{
		Size: h.MaxSize, Memory: h.MemoryBuffer, TotalMemory: h.MemoryLimit, Total: h.SpoolLimit, Bodies: h.bodiesFor(e), Dir: h.SpoolDir,
	}
	start := time.Now()
	body, err := spool.Read(r.Body, limits, func(p []byte) {
		_, _ = check.Write(p) // none of the three ever fails
		_, _ = digest.Write(p)
		if !scanner.Done() {
			_, _ = scanner.Write(p)
		}
	})
	received := time.Now()
	e.ReceiveSeconds = received.Sub(start).Seconds()
	if err == nil && r.ContentLength >= 0 && r.ContentLength != body.Size() {
		body.Close()
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, &rejection{Rejection: bodyRejection(err), cause: err}
	}

	match, err := check.Result()
	id := deliveries.EventID(digest.Sum(nil))
	e.EventID = hex.EncodeToString(id[:])
	e.Size = body.Size()
	e.VerifySeconds = time.Since(received).Seconds()
	if err == nil || errors.Is(err, signature.ErrStale) || errors.Is(err, signature.ErrFuture) {
		e.Backfill = h.isBackfill(r.Context(), match.Secret, header.Timestamp(), e.EventID)
		e.prove(id, err != nil)
		e.Fields = scanner.Fields()
		e.SignedAt = header.Timestamp()
		e.SecretName, e.Secret = h.Secrets[match.Secret].Name, h.secretNames[match.Secret]
		e.age = match.Age
	}
	if err != nil {
		return body, &rejection{Rejection: signatureRejection(err), age: e.age}
	}
	return body, nil
}

// signatureRejection returns the reason for an error of package signature.
func signatureRejection(err error) *facts.Rejection {
	switch {
	case errors.Is(err, signature.ErrMissing):
		return facts.SignatureMissing
	case errors.Is(err, signature.ErrMalformed):
		return facts.SignatureMalformed
	case errors.Is(err, signature.ErrStale):
		return facts.TimestampStale
	case errors.Is(err, signature.ErrFuture):
		return facts.TimestampFuture
	}
	return facts.SignatureMismatch
}

// bodyRejection returns the reason for an error from reading a body.
func bodyRejection(err error) *facts.Rejection {
	if tooLarge(err) {
		return facts.BodyTooLarge
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrTooMany):
		return facts.Overloaded
	case errors.Is(err, spool.ErrStorage):
		return facts.SpoolFailed
	case errors.As(err, &timeout) && timeout.Timeout():
		return facts.BodyTimeout
	}
	return facts.BodyIncomplete
}

// tooLarge reports whether the body crossed our own limit, or that of a handler
// before ours, such as request_body.
func tooLarge(err error) bool {
	if errors.Is(err, spool.ErrTooLarge) {
		return true
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return true
	}
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	return ok && handlerErr.StatusCode == http.StatusRequestEntityTooLarge
}
