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
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	maxTries   = 5
	maxElapsed = 2 * time.Minute // for all tries, and what Retry-After asks for
	maxAnswer  = 16 << 20        // an agent with all it knows stays far below
)

// operation is a request to the API.
type operation struct {
	name       string // for errors
	permission string // that it is believed to take, for errors
	method     string
	path       string // with the query
	body       any    // nil for none
	// once says that to do it twice is not the same as to do it once.
	once bool
}

// do makes the request, and repeats it if it fails by what may pass. The answer
// is read into a value, unless that is nil.
//
// A create is repeated only if the last one was surely not done. Otherwise there
// might be two webhooks, and the secret of the first, shown once, would be lost.
// Everything else may be repeated: updates set, and do not add.
func (c *Client) do(ctx context.Context, op operation, answer any) error {
	delays := &delays{ExponentialBackOff: &backoff.ExponentialBackOff{
		InitialInterval: 500 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 30 * time.Second,
	}}
	unknown := false // whether an earlier try may have been done
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := c.try(ctx, op, answer)
		refused, answered := errors.AsType[*Error](err)
		switch {
		case err == nil:
			return struct{}{}, nil
		case op.method == http.MethodDelete && unknown && answered && refused.Status == http.StatusNotFound:
			return struct{}{}, nil // by the earlier try
		}
		done := !notDone(err)
		unknown = unknown || done
		if op.once && done {
			return struct{}{}, backoff.Permanent(fmt.Errorf("%w: %w", err, ErrUnknown))
		}
		if !passing(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		delays.asked = 0
		if answered && refused.retryAfter != nil {
			delays.asked = *refused.retryAfter
		}
		return struct{}{}, err
	}, backoff.WithBackOff(delays), backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(maxElapsed))
	if err != nil {
		return fmt.Errorf("%s: %w", c.presentable(op.name), err)
	}
	return nil
}

// delays are those between tries.
type delays struct {
	*backoff.ExponentialBackOff
	asked time.Duration // by Retry-After
}

// NextBackOff adds to what was asked for: of many that were told one time, not
// all are to come at that time.
func (d *delays) NextBackOff() time.Duration {
	return d.asked + d.ExponentialBackOff.NextBackOff()
}

// errAnswer is an answer of success that cannot be understood.
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
		return fmt.Errorf("%w: the id is empty, or has dots that would lead to another path", errNotSent)
	}
	request.Header.Set("Xi-Api-Key", c.key)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "caddy-elevenlabs")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading ElevenLabs's answer: %w", err)
	case response.StatusCode/100 != 2:
		return c.newError(response, received, op.permission)
	case len(received) > maxAnswer:
		return fmt.Errorf("%w: it is longer than %d bytes", errAnswer, maxAnswer)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(received, answer); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

// errNotSent is the error of a request that cannot be made.
var errNotSent = errors.New("the request cannot be made")

// notDone is whether an error shows that ElevenLabs did not do what was asked.
// A 503 counts only with Retry-After: proxies answer it, too, where a connection
// broke off after the request had been sent on.
func notDone(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Status < 500 && refused.Status != http.StatusRequestTimeout ||
			refused.Status == http.StatusServiceUnavailable && refused.retryAfter != nil
	}
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && (failed.Op == "dial" || failed.Op == "proxyconnect") || isCertificate(err) || errors.Is(err, errNotSent)
}

// isCertificate is whether an error is that of a certificate that does not hold.
func isCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// passing is whether what failed by an error may succeed when it is repeated.
func passing(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusRequestTimeout || refused.Status >= 500
	}
	return !isCertificate(err) && !errors.Is(err, errAnswer) && !errors.Is(err, errNotSent)
}
