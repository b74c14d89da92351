package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// backend is where events are forwarded to.
type backend struct {
	proxy    caddyhttp.MiddlewareHandler // nil: the handlers that follow in the route
	signKeys [][]byte                    // empty if events are not signed
}

// newBackend loads a proxy and the keys to sign with.
func newBackend(ctx caddy.Context, proxy json.RawMessage, keys []string, logger *zap.Logger) (b backend, err error) {
	if b.signKeys, err = resolveSign(keys, logger); err != nil || proxy == nil {
		return b, err
	}
	module, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", proxy)
	if err != nil {
		return b, fmt.Errorf("reverse_proxy: %w", err)
	}
	b.proxy = module.(caddyhttp.MiddlewareHandler)
	return b, nil
}

// deliver forwards the event, and again while the connection to the backend fails
// before it answers. It fills in what became of the event.
func (h *Handler) deliver(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, e *event, body eventBody) (err error) {
	answer := newAnswerWriter(w, r)
	answer.proxied = h.proxy != nil
	delivered := func() {}
	if e.Verified {
		var ctx context.Context
		ctx, delivered = detach(r.Context(), disconnectTimeout)
		*r = *r.WithContext(ctx) // in place: Caddy's placeholders hold the pointer
	}
	start, panicked := time.Now(), true
	defer func() {
		e.UpstreamSeconds = time.Since(start).Seconds()
		answer.end(panicked)
		h.conclude(e, answer, err)
	}()

	err = h.pass(answer, r, next, e, body, h.backend)
	panicked = false
	if err == nil { // otherwise an error route still uses the context, which then ends by itself
		delivered()
	}
	return err
}

// pass gives the event, with our headers, to the handlers that are to deliver it.
func (h *Handler) pass(answer *answerWriter, r *http.Request, next caddyhttp.Handler, e *event, body eventBody, to backend) error {
	if to.proxy != nil {
		proxy, after := to.proxy, next
		next = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return proxy.ServeHTTP(w, r, after)
		})
	}
	e.SetHeaders(r.Header)
	if err := h.forward(answer, r, next, e, body, to); err != nil {
		return err
	}
	return answer.noAnswer()
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

var errNoHandler = errors.New(facts.NoHandler.Sentence)

// conclude notes what became of an event. It logs an event that failed: ElevenLabs
// keeps no log of it, and may not retry it.
func (h *Handler) conclude(e *event, answer *answerWriter, err error) {
	e.UpstreamStatus = answer.status
	if backend := answer.backend(); answer.proxied || backend != 0 {
		e.UpstreamStatus = backend // handle_response may have answered otherwise
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
	if !e.Verified { // report_only: a flood of forgeries must not flood the log
		logger = h.sampled(e)
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
