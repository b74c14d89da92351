package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rawBackend starts a backend that answers the first request of each connection with a
// function of the test.
func rawBackend(t testing.TB, answer func(conn *net.TCPConn, request *http.Request)) (address string, requests *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	requests = new(atomic.Int32)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				requests.Add(1)
				answer(conn.(*net.TCPConn), request)
			}()
		}
	}()
	return listener.Addr().String(), requests
}

// The handler retries if the connection breaks before an answer. It does not retry after
// any answer, or after a timeout.
func TestFaultyBackendIsRetriedOnlyBeforeAnAnswerAndNeverASuccess(t *testing.T) {
	t.Parallel()
	drain := func(request *http.Request) { _, _ = io.Copy(io.Discard, request.Body) }
	reset := func(conn *net.TCPConn) {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
	released := make(chan struct{})
	defer close(released)
	tests := []struct {
		name     string
		answer   func(*net.TCPConn, *http.Request)
		statuses []int // 0 if the connection breaks off
		requests int32 // -1 for any number
	}{
		{"closes before it reads the body", func(conn *net.TCPConn, _ *http.Request) { conn.Close() }, []int{502}, 4},
		{"resets in the middle of the body", func(conn *net.TCPConn, request *http.Request) {
			_, _ = io.CopyN(io.Discard, request.Body, request.ContentLength/2)
			reset(conn)
		}, []int{502}, 4},
		{"resets after the body", func(conn *net.TCPConn, request *http.Request) { drain(request); reset(conn) }, []int{502}, 4},
		{"closes in the middle of the answer's head", func(conn *net.TCPConn, request *http.Request) {
			drain(request)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-")
		}, []int{502}, 4},
		{"answers no HTTP", func(conn *net.TCPConn, request *http.Request) {
			drain(request)
			_, _ = io.WriteString(conn, "220 smtp.example.com ESMTP\r\n")
		}, []int{502}, -1},
		{"breaks off in the middle of the answer's body", func(conn *net.TCPConn, request *http.Request) {
			drain(request)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nok")
		}, []int{0}, 1},
		{"is too slow", func(_ *net.TCPConn, request *http.Request) { drain(request); <-released }, []int{504}, 1},
		{"switches protocols", func(conn *net.TCPConn, request *http.Request) {
			drain(request)
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		}, []int{502}, 1},
		{"switches to no protocol", func(conn *net.TCPConn, request *http.Request) {
			drain(request)
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		}, []int{502}, 1},
		{"is overloaded", func(conn *net.TCPConn, request *http.Request) {
			drain(request)
			_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		}, []int{503}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, requests := rawBackend(t, test.answer)
			s := start(t, webhook(address+" {\ntransport http {\nresponse_header_timeout 1s\nkeepalive off\n}\n}", "retries 3 1ms"))
			for name, body := range map[string][]byte{"small": []byte(transcript), "spilled": audio(3 << 20)} {
				requests.Store(0)
				got, err := try(s.client("HTTP/1.1"), s.event(body))
				if err != nil {
					got.status = 0
				}
				assert.Contains(t, test.statuses, got.status, "%s: %v", name, err)
				if test.requests >= 0 {
					assert.Equal(t, test.requests, requests.Load(), name)
				}
			}
		})
	}
}

// A 204 has no body, even if it has a Content-Length. The 200 that replaces it must not
// promise one.
func TestBackends204WithALengthBecomesA200WithoutABody(t *testing.T) {
	t.Parallel()
	address, _ := rawBackend(t, func(conn *net.TCPConn, _ *http.Request) {
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nContent-Length: 12\r\n\r\n")
	})
	s := start(t, webhook(address, ""))
	for _, proto := range protocols {
		client := s.client(proto)
		got := send(t, client, s.event([]byte(transcript)))
		assert.Equal(t, 200, got.status, proto)
		assert.Empty(t, got.body)
		client.CloseIdleConnections()
	}
}

// The handler cannot know which clock is wrong: the sender's, as here, or its own.
func TestLogNamesAWrongClockAsTheProbableCause(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	tests := []struct {
		reason string
		offset time.Duration // of the sender's clock
		hint   string
	}{
		{"timestamp_stale", -time.Hour, `"signature_age":360\d\.\d+,"hint":"this machine's clock is probably 1h0m\ds ahead, except if this is a retry or a replay: set it"`},
		{"timestamp_future", time.Hour, `"signature_age":-3(600|59\d\.\d+),"hint":"this machine's clock is probably (1h0m0|59m5\d)s behind: set it"`},
	}
	for _, test := range tests {
		got := send(t, s.client("HTTP/1.1"), s.signed([]byte(transcript), secret, time.Now().Add(test.offset)))
		requireRejected(t, b, got, 403, test.reason)
		s.eventually("the log", func() bool {
			for line := range strings.Lines(s.log.String()) {
				if strings.Contains(line, "webhook rejected: "+test.reason) {
					return assert.Regexp(t, test.hint, line)
				}
			}
			return false
		})
	}
}
