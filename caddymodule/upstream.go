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

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

// errNoHandler is for an event that nothing took: Caddy would answer 200, and
// ElevenLabs would count it as delivered.
var errNoHandler = errors.New("no handler follows that takes the event: put reverse_proxy inside elevenlabs_webhook, or after it")

// statusCodePlaceholder is set by reverse_proxy when the backend has answered,
// also if the answer then ends as an error (handle_response, lb_retry_match).
const statusCodePlaceholder = "http.reverse_proxy.status_code"

// deliver hands the event on, and again while the upstream's connection fails
// before it answers, and reports what became of it.
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
		ctx, delivered = outlive(client, grace)
		*r = *r.WithContext(ctx) // in place: Caddy's placeholders hold the pointer
	}
	answer := &answerWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, client: client, proxied: h.proxy != nil}
	start, returned := time.Now(), false
	defer func() { // also if what follows panics
		e.outcome.upstream = time.Since(start)
		h.conclude(e, answer, returned, err)
	}()

	err = h.attempt(client, answer, r, next, &e.outcome.attempts)
	returned = true
	if err == nil && answer.status == 0 && answer.unhandled() {
		err = caddyhttp.Error(http.StatusInternalServerError, errNoHandler)
	}
	if err != nil {
		// what error routes do is not for the backend to take for the event; they
		// still use the context, which then ends by itself
		clearHeaders(r.Header)
		return err
	}
	delivered()
	return nil
}

// grace is how long an event goes on to be delivered once the client has left.
const grace = 30 * time.Second

// outlive returns a context that goes on for a while when the client's ends, but
// no longer than until the event is delivered. The event is here, whole and
// verified, and ElevenLabs, which has lost patience or only closed its side of the
// connection, may not send it again.
func outlive(client context.Context, grace time.Duration) (_ context.Context, delivered func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(client))
	var done atomic.Bool
	context.AfterFunc(client, func() {
		if done.Load() {
			cancel()
			return
		}
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() {
		done.Store(true)
		if client.Err() != nil { // else handlers around ours may go on with the request
			cancel()
		}
	}
}

// attempt calls next until it answers, the retries are used up, or the client
// has left.
func (h *Handler) attempt(client context.Context, w *answerWriter, r *http.Request, next caddyhttp.Handler, attempts *int) error {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	// what follows may rewrite the request and add to the response: each attempt
	// starts from the same ones; only a proxy by itself works on its own copy
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
			// field by field: a transport that still reads the body of the attempt
			// before looks at the trailers
			fresh := request.Clone(request.Context())
			r.Method, r.URL, r.RequestURI, r.Host, r.Header = fresh.Method, fresh.URL, fresh.RequestURI, fresh.Host, fresh.Header
			clear(w.Header())
			maps.Copy(w.Header(), header.Clone())
		}
		r.GetBody = getBody // another handler of ours further on sets its own
		r.Body, _ = getBody()
	}
}

// connectionFailed reports whether an error of reverse_proxy says that no
// connection brought an answer. A timeout (504) is not one: the backend may
// still be at work. If a proxy was answered, that may have been another one
// before (forward_auth), so then the error itself must be one of a connection, or
// say that there is no upstream to choose, for which Caddy exports no error.
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

// setBody gives the request a fresh reader of the body, and its length. The
// trailers go: the signature does not cover them.
func setBody(r *http.Request, body *spool.Body) {
	size := body.Size()
	r.ContentLength = size
	r.TransferEncoding = nil
	r.Trailer = nil
	r.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	r.Header.Del("Trailer")
	r.Header.Del("Expect") // met: the body is here
	r.GetBody = func() (io.ReadCloser, error) { return body.NewReader(), nil }
	if size == 0 {
		r.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	r.Body, _ = r.GetBody()
}

// conclude finds out what became of an event, and says so if it was not
// accepted, or not in time: ElevenLabs keeps no log of it, and may not send it
// again.
func (h *Handler) conclude(e *event, answer *answerWriter, returned bool, err error) {
	if answer.lost {
		err = errNoHandler
	}
	o := &e.outcome
	o.upstreamStatus = answer.status
	if answer.proxied {
		o.upstreamStatus = answer.backend() // which handle_response may have answered otherwise
	}
	o.reason = failure(answer, returned, err)
	if o.reason == "" {
		o.result = deliveries.Accepted
		return
	}
	o.result = deliveries.Failed
	fields := []zap.Field{
		zap.Object("event", e),
		zap.Int64("bytes", o.size),
		zap.Int("attempts", o.attempts),
		zap.Int("status", o.upstreamStatus),
		zap.Error(err),
	}
	logger := h.logger
	if !e.verified { // report_only: a flood of forgeries must not flood the log
		logger = h.refusals
	}
	switch {
	case o.reason == failedClientLeft: // for ElevenLabs, its time for the delivery is over, and it has failed
		logger.Warn("client left before the backend answered", fields...)
	case o.reason == failedAnswer:
		logger.Warn("event not accepted by the backend", fields...)
	case !returned:
		logger.Error("the backend's answer broke off", fields...)
	default:
		logger.Error("event not delivered", fields...)
	}
}

// answerWriter holds the status contract: ElevenLabs counts 200 as success, and
// nothing else.
type answerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	client  context.Context
	proxied bool // by our own proxy
	status  int  // the final status of what follows; 0 while there is none
	told    bool // the client was sent it, though the answer may go on
	broken  bool // the client took no more of the answer
	length  int  // of the answer so far
	lost    bool // nothing took the event, and a handler between was about to say 200
}

// unhandled reports whether Caddy's chain of handlers came to its end, and nothing
// took the event.
func (w *answerWriter) unhandled() bool {
	return caddyhttp.GetVar(w.client, "unhandled") == true && !isSuccess(w.backend())
}

// backend is what the backend of our own proxy has answered; 0 if nothing.
func (w *answerWriter) backend() int {
	if !w.proxied {
		return 0
	}
	status, _ := w.client.Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Get(statusCodePlaceholder)
	code, _ := status.(int)
	return code
}

func (w *answerWriter) WriteHeader(status int) {
	if status >= http.StatusOK && w.status == 0 {
		w.status = status
	}
	if isSuccess(status) {
		if status == http.StatusNoContent { // it has no body, though some send a length (which RFC 9110, section 8.6 forbids)
			w.Header().Del("Content-Length")
		}
		status = http.StatusOK
		if w.unhandled() {
			w.lost = true
			status = http.StatusInternalServerError
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.length += len(p)
	tell := w.length > longAnswer && !w.told
	if tell {
		_ = w.FlushError() // the head, so that it is known whether the client has had the status
	}
	n, err := w.ResponseWriterWrapper.Write(p)
	if err != nil {
		w.broken = true // over HTTP/2 and 3 before the context ends
	} else if tell {
		_ = w.FlushError() // encode sends no head before something is written
	}
	return n, err
}

// longAnswer is what a server holds back by itself of an answer. What is not
// longer goes out with its end.
const longAnswer = 2 << 10

func (w *answerWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is how a ResponseController flushes.
func (w *answerWriter) FlushError() error {
	here := !w.left() // asked before: it may leave as soon as it has the status
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if err == nil && w.status != 0 && here {
		w.told = true
	}
	return err
}

// left is whether the client has.
func (w *answerWriter) left() bool { return w.broken || w.client.Err() != nil }

func isSuccess(status int) bool { return status >= 200 && status <= 299 }
