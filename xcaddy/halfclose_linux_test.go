package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// Some clients close their side of the connection once they have sent the request. They
// still read the answer, so the delivery is a success. A client that has closed the
// whole connection has not got it.
func TestAClientThatClosesOnlyItsSideGetsItsAnswer(t *testing.T) {
	t.Parallel()
	received, answer := make(chan struct{}), make(chan int)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received <- struct{}{}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(make([]byte, <-answer))
	}))
	defer slow.Close()
	encoded := site("encode gzip\nhandle /webhooks/elevenlabs {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nreverse_proxy " + slow.Listener.Addr().String() + "\n}\n}")
	plain := webhook(slow.Listener.Addr().String(), "")
	for _, test := range []struct {
		name   string
		site   string
		size   int // of the answer
		leave  func(*tls.Conn)
		result string
		reason any
	}{
		{"close_notify", plain, 2, func(c *tls.Conn) { _ = c.CloseWrite() }, "accepted", nil},
		{"close_notify, long answer", plain, 100_000, func(c *tls.Conn) { _ = c.CloseWrite() }, "accepted", nil},
		{"FIN", plain, 2, func(c *tls.Conn) { _ = c.NetConn().(*net.TCPConn).CloseWrite() }, "accepted", nil},
		{"FIN, long answer", plain, 100_000, func(c *tls.Conn) { _ = c.NetConn().(*net.TCPConn).CloseWrite() }, "accepted", nil},
		{"closed", plain, 2, func(c *tls.Conn) { _ = c.Close() }, "failed", "client_left"},
		{"closed, long answer", plain, 100_000, func(c *tls.Conn) { _ = c.Close() }, "failed", "client_left"},
		{"closed, encoded answer", encoded, 2, func(c *tls.Conn) { _ = c.Close() }, "failed", "client_left"},
		{"closed, long encoded answer", encoded, 100_000, func(c *tls.Conn) { _ = c.Close() }, "failed", "client_left"},
	} {
		s := start(t, test.site)
		config := s.tlsConfig()
		config.NextProtos = []string{"http/1.1"}
		conn, err := tls.Dial("tcp", s.address, config)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
			signature.HeaderName, signature.Sign([]byte(secret), time.Now(), []byte(transcript)), len(transcript), transcript)
		require.NoError(t, err)
		<-received
		watched := func() int { return s.goroutines("(*connReader).backgroundRead") } // one of net/http's for each open connection
		before := watched()
		test.leave(conn)
		s.eventually("the server to see it", func() bool { return watched() < before })
		answer <- test.size
		if test.result == "accepted" {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if assert.NoError(t, err, test.name) {
				assert.Equal(t, 200, response.StatusCode, test.name)
				body, err := io.ReadAll(response.Body)
				assert.NoError(t, err, test.name)
				assert.Len(t, body, test.size, test.name)
			}
		}
		s.eventually("the record of it", func() bool { return len(shown(t, s, "/elevenlabs/deliveries")) == 1 })
		last := shown(t, s, "/elevenlabs/deliveries")[0]
		assert.Equal(t, test.result, last["result"], test.name)
		assert.Equal(t, test.reason, last["reason"], test.name)
		conn.Close()
	}
}
