package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inspector"
)

const inspectorDirective = "elevenlabs_inspector"

func init() {
	caddy.RegisterModule(Inspector{})
	httpcaddyfile.RegisterHandlerDirective(inspectorDirective, func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		i := new(Inspector)
		return i, i.UnmarshalCaddyfile(h.Dispenser)
	})
	// After basic_auth, forward_auth and uri.
	httpcaddyfile.RegisterDirectiveOrder(inspectorDirective, httpcaddyfile.Before, "respond")
}

// Inspector shows, on pages for a browser, what the `elevenlabs_webhook` handlers of this
// process did with each request, and what is in their inboxes. An operator can read each
// stored event there, deliver it again, give it up, or delete it. Without an inbox, the
// pages show the last deliveries.
//
// Give it a site of its own, behind `basic_auth`, `forward_auth` or client certificates.
// It answers 403 unless somebody has signed in: the placeholder `{http.auth.user.id}` has
// a value, or Caddy has verified the client's certificate.
//
// Below its path, the handler also answers the GET requests of the admin endpoint's
// routes for stored events, as `/events` for `/elevenlabs/inbox/events`, to clients that
// accept JSON or server-sent events. `caddy elevenlabs listen` uses them.
//
// A request by which another site would change something is rejected with 403. The log
// names who changed what.
type Inspector struct {
	// Whether the pages have no buttons, and change nothing.
	ReadOnly bool `json:"read_only,omitempty"`

	// Whether to show everything to everyone who reaches this handler. Set it only if
	// something else has asked who the client is, such as `forward_auth`, or if only
	// operators reach the listener.
	AllowUnauthenticated bool `json:"allow_unauthenticated,omitempty"`

	pages   *inspector.Pages
	ended   <-chan struct{} // when the configuration ends
	servers *sync.Map       // *http.Server to chan struct{}, closed when it shuts down
}

// CaddyModule returns the Caddy module information.
func (Inspector) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers." + inspectorDirective,
		New: func() caddy.Module { return new(Inspector) },
	}
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	elevenlabs_inspector [<matcher>] {
//		read_only
//		allow_unauthenticated
//	}
func (i *Inspector) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		switch d.Val() {
		case "read_only":
			i.ReadOnly = true
		case "allow_unauthenticated":
			i.AllowUnauthenticated = true
		default:
			return d.Errf("unrecognized subdirective %q", d.Val())
		}
		if d.NextArg() {
			return d.ArgErr()
		}
	}
	return nil
}

// Provision makes the pages.
func (i *Inspector) Provision(ctx caddy.Context) error {
	i.pages = inspector.New(inspectorSource{}, i.ReadOnly)
	i.ended, i.servers = ctx.Done(), new(sync.Map)
	return nil
}

const notSignedIn = `Nobody has signed in, so nothing is shown.

Put basic_auth before elevenlabs_inspector, or ask for client certificates.
Behind forward_auth, set allow_unauthenticated.
`

// ServeHTTP shows a page.
func (i *Inspector) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	v := inspector.Visitor{Base: basePath(r), User: signedIn(r), RemoteAddr: r.RemoteAddr}
	if v.User == "" && !i.AllowUnauthenticated {
		inspector.Protect(w)
		http.Error(w, notSignedIn, http.StatusForbidden)
		return nil
	}
	if show := i.data(r); show != nil {
		inspector.Protect(w)
		writeError(w, show(w, r))
		return nil
	}
	i.pages.Serve(w, r, v)
	return nil
}

// signedIn returns who the client is, as an authentication of Caddy or the client's
// certificate says. It is empty if nobody has signed in.
func signedIn(r *http.Request) string {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		if user, _ := repl.GetString("http.auth.user.id"); user != "" {
			return user
		}
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		certificate := r.TLS.VerifiedChains[0][0] // it may name its owner only in an extension
		return cmp.Or(certificate.Subject.String(), "certificate "+certificate.SerialNumber.String())
	}
	return ""
}

// basePath returns the path below which the pages are, which handle_path or uri has
// stripped.
func basePath(r *http.Request) string {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return ""
	}
	base, found := strings.CutSuffix(original.URL.Path, r.URL.Path)
	if !found && r.URL.Path == "/" { // handle_path makes /inspect the path /
		base, found = original.URL.Path, true
	}
	if !found {
		return ""
	}
	if base = strings.Trim(base, "/"); base == "" {
		return ""
	}
	return "/" + base // a link that begins with // would lead to another host
}

// data returns what answers a request of a program, or nil for that of a browser.
func (i *Inspector) data(r *http.Request) caddy.AdminHandlerFunc {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(parts) > 1 {
		r.SetPathValue("seq", parts[1])
	}
	program := wantsStream(r) || strings.Contains(r.Header.Get("Accept"), "application/json")
	switch {
	case parts[0] == "deliveries" && len(parts) == 1 && program:
		return func(w http.ResponseWriter, r *http.Request) error { return showDeliveries(w, r, i.streamEnds(r)) }
	case parts[0] != "events":
	case len(parts) == 1 && program:
		return func(w http.ResponseWriter, r *http.Request) error { return listInbox(w, r, i.streamEnds(r)) }
	case len(parts) == 2 && program:
		return showInboxEvent
	case len(parts) == 3 && parts[2] == "body":
		return sendInboxBody
	}
	return nil
}

// longestStream is how long a stream lasts if nobody tells when its server shuts down.
// Its client connects again.
const longestStream = 30 * time.Second

// streamEnds returns when a stream must end. Caddy's servers wait for the requests in
// them when they shut down, and the configuration ends after that.
func (i *Inspector) streamEnds(r *http.Request) streamEnds {
	shutdown := make(chan struct{})
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok { // HTTP/3
		timer := time.AfterFunc(longestStream, func() { close(shutdown) })
		context.AfterFunc(r.Context(), func() { timer.Stop() })
		return streamEnds{shutdown, i.ended}
	}
	known, there := i.servers.LoadOrStore(server, shutdown)
	if !there {
		server.RegisterOnShutdown(func() { close(shutdown) })
	}
	return streamEnds{known.(chan struct{}), i.ended}
}

// writeError answers with an error as the admin endpoint does.
func writeError(w http.ResponseWriter, err error) {
	if err == nil {
		return
	}
	known := caddy.APIError{HTTPStatus: http.StatusInternalServerError}
	errors.As(err, &known)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(known.HTTPStatus)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Inspector)(nil)
	_ caddyhttp.MiddlewareHandler = (*Inspector)(nil)
	_ caddyfile.Unmarshaler       = (*Inspector)(nil)
)
