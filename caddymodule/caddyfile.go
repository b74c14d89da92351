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
//		sign          <secret>
//		inbox         [<name>] {
//			database    <path|url>
//			concurrency <count>
//			timeout     <duration>
//			retry       <pause>...
//			give_up     <duration>
//			retention   <delivered> [<dead>]
//			limit       <size>
//		}
//		allow_http
//		report_only
//		reverse_proxy <upstreams...> {
//			...
//		}
//	}
//
// secret and sign may be repeated. Every other option may stand only once. reverse_proxy has
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
		if d.Val() != proxyOption {
			if err := h.unmarshalOption(d, options, "", lines); err != nil {
				return nil, err
			}
			continue
		}
		line, err := optionLine(d, proxyOption, lines)
		if err != nil {
			return nil, err
		}
		proxy = new(reverseproxy.Handler)
		if err := unmarshalProxy(proxy, line); err != nil {
			return nil, err
		}
	}
	name, err := h.check()
	if err == nil && h.Inbox != nil && proxy == nil {
		name, err = "inbox", errInboxWithoutProxy
	}
	if err != nil {
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

// proxyOption is the option that has the syntax of Caddy's directive.
const proxyOption = "reverse_proxy"

// optionLine returns the line of an option, with its block. It keeps the line for later
// errors.
func optionLine(d *caddyfile.Dispenser, name string, lines map[string]*caddyfile.Dispenser) (*caddyfile.Dispenser, error) {
	line := d.NewFromNextSegment()
	line.Next()
	if lines[name] != nil {
		return nil, line.Errf("%s is set twice", name)
	}
	lines[name] = line
	return line, nil
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

// unmarshalOption parses an option of a table, with its block. The name of an option in a
// block comes after that of the block, in lines and in errors.
func (h *Handler) unmarshalOption(d *caddyfile.Dispenser, table []option, block string, lines map[string]*caddyfile.Dispenser) error {
	o, known := optionByName(table, d.Val())
	if !known {
		return d.Errf("unrecognized subdirective %q", block+d.Val())
	}
	name := block + o.name
	if o.repeats {
		delete(lines, name)
	}
	d, err := optionLine(d, name, lines)
	if err != nil {
		return err
	}
	args := d.RemainingArgs()
	if !o.takes(len(args)) {
		return d.ArgErr()
	}
	if err := o.parse(h, args); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	for d.NextBlock(0) {
		if o.block == nil {
			return d.Errf("%s takes no block", name)
		}
		if err := h.unmarshalOption(d, o.block, name+" ", lines); err != nil {
			return err
		}
	}
	return nil
}
