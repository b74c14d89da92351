package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// deliverStored makes one attempt to deliver an event from the inbox.
func (d *destination) deliverStored(ctx context.Context, c *inbox.Claim, body eventBody) (outcome inbox.Outcome) {
	ctx, cancel := withoutCause(ctx)
	defer cancel()
	w := &recorder{header: http.Header{}}
	watched := &checkedBody{eventBody: body, id: c.ID}
	var request stored.Request
	var fields stored.Fields
	if err := errors.Join(json.Unmarshal([]byte(c.Request), &request), json.Unmarshal([]byte(c.Fields), &fields)); err != nil {
		return d.failed(c, facts.HandlerError, fmt.Errorf("reading the stored request: %w", err))
	}
	r, err := restoreRequest(ctx, request, w)
	if err != nil {
		return d.failed(c, facts.HandlerError, fmt.Errorf("making the stored request anew: %w", err))
	}
	e := d.newEvent(r)
	e.restore(fields, c)

	answer := newAnswerWriter(w, r)
	answer.proxied = true
	answer.client = context.Background() // the client has long had its answer
	defer func() {
		panicked := recover()
		if panicked == nil {
			return
		}
		failure, err := facts.AnswerIncomplete, http.ErrAbortHandler
		if panicked != http.ErrAbortHandler {
			failure, err = facts.HandlerError, fmt.Errorf("a handler panicked: %v\n%s", panicked, debug.Stack())
		}
		outcome = d.failed(c, failure, err)
		outcome.Status = answer.backend()
	}()
	err = d.pass(answer, r, emptyHandler, e, watched, d.to)
	failure := answer.failure(err)
	if failure == nil {
		return inbox.Outcome{Taken: true, Status: answer.backend()}
	}
	if unreadable := watched.failure.Load(); unreadable != nil { // the backend is not to blame
		return d.failed(c, facts.HandlerError, *unreadable)
	}
	outcome = d.failed(c, failure, err)
	outcome.Status, outcome.Answer = answer.backend(), w.text()
	_, dial := errors.AsType[reverseproxy.DialError](err)
	outcome.Unreachable = failure == facts.BackendUnreachable && outcome.Status == 0 || dial // handle_response can make a 503 of an answer
	if outcome.Status == http.StatusTooManyRequests || outcome.Status == http.StatusServiceUnavailable {
		outcome.RetryAfter = retryAfterOf(w.header, time.Now())
	}
	return outcome
}

// emptyHandler is what follows in the route when an event comes from the inbox. Like
// Caddy's own at the end of a chain, it notes that no handler took the event.
var emptyHandler caddyhttp.HandlerFunc = func(_ http.ResponseWriter, r *http.Request) error {
	caddyhttp.SetVar(r.Context(), "unhandled", true)
	return nil
}

// withoutCause returns a context that ends as this one does, but always with one of the
// two errors of package context. The HTTP transport returns the cause, and reverse_proxy
// would take any other for a failure of the backend.
func withoutCause(ctx context.Context) (context.Context, context.CancelFunc) {
	plain, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end := cancel
	if deadline, ok := ctx.Deadline(); ok {
		plain, end = context.WithDeadline(plain, deadline)
	}
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	return plain, func() { stop(); end(); cancel() }
}

// checkedBody is a body from the inbox. It keeps the error of a body that cannot be read.
type checkedBody struct {
	eventBody
	id      string
	failure atomic.Pointer[error]
}

// NewReader returns a reader of the whole body. It withholds the end of a body that is not
// the one whose signature was verified, so that the backend takes none that was changed in
// the database.
func (b *checkedBody) NewReader() io.ReadCloser {
	return &storedReader{b.eventBody.NewReader(), b, sha256.New(), b.Size()}
}

type storedReader struct {
	io.ReadCloser
	body   *checkedBody
	digest hash.Hash
	left   int64
}

var errBodyChanged = errors.New("the body in the database is not the one that was received")

// Read notes an error.
func (r *storedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	_, _ = r.digest.Write(p[:n])
	if r.left -= int64(n); r.left <= 0 && hex.EncodeToString(r.digest.Sum(nil)) != r.body.id {
		n, err = 0, errBodyChanged
	}
	if err != nil && err != io.EOF {
		r.body.failure.CompareAndSwap(nil, &err)
	}
	return n, err
}

// failed logs a failed attempt. A backend that is away must not fill the log.
func (d *destination) failed(c *inbox.Claim, failure *facts.Failure, err error) inbox.Outcome {
	d.sampledElevenLabs.Info("attempt to deliver an event from the inbox failed: "+failure.Code,
		append(queueFields(c.Queue), zap.Int64("seq", c.Seq), zap.String("event_id", c.ID), zap.String("event_type", c.Type),
			zap.String("conversation_id", c.ConversationID), zap.Int("attempt", c.Attempt), zap.Error(err))...)
	return inbox.Outcome{Reason: failure.Code}
}

// recorder is a ResponseWriter that keeps the beginning of an answer.
type recorder struct {
	header http.Header
	body   bytes.Buffer
}

// maxAnswer is how many bytes of an answer are kept.
const maxAnswer = 1 << 10

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	w.body.Write(p[:min(len(p), maxAnswer-w.body.Len())])
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *recorder) Flush() {}

// text returns what a database can store of the answer.
func (w *recorder) text() string {
	return strings.ReplaceAll(strings.ToValidUTF8(w.body.String(), "�"), "\x00", "�")
}

// retryAfterOf returns how long the backend asks to wait, or 0 (RFC 9110, section 10.2.3).
func retryAfterOf(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}
