package h2

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/peer"
)

// Config configures a server.
type Config struct {
	Codec encoding.CodecV2
	// what Request.Prepared returns, made once for all requests with equal metadata
	Prepare     func(context.Context) any
	Batched     map[string]func(*Request, []byte) bool // by path; see Request
	ReceiveMost int                                    // bytes of a request's message
	SendMost    int                                    // bytes of an answer's message
	Streams     uint32                                 // open streams of a connection
	// of a request's header fields, as RFC 9113 6.5.2 counts them
	HeaderBytes uint32
	Handshake   time.Duration                              // until the client's settings have come
	Fault       func(path string, fault any, stack []byte) // reports a handler's panic
	Pages       http.Handler                               // serves requests that are not gRPC's

	// A client may ping once in PingLeast, and once in two hours while it has no stream: gRPC's policy. After PingAfter without a frame,
	// the server pings. A client that does not answer within PingTimeout is gone.
	PingLeast, PingAfter, PingTimeout time.Duration
}

// Server serves gRPC's methods on connections.
type Server struct {
	config  Config
	methods map[string]method // by path
	work    chan *stream      // to an idle worker

	idle      atomic.Int64   // workers that wait for a request
	handlers  sync.WaitGroup // and watchIdle
	idleWatch sync.Once
	over      chan struct{} // closed by Stop

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
	stopped  bool
	drained  chan struct{} // closed when no connection is left
}

// method is an RPC.
type method struct {
	server any // of the service
	unary  *grpc.MethodDesc
	stream *grpc.StreamDesc

	batched func(*Request, []byte) bool
}

// NewServer returns a server without connections.
func NewServer(config Config) *Server {
	return &Server{
		config: config, methods: map[string]method{}, conns: map[*conn]struct{}{},
		work: make(chan *stream), over: make(chan struct{}), drained: make(chan struct{}),
	}
}

// RegisterService implements grpc.ServiceRegistrar. It is called before Serve.
func (s *Server) RegisterService(d *grpc.ServiceDesc, server any) {
	for i := range d.Methods {
		path := "/" + d.ServiceName + "/" + d.Methods[i].MethodName
		s.methods[path] = method{server: server, unary: &d.Methods[i], batched: s.config.Batched[path]}
	}
	for i := range d.Streams {
		s.methods["/"+d.ServiceName+"/"+d.Streams[i].StreamName] = method{server: server, stream: &d.Streams[i]}
	}
}

// knows reports whether a service has a method.
func (s *Server) knows(service string) bool {
	for path := range s.methods {
		if len(path) > len(service)+2 && path[1:len(service)+1] == service && path[len(service)+1] == '/' {
			return true
		}
	}
	return false
}

// Serve serves a connection until it ends.
func (s *Server) Serve(nc net.Conn, from *peer.Peer) {
	c := newConn(s, nc, from)
	s.mu.Lock()
	if s.draining || s.stopped {
		s.mu.Unlock()
		_ = nc.Close()
		return
	}
	s.idleWatch.Do(func() { s.handlers.Go(s.watchIdle) })
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	c.run()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.drainedLocked()
}

// watchIdle checks for silent clients until Stop.
func (s *Server) watchIdle() {
	tick := time.NewTicker(s.config.PingTimeout / 4)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.mu.Lock()
			for c := range s.conns {
				c.checkIdle(now)
			}
			s.mu.Unlock()
		case <-s.over:
			return
		}
	}
}

func (s *Server) drainedLocked() {
	if s.draining && len(s.conns) == 0 {
		select {
		case <-s.drained:
		default:
			close(s.drained)
		}
	}
}

// Drain tells all clients to go, and returns when their requests are answered and their streams have ended, or at Stop.
func (s *Server) Drain() {
	s.mu.Lock()
	s.draining = true
	for c := range s.conns {
		c.drain()
	}
	s.drainedLocked()
	s.mu.Unlock()
	<-s.drained
}

// Dismiss ends all connections. Later ones are served.
func (s *Server) Dismiss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.end(net.ErrClosed)
	}
}

// Stop ends all connections, and returns when all handlers have returned.
func (s *Server) Stop() {
	s.mu.Lock()
	if !s.stopped {
		close(s.over)
	}
	s.stopped = true
	s.mu.Unlock()
	s.Dismiss()
	s.handlers.Wait()
}

// serve runs a request's handler, in a goroutine that has served before if one is idle: its stack is large enough.
func (s *Server) serve(one *stream) {
	select {
	case s.work <- one:
		return
	default:
	}
	s.handlers.Go(func() {
		idle := time.NewTimer(workerIdle)
		defer idle.Stop()
		for {
			one.handle()
			if one = s.next(idle); one == nil {
				return
			}
		}
	})
}

// next waits for another request. It returns nil when the worker ends.
func (s *Server) next(idle *time.Timer) *stream {
	defer s.idle.Add(-1)
	if s.idle.Add(1) > workersIdle {
		return nil
	}
	idle.Reset(workerIdle)
	select {
	case one := <-s.work:
		return one
	case <-idle.C:
	case <-s.over:
	}
	return nil
}

// A worker waits workerIdle for another request. At most workersIdle wait: no stream's account holds their stacks, some 4 KiB each.
const (
	workerIdle  = 10 * time.Second
	workersIdle = 256
)
