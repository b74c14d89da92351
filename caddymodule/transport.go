package caddymodule

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// setReadDeadline limits how long the request's body may take to arrive; the zero
// time is no limit.
func setReadDeadline(w http.ResponseWriter, r *http.Request, deadline time.Time) {
	reader, _ := caddyhttp.IdleTimeoutsFromContext(r.Context())
	if reader == nil {
		_ = http.NewResponseController(w).SetReadDeadline(deadline) // not every ResponseWriter can; those of Caddy's server do
		return
	}
	_ = reader.SetReadDeadline(deadline) // else it would set its own before each read
	if deadline.IsZero() {
		// With that it has set the server's read_body anew, though the body is
		// here: as it ran out, the client would seem to have left.
		_ = reader.Ctrl.SetReadDeadline(deadline)
	}
}

// checkTransport refuses a request that crossed the network in clear, and one
// in TLS early data, which an attacker can send again (RFC 8446, section 8).
func (h *Handler) checkTransport(r *http.Request) *reason {
	if r.TLS != nil && !r.TLS.HandshakeComplete || slices.Contains(r.Header.Values("Early-Data"), "1") { // RFC 8470, section 5.1
		return earlyData
	}
	if r.TLS != nil || h.AllowHTTP || proxySaysHTTPS(r) {
		return nil
	}
	return insecureTransport
}

// proxySaysHTTPS reports whether a trusted proxy says that the request came
// over HTTPS. Of several values each must say so: those before the last may be
// the client's own, and which of them a proxy means differs between proxies.
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

// checkSource refuses a client whose address is not among source_ips.
func (h *Handler) checkSource(r *http.Request) *reason {
	if len(h.sources) == 0 {
		return nil
	}
	if contains(h.sources, clientIP(r)) {
		return nil
	}
	return sourceNotAllowed
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

// clientIP is the client's address as Caddy sees it: with trusted_proxies, the
// one that they name.
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// egress holds the addresses that ElevenLabs sends from, as published at
// https://elevenlabs.io/docs/eleven-api/resources/ip-allowlisting. They are
// shared by all of its services, of which some can be aimed at any URL by any
// customer: a filter, never a proof.
var egress = []struct {
	region    string
	addresses []string
}{
	{"us", []string{"34.67.146.145", "34.59.11.47"}},
	{"eu", []string{"35.204.38.71", "34.147.113.54"}},
	{"asia", []string{"35.185.187.110", "35.247.157.189"}},
	{"eu_residency", []string{"34.77.234.246", "34.140.184.144"}},
	{"india_residency", []string{"34.93.26.174", "34.93.252.69"}},
	{"singapore_residency", []string{"34.87.23.17", "34.126.179.103"}},
}

// parseSources turns source_ips into address ranges.
func parseSources(sources []string) ([]netip.Prefix, error) {
	var expressions []string
	for _, source := range sources {
		before := len(expressions)
		for _, e := range egress {
			if source == e.region || source == "elevenlabs" {
				expressions = append(expressions, e.addresses...)
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
			return nil, fmt.Errorf("%q is neither elevenlabs, nor a region (%s), nor an address or CIDR", expression, regions())
		}
		if address := prefix.Addr(); address.Is4In6() && prefix.Bits() >= 96 { // contains compares as IPv4
			prefix = netip.PrefixFrom(address.Unmap(), prefix.Bits()-96)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func regions() string {
	names := make([]string, 0, len(egress))
	for _, e := range egress {
		names = append(names, e.region)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
