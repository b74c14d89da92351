package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

const directive = "elevenlabs_webhook"

func init() {
	httpcaddyfile.RegisterHandlerDirective(directive, parseCaddyfile)
	// Before method, rewrite and other directives that act on a request, so that
	// these see the placeholders. After request_body, so that its limit counts.
	httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.Before, "method")
}

func parseCaddyfile(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	proxy, err := h.unmarshal(helper.Dispenser)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		// handle_response has routes in it, which only the helper can parse
		if err := proxy.FinalizeUnmarshalCaddyfile(helper); err != nil {
			return nil, err
		}
		h.ReverseProxyRaw = caddyconfig.JSON(proxy, nil)
	}
	return h, nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	elevenlabs_webhook [<matcher>] {
//		secret        <value> [<name>]
//		tolerance     <past> [<future>]
//		max_size      <size>
//		memory_buffer <size>
//		memory_limit  <size>
//		spool_dir     <path>
//		spool_limit   <size>
//		read_timeout  <duration>
//		source_ips    <elevenlabs|region|cidr>...
//		events        <type>...
//		retries       <count> [<pause>]
//		allow_http
//		report_only
//		reverse_proxy <upstreams...> {
//			...
//		}
//	}
//
// secret may be repeated. Every other option may stand only once. reverse_proxy has
// the whole syntax of Caddy's directive, except handle_response, which only the
// directive itself can parse.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	proxy, err := h.unmarshal(d)
	if err == nil && proxy != nil {
		h.ReverseProxyRaw = caddyconfig.JSON(proxy, nil)
	}
	return err
}

// unmarshal returns the proxy apart, since the caller may have to finalize it.
func (h *Handler) unmarshal(d *caddyfile.Dispenser) (*reverseproxy.Handler, error) {
	d.Next() // the directive's name
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	var proxy *reverseproxy.Handler
	lines := map[string]*caddyfile.Dispenser{}
	for d.NextBlock(0) {
		name := d.Val()
		line := d.NewFromNextSegment()
		line.Next()
		if o, _ := optionByName(name); lines[name] != nil && !o.repeats {
			return nil, line.Errf("%s is set twice", name)
		}
		lines[name] = line
		var err error
		if name == "reverse_proxy" {
			proxy = new(reverseproxy.Handler)
			err = unmarshalProxy(proxy, line)
		} else {
			err = h.unmarshalOption(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if name, err := h.check(); err != nil {
		line := lines[name]
		if line == nil { // the option is missing
			line = d
		}
		line.Reset()
		line.Next()
		return nil, line.Errf("%s: %v", name, err)
	}
	return proxy, nil
}

// unmarshalProxy parses the inner reverse_proxy. It takes no matcher: Caddy would
// mistake one for the name of an upstream.
func unmarshalProxy(proxy *reverseproxy.Handler, d *caddyfile.Dispenser) error {
	if d.NextArg() && (d.Val() == "*" || strings.HasPrefix(d.Val(), "/") || strings.HasPrefix(d.Val(), "@")) {
		return d.Errf("reverse_proxy takes no matcher here: put %q after elevenlabs_webhook", d.Val())
	}
	d.Reset()
	return proxy.UnmarshalCaddyfile(d)
}

// unmarshalOption parses one option's line.
func (h *Handler) unmarshalOption(d *caddyfile.Dispenser) error {
	name := d.Val()
	args := d.RemainingArgs()
	o, known := optionByName(name)
	if !known {
		return d.Errf("unrecognized subdirective %q", name)
	}
	if !o.takes(len(args)) {
		return d.ArgErr()
	}
	if d.NextBlock(0) {
		return d.Errf("%s takes no block", name)
	}
	if err := o.parse(h, args); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	return nil
}
