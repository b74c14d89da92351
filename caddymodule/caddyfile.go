package caddymodule

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"
)

const directive = "elevenlabs_webhook"

func init() {
	httpcaddyfile.RegisterHandlerDirective(directive, parseCaddyfile)
	// before method, rewrite and all that acts on a request, so that these see
	// the placeholders, and after request_body, whose limit then counts
	httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.Before, "method")
}

func parseCaddyfile(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	proxy, err := h.unmarshal(helper.Dispenser)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		// handle_response has routes in it, which take the helper to parse
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
// secret may be repeated; everything else stands at most once. reverse_proxy
// has the whole syntax of Caddy's directive, but for handle_response, which
// only the directive itself can parse.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	proxy, err := h.unmarshal(d)
	if err == nil && proxy != nil {
		h.ReverseProxyRaw = caddyconfig.JSON(proxy, nil)
	}
	return err
}

// unmarshal returns the proxy apart, since it may have to be finished.
func (h *Handler) unmarshal(d *caddyfile.Dispenser) (*reverseproxy.Handler, error) {
	d.Next() // the directive's name
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	var proxy *reverseproxy.Handler
	lines := map[string]*caddyfile.Dispenser{}
	for d.NextBlock(0) {
		option := d.Val()
		line := d.NewFromNextSegment()
		line.Next()
		if lines[option] != nil && option != "secret" {
			return nil, line.Errf("%s is set twice", option)
		}
		lines[option] = line
		var err error
		if option == "reverse_proxy" {
			proxy = new(reverseproxy.Handler)
			err = unmarshalProxy(proxy, line)
		} else {
			err = h.unmarshalOption(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if option, err := h.check(); err != nil {
		line := lines[option]
		if line == nil { // the option is missing
			line = d
		}
		line.Reset()
		line.Next()
		return nil, line.Errf("%s: %v", option, err)
	}
	return proxy, nil
}

// unmarshalProxy reads the inner reverse_proxy. It has no matcher: Caddy would
// take one for the name of an upstream.
func unmarshalProxy(proxy *reverseproxy.Handler, d *caddyfile.Dispenser) error {
	if d.NextArg() && (d.Val() == "*" || strings.HasPrefix(d.Val(), "/") || strings.HasPrefix(d.Val(), "@")) {
		return d.Errf("reverse_proxy takes no matcher here: put %q behind elevenlabs_webhook", d.Val())
	}
	d.Reset()
	return proxy.UnmarshalCaddyfile(d)
}

// arity is how many arguments each option takes, at least and at most.
var arity = map[string][2]int{
	"secret":        {1, 2},
	"tolerance":     {1, 2},
	"max_size":      {1, 1},
	"memory_buffer": {1, 1},
	"spool_dir":     {1, 1},
	"spool_limit":   {1, 1},
	"read_timeout":  {1, 1},
	"source_ips":    {1, math.MaxInt},
	"events":        {1, math.MaxInt},
	"retries":       {1, 2},
	"allow_http":    {0, 0},
	"report_only":   {0, 0},
}

// unmarshalOption reads one option's line.
func (h *Handler) unmarshalOption(d *caddyfile.Dispenser) error {
	option := d.Val()
	args := d.RemainingArgs()
	limits, known := arity[option]
	if !known {
		return d.Errf("unrecognized subdirective %q", option)
	}
	if len(args) < limits[0] || len(args) > limits[1] {
		return d.ArgErr()
	}
	if d.NextBlock(0) {
		return d.Errf("%s takes no block", option)
	}

	var err error
	switch option {
	case "secret":
		secret := Secret{Value: args[0]}
		if len(args) == 2 {
			secret.Name = args[1]
		}
		err = secret.check()
		h.Secrets = append(h.Secrets, secret)
	case "tolerance":
		err = parseDuration(args[0], &h.Tolerance.Past)
		if err == nil && len(args) == 2 {
			err = parseDuration(args[1], &h.Tolerance.Future)
		}
	case "max_size":
		err = parseSize(args[0], &h.MaxSize)
	case "memory_buffer":
		err = parseSize(args[0], &h.MemoryBuffer)
	case "spool_dir":
		h.SpoolDir = args[0]
	case "spool_limit":
		err = parseSize(args[0], &h.SpoolLimit)
	case "read_timeout":
		err = parseDuration(args[0], &h.ReadTimeout)
	case "source_ips":
		h.SourceIPs = args
	case "events":
		h.Events = args
	case "retries":
		var count int
		count, err = strconv.Atoi(args[0])
		h.Retries.Count = &count
		if err == nil && len(args) == 2 {
			err = parseDuration(args[1], &h.Retries.Pause)
		}
	case "allow_http":
		h.AllowHTTP = true
	case "report_only":
		h.ReportOnly = true
	}
	if err != nil {
		return d.Errf("%s: %v", option, err)
	}
	return nil
}

func parseDuration(arg string, to *caddy.Duration) error {
	duration, err := caddy.ParseDuration(arg)
	if err == nil && duration <= 0 {
		err = errNotPositive
	}
	*to = caddy.Duration(duration)
	return err
}

func parseSize(arg string, to *int64) error {
	size, err := humanize.ParseBytes(arg)
	if err != nil {
		return fmt.Errorf("%q is not a size such as 10MiB", arg)
	}
	if size == 0 {
		return errNotPositive
	}
	if size > math.MaxInt64 {
		return fmt.Errorf("%q is too large", arg)
	}
	*to = int64(size)
	return nil
}
