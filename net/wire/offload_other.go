//go:build !linux

package wire

import "net"

// ReceiveOffload is for Linux only: elsewhere each datagram is read alone.
func ReceiveOffload(conn net.PacketConn) net.PacketConn { return conn }
