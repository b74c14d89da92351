package caddymodule

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tcpClosed is TCP_CLOSE of tcp_states.h: the peer has answered with a reset.
	tcpClosed = 7

	receiptTimeout  = time.Second
	receiptInterval = 2 * time.Millisecond
)

// watchReceipt begins to watch what the peer's system takes. A peer that has only closed
// its side for writing acknowledges what comes. One that has closed the connection
// answers with a reset. If nothing was written since, as by a handler that buffers the
// answer, the peer has not received it.
func watchReceipt(conn net.Conn) receipt {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn }) // TLS
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	before, _, open := unacknowledged(conn)
	if !open {
		return func() bool { return false }
	}
	return func() bool {
		for deadline := time.Now().Add(receiptTimeout); ; time.Sleep(receiptInterval) {
			after, waiting, open := unacknowledged(conn)
			switch {
			case !open:
				return false
			case waiting == 0:
				return after > before
			case time.Now().After(deadline):
				return false
			}
		}
	}
}

// unacknowledged returns how many bytes of a connection the peer has acknowledged, how
// many it has not, and whether the connection is open.
func unacknowledged(conn net.Conn) (acknowledged uint64, waiting int, open bool) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0, 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	err = raw.Control(func(fd uintptr) {
		info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		queued, queueErr := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if infoErr == nil && queueErr == nil {
			acknowledged, waiting, open = info.Bytes_acked, queued, info.State != tcpClosed
		}
	})
	return acknowledged, waiting, open && err == nil
}
