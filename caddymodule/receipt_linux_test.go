package caddymodule

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The client's system may take the answer at any moment, also while we look at the
// connection. It takes many tries to meet that moment.
func TestAnAnswerThatTheClientsSystemTookIsReceived(t *testing.T) {
	const workers, tries = 200, 50
	var lost atomic.Int32
	var done sync.WaitGroup
	for range workers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		done.Go(func() {
			for range tries {
				if !answerHalfClosed(t, listener) {
					lost.Add(1)
				}
			}
		})
	}
	done.Wait()
	assert.Zero(t, lost.Load(), "of %d", workers*tries)
}

// answerHalfClosed answers a client that has closed only its side, and that acknowledges
// late, as is usual. It returns whether the answer counts as received.
func answerHalfClosed(t *testing.T, listener net.Listener) bool {
	client, err := net.Dial("tcp", listener.Addr().String())
	if !assert.NoError(t, err) {
		return false
	}
	defer client.Close()
	server, err := listener.Accept()
	if !assert.NoError(t, err) {
		return false
	}
	defer server.Close()
	raw, err := client.(*net.TCPConn).SyscallConn()
	assert.NoError(t, err)
	assert.NoError(t, raw.Control(func(fd uintptr) {
		assert.NoError(t, unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0))
	}))
	assert.NoError(t, client.(*net.TCPConn).CloseWrite())
	_, err = server.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	received := watchReceipt(server)
	_, err = server.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	assert.NoError(t, err)
	return received()
}
