package node

import (
	"bytes"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
)

// network is what lies between the members: a path for each direction of each pair, and a connection for each pair.
type network struct {
	w     *world
	lanes [][]*lane // from, to
	pairs []*pair
	grid  map[[2]*host]*pair // by its ends, in the order of their numbers
}

// lane is one direction between two members.
type lane struct {
	from, to  *host
	blocked   int     // faults that let nothing through
	clogged   int     // faults that hold everything up
	loss, dup float64 // beside the seed's own
	slow      float64
	held      []func()
	newest    [3]time.Duration // when the newest frame of a class arrives on the connection
	bulk      time.Duration    // until when pieces of snapshots fill it
	pieces    []*func()        // what waits behind them, with themselves
}

func newNetwork(w *world) *network {
	n := &network{w: w, grid: map[[2]*host]*pair{}}
	for _, from := range w.hosts {
		var row []*lane
		for _, to := range w.hosts {
			row = append(row, &lane{from: from, to: to, slow: 1})
		}
		n.lanes = append(n.lanes, row)
	}
	for i, a := range w.hosts {
		for _, b := range w.hosts[i+1:] {
			p := &pair{n: n, ends: [2]end{{host: a}, {host: b}}}
			n.pairs = append(n.pairs, p)
			n.grid[[2]*host{a, b}] = p
			w.sim.After(w.between(0, tendEvery), p.tend)
		}
	}
	return n
}

func (n *network) lane(from, to *host) *lane { return n.lanes[from.number][to.number] }

// pair returns the pair of two members, and which of its ends the first one is.
func (n *network) pair(a, b *host) (*pair, int) {
	if a.number < b.number {
		return n.grid[[2]*host{a, b}], 0
	}
	return n.grid[[2]*host{b, a}], 1
}

// delay draws how long something is under way: seldom very long.
func (n *network) delay(p *lane) time.Duration {
	d := logNormal(n.w.random, n.w.shape.delay, n.w.shape.spread)
	if !n.w.shape.calm && n.w.healed == 0 && n.w.probably(0.001) {
		d += n.w.between(10*time.Millisecond, time.Second)
	}
	return min(time.Duration(float64(d)*p.slow), 3*time.Second)
}

// carry takes something to the other end of a path, unless the path is blocked.
func (n *network) carry(p *lane, after time.Duration, arrive func()) {
	if p.blocked > 0 {
		return
	}
	n.w.sim.After(after, func() { n.reach(p, arrive) })
}

// carryPiece is carry for pieces of snapshots, and for what goes behind them: when everything heals, they need not wait for each
// other any more.
func (n *network) carryPiece(p *lane, after time.Duration, arrive func()) {
	if p.blocked > 0 {
		return
	}
	one := &arrive
	p.pieces = append(p.pieces, one)
	n.w.sim.After(after, func() {
		if i := slices.Index(p.pieces, one); i >= 0 {
			p.pieces = slices.Delete(p.pieces, i, i+1)
			n.reach(p, arrive)
		}
	})
}

// reach is the far end of a path.
func (n *network) reach(p *lane, arrive func()) {
	switch {
	case p.blocked > 0:
	case p.clogged > 0:
		p.held = append(p.held, arrive)
	default:
		arrive()
	}
}

// heal lets all pieces of snapshots that are under way arrive.
func (n *network) heal() {
	for _, row := range n.lanes {
		for _, p := range row {
			for _, one := range p.pieces {
				n.w.sim.After(0, func() { n.reach(p, *one) })
			}
			p.pieces, p.bulk, p.newest[peerframe.Bulk] = nil, 0, n.w.sim.Now()
		}
	}
}

// unclog lets what was held up go on, in a burst.
func (n *network) unclog(p *lane) {
	held := p.held
	p.held = nil
	for _, arrive := range held {
		n.w.sim.After(n.w.between(0, time.Millisecond), arrive)
	}
}

