package server

import (
	"net"
	"testing"
	"time"
)

// HandshakeTimeout is that of a connection that comes now.
func (s *Server) HandshakeTimeout(t testing.TB) time.Duration {
	config, err := s.quicConfig(0).GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	return config.HandshakeIdleTimeout
}

// BeginHandshakes counts handshakes that there are none of, each from the address of, until end is called.
func (s *Server) BeginHandshakes(n int, of func(i int) net.IP) (end func()) {
	var from []net.Addr
	for i := range n {
		a := &net.UDPAddr{IP: of(i), Port: 1}
		if s.handshakes.Begin(a) == nil {
			from = append(from, a)
		}
	}
	return func() {
		for _, a := range from {
			s.handshakes.End(a)
		}
	}
}

// Hunger takes all of the memory that clients may use, until end is called.
func (s *Server) Hunger() (end func()) {
	all := s.memory.left()
	if !s.memory.take(all) {
		panic("server: what is left cannot be taken")
	}
	return func() { s.memory.give(all) }
}

// WatchesRefused is how many streams of watches were offered events that had no room, and have not asked for them again.
func (s *Server) WatchesRefused() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, owner := range s.identities {
		for c := range owner.conns {
			c.mu.Lock()
			for one := range c.streams {
				if w := one.ownWatches(); w != nil {
					w.mu.Lock()
					if w.refused {
						n++
					}
					w.mu.Unlock()
				}
			}
			c.mu.Unlock()
		}
	}
	return n
}
