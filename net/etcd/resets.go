package etcd

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"qkv/internal/limits"
)

// resets paces the streams that clients give up before they are over: each costs what a request costs, and a client may begin and
// reset them without end, on as many connections as it likes, since none of them counts as open.
//
//  1. All together give up limits.EtcdResets a second. Those who give up any in this or the last second share that: the clients,
//     which are told apart by where they come from, in equal parts, and the connections of one client its part.
//  2. What comes of a connection past its part is not handed on before its time, and nothing more is read of it until then. Nobody
//     else waits, and the client's own writes wait when its buffers are full.
//  3. A connection may be ahead by what its part is of a second.
//  4. A client of which a connection was closed, for that it held most of the memory, would open as much again at once: for
//     limits.EtcdBlamed each stream counts as a reset that one of its connections opens beside limits.EtcdStreamsFew others.
//  5. Frames that ask for nothing, as pings and settings, count as a reset for each limits.EtcdFramesReset of them.
type resets struct {
	mu     sync.Mutex
	lately lately               // the connections that have given up streams
	blames map[string]time.Time // when that of a client was closed last
}

// lately is how often each client has done something in this second and in the last one. Clients that have not are not there.
type lately struct {
	second  int64
	clients map[string]*seconds
}

type seconds struct{ last, now int }

// turn forgets what is older than the last second.
func (l *lately) turn(second int64) {
	ago := second - l.second
	if ago == 0 {
		return
	}
	for name, c := range l.clients {
		c.last, c.now = c.now, 0
		if ago != 1 || c.last == 0 {
			delete(l.clients, name)
		}
	}
	l.second = second
}

// of returns what a client has done, for more to be added.
func (l *lately) of(client string) *seconds {
	if l.clients == nil {
		l.clients = map[string]*seconds{}
	}
	c := l.clients[client]
	if c == nil {
		c = &seconds{}
		l.clients[client] = c
	}
	return c
}

// pacing is a connection's part in it, of who reads it.
type pacing struct {
	client  string
	resets  int       // that are not paced yet
	frames  int       // that ask for nothing, and were not counted as a reset yet
	paced   time.Time // when those before would have come at the connection's part
	counted int64     // the second in which it was counted last
}

func newResets() *resets {
	return &resets{blames: map[string]time.Time{}}
}

// blame notes that a client's connection was closed.
func (r *resets) blame(client string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, at := range r.blames {
		if now.Sub(at) >= limits.EtcdBlamed {
			delete(r.blames, other)
		}
	}
	r.blames[client] = now
}

func (r *resets) blamed(client string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, there := r.blames[client]
	return there && now.Sub(at) < limits.EtcdBlamed
}

// clientAt is who a client is, as far as it matters here.
func clientAt(from net.Addr) string {
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		return from.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() && !ip.Is4In6() {
		const network = 64 // of which one host may have any
		if own, err := ip.Prefix(network); err == nil {
			return own.String()
		}
	}
	return host
}

// refusals are the connections that came to nothing, by where they came from.
//
// Each costs a goroutine, and with TLS a signature. A client that has had limits.EtcdRefused of them in this or the last second is not
// heard any more: what comes from there is closed as it is accepted, until a second without any. Where others come from the same
// address, that would shut them out: one with a connection that is served is always heard, and so is this host.
type refusals struct {
	mu     sync.Mutex
	lately lately
	served map[string]int // connections, by client
}

// add counts a connection of a client that came to nothing.
func (r *refusals) add(client string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lately.turn(now.Unix())
	r.lately.of(client).now++
}

// tooMany says that a client is not heard now.
func (r *refusals) tooMany(client string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lately.turn(now.Unix())
	c := r.lately.clients[client]
	if c == nil || max(c.last, c.now) < limits.EtcdRefused || r.served[client] > 0 {
		return false
	}
	ip, err := netip.ParseAddr(client)
	return err != nil || !ip.IsLoopback()
}

// serve counts a client's connections that are served: n more, or less.
func (r *refusals) serve(client string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.served == nil {
		r.served = map[string]int{}
	}
	if r.served[client] += n; r.served[client] == 0 {
		delete(r.served, client)
	}
}

// wait returns for how long a connection has to wait now that it has given up some more.
func (r *resets) wait(p *pacing, now time.Time) time.Duration {
	each := r.each(p, now.Unix())
	if least := now.Add(-time.Second); p.paced.Before(least) {
		p.paced = least
	}
	p.paced = p.paced.Add(time.Duration(p.resets) * each)
	p.resets = 0
	return p.paced.Sub(now)
}

// each is the time that the connection has to let pass for each reset.
func (r *resets) each(p *pacing, second int64) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lately.turn(second)
	c := r.lately.of(p.client)
	if p.counted != second {
		p.counted = second
		c.now++
	}
	return time.Second / limits.EtcdResets * time.Duration(len(r.lately.clients)*max(c.last, c.now))
}

// pace waits for as long as the client's resets have come too fast, or until the connection is over.
func (s *share) pace() {
	if s.pacing.resets == 0 {
		return
	}
	wait := s.of.resets.wait(&s.pacing, time.Now())
	if wait <= 0 {
		return
	}
	until := time.NewTimer(wait)
	defer until.Stop()
	select {
	case <-until.C:
	case <-s.over:
	}
}

// behind says that the connection has come too fast in the last second: it is read in small pieces, so that it waits often, and
// for short times.
func (s *share) behind() bool {
	return !s.pacing.paced.IsZero() && time.Since(s.pacing.paced) < time.Second/2
}
