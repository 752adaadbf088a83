package client

import "syscall"

// ReadsRows tells whether the socket of the current connection hands over rows of packets in one piece.
func (c *Client) ReadsRows() (is bool, err error) {
	raw, err := c.current.Load().socket.SyscallConn()
	if err != nil {
		return false, err
	}
	return RowsRead(raw)
}

// RowsRead tells whether a socket hands over rows of packets in one piece. An error is that of a kernel that cannot.
func RowsRead(raw syscall.RawConn) (is bool, err error) {
	const udpGRO = 104
	var refused error
	err = raw.Control(func(fd uintptr) {
		var value int
		value, refused = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_UDP, udpGRO)
		is = value != 0
	})
	if err == nil {
		err = refused
	}
	return is, err
}
