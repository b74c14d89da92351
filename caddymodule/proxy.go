package caddymodule

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

// deliver forwards the event, and again while the connection to the backend fails
// before it answers. It fills in what became of the event.
func (h *Handler) deliver(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, e *event, body *spool.Body) (err error) {
	if h.proxy != nil {
		proxy, after := h.proxy, next
		next = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return proxy.ServeHTTP(w, r, after)
		})
	}
	e.setHeaders(r.Header)
	setBody(r, body)

	client := r.Context()
	delivered := func() {}
	if e.verified {
		var ctx context.Context
		ctx, delivered = detach(client, disconnectTimeout)
		*r = *r.WithContext(ctx) // in place: Caddy's placeholders hold the pointer
	}
	answer := &answerWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, client: client, proxied: h.proxy != nil}
	start, panicked := time.Now(), true
	defer func() {
		e.UpstreamSeconds = time.Since(start).Seconds()
		answer.end(panicked)
		h.conclude(e, answer, err)
	}()

	err = h.attempt(client, answer, r, next, &e.Attempts)
	panicked = false
	if err == nil && answer.status == 0 && answer.unhandled() {
		answer.state = notTaken
		err = caddyhttp.Error(facts.NoHandler.Status, errNoHandler)
	}
	if err != nil {
		// An error route must not be taken for the event. It still uses the
		// context, which then ends by itself.
		clearHeaders(r.Header)
		return err
	}
	delivered()
	return nil
}

// disconnectTimeout is how long the handler goes on to deliver an event after its
// client has left.
const disconnectTimeout = 30 * time.Second

// detach returns a context that outlives the client's by the timeout, at most until
// the event is delivered. The event is whole and verified. ElevenLabs may not retry
// it, whether it lost patience or only closed its side of the connection.
func detach(client context.Context, timeout time.Duration) (_ context.Context, delivered func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(client))
	var done atomic.Bool
	context.AfterFunc(client, func() {
		if done.Load() {
			cancel()
			return
		}
		timer := time.AfterFunc(timeout, cancel)
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() {
		done.Store(true)
		if client.Err() != nil { // otherwise handlers around ours may go on with the request
			cancel()
		}
	}
}

// attempt calls next until it answers, no retries are left, or the client has left.
func (h *Handler) attempt(client context.Context, w *answerWriter, r *http.Request, next caddyhttp.Handler, attempts *int) error {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	// Handlers that follow may rewrite the request and add to the response, so each
	// attempt starts from a copy. Only our own proxy works on a copy of its own.
	var request *http.Request
	var header http.Header
	if h.proxy == nil {
		request, header = r.Clone(r.Context()), w.Header().Clone()
	}
	getBody, pause := r.GetBody, time.Duration(h.Retries.Pause)
	for {
		repl.Delete(statusCodePlaceholder)
		*attempts++
		err := next.ServeHTTP(w, r)
		_, answered := repl.Get(statusCodePlaceholder)
		if *attempts > *h.Retries.Count || w.status != 0 || w.proxied && answered || !connectionFailed(err, answered) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-client.Done():
			timer.Stop()
			return err
		}
		pause *= pauseFactor

		if request != nil {
			// Field by field: a transport that still reads the body of the last
			// attempt looks at the trailers.
			fresh := request.Clone(request.Context())
			r.Method, r.URL, r.RequestURI, r.Host, r.Header = fresh.Method, fresh.URL, fresh.RequestURI, fresh.Host, fresh.Header
			clear(w.Header())
			maps.Copy(w.Header(), header.Clone())
		}
		r.GetBody = getBody // another handler of ours that follows sets its own
		r.Body, _ = getBody()
	}
}

// connectionFailed reports whether an error of reverse_proxy says that no connection
// brought an answer. A timeout (504) is not such an error: the backend may still be
// at work. If a proxy was answered, that may be an earlier one (forward_auth). Then
// the error itself must be that of a connection, or say that no upstream is
// available, for which Caddy exports no error.
func connectionFailed(err error, answered bool) bool {
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	if !ok || handlerErr.StatusCode != http.StatusBadGateway && handlerErr.StatusCode != http.StatusServiceUnavailable {
		return false
	}
	_, network := errors.AsType[*net.OpError](err)
	_, dial := errors.AsType[reverseproxy.DialError](err) // which does not unwrap
	return !answered || network || dial || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.HasSuffix(handlerErr.Error(), "no upstreams available")
}

// setBody gives the request a new reader of the body, and the body's length. It
// deletes trailers, which the signature does not cover.
func setBody(r *http.Request, body *spool.Body) {
	size := body.Size()
	r.ContentLength = size
	r.TransferEncoding = nil
	r.Trailer = nil
	r.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	r.Header.Del("Trailer")
	r.Header.Del("Expect") // the body is here
	r.GetBody = func() (io.ReadCloser, error) { return body.NewReader(), nil }
	if size == 0 {
		r.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	r.Body, _ = r.GetBody()
}

var errNoHandler = errors.New(facts.NoHandler.Sentence)

// conclude notes what became of an event. It logs an event that failed: ElevenLabs
// keeps no log of it, and may not retry it.
func (h *Handler) conclude(e *event, answer *answerWriter, err error) {
	e.UpstreamStatus = answer.status
	if answer.proxied {
		e.UpstreamStatus = answer.backend() // handle_response may have answered otherwise
	}
	failure := answer.failure(err)
	if failure == nil {
		e.Result, e.Reason = deliveries.Accepted, ""
		return
	}
	e.Result, e.Reason = deliveries.Failed, failure.Code
	if failure == facts.NoHandler {
		err = errNoHandler
	}
	logger := h.logger
	if !e.verified { // report_only: a flood of forgeries must not flood the log
		logger = h.sampled
	}
	level, message := zapcore.ErrorLevel, "event not delivered"
	switch failure {
	case facts.ClientLeft:
		level, message = zapcore.WarnLevel, "client left before the backend answered"
	case facts.BackendAnswer:
		level, message = zapcore.WarnLevel, "event not accepted by the backend"
	case facts.AnswerIncomplete:
		message = "the backend's answer broke off"
	}
	logger.Log(level, message,
		zap.Object("event", e),
		zap.Int64("bytes", e.Size),
		zap.Int("attempts", e.Attempts),
		zap.Int("status", e.UpstreamStatus),
		zap.Error(err))
}
