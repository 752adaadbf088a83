package testport

import (
	"net"
	"testing"
	"time"
)

func listen(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) }

// Each gets a port of its own, below those that the system gives away, and one that is taken is waited for.
func TestListen(t *testing.T) {
	one, err := Listen("", listen)
	if err != nil {
		t.Fatal(err)
	}
	next.Add(-1) // its port is the next one again
	other, err := Listen("", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	a, b := one.LocalAddr().(*net.UDPAddr).Port, other.LocalAddr().(*net.UDPAddr).Port
	if a == b || a < first || a >= first+ports || b < first || b >= first+ports {
		t.Errorf("ports %d and %d", a, b)
	}
	time.AfterFunc(50*time.Millisecond, func() { one.Close() })
	again, err := Listen(one.LocalAddr().String(), listen)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := Listen("nowhere", listen); err == nil {
		t.Error("no address")
	}
}
