package wire

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/quic-go/quic-go"
)

// Socket returns the connection that QUIC reads and writes a UDP socket through: datagrams that this host's kernel refuses to send are
// lost datagrams, and the kernel coalesces received ones. A connection that is not a UDP socket is returned unchanged.
func Socket(conn net.PacketConn) net.PacketConn {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return conn
	}
	return receiveOffload(lossyConn{udp})
}

// udpSocket is what QUIC and Socket use of a *net.UDPConn.
type udpSocket interface {
	quic.OOBCapablePacketConn
	net.Conn
	SetWriteBuffer(bytes int) error
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error)
}

// lossyConn is a UDP socket whose failed sends count as lost datagrams. quic-go ends a connection at the first failed send, although a
// full conntrack table, a full queue, or a route that is replaced refuses only some datagrams, and only for a time. A connection that
// can send nothing ends by its idle timeout. Packets of a handshake still fail, so that a dial without a route fails at once.
type lossyConn struct{ udpSocket }

// WriteMsgUDP sends a datagram, or a row of datagrams.
func (c lossyConn) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = c.udpSocket.WriteMsgUDP(b, oob, addr)
	if err != nil && lost(b, err) {
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

// longHeader is the bit in the first byte of a QUIC packet that belongs to a handshake.
const longHeader = 0x80

// lost counts a datagram that the kernel refused, and reports whether it counts as lost. By EIO the kernel says that it cannot send rows
// of datagrams on this interface; quic-go then sends single ones.
func lost(datagram []byte, err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok || errno == syscall.EIO {
		return false
	}
	refusedSends.Lock()
	refusedSends.of[errno]++
	refusedSends.Unlock()
	return len(datagram) > 0 && datagram[0]&longHeader == 0
}

// refusedSends counts the failed sends of this process: the kernel that refuses them is the host's.
var refusedSends struct {
	sync.Mutex
	of map[syscall.Errno]uint64
}

func init() {
	refusedSends.of = map[syscall.Errno]uint64{}
	for errno := range sendErrors { // a counter that exists before its first event can be alerted on
		refusedSends.of[errno] = 0
	}
}

// SendErrors returns the number of datagrams, or rows of them, that this host's kernel has refused to send for this process, by error.
func SendErrors() map[syscall.Errno]uint64 {
	refusedSends.Lock()
	defer refusedSends.Unlock()
	return maps.Clone(refusedSends.of)
}

// sendErrors are the errors with a known cause.
var sendErrors = map[syscall.Errno]struct{ name, remedy string }{
	syscall.EPERM:         {"EPERM", firewall},
	syscall.EACCES:        {"EACCES", firewall},
	syscall.ENOBUFS:       {"ENOBUFS", fullQueue},
	syscall.ENOMEM:        {"ENOMEM", fullQueue},
	syscall.EAGAIN:        {"EAGAIN", fullQueue},
	syscall.ENETUNREACH:   {"ENETUNREACH", noRoute},
	syscall.EHOSTUNREACH:  {"EHOSTUNREACH", noRoute},
	syscall.ENETDOWN:      {"ENETDOWN", noRoute},
	syscall.EADDRNOTAVAIL: {"EADDRNOTAVAIL", noRoute},
	syscall.EINVAL:        {"EINVAL", noRoute},
	syscall.EMSGSIZE:      {"EMSGSIZE", "the interface's MTU is too small, and QUIC needs 1280: look at `ip link`"},
}

const (
	firewall = "a firewall rule of this host drops them, or its conntrack table is full (`dmesg | grep conntrack`): " +
		"raise net.netfilter.nf_conntrack_max, or exempt qkv's UDP ports from tracking"
	fullQueue = "the interface's queue is full (`tc -s qdisc`): raise its txqueuelen, or reduce this host's traffic"
	noRoute   = "the interface is down, or its route or address was removed: look at `ip link`, `ip address` and `ip route`"
)

// ErrnoName returns the name of a send error, such as EPERM.
func ErrnoName(errno syscall.Errno) string {
	if known, ok := sendErrors[errno]; ok {
		return known.name
	}
	return fmt.Sprintf("E%d", int(errno))
}

// SendRemedy returns what an operator does about a send error.
func SendRemedy(errno syscall.Errno) string {
	if known, ok := sendErrors[errno]; ok {
		return known.remedy
	}
	return "look at this host's network"
}
