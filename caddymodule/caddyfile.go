package caddymodule

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
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
	p := directiveParser{h: h, lines: map[string]*caddyfile.Dispenser{}, helper: &helper}
	if err := p.parse(helper.Dispenser); err != nil {
		return nil, err
	}
	for _, proxy := range p.proxies {
		// handle_response has routes in it, which only the helper can parse
		if err := proxy.handler.FinalizeUnmarshalCaddyfile(helper); err != nil {
			return nil, err
		}
		*proxy.to = caddyconfig.JSON(proxy.handler, nil)
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
//			destination <name> [<matcher>] {
//				events      <type>...
//				agents      <id>...
//				concurrency <count>
//				timeout     <duration>
//				retry       <pause>...
//				give_up     <duration>
//				sign        <secret>
//				reverse_proxy <upstreams...> {
//					...
//				}
//			}
//		}
//		allow_http
//		report_only
//		reverse_proxy <upstreams...> {
//			...
//		}
//	}
//
// secret, sign and destination may be repeated. Every other option may stand only once.
// reverse_proxy has the whole syntax of Caddy's directive, except handle_response, which
// only the directive itself can parse, as it does the matcher of a destination.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	p := directiveParser{h: h, lines: map[string]*caddyfile.Dispenser{}}
	if err := p.parse(d); err != nil {
		return err
	}
	for _, proxy := range p.proxies {
		*proxy.to = caddyconfig.JSON(proxy.handler, nil)
	}
	return nil
}

// directiveParser parses the directive.
type directiveParser struct {
	h *Handler
	// lines are the lines of the options, for later errors.
	lines   map[string]*caddyfile.Dispenser
	proxies []parsedProxy
	// helper parses matchers; nil if only a handler is parsed.
	helper *httpcaddyfile.Helper
}

// parsedProxy is a reverse_proxy that the caller may have to finalize.
type parsedProxy struct {
	handler *reverseproxy.Handler
	to      *json.RawMessage
}

// parse parses the directive. Its errors repeat words of the Caddyfile, and a secret may
// stand in a wrong place there.
func (p *directiveParser) parse(d *caddyfile.Dispenser) error {
	err := p.directive(d)
	if err == nil {
		return nil
	}
	if text := facts.HideCredentials(err.Error(), "…"); text != err.Error() {
		return errors.New(text)
	}
	return err
}

func (p *directiveParser) directive(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if err := p.option(d, option{block: options, proxyOf: func(h *Handler) *json.RawMessage { return &h.ReverseProxyRaw }}, ""); err != nil {
			return err
		}
	}
	name, err := p.h.check()
	if err == nil && p.h.Inbox != nil {
		name, err = "inbox", p.h.checkProxies()
	}
	if err != nil {
		line := p.lines[name]
		if line == nil { // the option is missing
			line = d
		}
		line.Reset()
		line.Next()
		return line.Errf("%s: %v", name, err)
	}
	return nil
}

// option parses an option in a block, with its own block. The name of an option in a block
// comes after that of the block, in lines and in errors.
func (p *directiveParser) option(d *caddyfile.Dispenser, in option, block string) error {
	if d.Val() == proxyOption && in.proxyOf != nil {
		return p.proxy(d, block, in.proxyOf(p.h))
	}
	o, known := optionByName(in.block, d.Val())
	if !known && block == "" && d.Val() == "destination" {
		return d.Errf("unrecognized subdirective %q: it belongs into inbox, which keeps an event until each destination has it", d.Val())
	}
	if !known {
		return d.Errf("unrecognized subdirective %q", block+d.Val())
	}
	name := block + o.name
	if o.repeats {
		for line := range p.lines {
			if line == name || strings.HasPrefix(line, name+" ") {
				delete(p.lines, line)
			}
		}
	}
	d, err := p.line(d, name)
	if err != nil {
		return err
	}
	args := d.RemainingArgs()
	if !o.takes(len(args)) {
		return d.ArgErr()
	}
	if err := o.parse(p.h, args); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	if o.match != nil && len(args) > 1 {
		if err := p.matcher(d, o); err != nil {
			return err
		}
	}
	for d.NextBlock(0) {
		if o.block == nil {
			return d.Errf("%s takes no block", name)
		}
		if err := p.option(d, o, name+" "); err != nil {
			return err
		}
	}
	return nil
}

// proxyOption is the option that has the syntax of Caddy's directive.
const proxyOption = "reverse_proxy"

// proxy parses an inner reverse_proxy. It takes no matcher: Caddy would mistake one for the
// name of an upstream.
func (p *directiveParser) proxy(d *caddyfile.Dispenser, block string, to *json.RawMessage) error {
	d, err := p.line(d, block+proxyOption)
	if err != nil {
		return err
	}
	if d.NextArg() && (d.Val() == "*" || strings.HasPrefix(d.Val(), "/") || strings.HasPrefix(d.Val(), "@")) {
		if block == "" {
			return d.Errf("reverse_proxy takes no matcher here: put %q after elevenlabs_webhook", d.Val())
		}
		return d.Errf("reverse_proxy takes no matcher here: put %q after the name of the destination", d.Val())
	}
	d.Reset()
	*to = json.RawMessage(`{}`) // until it is finalized
	proxy := new(reverseproxy.Handler)
	p.proxies = append(p.proxies, parsedProxy{proxy, to})
	return proxy.UnmarshalCaddyfile(d)
}

// matcher parses the matcher that is the second argument of an option.
func (p *directiveParser) matcher(d *caddyfile.Dispenser, o option) error {
	if p.helper == nil {
		return d.Errf("%s: only a site can have a matcher", o.name)
	}
	d.Reset()
	d.Next()
	d.NextArg()
	set, is, err := p.helper.WithDispenser(d).MatcherToken()
	if err != nil {
		return d.Err(err.Error())
	}
	if !is {
		return d.Errf("%s: %q is no matcher: write @name, /path or *", o.name, d.Val())
	}
	if set != nil {
		o.match(p.h, set)
	}
	return nil
}

// line returns the line of an option, with its block. It keeps the line for later errors.
func (p *directiveParser) line(d *caddyfile.Dispenser, name string) (*caddyfile.Dispenser, error) {
	line := d.NewFromNextSegment()
	line.Next()
	if p.lines[name] != nil {
		return nil, line.Errf("%s is set twice", name)
	}
	p.lines[name] = line
	return line, nil
}
