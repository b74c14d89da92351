package caddymodule

import (
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const stripDirective = "elevenlabs_strip"

func init() {
	caddy.RegisterModule(Strip{})
	httpcaddyfile.RegisterHandlerDirective(stripDirective, func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return Strip{}, Strip{}.UnmarshalCaddyfile(h.Dispenser)
	})
	// Before all others, so that no error route gets what they reject.
	httpcaddyfile.RegisterDirectiveOrder(stripDirective, httpcaddyfile.Before, "tracing")
}

// Strip deletes from every request the headers that only `elevenlabs_webhook` may set.
// Use it on a site where other routes lead to the same application as the webhook. A
// client then cannot pass these headers to the application on such a route.
//
// The handler deletes every header that begins with `X-ElevenLabs`, in every spelling.
// It deletes an `Idempotency-Key` only if it has the form of an event id, which is 64
// hexadecimal digits. Other clients of the application may have keys of their own.
//
// It leaves the headers of `sign` alone: other webhooks may use the same names, and an
// invented signature fits no key.
//
// It has no options.
type Strip struct{}

// CaddyModule returns the Caddy module information.
func (Strip) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers." + stripDirective,
		New: func() caddy.Module { return new(Strip) },
	}
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	elevenlabs_strip [<matcher>]
func (Strip) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(0) {
		return d.Errf("%s takes no block", stripDirective)
	}
	return nil
}

// ServeHTTP deletes the headers.
func (Strip) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	keepMarks(r)
	for name, values := range r.Header {
		kind := kindOf(name)
		if kind == headerOurs || kind == headerKey && slices.ContainsFunc(values, isEventID) {
			delete(r.Header, name)
		}
	}
	return next.ServeHTTP(w, r)
}

// isEventID reports whether a value has the form of an event id.
func isEventID(value string) bool {
	digest, err := hex.DecodeString(value)
	return err == nil && len(digest) == 32
}

// Interface guards
var (
	_ caddyhttp.MiddlewareHandler = Strip{}
	_ caddyfile.Unmarshaler       = Strip{}
)
