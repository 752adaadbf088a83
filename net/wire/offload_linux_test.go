package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// TestReceiveOffload sends datagrams of all lengths, alone and in rows, from two sockets in turns: each comes once, whole, in its
// order, with its sender and its ECN bits, into however few messages.
func TestReceiveOffload(t *testing.T) {
	receiver, socket := listenOffload(t, net.IPv4(127, 0, 0, 1), [2]int{unix.IPPROTO_IP, unix.IP_RECVTOS})
	random := rand.New(rand.NewPCG(1, 2))
	var senders [2]*net.UDPConn
	for i := range senders {
		sender, err := net.DialUDP("udp4", nil, receiver.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer sender.Close()
		senders[i] = sender
	}
	merged, most := 0, make([]ipv4.Message, 8)
	for i := range most {
		most[i].Buffers, most[i].OOB = [][]byte{make([]byte, 1452)}, make([]byte, 128)
	}
	for round := range 300 {
		sender := senders[random.IntN(2)]
		segment, count := 1+random.IntN(1452), 1+random.IntN(40)
		last := 1 + random.IntN(segment)
		if round%10 == 0 {
			segment, count, last = 1, 1, 0 // empty
		}
		if round%10 == 5 {
			segment, count, last = 1453+random.IntN(3000), 10, 1453 // longer than any packet: each is cut off, and the next one whole
		}
		all := make([]byte, (count-1)*segment+last)
		for i := range all {
			all[i] = byte(random.Uint32())
		}
		ecn := byte(random.IntN(3))
		control := append(cmsg(unix.IPPROTO_IP, unix.IP_TOS, ecn, 0, 0, 0), cmsg(unix.IPPROTO_UDP, unix.UDP_SEGMENT, byte(segment), byte(segment>>8))...)
		if count == 1 {
			control = control[:unix.CmsgSpace(4)]
		}
		if _, _, err := sender.WriteMsgUDP(all, control, nil); err != nil {
			t.Skipf("this kernel sends no rows of datagrams: %v", err)
		}
		for came := 0; came < count; {
			if err := receiver.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.ReadBatch(most[:1+random.IntN(len(most))], 0)
			if err != nil || n < 1 {
				t.Fatal(n, err)
			}
			if len(socket.left) > 0 {
				merged++
			}
			for _, m := range most[:n] {
				want := all[came*segment : min((came+1)*segment, len(all))]
				if got := m.Buffers[0][:m.N]; !bytes.Equal(got, want[:min(len(want), 1452)]) {
					t.Fatalf("round %d: datagram %d of %d has %d bytes, %d of %d were sent", round, came, count, len(got), len(want), segment)
				}
				if m.Addr.String() != sender.LocalAddr().String() {
					t.Fatalf("it came from %v, and was sent by %v", m.Addr, sender.LocalAddr())
				}
				if got := tos(t, m.OOB[:m.NN]); got != fmt.Sprint(ecn) {
					t.Fatalf("ECN of datagram %d of %d is %s, %d was sent", came, count, got, ecn)
				}
				came++
			}
		}
	}
	if merged == 0 {
		t.Error("each datagram was read alone")
	}
}

// TestReceiveOffloadOfEachAddress sends rows to all addresses of one socket, from a new socket each: what the kernel says of a row
// comes with each of its datagrams, of both families, in the room that quic-go has for it, and a sender is not changed by the next.
func TestReceiveOffloadOfEachAddress(t *testing.T) {
	receiver, socket := listenOffload(t, nil, [2]int{unix.IPPROTO_IP, unix.IP_RECVTOS}, [2]int{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS},
		[2]int{unix.IPPROTO_IP, unix.IP_PKTINFO}, [2]int{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO})
	const segment, count = 700, 40
	messages, came := make([]ipv4.Message, 8), map[*net.UDPAddr]string{}
	for i := range messages {
		messages[i].Buffers, messages[i].OOB = [][]byte{make([]byte, 1452)}, make([]byte, 128)
	}
	for round, at := range []string{"127.0.0.1", "::1", "127.0.0.2", "::1", "127.0.0.1"} {
		to, ecn := netip.MustParseAddr(at), byte(1+round%3)
		sender, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(at), Port: receiver.LocalAddr().(*net.UDPAddr).Port})
		if err != nil {
			t.Skip("this host has no IPv6: ", err)
		}
		defer sender.Close()
		control := cmsg(unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment&0xff, segment>>8)
		if to.Is4() {
			control = append(control, cmsg(unix.IPPROTO_IP, unix.IP_TOS, ecn, 0, 0, 0)...)
		} else {
			control = append(control, cmsg(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, ecn, 0, 0, 0)...)
		}
		if _, _, err := sender.WriteMsgUDP(make([]byte, segment*count), control, nil); err != nil {
			t.Skipf("this kernel sends no rows of datagrams: %v", err)
		}
		for left := count; left > 0; {
			if err := receiver.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.ReadBatch(messages, 0)
			if err != nil || n < 1 {
				t.Fatal(n, err)
			}
			for _, m := range messages[:n] {
				left--
				if local, bits := said(t, m.OOB[:m.NN]); m.N != segment || local != to || bits != ecn {
					t.Fatalf("%d of %d bytes to %v, of %v: ECN is %d, %d was sent", m.N, segment, local, to, bits, ecn)
				}
				from := m.Addr.(*net.UDPAddr)
				if !from.IP.Equal(sender.LocalAddr().(*net.UDPAddr).IP) || from.Port != sender.LocalAddr().(*net.UDPAddr).Port {
					t.Fatalf("it came from %v, and was sent by %v", from, sender.LocalAddr())
				}
				if was, again := came[from]; again && was != from.String() {
					t.Fatalf("a sender was %s, and is %v now", was, from)
				}
				came[from] = from.String()
			}
		}
	}
}

