package front

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"qkv/internal/limits"
)

// resetLimit throttles stream resets by clients. Each costs as much as a request, and a client could begin and reset streams without end, on
// any number of connections, since a reset stream no longer counts as open.
//
//  1. All clients together may reset limits.EtcdResets streams a second. The clients with resets in this or the last second share that
//     rate equally; clients are distinguished by address. The connections of one client share its part.
//  2. If a connection exceeds its part, its frames are delayed until the rate allows them, and the connection is not read meanwhile. No
//     other client waits; the client's own writes wait when its buffers are full.
//  3. A connection may use its part of one second as a burst.
//  4. A client whose connection was closed because it held most memory would open as many streams again. For limits.EtcdBlamed, each
//     stream that one of its connections opens counts as a reset, if its streams are charged more than limits.EtcdStreamsFew open ones.
//  5. etcdFramesReset frames without a request, such as pings and settings, count as one reset.
type resetLimit struct {
	mu     sync.Mutex
	recent recentCounts         // connections with resets
	blames map[string]time.Time // by client: when its connection was last closed
}

// recentCounts counts events of each client in this second and in the last one. Clients without events are absent.
type recentCounts struct {
	second  int64
	clients map[string]*recentCount
}

type recentCount struct{ last, now int }

// advance drops counts older than the last second.
func (l *recentCounts) advance(second int64) {
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

// of returns the counts of a client, to be increased.
func (l *recentCounts) of(client string) *recentCount {
	if l.clients == nil {
		l.clients = map[string]*recentCount{}
	}
	c := l.clients[client]
	if c == nil {
		c = &recentCount{}
		l.clients[client] = c
	}
	return c
}

// pacing is a connection's state in the reset limit, owned by its reader.
type pacing struct {
	client  string
	frames  int       // without a request, not paced yet; a reset is etcdFramesReset of them
	paced   time.Time // when the earlier resets would have come at the connection's rate
	counted int64     // the second in which it was last counted
}

func newResetLimit() *resetLimit {
	return &resetLimit{blames: map[string]time.Time{}}
}

// blame records that a client's connection was closed.
func (r *resetLimit) blame(client string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, at := range r.blames {
		if now.Sub(at) >= limits.EtcdBlamed {
			delete(r.blames, other)
		}
	}
	r.blames[client] = now
}

func (r *resetLimit) blamed(client string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, there := r.blames[client]
	return there && now.Sub(at) < limits.EtcdBlamed
}

// clientAt identifies a client by its address.
func clientAt(from net.Addr) string {
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		return from.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() && !ip.Is4In6() && !ip.IsLoopback() {
		const network = 64 // one host may use any address in it
		if own, err := ip.Prefix(network); err == nil {
			return own.String()
		}
	}
	return host
}

// refusals counts failed connections by client.
//
// Each failed connection costs a goroutine, and with TLS a signature. A client with etcdRefused of them in this or the last second
// is ignored: its connections are closed at acceptance, until a second without failures. To protect other clients at the same address, a
// client with a connection in service ([Accounts].serves) is never ignored, nor is this host.
type refusals struct {
	mu     sync.Mutex
	recent recentCounts
}

// add counts a failed connection of a client.
func (r *refusals) add(client string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recent.advance(now.Unix())
	r.recent.of(client).now++
}

// tooMany tells whether a client is ignored now.
func (r *refusals) tooMany(client string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recent.advance(now.Unix())
	c := r.recent.clients[client]
	if c == nil || max(c.last, c.now) < etcdRefused {
		return false
	}
	ip, err := netip.ParseAddr(client)
	return err != nil || !ip.IsLoopback()
}

// wait returns how long a connection has to wait after its latest resets. each is the interval between resets that it must keep.
func (r *resetLimit) wait(p *pacing, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recent.advance(now.Unix())
	c := r.recent.of(p.client)
	if p.counted != now.Unix() {
		p.counted = now.Unix()
		c.now++
	}
	each := time.Second / limits.EtcdResets * time.Duration(len(r.recent.clients)*max(c.last, c.now))
	if least := now.Add(-time.Second); p.paced.Before(least) {
		p.paced = least
	}
	p.paced = p.paced.Add(time.Duration(p.frames/etcdFramesReset) * each)
	p.frames %= etcdFramesReset
	return p.paced.Sub(now)
}

// pace waits until the connection's resets fit its rate, or until the connection is over.
func (s *Account) pace() {
	if s.pacing.frames < etcdFramesReset {
		return
	}
	wait := s.of.resetLimit.wait(&s.pacing, time.Now())
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

// overRate tells whether the connection exceeded its rate in the last second: it is then read in small pieces, for frequent, short waits.
func (s *Account) overRate() bool {
	return !s.pacing.paced.IsZero() && time.Since(s.pacing.paced) < time.Second/2
}
