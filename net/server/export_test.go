package server

// AddHandshakes counts handshakes that there are none of.
func (s *Server) AddHandshakes(n int64) { s.handshakes.Add(n) }
