package wire

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"qkv/internal/limits"
)

// Handshakes limits the unauthenticated connections to one port: each costs a signature and memory. One source address has only a
// share of the limit; a flood from one address does not shut out the others. An IPv6 source is a /64, because one host may use any
// address of it. Its methods may be called from any goroutine.
type Handshakes struct {
	most, share, trusted int

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// NewHandshakes returns a limit of most concurrent handshakes, share of them from one address. An address must be verified once
// trusted handshakes are under way, or a quarter of its share.
func NewHandshakes(most, share, trusted int) *Handshakes {
	return &Handshakes{most: most, share: share, trusted: trusted, from: map[netip.Prefix]int{}}
}

// Verify reports whether a new connection must first prove that it is reachable at its source address. An attacker with a forged
// address can then take at most a quarter of that address's share.
func (h *Handshakes) Verify(from net.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all >= h.trusted || h.from[SourceOf(from)] >= (h.share+3)/4
}

// Begin counts a handshake, or returns an error that names the limit.
func (h *Handshakes) Begin(from net.Addr) error {
	source := SourceOf(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.from[source] >= h.share:
		return fmt.Errorf("%d handshakes from %s are under way, the limit for one address", h.share, source)
	case h.all >= h.most:
		return fmt.Errorf("%d handshakes are under way, the limit for all together", h.most)
	}
	h.all++
	h.from[source]++
	return nil
}

// End ends a handshake that Begin counted.
func (h *Handshakes) End(from net.Addr) {
	source := SourceOf(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
	if h.from[source]--; h.from[source] == 0 {
		delete(h.from, source)
	}
}

// Timeout returns the idle timeout of a handshake that begins now: usual, and at most limits.HandshakeHurry if a quarter of the
// limit is in use. An abandoned handshake occupies its part of the limit for that long.
func (h *Handshakes) Timeout(usual time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if 4*h.all < h.most {
		return usual
	}
	return min(usual, limits.HandshakeHurry)
}

// Count returns the number of handshakes under way.
func (h *Handshakes) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

// SourceOf returns the prefix that counts as one address.
func SourceOf(a net.Addr) netip.Prefix {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip, _ := netip.AddrFromSlice(udp.IP)
	ip = ip.Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	source, _ := ip.Prefix(bits) // cannot fail: the address has that many bits
	return source
}
