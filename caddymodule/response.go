package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// answerState is how far the answer to a request has got. Each state is set where it
// happens, and the last one decides what the event counts as.
type answerState uint8

const (
	unanswered answerState = iota // no handler has answered yet
	answered                      // a handler has answered; the client may not have the status yet
	statusSent                    // the client has the status; the rest of the answer may follow
	clientLeft                    // the client left before it had the status
	clientDone                    // the client left after it had the status
	brokenOff                     // the backend's answer broke off
	notTaken                      // no handler took the event
)

// answerWriter holds the status contract: any 2xx becomes exactly 200, since
// ElevenLabs counts nothing else as success.
type answerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	client  context.Context
	proxied bool     // by our own proxy
	attempt *attempt // the last one
	state   answerState
	status  int // the final status that the handlers gave; 0 until then
	length  int // of the answer's body so far
}

// newAnswerWriter makes the writer of the answer to a request.
func newAnswerWriter(w http.ResponseWriter, r *http.Request) *answerWriter {
	return &answerWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		client:                r.Context(),
		attempt:               &attempt{request: r},
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) {
	if isSuccess(status) && isInformational(w.backend()) {
		status = http.StatusBadGateway
	}
	if status >= http.StatusOK && w.status == 0 {
		w.status = status
		w.advance(answered)
	}
	if isSuccess(status) {
		if status == http.StatusNoContent { // it has no body, though some send a length (which RFC 9110, section 8.6 forbids)
			w.Header().Del("Content-Length")
		}
		status = http.StatusOK
		if w.unhandled() {
			w.state = notTaken
			status = http.StatusInternalServerError
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// netHTTPBuffer is the size up to which net/http buffers a response.
const netHTTPBuffer = 2 << 10

// Write implements http.ResponseWriter. An answer that net/http does not buffer whole
// is flushed, so that it is known whether the client has had the status.
func (w *answerWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.length += len(p)
	flush := w.length > netHTTPBuffer && w.state == answered
	if flush {
		_ = w.FlushError()
	}
	n, err := w.ResponseWriterWrapper.Write(p)
	if err != nil {
		w.noteClientGone() // over HTTP/2 and 3 before the context ends
	} else if flush {
		_ = w.FlushError() // encode sends no head before something is written
	}
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (w *answerWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError implements what http.ResponseController flushes by.
func (w *answerWriter) FlushError() error {
	gone := w.client.Err() != nil // asked before: the client may leave as soon as it has the status
	var received receipt
	if gone && w.state == answered {
		received = w.watchReceipt()
	}
	err := http.NewResponseController(w.ResponseWriter).Flush()
	switch {
	case gone && (err != nil || w.state != answered || !received()):
		w.noteClientGone()
	case err == nil && w.state == answered:
		w.state = statusSent
	}
	return err
}

// receipt reports whether the client's system took what was written since. It waits for
// that.
type receipt func() bool

// watchReceipt begins to watch what the client takes of the answer, though Caddy has
// ended its context. Over HTTP/1, that ends when the client closes its side for writing.
func (w *answerWriter) watchReceipt() receipt {
	conn, ok := w.client.Value(connKey{}).(net.Conn)
	if !ok || w.attempt.request.ProtoMajor != 1 {
		return func() bool { return false }
	}
	return watchReceipt(conn)
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// keepConnections lets the server keep each connection in the context of its requests.
func keepConnections(ctx caddy.Context) {
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterConnContext(func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		})
	}
}

// end settles the state when the handlers have returned, or one of them has panicked.
func (w *answerWriter) end(panicked bool) {
	if w.client.Err() != nil {
		if w.state == answered && !panicked {
			_ = w.FlushError() // to see whether the client takes it
		} else {
			w.noteClientGone()
		}
	}
	if panicked { // except if the client broke off
		w.advance(brokenOff)
	}
}

// noteClientGone notes that the client takes no more of the answer.
func (w *answerWriter) noteClientGone() {
	if w.state == statusSent {
		w.state = clientDone
		return
	}
	w.advance(clientLeft)
}

// advance changes the state, except if a state was reached that settles the matter.
func (w *answerWriter) advance(to answerState) {
	if w.state <= statusSent {
		w.state = to
	}
}

// noAnswer returns the error to answer with if no handler has answered. Otherwise
// net/http would answer 200.
func (w *answerWriter) noAnswer() error {
	switch {
	case w.status != 0, isSuccess(w.backend()): // handle_response may leave the answer to us
		return nil
	case isInformational(w.backend()):
		return caddyhttp.Error(http.StatusBadGateway, fmt.Errorf("the backend gave no final answer, only status %d", w.backend()))
	case w.unhandled():
		w.state = notTaken
		return caddyhttp.Error(facts.NoHandler.Status, errNoHandler)
	}
	return nil
}

// failure returns why the event counts as failed, or nil if it does not. The error is
// what the handlers returned.
func (w *answerWriter) failure(err error) *facts.Failure {
	switch w.state {
	case notTaken:
		return facts.NoHandler
	case clientLeft:
		if err != nil || w.status != 0 && !isSuccess(w.status) {
			return facts.NotDelivered
		}
		return facts.ClientLeft
	case brokenOff:
		return facts.AnswerIncomplete
	case unanswered, answered, statusSent, clientDone: // the answer decides
	}
	handlerErr, _ := errors.AsType[caddyhttp.HandlerError](err)
	switch {
	case err == nil && (w.status == 0 || isSuccess(w.status)):
		return nil
	case err == nil:
		return facts.BackendAnswer
	case handlerErr.StatusCode == http.StatusGatewayTimeout:
		return facts.BackendTimeout
	case w.backend() != 0 && !isSuccess(w.backend()): // handle_response made an error of it
		return facts.BackendAnswer
	case handlerErr.StatusCode == http.StatusBadGateway, handlerErr.StatusCode == http.StatusServiceUnavailable:
		return facts.BackendUnreachable
	}
	return facts.HandlerError
}

// unhandled reports whether Caddy's chain of handlers has ended without a handler
// that took the event. Caddy would answer 200, and ElevenLabs would count it as
// delivered.
func (w *answerWriter) unhandled() bool {
	return caddyhttp.GetVar(w.attempt.request.Context(), "unhandled") == true && !isSuccess(w.backend())
}

// statusCodePlaceholder is set by reverse_proxy when the backend has answered, also
// if the answer then ends as an error (handle_response, lb_retry_match).
const statusCodePlaceholder = "http.reverse_proxy.status_code"

// backend returns the status with which a backend answered the event, or 0. A proxy
// before the backend that gets no body, as that of forward_auth, is not the backend.
func (w *answerWriter) backend() int {
	if !w.proxied && !w.attempt.answered.Load() {
		return 0
	}
	status, _ := w.attempt.replacer().Get(statusCodePlaceholder)
	code, _ := status.(int)
	return code
}

func isInformational(status int) bool { return status >= 100 && status <= 199 }

func isSuccess(status int) bool { return status >= 200 && status <= 299 }
