package h2

import "fmt"

func (s *Server) Dump() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		fmt.Println("conn window", c.window, "taken", c.taken, "out", len(c.out), "ready", len(c.ready), "ends", len(c.ends), "writing", c.writing, "handlers", c.handlers, "streams", len(c.streams))
		for _, s := range c.streams {
			fmt.Println("  stream", s.id, s.head.path, "window", s.window, "out", len(s.out), "queued", s.queued, "ended", s.ended, "served", s.served, "whole", len(s.whole), "came", len(s.came), "ready", s.ready, "reading", s.reading, "finished", s.finished, "held", s.held, "returned", s.returned, "waiting", s.waiting)
		}
		c.mu.Unlock()
	}
}
