package wire

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// ReceiveOffload has the kernel hand over what one sender has sent in a row as one piece, where it can (UDP_GRO, Linux 5.0 and
// later), and cuts it into datagrams here: far fewer passes through the kernel for a bulk, on one host and behind network cards
// alike. quic-go sends in such pieces by itself, and reads them by way of ReadBatch. What is no UDP socket, or of an older
// kernel, is returned as it is.
func ReceiveOffload(conn net.PacketConn) net.PacketConn {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return conn
	}
	raw, err := udp.SyscallConn()
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
	return &offloadConn{UDPConn: udp, room: make([]byte, offloadBytes), control: make([]byte, offloadControlBytes)}
}

const (
	// offloadBytes is the longest piece: that of the longest datagram.
	offloadBytes = 64 << 10
	// offloadControlBytes is for what the kernel says of a piece: the length of its datagrams, their ECN bits, and the local
	// address, of IPv4 and IPv6 both.
	offloadControlBytes = 256
)

// offloadConn is a socket of which pieces are read. ReadBatch belongs to one goroutine, as quic-go has it.
//
// Invariants:
//
//  1. left is what no caller has got of the last piece: whole datagrams of segment bytes, of which only the last may be shorter.
//  2. Each has come from from, and kept is what the kernel said of it, without the length of the segments.
type offloadConn struct {
	*net.UDPConn
	room    []byte
	control []byte

	left    []byte
	segment int
	from    *net.UDPAddr // given to callers: replaced, never changed
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
		if n == 0 { // an empty datagram is one, too
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

// read takes the next piece.
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
			break // cut off: what is known is enough, and a piece of several datagrams is one that is none, which QUIC drops
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
