//go:build !linux

package caddymodule

import "net"

// acknowledged cannot tell on this system whether the peer took what was written.
func acknowledged(net.Conn) bool { return false }