// said is what the control messages of a datagram say: where it came to, and its ECN bits.
func said(t *testing.T, control []byte) (local netip.Addr, ecn byte) {
	t.Helper()
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		switch [2]int32{m.Header.Level, m.Header.Type} {
		case [2]int32{unix.IPPROTO_IP, unix.IP_TOS}:
			ecn = m.Data[0]
		case [2]int32{unix.IPPROTO_IPV6, unix.IPV6_TCLASS}:
			ecn = byte(binary.NativeEndian.Uint32(m.Data))
		case [2]int32{unix.IPPROTO_IP, unix.IP_PKTINFO}:
			local = netip.AddrFrom4([4]byte(m.Data[8:12]))
		case [2]int32{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}:
			local = netip.AddrFrom16([16]byte(m.Data[:16])).Unmap()
		default:
			t.Errorf("%+v", m.Header)
		}
	}
	return local, ecn
}

// listenOffload opens a socket that is read by rows, and has the kernel say what quic-go wants to know.
func listenOffload(t *testing.T, at net.IP, options ...[2]int) (*net.UDPConn, *offloadConn) {
	t.Helper()
	receiver, err := ListenUDP("clients", &net.UDPAddr{IP: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { receiver.Close() })
	socket, ok := Socket(receiver).(*offloadConn)
	if !ok {
		t.Skip("this kernel has no UDP_GRO")
	}
	raw, err := receiver.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		for _, option := range options {
			refused = errors.Join(refused, unix.SetsockoptInt(int(fd), option[0], option[1], 1))
		}
	})
	if err != nil || refused != nil {
		t.Skipf("this host has no IPv6: %v %v", err, refused)
	}
	return receiver, socket
}

// cmsg is a control message.
func cmsg(level, kind int32, data ...byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	header := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	header.Level, header.Type = level, kind
	header.SetLen(unix.CmsgLen(len(data)))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

// tos is what the control messages say of ECN; there must be no others.
func tos(t *testing.T, control []byte) string {
	t.Helper()
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(all) != 1 || all[0].Header.Type != unix.IP_TOS || len(all[0].Data) != 1 {
		t.Fatalf("%+v %v", all, err)
	}
	return fmt.Sprint(all[0].Data[0])
}
