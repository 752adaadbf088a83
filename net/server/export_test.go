package server

import "net"

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
