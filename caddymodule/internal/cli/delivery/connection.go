package delivery

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// Connection says how to reach the host of a URL.
type Connection struct {
	// Network is the network for net.Dial. Empty means any.
	Network string
	// AnswerWithin is how long the server may take for each step up to its answer: the
	// connection, the TLS handshake, the first bytes. 0 means that only the timeout of the
	// whole request counts.
	AnswerWithin time.Duration

	ca       string // a file of certificates
	insecure bool
	resolve  string // host:address
	timeout  time.Duration
}

// ConnectionFlags adds the flags that say how to reach the host of a URL.
func ConnectionFlags(cmd *cobra.Command, timeout time.Duration) *Connection {
	c := new(Connection)
	flags := cmd.Flags()
	flags.DurationVar(&c.timeout, "timeout", timeout, "the longest that one request may take")
	flags.StringVar(&c.ca, "ca", "", "trust only the certificates in this PEM `file`")
	flags.BoolVar(&c.insecure, "insecure", false, "do not verify the server's certificate")
	flags.StringVar(&c.resolve, "resolve", "", "for the URL's host, connect to this IP address, with a port or without, as `host:address`")
	return c
}

// NewConnection returns a connection for which no flags of this package are.
func NewConnection(ca string, insecure bool, timeout time.Duration) *Connection {
	return &Connection{ca: ca, insecure: insecure, timeout: timeout}
}

// Check returns an error if the flags have values that they cannot have.
func (c *Connection) Check(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "ca", "resolve"); err != nil {
		return err
	}
	if c.timeout <= 0 {
		return fmt.Errorf("--timeout must be above 0, not %s", c.timeout)
	}
	return nil
}

// Resolved reports whether --resolve says where the host is.
func (c *Connection) Resolved() bool { return c.resolve != "" }

// Insecure reports whether the server's certificate is not verified.
func (c *Connection) Insecure() bool { return c.insecure }

// Client makes an HTTP/1.1 client, since ElevenLabs documents chunked bodies and
// only that version has them. Each request has its own connection, and thus its
// own TLS handshake, so that no request fails because of an earlier one.
func (c *Connection) Client(target *url.URL, now func() time.Time) (*http.Client, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: c.insecure, Time: now}, //nolint:gosec // by --insecure
		DisableKeepAlives:     true,
		DisableCompression:    true,
		TLSHandshakeTimeout:   c.AnswerWithin,
		ResponseHeaderTimeout: c.AnswerWithin,
		Protocols:             new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("reading --ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no certificate in %s: --ca takes a file in PEM format", c.ca)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	var resolved string
	if c.resolve != "" {
		var err error
		if resolved, err = resolve(c.resolve, target); err != nil {
			return nil, err
		}
		transport.Proxy = nil
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if resolved != "" {
			address = resolved
		} else {
			network = cmp.Or(c.Network, network)
		}
		conn, err := (&net.Dialer{Timeout: c.AnswerWithin}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return listeningConn{conn}, nil
	}
	return &http.Client{
		Transport: transport,
		Timeout:   c.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}, nil
}

// listeningConn still reads after a write has failed. A server that rejects a
// large body may answer and close before it has read the body, and net/http
// would report the failed write instead of the answer.
type listeningConn struct{ net.Conn }

func (c listeningConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && !errors.Is(err, net.ErrClosed) { // closed by this side
		return len(p), nil
	}
	return n, err
}

// resolve reads host:address for a URL, and returns the address with a port.
func resolve(text string, target *url.URL) (string, error) {
	address, found := "", false
	for _, host := range []string{target.Hostname(), "[" + target.Hostname() + "]"} { // IPv6 with brackets, or without
		if before := len(host) + 1; len(text) >= before && strings.EqualFold(text[:before], host+":") {
			address, found = text[before:], true
		}
	}
	if !found {
		return "", fmt.Errorf("--resolve must be %s:<address>, with the host of the URL", strings.TrimSuffix(target.Host, ":"+target.Port()))
	}
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		return withPort.String(), nil
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"))
	if err != nil {
		return "", fmt.Errorf("--resolve: %q is not an IP address, such as 192.0.2.1, 192.0.2.1:8443 or [2001:db8::1]:8443", address)
	}
	return net.JoinHostPort(ip.String(), PortOf(target)), nil
}

// PortOf returns the port that a URL leads to.
func PortOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}
