package caddymodule

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpClosed is TCP_CLOSE of tcp_states.h: the peer has answered with a reset.
const tcpClosed = 7

// acknowledged reports whether the peer's system took all that was written to the
// connection. A peer that has only closed its side for writing takes it. One that has
// closed the connection answers with a reset.
func acknowledged(conn net.Conn) bool {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn }) // TLS
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	for deadline := time.Now().Add(acknowledgeTimeout); ; time.Sleep(acknowledgeInterval) {
		closed, waiting := true, 0
		err := raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			closed = err != nil || info.State == tcpClosed
			if waiting, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil {
				closed = true
			}
		})
		switch {
		case err != nil || closed:
			return false
		case waiting == 0:
			return true
		case time.Now().After(deadline):
			return false
		}
	}
}

const (
	acknowledgeTimeout  = time.Second
	acknowledgeInterval = 2 * time.Millisecond
)
