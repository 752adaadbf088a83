package peer

import (
	"syscall"
	"testing"
)

// Members read what comes in a row in one piece, where the kernel can.
func TestPeersReadRows(t *testing.T) {
	m := newMembers(t, 1)[0]
	before := readsRows(t, m)
	if before {
		t.Fatal("it was so before")
	}
	m.start()
	if !readsRows(t, m) {
		t.Error("each packet is read alone")
	}
}

func readsRows(t *testing.T, m *member) (is bool) {
	t.Helper()
	raw, err := m.config.Listen.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const udpGRO = 104
	var value int
	var refused error
	if err := raw.Control(func(fd uintptr) { value, refused = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_UDP, udpGRO) }); err != nil {
		t.Fatal(err)
	}
	if refused != nil {
		t.Skip("this kernel has no UDP_GRO: ", refused)
	}
	return value != 0
}
