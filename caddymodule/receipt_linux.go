package caddymodule

import (
	"errors"
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
	before, waiting, open := acknowledged(conn)
	if !open {
		return func() bool { return false }
	}
	before += uint64(waiting) // what was written before, and is still on its way
	return func() bool {
		for deadline := time.Now().Add(receiptTimeout); ; time.Sleep(receiptInterval) {
			late := time.Now().After(deadline)
			after, waiting, open := acknowledged(conn)
			if waiting == 0 || !open || late {
				return after > before
			}
		}
	}
}

// acknowledged returns how many bytes of a connection the peer has acknowledged, how many
// it has not, and whether the connection is open.
func acknowledged(conn net.Conn) (bytes uint64, waiting int, open bool) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0, 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	var infoErr, queueErr error
	err = raw.Control(func(fd uintptr) {
		for counted := false; !counted; { // again if the peer acknowledges some between the two questions
			var info *unix.TCPInfo
			waiting, queueErr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
			if info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); infoErr != nil {
				return
			}
			counted = bytes == info.Bytes_acked
			bytes, open = info.Bytes_acked, info.State != tcpClosed
		}
	})
	return bytes, waiting, open && errors.Join(err, infoErr, queueErr) == nil
}
