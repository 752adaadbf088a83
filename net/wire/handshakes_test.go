package wire

import (
	"net"
	"strings"
	"testing"
	"time"

	"qkv/internal/limits"
)

// Before an address has a quarter of its share, and all together what is trusted, nobody must show an address.
func TestHandshakesVerify(t *testing.T) {
	h := NewHandshakes(100, 8, 5)
	a, b := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1)}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2)}
	for n, want := range [][2]bool{{false, false}, {false, false}, {true, false}, {true, false}, {true, false}, {true, true}} {
		if got := [2]bool{h.Verify(a), h.Verify(b)}; got != want {
			t.Errorf("with %d of one address under way: %v, want %v", n, got, want)
		}
		if err := h.Begin(a); err != nil {
			t.Fatal(err)
		}
	}
}

// Handshakes have their time until a quarter of the places is taken.
func TestHandshakesTimeout(t *testing.T) {
	h := NewHandshakes(8, 8, 8)
	for n, want := range []time.Duration{time.Minute, time.Minute, limits.HandshakeHurry, limits.HandshakeHurry} {
		if got := h.Timeout(time.Minute); got != want {
			t.Errorf("with %d under way: %v, want %v", n, got, want)
		}
		if got := h.Timeout(time.Millisecond); got != time.Millisecond {
			t.Errorf("with %d under way a short one has %v", n, got)
		}
		if err := h.Begin(&net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(n))}); err != nil {
			t.Fatal(err)
		}
	}
}

// An address that takes all that it can get leaves places for others, and what ends is given back.
func TestHandshakesShares(t *testing.T) {
	h := NewHandshakes(6, 4, 5)
	at := func(ip string, port int) net.Addr { return &net.UDPAddr{IP: net.ParseIP(ip), Port: port} }
	for i, c := range []struct {
		from net.Addr
		end  bool
		want string // part of the refusal
		all  int
	}{
		{at("10.0.0.1", 1), false, "", 1},
		{at("10.0.0.1", 2), false, "", 2},
		{at("::ffff:10.0.0.1", 3), false, "", 3},
		{at("10.0.0.1", 4), false, "", 4},
		{at("10.0.0.1", 5), false, "from 10.0.0.1/32 are under way, the limit for one address", 4},
		{at("10.0.0.2", 1), false, "", 5},
		{at("10.0.0.1", 1), true, "", 4},
		{at("10.0.0.1", 5), false, "", 5},
		{at("2001:db8::1", 1), false, "", 6},
		{at("10.0.0.3", 1), false, "6 handshakes are under way, the limit for all together", 6},
		{at("10.0.0.2", 1), true, "", 5},
		{at("2001:db8::ffff:1", 1), false, "", 6},
		{at("10.0.0.1", 2), true, "", 5},
		{at("2001:db8:0:0:7::", 1), false, "", 6},
		{at("10.0.0.1", 3), true, "", 5},
		{at("2001:db8::2", 1), false, "", 6},
		{at("10.0.0.1", 4), true, "", 5},
		{at("2001:db8::3", 1), false, "from 2001:db8::/64", 5},
		{at("2001:db8:0:1::3", 1), false, "", 6},
	} {
		var err error
		if c.end {
			h.End(c.from)
		} else {
			err = h.Begin(c.from)
		}
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) || h.Count() != c.all {
			t.Errorf("step %d: %v, want %q; %d are under way, want %d", i, err, c.want, h.Count(), c.all)
		}
	}
}

// Nothing is kept of an address that has no handshake under way: any number of them may have had one.
func TestHandshakesForget(t *testing.T) {
	h := NewHandshakes(100, 8, 5)
	for i := range byte(50) {
		at := &net.UDPAddr{IP: net.IPv4(10, 0, 0, i)}
		if err := h.Begin(at); err != nil {
			t.Fatal(err)
		}
		h.End(at)
	}
	if len(h.from) != 0 || h.Count() != 0 {
		t.Errorf("%d addresses are kept, %d handshakes are counted", len(h.from), h.Count())
	}
}
