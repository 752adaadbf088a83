//go:build !linux

package wire

import "net"

// receiveOffload returns conn unchanged: coalescing is for Linux only.
func receiveOffload(conn lossyConn) net.PacketConn { return conn }
