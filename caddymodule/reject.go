package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// retryAfter is sent with 503 responses, which are usually transient.
const retryAfter = 5 * time.Second

// rejection is why one request is rejected.
type rejection struct {
	*facts.Rejection
	cause error         // for the log; may be nil
	age   time.Duration // of a genuine signature, if its age is the reason
}

// allowedByReportOnly reports whether the handler forwards a rejected request all
// the same.
func (h *Handler) allowedByReportOnly(r *facts.Rejection) bool { return h.ReportOnly && r.ReportOnly }

// reject logs a rejection and tells the client the reason by its code alone. It
// returns the error that Caddy answers with, through handle_errors if there is one.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request, e *event, rej *rejection) error {
	e.Result, e.Reason = deliveries.Rejected, rej.Code
	closeBody(w, r)
	h.logRejection(r, rej, "webhook rejected: ")
	header := w.Header()
	header.Set(headerRejection, rej.Code)
	switch rej.Status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	return answerUnlogged(w, r, caddyhttp.Error(rej.Status, errors.New(rej.Sentence)))
}

// answerUnlogged answers a request that fails by an error of 5xx, as Caddy would, if
// there is no handle_errors. Caddy would also log the error, with all headers of the
// request and at the level ERROR, and a flood must not fill the log. Any other error is
// returned.
func answerUnlogged(w http.ResponseWriter, r *http.Request, err error) error {
	failed, ok := errors.AsType[caddyhttp.HandlerError](err)
	if !ok || failed.StatusCode < http.StatusInternalServerError || hasErrorRoutes(r) {
		return err
	}
	w.WriteHeader(failed.StatusCode)
	return nil
}

// hasErrorRoutes reports whether the server has a route for errors, of whatever
// requests.
func hasErrorRoutes(r *http.Request) bool {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Errors != nil && len(server.Errors.Routes) > 0 || subrouteHasErrorRoutes(server.Routes) {
		return true
	}
	for _, route := range server.NamedRoutes {
		if subrouteHasErrorRoutes(caddyhttp.RouteList{*route}) {
			return true
		}
	}
	return false
}

// subrouteHasErrorRoutes reports whether one of the subroutes, which only JSON
// configures so, has routes for errors.
func subrouteHasErrorRoutes(routes caddyhttp.RouteList) bool {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			sub, ok := handler.(*caddyhttp.Subroute)
			if ok && (sub.Errors != nil || subrouteHasErrorRoutes(sub.Routes)) {
				return true
			}
		}
	}
	return false
}

// closeBody makes the rest of the body unreadable if a handler before ours keeps a copy
// of the request, as tracing does: strip cannot reach that. It does not wait for a
// client that waits for 100 Continue. The connection must not be used again: Caddy wraps
// the body, so net/http cannot see that a rest of it was not read, and would take that
// for the next request.
func closeBody(w http.ResponseWriter, r *http.Request) {
	if !isCopy(r) {
		return
	}
	if r.Header.Get("Expect") != "" {
		setReadDeadline(w, r, time.Now())
	}
	_ = r.Body.Close() // its error says that a rest was not read
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// isCopy reports whether the request is a copy of that which Caddy's server has: the
// placeholders belong to the latter.
func isCopy(r *http.Request) bool {
	method := r.Method
	defer func() { r.Method = method }()
	r.Method = "COPY"
	shown, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).GetString("http.request.method")
	return shown != r.Method
}

// logRejection logs a rejection without secrets and without the body. The logger
// samples by message, and so by reason.
func (h *Handler) logRejection(r *http.Request, rej *rejection, prefix string) {
	level := zapcore.WarnLevel
	if rej.Status >= http.StatusInternalServerError {
		level = zapcore.ErrorLevel
	}
	e := eventOf(r.Context())
	entry := h.sampled(e).Check(level, prefix+rej.Code)
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("reason", rej.Code),
		zap.String("explanation", rej.Sentence),
		zap.String("client_ip", e.ClientIP),
		zap.Bool("from_elevenlabs", e.FromElevenLabs),
		zap.String("method", r.Method),
		zap.String("host", r.Host),
		zap.String("path", r.URL.Path),
		zap.Int64("content_length", r.ContentLength),
	}
	if rej.age != 0 {
		fields = append(fields,
			zap.Duration("signature_age", rej.age),
			zap.String("hint", clockHint(rej.age)))
	}
	if rej.IfElevenLabs != "" && e.FromElevenLabs {
		fields = append(fields, zap.String("hint", rej.IfElevenLabs))
	}
	if rej.cause != nil {
		fields = append(fields, zap.Error(rej.cause))
	}
	entry.Write(fields...)
}

// clockHint names the likely cause of a genuine signature's age.
func clockHint(age time.Duration) string {
	if age < 0 {
		return fmt.Sprintf("this machine's clock is probably %s behind: set it", -age.Round(time.Second))
	}
	return fmt.Sprintf("this machine's clock is probably %s ahead, except if this is a retry or a replay: set it", age.Round(time.Second))
}

// setLogger sets the logger, and those that sample.
func (h *Handler) setLogger(logger *zap.Logger) {
	h.logger, h.sampledElevenLabs, h.sampledOthers = logger, newSampled(logger), newSampled(logger)
}

// sampled returns the logger for what a flood of requests like this would log. The
// forgeries of others leave the lines about requests from ElevenLabs' addresses alone.
func (h *Handler) sampled(e *event) *zap.Logger {
	if e.FromElevenLabs {
		return h.sampledElevenLabs
	}
	return h.sampledOthers
}

// newSampled returns a logger that writes the first ten entries of each message in a
// minute, and then each thousandth. So a flood of forgeries does not flood the log.
func newSampled(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 1000)
	}))
}
