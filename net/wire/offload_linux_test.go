package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// TestReceiveOffload sends datagrams of all lengths, alone and in rows, from two sockets in turns: each comes once, whole, in its
// order, with its sender and its ECN bits, into however few messages.
func TestReceiveOffload(t *testing.T) {
	receiver, err := ListenUDP("clients", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	socket, ok := ReceiveOffload(receiver).(*offloadConn)
	if !ok {
		t.Skip("this kernel has no UDP_GRO")
	}
	raw, err := receiver.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1); err != nil { // as quic-go does
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var senders [2]*net.UDPConn
	for i := range senders {
		if senders[i], err = net.DialUDP("udp4", nil, receiver.LocalAddr().(*net.UDPAddr)); err != nil {
			t.Fatal(err)
		}
		defer senders[i].Close()
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
				if got := m.Buffers[0][:m.N]; !bytes.Equal(got, want) {
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
