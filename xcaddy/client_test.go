package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func (s *server) tlsConfig() *tls.Config {
	root, err := os.ReadFile(filepath.Join(dataDir, "caddy/pki/authorities/local/root.crt"))
	require.NoError(s.t, err)
	pool := x509.NewCertPool()
	require.True(s.t, pool.AppendCertsFromPEM(root))
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// client returns a client for one version of HTTP, over verified TLS.
func (s *server) client(proto string) *http.Client {
	var transport http.RoundTripper
	switch proto {
	case "HTTP/1.1":
		config := s.tlsConfig()
		config.NextProtos = []string{"http/1.1"}
		t := &http.Transport{TLSClientConfig: config, DialContext: dialToTheEnd}
		s.t.Cleanup(t.CloseIdleConnections)
		transport = t
	case "HTTP/2.0":
		t := &http.Transport{TLSClientConfig: s.tlsConfig(), ForceAttemptHTTP2: true}
		s.t.Cleanup(t.CloseIdleConnections)
		transport = t
	case "HTTP/3.0":
		t := &http3.Transport{TLSClientConfig: s.tlsConfig()}
		s.t.Cleanup(func() { t.Close() })
		transport = t
	}
	return &http.Client{Transport: transport, Timeout: 3 * patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// dialToTheEnd opens a connection on which an answer is read even if the server closed the
// connection while the request was still being sent. net/http's client reports the failed
// write instead, unless it happens to read the answer first.
func dialToTheEnd(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := new(net.Dialer).DialContext(ctx, network, address)
	return toTheEnd{connection}, err
}

type toTheEnd struct{ net.Conn }

func (c toTheEnd) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil // if there is no answer, Read fails
	}
	return n, err
}

var protocols = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

// event returns a request with a genuine event, signed now.
func (s *server) event(body []byte) *http.Request {
	return s.signed(body, secret, time.Now())
}

func (s *server) signed(body []byte, key string, at time.Time) *http.Request {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+s.address+"/webhooks/elevenlabs", bytes.NewReader(body))
	require.NoError(s.t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(signature.HeaderName, signature.Sign([]byte(key), at, body))
	return request
}

// chunked removes the request's Content-Length, as ElevenLabs does for audio.
func chunked(request *http.Request) *http.Request {
	request.ContentLength = -1
	request.Body = io.NopCloser(io.MultiReader(request.Body)) // hide the length
	request.GetBody = nil
	return request
}

// answer is a response whose body was read.
type answer struct {
	status int
	header http.Header
	body   string
	proto  string
}

func send(t testing.TB, client *http.Client, request *http.Request) answer {
	t.Helper()
	got, err := try(client, request)
	require.NoError(t, err)
	return got
}

// sendAfterReload sends a request until the server answers. For a moment after a reload,
// Caddy may lose a connection to its old listener before any handler gets it.
func (s *server) sendAfterReload(client *http.Client, request func() *http.Request) (got answer) {
	s.t.Helper()
	s.eventually("an answer after the reload", func() (answered bool) {
		var err error
		got, err = try(client, request())
		return err == nil
	})
	return got
}

func try(client *http.Client, request *http.Request) (answer, error) {
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body), response.Proto}, err
}

func digestOf(body []byte) string {
	digest := sha256.Sum256(body)
	return hex.EncodeToString(digest[:])
}

// audio returns a post_call_audio event of about n bytes, with full_audio before the ids.
func audio(n int) []byte {
	var b bytes.Buffer
	b.Grow(n + 200)
	b.WriteString(`{"type":"post_call_audio","event_timestamp":1739537319,"data":{"full_audio":"`)
	var digits []byte
	for i := int64(1 << 28); b.Len() < n; i++ { // numbers of 8 hex digits
		digits = strconv.AppendInt(digits[:0], i, 16)
		b.Write(digits)
	}
	b.WriteString(`","agent_id":"agent_1","conversation_id":"conv_1"}}`)
	return b.Bytes()
}
