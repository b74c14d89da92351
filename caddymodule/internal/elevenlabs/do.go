package elevenlabs

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

const (
	maxTries   = 5
	maxElapsed = 2 * time.Minute // for all tries and the pauses between them
	maxAnswer  = 64 << 20        // bytes; the largest known answer, a conversation, is far smaller
)

// operation is a request to the API.
type operation struct {
	name       string // for errors, such as "listing webhooks"
	permission string // the permission that the API key probably needs, for errors
	method     string
	path       string // with the query
	body       any    // nil if there is none
	// notIdempotent marks an operation whose repetition has another effect.
	notIdempotent bool
	// read reads an answer that is not JSON, and may be large. It is nil for others. After
	// an error of the connection, it reads the answer of the next try.
	read func(io.Reader) error
}

// do makes the request, and repeats it after an error that is retryable. It reads the
// answer's JSON into answer, unless that is nil.
//
// do repeats a create only if ElevenLabs surely did not execute the one before.
// Otherwise there could be two webhooks, and the secret of the first, which
// ElevenLabs shows only once, would be lost. All other operations are idempotent,
// since updates replace and do not add.
func (c *Client) do(ctx context.Context, op operation, answer any) error {
	delays := &delays{ExponentialBackOff: &backoff.ExponentialBackOff{
		InitialInterval: 500 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 30 * time.Second,
	}}
	maybeExecuted := false // ElevenLabs may have executed an earlier try
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := c.try(ctx, op, answer)
		rejected, answered := errors.AsType[*Error](err)
		switch {
		case err == nil:
			return struct{}{}, nil
		case op.method == http.MethodDelete && maybeExecuted && answered && rejected.Status == http.StatusNotFound:
			return struct{}{}, nil // an earlier try deleted it
		}
		executed := !notExecuted(err)
		maybeExecuted = maybeExecuted || executed
		if op.notIdempotent && executed {
			return struct{}{}, backoff.Permanent(fmt.Errorf("%w: %w", err, ErrUnknown))
		}
		if !retryable(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		delays.retryAfter = 0
		if answered && rejected.retryAfter != nil {
			delays.retryAfter = *rejected.retryAfter
		}
		return struct{}{}, err
	}, backoff.WithBackOff(delays), backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(maxElapsed))
	if err != nil {
		return fmt.Errorf("%s: %w", c.presentable(op.name), err)
	}
	return nil
}

// delays are the pauses between tries.
type delays struct {
	*backoff.ExponentialBackOff
	retryAfter time.Duration // from the answer's Retry-After, or 0
}

// NextBackOff returns the next pause. It adds a random part to Retry-After, so that
// clients with the same Retry-After do not all come back at once.
func (d *delays) NextBackOff() time.Duration {
	return d.retryAfter + d.ExponentialBackOff.NextBackOff()
}

// errAnswer is wrapped by the error for an answer that reports success, and that the
// client cannot read.
var errAnswer = errors.New("ElevenLabs's answer cannot be understood")

// try makes the request once.
func (c *Client) try(ctx context.Context, op operation, answer any) error {
	var body io.Reader
	if op.body != nil {
		encoded, err := json.Marshal(op.body)
		if err != nil {
			return fmt.Errorf("%w: %w", errNotSent, err)
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, op.method, c.base+op.path, body)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if request.URL.Path != path.Clean(request.URL.Path) {
		return fmt.Errorf("%w: the id is empty, or has dots that lead to another path", errNotSent)
	}
	request.Header.Set("Xi-Api-Key", c.key)
	client, accept := c.http, "application/json"
	if op.read != nil {
		client, accept = c.slow, "*/*"
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "caddy-elevenlabs")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if op.read != nil && response.StatusCode/100 == 2 {
		return op.read(response.Body)
	}
	received, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading ElevenLabs's answer: %w", err)
	case response.StatusCode/100 != 2:
		return c.newError(response, received, op.permission)
	case len(received) > maxAnswer:
		return fmt.Errorf("%w: %w: it is longer than %d bytes", errAnswer, spool.ErrTooLarge, maxAnswer)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(received, answer); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

// errNotSent is wrapped by the error for a request that cannot be made.
var errNotSent = errors.New("the request cannot be made")

// notExecuted reports whether an error proves that ElevenLabs did not execute the
// operation. A 503 proves it only with Retry-After, since a proxy also answers 503 if
// its connection breaks after it has forwarded the request.
func notExecuted(err error) bool {
	if rejected, ok := errors.AsType[*Error](err); ok {
		return rejected.Status < 500 && rejected.Status != http.StatusRequestTimeout ||
			rejected.Status == http.StatusServiceUnavailable && rejected.retryAfter != nil
	}
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && (failed.Op == "dial" || failed.Op == "proxyconnect") || isCertificate(err) || errors.Is(err, errNotSent)
}

// isCertificate reports whether an error is about the server's certificate.
func isCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// final are the errors for which another try would do no better.
var final = []error{errAnswer, errNotSent, spool.ErrStorage, spool.ErrTooLarge, spool.ErrFull, spool.ErrTooMany}

// retryable reports whether a request that failed with an error may succeed if it is
// repeated.
func retryable(err error) bool {
	if rejected, ok := errors.AsType[*Error](err); ok {
		return rejected.Status == http.StatusTooManyRequests || rejected.Status == http.StatusRequestTimeout || rejected.Status >= 500
	}
	return !isCertificate(err) && !slices.ContainsFunc(final, func(e error) bool { return errors.Is(err, e) })
}
