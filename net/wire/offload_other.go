//go:build !linux

package wire

import "net"

// ReceiveOffload returns conn unchanged: coalescing is for Linux only.
func ReceiveOffload(conn net.PacketConn) net.PacketConn { return conn }
