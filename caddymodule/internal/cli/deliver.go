package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

const headerRejection = "X-ElevenLabs-Rejection"

// client sends deliveries to one URL.
type client struct {
	url  *url.URL
	key  []byte
	now  func() time.Time
	http *http.Client
}

// connection says how to reach the URL's host.
type connection struct {
	ca       string // a file of certificates
	insecure bool
	resolve  string // host:address
	network  string // for net.Dial; empty for any
	timeout  time.Duration
}

// newClient makes a client of HTTP/1.1, the version that has the chunked bodies
// ElevenLabs documents. Each delivery has its own connection and thus its own
// TLS handshake: no delivery can fail by what another left behind.
func newClient(target string, key []byte, now func() time.Time, c connection) (*client, error) {
	parsed, err := url.Parse(target)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" {
		return nil, fmt.Errorf("%q is not a URL that begins with https:// or http://", target)
	}
	transport := &http.Transport{
		Proxy:              http.ProxyFromEnvironment,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: c.insecure}, //nolint:gosec // by --insecure
		DisableKeepAlives:  true,
		DisableCompression: true,
		Protocols:          new(http.Protocols),
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
		if resolved, err = resolve(c.resolve, parsed); err != nil {
			return nil, err
		}
		transport.Proxy = nil
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if resolved != "" {
			address = resolved
		} else {
			network = cmp.Or(c.network, network)
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return listeningConn{conn}, nil
	}
	return &client{url: parsed, key: key, now: now, http: &http.Client{
		Transport: transport,
		Timeout:   c.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}, nil
}

// listeningConn goes on to read when it cannot write any more. A server that
// refuses a large body may answer and close before it has it all, and net/http
// would report the failed write rather than the answer.
type listeningConn struct{ net.Conn }

func (c listeningConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && !errors.Is(err, net.ErrClosed) { // by this side
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
		return "", fmt.Errorf("--resolve is to be %s:<address>, by the host of the URL", strings.TrimSuffix(target.Host, ":"+target.Port()))
	}
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		return withPort.String(), nil
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"))
	if err != nil {
		return "", fmt.Errorf("--resolve: %q is not an IP address, such as 192.0.2.1, 192.0.2.1:8443 or [2001:db8::1]:8443", address)
	}
	return net.JoinHostPort(ip.String(), portOf(target)), nil
}

// result is what became of one delivery: a line of the output.
type result struct {
	Event        string `json:"event"`
	Forged       string `json:"forged,omitempty"`
	Bytes        int64  `json:"bytes"`
	EventID      string `json:"event_id"` // the handler's X-ElevenLabs-Event-Id
	Status       int    `json:"status,omitempty"`
	Reason       string `json:"reason,omitempty"`
	Milliseconds int64  `json:"ms"`
	TLS          string `json:"tls,omitempty"`
	OK           bool   `json:"ok"`
	Problem      string `json:"problem,omitempty"`

	interrupted bool // by this side, which tells nothing of the other
}

// deliver sends an event, forged or not, and judges the answer. progress is
// told how many bytes went out.
func (c *client) deliver(ctx context.Context, event sample.Event, f forgery, progress func(int)) result {
	sent, header, err := f.forge(event, c.key, c.now())
	r := result{Event: event.Type, Forged: f.name, Bytes: sent.Size()}
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	id := sha256.New()
	_, _ = io.Copy(id, sent.Body()) // neither fails
	r.EventID = hex.EncodeToString(id.Sum(nil))
	request, err := c.request(ctx, sent, header, progress)
	if err != nil {
		r.Problem = err.Error()
		return r
	}

	started := c.now()
	response, err := c.http.Do(request)
	if err != nil {
		r.Milliseconds = c.now().Sub(started).Milliseconds()
		r.Problem, r.interrupted = explainError(ctx, err), ctx.Err() != nil
		return r
	}
	defer response.Body.Close()
	r.Status = response.StatusCode
	r.Reason = cmdutil.Brief(response.Header.Get(headerRejection), 40)
	if response.TLS != nil {
		r.TLS = tls.VersionName(response.TLS.Version)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	r.Milliseconds = c.now().Sub(started).Milliseconds()
	if err != nil {
		r.Problem, r.interrupted = "the answer broke off: "+explainError(ctx, err), ctx.Err() != nil
		return r
	}
	r.Problem = f.problem(response)
	r.OK = r.Problem == ""
	return r
}

// request makes the request, with a signature header unless it is empty.
func (c *client) request(ctx context.Context, event sample.Event, header string, progress func(int)) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), counted{event.Body(), progress})
	if err != nil {
		return nil, err
	}
	request.ContentLength = event.Size()
	if event.Chunked() {
		request.ContentLength = -1
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", sample.UserAgent)
	if header != "" {
		request.Header[signature.HeaderName] = []string{header} // in ElevenLabs's spelling
	}
	return request, nil
}

// counted tells of what is read.
type counted struct {
	io.Reader
	count func(int)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.count(n)
	return n, err
}

// problem says what is wrong with the answer to a delivery, or nothing.
func (f forgery) problem(response *http.Response) string {
	status, reason := response.StatusCode, response.Header.Get(headerRejection)
	if status/100 == 3 {
		return fmt.Sprintf("redirects to %q: ElevenLabs is not known to follow", cmdutil.Cut(response.Header.Get("Location"), cmdutil.Longest))
	}
	if f.name == "" {
		if status != f.status {
			return fmt.Sprintf("expected %d", f.status)
		}
		return ""
	}
	switch {
	case status == f.status && reason == f.reason:
		return ""
	case reason == "" && (status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden):
		return "" // by another verifier: these are how one refuses; a 404, say, refuses nothing
	case status/100 == 2:
		return fmt.Sprintf("not refused: expected %d %s", f.status, f.reason)
	}
	return fmt.Sprintf("expected %d %s", f.status, f.reason)
}

// explainError makes a short sentence of why there is no answer.
func explainError(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return cmdutil.ErrInterrupted.Error()
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		if wrapped.Timeout() {
			return "no answer in time; see --timeout"
		}
		err = wrapped.Err // without the URL, which is known
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return cmdutil.Brief(err.Error(), cmdutil.Longest) + "; see --ca and --insecure"
	}
	return cmdutil.Brief(err.Error(), cmdutil.Longest)
}
