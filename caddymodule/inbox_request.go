package caddymodule

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// storedRequest is what a request was when its event was stored, without the body. A
// delivery makes it anew, so that reverse_proxy finds what it would have found then.
// What handlers before ours have set, such as the variables of vars and map, is lost.
type storedRequest struct {
	Host   string      `json:"host"`
	URI    string      `json:"uri"`
	Header http.Header `json:"header"`
	// HeaderBytes has the headers whose values JSON cannot hold as text.
	HeaderBytes  map[string][][]byte `json:"header_bytes,omitempty"`
	RemoteAddr   string              `json:"remote_addr"`
	LocalAddr    string              `json:"local_addr,omitempty"`
	ClientIP     string              `json:"client_ip"`
	TrustedProxy bool                `json:"trusted_proxy,omitempty"`
	TLS          *storedTLS          `json:"tls,omitempty"`
}

type storedTLS struct {
	Version    uint16 `json:"version"`
	Cipher     uint16 `json:"cipher"`
	ServerName string `json:"server_name,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
}

func toStore(r *http.Request) storedRequest {
	stored := storedRequest{
		Host: r.Host, URI: asciiURI(r.URL.RequestURI()), Header: http.Header{}, RemoteAddr: r.RemoteAddr, ClientIP: clientIP(r),
	}
	for name, values := range r.Header {
		if !slices.ContainsFunc(values, func(value string) bool { return !utf8.ValidString(value) }) {
			stored.Header[name] = values
			continue
		}
		if stored.HeaderBytes == nil {
			stored.HeaderBytes = map[string][][]byte{}
		}
		for _, value := range values {
			stored.HeaderBytes[name] = append(stored.HeaderBytes[name], []byte(value))
		}
	}
	stored.TrustedProxy, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		stored.LocalAddr = local.String()
	}
	if r.TLS != nil {
		stored.TLS = &storedTLS{r.TLS.Version, r.TLS.CipherSuite, r.TLS.ServerName, r.TLS.NegotiatedProtocol}
	}
	return stored
}

// asciiURI writes bytes of a URI that are not text as percent-encoding, as the client
// should have done (RFC 3986, section 2.1).
func asciiURI(uri string) string {
	if utf8.ValidString(uri) {
		return uri
	}
	var escaped strings.Builder
	for _, c := range []byte(uri) {
		if c < utf8.RuneSelf {
			escaped.WriteByte(c)
		} else {
			fmt.Fprintf(&escaped, "%%%02X", c)
		}
	}
	return escaped.String()
}

// request makes the request anew, as Caddy's server would give it to its handlers.
func (s storedRequest) request(ctx context.Context, w http.ResponseWriter) (*http.Request, error) {
	uri, err := url.ParseRequestURI(s.URI)
	if err != nil {
		return nil, err
	}
	if local := parseAddr(s.LocalAddr); local != nil {
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, local)
	}
	r := (&http.Request{
		Method: http.MethodPost, Host: s.Host, URL: uri, RequestURI: s.URI, Header: s.Header, RemoteAddr: s.RemoteAddr,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
	}).WithContext(ctx)
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for name, values := range s.HeaderBytes {
		for _, value := range values {
			r.Header[name] = append(r.Header[name], string(value))
		}
	}
	if s.TLS != nil {
		r.TLS = &tls.ConnectionState{
			HandshakeComplete: true, Version: s.TLS.Version, CipherSuite: s.TLS.Cipher,
			ServerName: s.TLS.ServerName, NegotiatedProtocol: s.TLS.Protocol,
		}
	}
	// reverse_proxy reads the server's logs, so there must be a server
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, s.TrustedProxy)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, s.ClientIP)
	return r, nil
}

// parseAddr returns nil for an address that is not of TCP, such as that of a Unix socket.
func parseAddr(text string) net.Addr {
	address, err := net.ResolveTCPAddr("tcp", text)
	if text == "" || err != nil {
		return nil
	}
	return address
}
