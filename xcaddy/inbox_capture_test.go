package main

import (
	"bufio"
	"bytes"
	bigEndian "encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/fcgi"
	"net/http/httptest"
	"net/http/httputil"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// upstreams are the backends of one form of reverse_proxy. They show each request that
// has a body, as it came.
type upstreams struct {
	t        testing.TB
	answer   string // the whole answer
	requests chan string
}

func newUpstreams(t testing.TB, status int) *upstreams {
	return &upstreams{
		t: t, requests: make(chan string, 10),
		answer: fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok", status, http.StatusText(status)),
	}
}

// address starts a backend of a kind, and returns its address.
func (u *upstreams) address(kind string) string {
	switch kind {
	case "unix":
		socket := filepath.Join(u.t.TempDir(), "s")
		u.raw("unix", socket)
		return "unix/" + socket
	case "h2":
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { u.dump(r, nil) }))
		server.EnableHTTP2 = true
		server.StartTLS()
		u.t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	case "h2c":
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { u.dump(r, nil) }))
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
		u.t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	case "fastcgi":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(u.t, err)
		u.t.Cleanup(func() { listener.Close() })
		go func() {
			_ = fcgi.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { u.dump(r, fcgi.ProcessEnv(r)) }))
		}()
		return listener.Addr().String()
	default:
		return u.raw("tcp", "127.0.0.1:0")
	}
}

// raw starts a backend that shows the bytes of each request.
func (u *upstreams) raw(network, address string) string {
	listener, err := net.Listen(network, address)
	require.NoError(u.t, err)
	u.t.Cleanup(func() { listener.Close() })
	address = listener.Addr().String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go u.serve(conn, address)
		}
	}()
	return address
}

func (u *upstreams) serve(conn net.Conn, address string) {
	defer conn.Close()
	var bytesRead bytes.Buffer
	reader := bufio.NewReader(io.TeeReader(conn, &bytesRead))
	proxyHeader := readProxyHeader(reader)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		text := bytesRead.String()
		bytesRead.Reset()
		if request.ContentLength != 0 { // otherwise it checks the health
			if proxyHeader != "" {
				_, text, _ = strings.Cut(text, request.Method+" ")
				text = proxyHeader + request.Method + " " + text
			}
			u.requests <- "to " + address + "\n" + text
		}
		if _, err := io.WriteString(conn, u.answer); err != nil {
			return
		}
	}
}

// readProxyHeader reads the head of the PROXY protocol, if there is one, and returns it
// as text.
func readProxyHeader(reader *bufio.Reader) string {
	start, err := reader.Peek(5)
	switch {
	case err != nil:
		return ""
	case string(start) == "PROXY":
		line, _ := reader.ReadString('\n')
		return line
	case start[0] != '\r':
		return ""
	}
	head := make([]byte, 16)
	_, _ = io.ReadFull(reader, head)
	rest := make([]byte, bigEndian.BigEndian.Uint16(head[14:]))
	_, _ = io.ReadFull(reader, rest)
	addresses, ports := rest[:len(rest)-4], rest[len(rest)-4:]
	return fmt.Sprintf("PROXY v2 %s %s %d %d\n", hex.EncodeToString(head[12:14]), hex.EncodeToString(addresses),
		bigEndian.BigEndian.Uint16(ports), bigEndian.BigEndian.Uint16(ports[2:]))
}

// dump shows a request whose bytes cannot be compared, as those of HTTP/2.
func (u *upstreams) dump(r *http.Request, env map[string]string) {
	text, err := httputil.DumpRequest(r, true)
	if !assert.NoError(u.t, err) {
		return
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		lines = append(lines, name+"="+env[name])
	}
	u.requests <- fmt.Sprintf("%s from %s\n%s\n%s", r.Proto, strings.Split(r.RemoteAddr, ":")[0], text, strings.Join(lines, "\n"))
}
