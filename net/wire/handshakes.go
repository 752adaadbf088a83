package wire

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"qkv/internal/limits"
)

// Handshakes counts the connections to one port that did not say who they are yet: each costs a signature and a place.
// One source address has a share of the places only, so that what floods the port from there keeps nobody else out. Of
// IPv6 an address is a /64, of which one host may have any. Its methods may be called from any goroutine.
type Handshakes struct {
	most, share, trusted int

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// NewHandshakes returns a count that takes most handshakes at a time, and share of one address. From trusted on, and from
// a quarter of its share on, an address is to be verified.
func NewHandshakes(most, share, trusted int) *Handshakes {
	return &Handshakes{most: most, share: share, trusted: trusted, from: map[netip.Prefix]int{}}
}

// Verify says whether a new connection must first show that it can be reached at the address that it claims. Who claims
// another's address can so take no more than a quarter of that one's share.
func (h *Handshakes) Verify(from net.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all >= h.trusted || h.from[sourceOf(from)] >= (h.share+3)/4
}

// Begin takes a place for a handshake, or says which limit is reached.
func (h *Handshakes) Begin(from net.Addr) error {
	source := sourceOf(from)
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

// End gives a place back that Begin took.
func (h *Handshakes) End(from net.Addr) {
	source := sourceOf(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
	if h.from[source]--; h.from[source] == 0 {
		delete(h.from, source)
	}
}

// Timeout is for how long a handshake that begins now may be silent: usual, and no longer than limits.HandshakeHurry when a quarter
// of the places is taken. Handshakes that are begun and left have the others' places for that long.
func (h *Handshakes) Timeout(usual time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if 4*h.all < h.most {
		return usual
	}
	return min(usual, limits.HandshakeHurry)
}

// Count returns how many are under way.
func (h *Handshakes) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

// sourceOf is what counts as one address.
func sourceOf(a net.Addr) netip.Prefix {
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
	source, _ := ip.Prefix(bits) // it has so many bits
	return source
}