// simTransport is one life's way to the others.
type simTransport struct {
	w     *world
	from  *host
	life  *simLife
	peers map[uint64]peer.Peer
}

// Start implements transport.
func (s *simTransport) Start(h peer.Handler) error {
	s.from.handler = h
	return nil
}

// ServeParts implements transport. A simulated start takes no time in which others could ask.
func (s *simTransport) ServeParts(peer.Handler) error { return nil }

// SetPeers implements transport.
func (s *simTransport) SetPeers(all []peer.Peer) {
	s.w.sim.Post(func() {
		s.peers = map[uint64]peer.Peer{}
		for _, p := range all {
			if p.ID != s.from.id() {
				s.peers[p.ID] = p
			}
		}
		if s.from.life == s.life {
			s.w.net.follow(s.from)
		}
	})
}

// Status implements transport.
func (s *simTransport) Status() (all []peer.PeerStatus) {
	for _, other := range s.w.hosts {
		p, listed := s.peers[other.id()]
		if other == s.from || !listed || p.Name != other.config.Name {
			continue
		}
		pair, mine := s.w.net.pair(s.from, other)
		all = append(all, peer.PeerStatus{Peer: p, Connected: pair.ends[mine].up, Dialled: pair.dialled == mine})
	}
	return all
}

// CheckAlive implements transport. A host whose process was killed says so when it is asked, one without power nothing; and one in
// so many says that a process has died that has not.
func (s *simTransport) CheckAlive(id uint64) {
	s.w.sim.Post(func() {
		w, to := s.w, s.w.byID[id]
		if _, listed := s.peers[id]; !listed || to == nil || s.from.life != s.life {
			return
		}
		out, back := w.net.lane(s.from, to), w.net.lane(to, s.from)
		w.net.carry(out, w.net.delay(out), func() {
			wrong := !w.shape.calm && w.healed == 0 && w.probably(0.02)
			if to.alive() && !wrong || !to.alive() && !to.killed {
				return
			}
			w.net.carry(back, w.net.delay(back), func() {
				if s.from.life != s.life {
					return
				}
				w.trace("%s hears that the process of %s has died", s.from.name(), to.name())
				if w.totals.Died++; to.alive() {
					w.totals.DiedNot++
				}
				s.from.handler.Died(id)
			})
		})
	})
}

// Send implements transport.
func (s *simTransport) Send(to uint64, class peerframe.Class, frame []byte, lazy bool) {
	s.w.sim.Post(func() {
		// An id without a host is that of a joiner that lost its folder before it took part.
		if _, peer := s.peers[to]; peer && s.from.life == s.life {
			if host := s.w.at(s.from, to); host != nil {
				s.w.net.send(s.from, host, class, frame, lazy)
			}
		}
	})
}

// send puts a frame on its way; what happens to it there is random.
func (n *network) send(from, to *host, class peerframe.Class, frame []byte, lazy bool) {
	w := n.w
	w.watch.sent(from, to, frame)
	if w.listen != nil {
		w.listen(from, to, frame)
	}
	if w.verbose {
		m, _ := peerframe.Read(frame, from.id(), to.id())
		if f, ok := m.(peerframe.Forward); ok {
			e, _ := index.ReadEnvelope(f.Envelope)
			w.trace("%s forwards %d of term %d to %s, the oldest is %d: %d commands, %d bytes", from.name(), e.First, f.Term, to.name(), f.Oldest, e.Count, len(f.Envelope))
		} else {
			w.trace("%s to %s: %T %.300v", from.name(), to.name(), m, m)
		}
	}
	pair, mine := n.pair(from, to)
	if !pair.ends[mine].up || w.lose != nil && w.lose(from, to, frame) {
		return
	}
	n.post(from, to, class, n.lie(from, to, class, frame), lazy)
}

