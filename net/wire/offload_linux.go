package wire

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// receiveOffload makes the kernel coalesce consecutive datagrams of one sender (UDP_GRO, Linux 5.0 and later), and splits them
// again here. A bulk transfer then needs far fewer system calls and passes through the network stack, on one host and behind
// network cards alike. quic-go sends such coalesced datagrams by itself, and reads them through ReadBatch. On an older kernel the
// connection is returned unchanged.
func receiveOffload(conn lossyConn) net.PacketConn {
	raw, err := conn.SyscallConn()
	if err != nil {
		return conn
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	})
	if err != nil || refused != nil {
		return conn
	}
	return &offloadConn{lossyConn: conn, room: make([]byte, offloadBytes), control: make([]byte, offloadControlBytes)}
}

const (
	// offloadBytes is the longest coalesced piece: the size of the longest datagram.
	offloadBytes = 64 << 10
	// offloadControlBytes holds the kernel's control data of a piece: the length of its datagrams, their ECN bits, and the local
	// address, for IPv4 and IPv6.
	offloadControlBytes = 256
)

// offloadConn is a socket that reads coalesced pieces. ReadBatch belongs to one goroutine, as quic-go calls it.
//
// Invariants:
//
//  1. left is the part of the last piece that no caller has got: whole datagrams of segment bytes, of which only the last may be
//     shorter.
//  2. Each of them came from the address from, and kept is the kernel's control data of the piece, without the segment length.
type offloadConn struct {
	lossyConn
	room    []byte
	control []byte

	left    []byte
	segment int
	from    *net.UDPAddr // returned to callers: replaced, never changed
	source  netip.AddrPort
	kept    []byte // the beginning of control
}

// ReadBatch fills messages with datagrams in their order, and returns how many: at least one.
func (c *offloadConn) ReadBatch(messages []ipv4.Message, _ int) (int, error) {
	if len(c.left) == 0 {
		n, err := c.read()
		if err != nil {
			return 0, err
		}
		if n == 0 { // an empty datagram counts as one
			c.fill(&messages[0], nil)
			return 1, nil
		}
	}
	i := 0
	for ; i < len(messages) && len(c.left) > 0; i++ {
		next := min(c.segment, len(c.left))
		c.fill(&messages[i], c.left[:next])
		c.left = c.left[next:]
	}
	return i, nil
}

func (c *offloadConn) fill(m *ipv4.Message, datagram []byte) {
	m.N = copy(m.Buffers[0], datagram)
	m.NN = copy(m.OOB, c.kept)
	m.Addr, m.Flags = c.from, 0
}

// read reads the next piece.
func (c *offloadConn) read() (int, error) {
	n, said, _, source, err := c.ReadMsgUDPAddrPort(c.room, c.control)
	if err != nil {
		return 0, err
	}
	if c.from == nil || source != c.source {
		c.from, c.source = net.UDPAddrFromAddrPort(source), source
	}
	c.left, c.segment, c.kept = c.room[:n], max(n, 1), c.control[:0]
	for rest := c.control[:said]; len(rest) > 0; {
		header, body, behind, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			// truncated: keep the parsed part; if the segment length is missing, the datagrams look like one invalid
			// datagram, which QUIC drops
			break
		}
		if header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_GRO && len(body) >= 4 {
			c.segment = max(int(binary.NativeEndian.Uint32(body)), 1)
		} else {
			c.kept = append(c.kept, rest[:len(rest)-len(behind)]...)
		}
		rest = behind
	}
	return n, nil
}
