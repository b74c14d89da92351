package caddymodule

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

func toStore(r *http.Request) stored.Request {
	request := stored.Request{
		Proto: r.Proto, Host: r.Host, URI: r.URL.RequestURI(), Header: r.Header, RemoteAddr: r.RemoteAddr, ClientIP: clientIP(r),
	}
	request.TrustedProxy, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		request.LocalAddr = local.String()
	}
	if r.TLS != nil {
		request.TLS = &stored.TLS{Version: r.TLS.Version, Cipher: r.TLS.CipherSuite, ServerName: r.TLS.ServerName, Protocol: r.TLS.NegotiatedProtocol}
	}
	request.KeepBytes()
	return request
}

// restoreRequest makes a request anew, as Caddy's server would give it to its handlers.
func restoreRequest(ctx context.Context, s stored.Request, w http.ResponseWriter) (*http.Request, error) {
	if s.Header == nil {
		s.Header = http.Header{}
	}
	s.RestoreBytes()
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
