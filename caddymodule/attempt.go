package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// eventBody is the body of an event, in the spool or in an inbox. Its readers are
// independent of each other. One that is read too late fails.
type eventBody interface {
	NewReader() io.ReadCloser
	Size() int64
}

// forward calls next until it answers, no retries are left, or the request's context
// ends.
func (h *Handler) forward(w *answerWriter, r *http.Request, next caddyhttp.Handler, e *event, body eventBody, to backend) error {
	header, pause := w.Header().Clone(), time.Duration(h.Retries.Pause)
	for retries := *h.Retries.Count; ; retries-- {
		a := attempt{request: r, adopt: func() {}}
		if to.proxy == nil { // our own proxy works on a copy itself
			a.isolate(w)
		}
		if err := h.sign(a.request, e, body, to); err != nil {
			a.adopt()
			return err
		}
		again, err := a.run(w, next, e, body)
		if !again || retries == 0 || !sleep(r.Context(), pause) {
			a.adopt()
			return err
		}
		pause *= pauseFactor
		clear(w.Header())
		maps.Copy(w.Header(), header.Clone())
	}
}

// sleep pauses. It reports whether the context did not end meanwhile.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt is one attempt to forward an event.
type attempt struct {
	request *http.Request
	// adopt shows to the handlers before ours what the attempt has set.
	adopt func()

	read     atomic.Bool  // a handler has read from the body
	answered atomic.Bool  // a backend has answered after that
	rewinds  atomic.Int32 // how often the HTTP transport has sent the body again
}

// run calls next. It reports whether the connection to the backend failed before an
// answer, so that the event can be forwarded again.
func (a *attempt) run(w *answerWriter, next caddyhttp.Handler, e *event, body eventBody) (again bool, err error) {
	w.attempt = a
	a.setBody(body)
	a.replacer().Delete(statusCodePlaceholder)
	e.Attempts++
	defer func() { e.Attempts += int(a.rewinds.Load()) }()
	spent := func() bool { return false }
	if body.Size() == 0 {
		var end func()
		spent, end = a.countConnections()
		defer end()
	}
	err = next.ServeHTTP(w, a.request)
	if err != nil && spent() {
		err = caddyhttp.Error(http.StatusBadGateway, errEnded)
	}
	_, answered := a.replacer().Get(statusCodePlaceholder)
	return w.status == 0 && w.backend() == 0 && connectionFailed(err, answered), err
}

func (a *attempt) replacer() *caddy.Replacer {
	return a.request.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}

// routeGroups is the key of the groups of routes of which one route has run already.
// Caddy does not export it.
const routeGroups = caddy.CtxKey("route_group")

// isolate gives the attempt a request of its own, so that it leaves nothing behind for
// the next one. The handlers that follow change the request, Caddy's variables and
// placeholders, and the groups of routes such as those of handle.
func (a *attempt) isolate(w http.ResponseWriter) {
	r := a.request
	outer, shared := r.Context(), a.replacer()
	server, _ := outer.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)

	own := caddy.NewReplacer()
	request := caddyhttp.PrepareRequest(r.Clone(outer), own, w, server)
	ctx := request.Context()
	for _, key := range []caddy.CtxKey{caddyhttp.OriginalRequestCtxKey, caddyhttp.ExtraLogFieldsCtxKey} {
		ctx = context.WithValue(ctx, key, outer.Value(key))
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() {
		if a.read.Load() { // otherwise it is the answer to another request, such as that of forward_auth
			a.answered.Store(true)
		}
	}})
	*request = *request.WithContext(ctx) // in place: its replacer holds the pointer
	a.request = request

	vars := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	maps.Copy(vars, outer.Value(caddyhttp.VarsCtxKey).(map[string]any))
	if groups, ok := ctx.Value(routeGroups).(map[string]struct{}); ok {
		taken, _ := outer.Value(routeGroups).(map[string]struct{})
		maps.Copy(groups, taken)
	}
	own.Map(func(key string) (any, bool) { return placeholder(ctx, key) })
	adopted := false
	own.Map(func(key string) (any, bool) {
		if adopted {
			return nil, false
		}
		return shared.Get(key)
	})
	a.adopt = func() {
		adopted = true
		maps.Copy(outer.Value(caddyhttp.VarsCtxKey).(map[string]any), vars)
		shared.Map(own.Get)
	}
}

// maxRewinds is how often the HTTP transport may send the body again within one
// attempt. It does so without a limit while a backend ends each HTTP/2 connection
// before it takes a request.
const maxRewinds = 3

// errEnded is the error of an attempt whose backend ends each connection.
var errEnded = fmt.Errorf("the backend has ended %d connections without taking the event", maxRewinds+1)

// setBody gives the request a new reader of the body, and the body's length. It
// deletes trailers, which the signature does not cover.
func (a *attempt) setBody(body eventBody) {
	r, size := a.request, body.Size()
	r.ContentLength = size
	r.TransferEncoding = nil
	deleteTrailers(r)
	r.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	r.Header.Del("Expect") // the body is here
	if size == 0 {
		r.Body, r.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	r.Body = watchedBody{body.NewReader(), &a.read}
	r.GetBody = func() (io.ReadCloser, error) {
		if a.rewinds.Load() == maxRewinds {
			return nil, errEnded
		}
		a.rewinds.Add(1)
		return watchedBody{body.NewReader(), &a.read}, nil
	}
}

// countConnections bounds an attempt without a body by its connections: the HTTP
// transport sends that again without asking GetBody. It returns whether they are spent, and
// how to end the count.
func (a *attempt) countConnections() (spent func() bool, end func()) {
	before := a.request.Context()
	own := &spentContext{Context: before, done: make(chan struct{})}
	release := context.AfterFunc(before, func() { own.end(before.Err()) })
	var connections atomic.Int32
	var over atomic.Bool
	ctx := httptrace.WithClientTrace(own, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		switch n := connections.Add(1); {
		case n > maxRewinds+1:
			over.Store(true)
			own.end(context.DeadlineExceeded)
		case n > 1:
			a.rewinds.Add(1)
		}
	}})
	*a.request = *a.request.WithContext(ctx) // in place: its replacer holds the pointer
	return over.Load, func() {
		*a.request = *a.request.WithContext(before)
		release()
		own.end(context.Canceled)
	}
}

// spentContext can end as if its time was over. If it was canceled, reverse_proxy would
// take the client for gone.
type spentContext struct {
	context.Context
	done chan struct{}
	once sync.Once
	err  error // once it is done
}

func (c *spentContext) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
	})
}

// Done implements context.Context.
func (c *spentContext) Done() <-chan struct{} { return c.done }

// Err implements context.Context.
func (c *spentContext) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// watchedBody notes that it was read.
type watchedBody struct {
	io.ReadCloser
	read *atomic.Bool
}

func (b watchedBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.ReadCloser.Read(p)
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
