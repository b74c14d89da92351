package caddymodule

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// checkHead checks what can be checked before the body is read. The signature
// header is of use even if the request is rejected, since report_only may forward it.
func (h *Handler) checkHead(r *http.Request) (signature.Header, *rejection) {
	header, err := signature.Parse(r.Header.Values(signature.HeaderName))
	switch {
	case r.Method != http.MethodPost:
		return header, &rejection{Rejection: facts.MethodNotAllowed}
	case r.ContentLength > h.MaxSize:
		return header, &rejection{Rejection: facts.BodyTooLarge}
	case inEarlyData(r):
		return header, &rejection{Rejection: facts.EarlyData}
	case r.TLS == nil && !h.AllowHTTP && !proxySaysHTTPS(r):
		return header, &rejection{Rejection: facts.InsecureTransport}
	case len(h.sources) > 0 && !contains(h.sources, clientIP(r)):
		return header, &rejection{Rejection: facts.SourceNotAllowed}
	case err != nil:
		return header, &rejection{Rejection: signatureRejection(err), cause: err}
	}
	return header, nil
}

// inEarlyData reports whether the request came in TLS early data, which an attacker
// can send again (RFC 8446, section 8). A proxy in front says so by a header, of which
// any value and any number count as 1 (RFC 8470, section 5.1).
func inEarlyData(r *http.Request) bool {
	return r.TLS != nil && !r.TLS.HandshakeComplete || len(r.Header.Values("Early-Data")) > 0
}

// proxySaysHTTPS reports whether a trusted proxy says that the request came over
// HTTPS. If there are several values, each must say so. The client may have sent
// those before the last, and proxies differ in which one they mean.
func proxySaysHTTPS(r *http.Request) bool {
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); !trusted {
		return false
	}
	lines := r.Header.Values("X-Forwarded-Proto")
	for _, line := range lines {
		for proto := range strings.SplitSeq(line, ",") {
			if !strings.EqualFold(strings.TrimSpace(proto), "https") {
				return false
			}
		}
	}
	return len(lines) > 0
}

// clientIP returns the client's address as Caddy sees it. With trusted_proxies, it is
// the one that the proxies name.
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// contains reports whether an address lies in one of the ranges.
func contains(prefixes []netip.Prefix, ip string) bool {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	address = address.WithZone("").Unmap()
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// allRegions is the value of source_ips for all addresses of ElevenLabs.
const allRegions = "elevenlabs"

// parseSources parses source_ips into address ranges.
func parseSources(sources []string) ([]netip.Prefix, error) {
	var expressions []string
	for _, source := range sources {
		before := len(expressions)
		for _, region := range facts.Regions {
			if source == region.Name || source == allRegions {
				expressions = append(expressions, region.Addresses...)
			}
		}
		if len(expressions) == before {
			expressions = append(expressions, source)
		}
	}
	var prefixes []netip.Prefix
	for _, expression := range expressions {
		prefix, err := caddyhttp.CIDRExpressionToPrefix(expression)
		if err != nil {
			return nil, fmt.Errorf("%q is not %s, a region (%s), an address or a CIDR", expression, allRegions, regionNames())
		}
		if address := prefix.Addr(); address.Is4In6() && prefix.Bits() >= 96 { // contains compares as IPv4
			prefix = netip.PrefixFrom(address.Unmap(), prefix.Bits()-96)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func regionNames() string {
	names := make([]string, 0, len(facts.Regions))
	for _, region := range facts.Regions {
		names = append(names, region.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
