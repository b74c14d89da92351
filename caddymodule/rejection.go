package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// reason is why a request is refused: a row of the table below. ElevenLabs
// sends again, if at all, only what was answered 408, 429 or 5xx; so a request
// that is proven bad gets another 4xx, and every fault of ours a 5xx.
type reason struct {
	// code is the word for it in headers, placeholders and logs.
	code   string
	status int
	// sentence tells the operator; it goes into the error and the log.
	sentence string
	// reportOnly is whether report_only lets it through: what is wrong is on
	// the sender's side, and the body is there.
	reportOnly bool
}

var (
	methodNotAllowed   = &reason{"method_not_allowed", http.StatusMethodNotAllowed, "webhooks are sent by POST", false}
	insecureTransport  = &reason{"insecure_transport", http.StatusForbidden, "the request did not come over HTTPS, nor from a trusted proxy that says it did", true}
	earlyData          = &reason{"early_data", http.StatusTooEarly, "the request came before the TLS handshake was complete and may be a replay", true}
	sourceNotAllowed   = &reason{"source_not_allowed", http.StatusForbidden, "the client's address is not among source_ips", true}
	signatureMissing   = &reason{"signature_missing", http.StatusBadRequest, "there is no signature header", true}
	signatureMalformed = &reason{"signature_malformed", http.StatusBadRequest, "the signature header is malformed", true}
	signatureMismatch  = &reason{"signature_mismatch", http.StatusUnauthorized, "no configured secret made this signature for this body", true}
	timestampStale     = &reason{"timestamp_stale", http.StatusForbidden, "the signature is genuine but too old", true}
	timestampFuture    = &reason{"timestamp_future", http.StatusForbidden, "the signature is genuine but made in the future", true}
	bodyTooLarge       = &reason{"body_too_large", http.StatusRequestEntityTooLarge, "the body is larger than max_size", false}
	bodyIncomplete     = &reason{"body_incomplete", http.StatusBadRequest, "the body ended before it was complete", false}
	bodyTimeout        = &reason{"body_timeout", http.StatusRequestTimeout, "the body did not arrive within read_timeout", false}
	overloaded         = &reason{"overloaded", http.StatusServiceUnavailable, "the bodies in flight have reached spool_limit", false}
	spoolFailed        = &reason{"spool_failed", http.StatusServiceUnavailable, "the body could not be stored in spool_dir", false}
)

// reasons are all rows.
var reasons = []*reason{
	methodNotAllowed, insecureTransport, earlyData, sourceNotAllowed, signatureMissing, signatureMalformed, signatureMismatch,
	timestampStale, timestampFuture, bodyTooLarge, bodyIncomplete, bodyTimeout, overloaded, spoolFailed,
}

// retryAfter is the Retry-After of what is our fault and may pass at once.
const retryAfter = 5 * time.Second

// rejection is a refused request.
type rejection struct {
	*reason
	cause error         // for the log; may be nil
	age   time.Duration // of a genuine signature, if it is its age that is wrong
}

// signatureReason finds the row for an error of package signature.
func signatureReason(err error) *reason {
	switch {
	case errors.Is(err, signature.ErrMissing):
		return signatureMissing
	case errors.Is(err, signature.ErrMalformed):
		return signatureMalformed
	case errors.Is(err, signature.ErrStale):
		return timestampStale
	case errors.Is(err, signature.ErrFuture):
		return timestampFuture
	}
	return signatureMismatch
}

// bodyReason finds the row for an error from taking in a body.
func bodyReason(err error) *reason {
	if tooLarge(err) {
		return bodyTooLarge
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, spool.ErrFull):
		return overloaded
	case errors.Is(err, spool.ErrStorage):
		return spoolFailed
	case errors.As(err, &timeout) && timeout.Timeout():
		return bodyTimeout
	}
	return bodyIncomplete
}

// tooLarge tells our own limit and those of handlers before us, such as
// request_body.
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

// reject logs a refusal, tells the client the reason by its code alone, and
// returns the error that Caddy answers, by handle_errors if there are any.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request, e *event, rej *rejection) error {
	e.rejection, e.outcome.result = rej.code, deliveries.Rejected
	h.logRefusal(r, rej, "webhook refused: ")
	header := w.Header()
	header.Set(headerRejection, rej.code)
	switch rej.reason {
	case methodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case overloaded, spoolFailed:
		header.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	return caddyhttp.Error(rej.status, errors.New(rej.sentence))
}

// logRefusal logs what can be said without secrets and without the body. The
// logger is sampled by message, thus by reason.
func (h *Handler) logRefusal(r *http.Request, rej *rejection, prefix string) {
	level := zapcore.WarnLevel
	if rej.status >= http.StatusInternalServerError {
		level = zapcore.ErrorLevel
	}
	entry := h.refusals.Check(level, prefix+rej.code)
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("reason", rej.code),
		zap.String("explanation", rej.sentence),
		zap.String("client_ip", clientIP(r)),
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
	if rej.cause != nil {
		fields = append(fields, zap.Error(rej.cause))
	}
	entry.Write(fields...)
}

// clockHint names the likely cause of a genuine signature's age.
func clockHint(age time.Duration) string {
	if age < 0 {
		return fmt.Sprintf("this machine's clock is likely %s behind: set it right", -age.Round(time.Second))
	}
	return fmt.Sprintf("if this is not a repeat or a replay, this machine's clock is likely %s ahead: set it right", age.Round(time.Second))
}

// sampled lets through the first ten entries of each message in a minute, and
// then each thousandth, so that a flood of forgeries does not flood the log.
func sampled(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 1000)
	}))
}