// post puts a frame on its way, whether its sender has made it or not.
func (n *network) post(from, to *host, class peerframe.Class, frame []byte, lazy bool) {
	w := n.w
	pair, mine := n.pair(from, to)
	p := n.lane(from, to)
	if !pair.ends[mine].up {
		return
	}
	w.totals.Frames++
	copies := 1
	if w.probably(1 - (1-p.loss)*(1-w.shape.loss)) {
		copies = 0
	}
	if w.probably(p.dup + w.shape.dup) {
		copies++
	}
	epoch, forgot := pair.ends[mine].epoch, from.forgot
	if m, err := peerframe.Read(frame, from.id(), to.id()); err == nil {
		if _, ok := m.(peerframe.Accused); ok { // that it is refused by a third one: it takes no part
			forgot = ""
		}
	}
	for range copies {
		d := n.delay(p)
		if lazy {
			d += w.between(0, time.Millisecond)
		}
		if class == peerframe.Bulk {
			d += n.transfer(p, len(frame))
		}
		if w.shape.ordered || w.healed != 0 || class == peerframe.Bulk {
			at := max(w.sim.Now()+d, p.newest[class])
			p.newest[class] = at
			d = at - w.sim.Now()
		}
		carry := n.carry
		if class == peerframe.Bulk {
			carry = n.carryPiece
		}
		carry(p, d, func() {
			if to := pair.ends[1-mine].host; forgot != "" && !to.lost() && !w.watch.members.Removed(to.id()) && pair.ends[1-mine].epoch == epoch && pair.ends[1-mine].up {
				w.failf("%s listens to %s, which %s", to.name(), from.name(), forgot)
			}
			n.arrive(pair, 1-mine, epoch, class, frame)
		})
	}
}

// transfer is how long pieces of a snapshot wait for each other: where the seed gives them little room, a snapshot takes
// seconds, and faults inject meanwhile.
func (n *network) transfer(p *lane, bytes int) time.Duration {
	w := n.w
	if w.interrupt != nil && w.probably(0.2) {
		inject := w.interrupt
		w.interrupt = nil
		w.sim.After(0, func() { inject(p.from, p.to) })
	}
	if w.shape.bulk == 0 || w.healed != 0 {
		return 0
	}
	p.bulk = max(p.bulk, w.sim.Now()) + time.Duration(bytes)*time.Second/time.Duration(w.shape.bulk)
	return p.bulk - w.sim.Now()
}

// arrive hands a frame to a member, if the connection that it was sent on is still there.
func (n *network) arrive(p *pair, at int, epoch int, class peerframe.Class, frame []byte) {
	w, from, to := n.w, p.ends[1-at].host, &p.ends[at]
	if p.dialling && p.epoch == epoch && to.host.alive() && !(to.up && to.epoch == epoch) {
		to.early = append(to.early, func() { n.arrive(p, at, epoch, class, frame) })
		return
	}
	if !to.up || to.epoch != epoch || !to.host.alive() {
		return
	}
	if to.host.paused() && w.probably(0.5) {
		return // its socket's buffer is full
	}
	w.note(to.host.name()+" hears "+from.name(), uint64(len(frame))<<32|uint64(damage.Sum(frame)))
	if w.tears > 0 && w.healed == 0 && n.replaces(from, to.host, frame) {
		w.injectReplacementFault(to.host)
	}
	if no := to.host.handler.Receive(from.id(), &to.its, class, bytes.Clone(frame)); no != nil {
		p.drop(at, "is barred: "+no.Text)
		p.tell(to, &p.ends[1-at], epoch, no)
	}
}

// replaces tells whether a frame makes its receiver replace entries that are on its disk.
func (n *network) replaces(from, to *host, frame []byte) bool {
	message, err := peerframe.Read(frame, from.id(), to.id())
	m, ok := message.(peerframe.Raft)
	if err != nil || !ok || m.GetType() != raftpb.MsgApp || len(m.GetEntries()) == 0 {
		return false
	}
	return m.GetIndex() < to.proven.last && m.GetEntries()[0].GetTerm() > to.proven.lastTerm
}
