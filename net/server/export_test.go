package server

import (
	"net"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire"
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
	if !s.memory.reserve(all) {
		panic("server: what is left cannot be taken")
	}
	return func() { s.memory.release(all) }
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

// CheckPermission explains a permission.
var CheckPermission = checkPermission

// Checks returns what the connection from a port does for the permission of a put and of a get.
func (s *Server) Checks(t testing.TB, port int) func(v *index.View, q *kv.Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *conn
	s.eachLocked(func(c *conn) {
		if c.qc.RemoteAddr().(*net.UDPAddr).Port == port {
			found = c
		}
	})
	if found == nil {
		t.Fatalf("no connection from port %d", port)
	}
	get := &slot{op: wire.OpRange, read: &read{}}
	return func(v *index.View, q *kv.Range) {
		if by, err := found.author(v); err != nil || by.Name == "" {
			t.Fatal(by, err)
		}
		get.read.Range = *q
		if err := found.permitsRead(v, get); err != nil {
			t.Fatal(err)
		}
		if err := found.permits(v, kv.AccessRead, q); err != nil {
			t.Fatal(err)
		}
	}
}

// Bounds, for tests.
const (
	ClientConnectionsWide   = clientConnectionsWide
	ClientHandshakeTimeout  = clientHandshakeTimeout
	ClientHandshakesTrusted = clientHandshakesTrusted
	ClientStreamBytes       = clientStreamBytes
	ClientStreamsFree       = clientStreamsFree
	FileReadersMost         = fileReadersMost
	MemberNarrowWindow      = memberNarrowWindow
	WatchOverhead           = watchOverhead
)
