package caddymodule

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// storedRequest is what a request was when its event was stored, without the body. A
// delivery makes it anew, so that reverse_proxy finds what it would have found then.
// What handlers before ours have set, such as the variables of vars and map, is lost.
type storedRequest struct {
	Proto        string      `json:"proto,omitempty"`
	Host         string      `json:"host"`
	URI          string      `json:"uri"`
	Header       http.Header `json:"header"`
	RemoteAddr   string      `json:"remote_addr"`
	LocalAddr    string      `json:"local_addr,omitempty"`
	ClientIP     string      `json:"client_ip"`
	TrustedProxy bool        `json:"trusted_proxy,omitempty"`
	TLS          *storedTLS  `json:"tls,omitempty"`
	// Bytes has the parts of the request that are not UTF-8. JSON cannot hold them as text.
	Bytes *storedBytes `json:"bytes,omitempty"`
}

type storedBytes struct {
	URI    []byte              `json:"uri,omitempty"`
	Header map[string][][]byte `json:"header,omitempty"`
}

type storedTLS struct {
	Version    uint16 `json:"version"`
	Cipher     uint16 `json:"cipher"`
	ServerName string `json:"server_name,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
}

func toStore(r *http.Request) storedRequest {
	stored := storedRequest{
		Proto: r.Proto, Host: r.Host, URI: r.URL.RequestURI(), Header: r.Header, RemoteAddr: r.RemoteAddr, ClientIP: clientIP(r),
	}
	stored.TrustedProxy, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		stored.LocalAddr = local.String()
	}
	if r.TLS != nil {
		stored.TLS = &storedTLS{r.TLS.Version, r.TLS.CipherSuite, r.TLS.ServerName, r.TLS.NegotiatedProtocol}
	}
	stored.Bytes = bytesToStore(stored.URI, r.Header)
	return stored
}

// bytesToStore returns what of a request is not UTF-8, or nil.
func bytesToStore(uri string, header http.Header) *storedBytes {
	var b storedBytes
	if !utf8.ValidString(uri) {
		b.URI = []byte(uri)
	}
	for name, values := range header {
		if !slices.ContainsFunc(values, func(value string) bool { return !utf8.ValidString(value) }) {
			continue
		}
		if b.Header == nil {
			b.Header = map[string][][]byte{}
		}
		for _, value := range values {
			b.Header[name] = append(b.Header[name], []byte(value))
		}
	}
	if b.URI == nil && b.Header == nil {
		return nil
	}
	return &b
}

// restoreBytes restores what was not UTF-8.
func (s *storedRequest) restoreBytes() {
	if s.Bytes == nil {
		return
	}
	if s.Bytes.URI != nil {
		s.URI = string(s.Bytes.URI)
	}
	for name, values := range s.Bytes.Header {
		s.Header[name] = nil
		for _, value := range values {
			s.Header[name] = append(s.Header[name], string(value))
		}
	}
}

// request makes the request anew, as Caddy's server would give it to its handlers.
func (s storedRequest) request(ctx context.Context, w http.ResponseWriter) (*http.Request, error) {
	if s.Header == nil {
		s.Header = http.Header{}
	}
	s.restoreBytes()
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
	if major, minor, ok := http.ParseHTTPVersion(s.Proto); ok { // the backend sees it in Via
		r.Proto, r.ProtoMajor, r.ProtoMinor = s.Proto, major, minor
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
