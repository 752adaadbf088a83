package node

import (
	"bytes"
	"hash/crc32"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
)

// network is what lies between the members: a path for each direction of each pair, and a connection for each pair.
type network struct {
	w     *world
	lanes [][]*lane // from, to
	pairs []*pair
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
}

func newNetwork(w *world) *network {
	n := &network{w: w}
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
			w.sim.After(w.between(0, tendEvery), p.tend)
		}
	}
	return n
}

func (n *network) lane(from, to *host) *lane { return n.lanes[from.number][to.number] }

// pair returns the pair of two members, and which of its ends the first one is.
func (n *network) pair(a, b *host) (*pair, int) {
	for _, p := range n.pairs {
		switch {
		case p.ends[0].host == a && p.ends[1].host == b:
			return p, 0
		case p.ends[0].host == b && p.ends[1].host == a:
			return p, 1
		}
	}
	panic("no such pair")
}

// delay draws how long something is under way: seldom very long.
func (n *network) delay(p *lane) time.Duration {
	d := logNormal(n.w.random, n.w.shape.delay, n.w.shape.spread)
	if n.w.chance(0.001) {
		d += n.w.between(10*time.Millisecond, time.Second)
	}
	return min(time.Duration(float64(d)*p.slow), 3*time.Second)
}

// carry takes something to the other end of a path, unless the path is blocked.
func (n *network) carry(p *lane, after time.Duration, arrive func()) {
	if p.blocked > 0 {
		return
	}
	n.w.sim.After(after, func() {
		switch {
		case p.blocked > 0:
		case p.clogged > 0:
			p.held = append(p.held, arrive)
		default:
			arrive()
		}
	})
}

// unclog lets what was held up go on, in a burst.
func (n *network) unclog(p *lane) {
	held := p.held
	p.held = nil
	for _, arrive := range held {
		n.w.sim.After(n.w.between(0, time.Millisecond), arrive)
	}
}

// simPeers is one life's way to the others. It implements actor.Peers.
type simPeers struct {
	w    *world
	from *host
	life *actor.Life
}

// Send implements actor.Peers.
func (s *simPeers) Send(to uint64, class actor.Class, frame []byte, lazy bool) {
	s.w.sim.Post(func() {
		if s.from.life == s.life {
			s.w.net.send(s.from, s.w.byID[to], class, frame, lazy)
		}
	})
}

// send puts a frame on its way; what happens to it there is chance.
func (n *network) send(from, to *host, class actor.Class, frame []byte, lazy bool) {
	w := n.w
	w.watch.sent(from, to, frame)
	if w.listen != nil {
		w.listen(from, to, frame)
	}
	if w.verbose {
		m, _ := actor.DecodePeerMessage(frame, from.id(), to.id())
		w.trace("%s to %s: %T %.300v", from.name(), to.name(), m, m)
	}
	pair, mine := n.pair(from, to)
	p := n.lane(from, to)
	if !pair.ends[mine].up {
		return
	}
	w.totals.Frames++
	copies := 1
	if w.chance(1 - (1-p.loss)*(1-w.shape.loss)) {
		copies = 0
	}
	if w.chance(p.dup + w.shape.dup) {
		copies++
	}
	epoch, forgot := pair.ends[mine].epoch, from.forgot
	for range copies {
		d := n.delay(p)
		if lazy {
			d += w.between(0, time.Millisecond)
		}
		if class == actor.Bulk {
			d += n.transfer(p, len(frame))
		}
		if w.shape.ordered || class == actor.Bulk {
			at := max(w.sim.Now()+d, p.newest[class])
			p.newest[class] = at
			d = at - w.sim.Now()
		}
		n.carry(p, d, func() {
			if to := pair.ends[1-mine].host; forgot != "" && !to.lost() && pair.ends[1-mine].epoch == epoch && pair.ends[1-mine].up {
				w.failf("%s listens to %s, which %s", to.name(), from.name(), forgot)
			}
			n.arrive(pair, 1-mine, epoch, class, frame)
		})
	}
}

// transfer is how long pieces of a snapshot wait for each other: where the seed gives them little room, a snapshot takes
// seconds, and faults strike meanwhile.
func (n *network) transfer(p *lane, bytes int) time.Duration {
	w := n.w
	if w.interrupt != nil && w.chance(0.2) {
		strike := w.interrupt
		w.interrupt = nil
		w.sim.After(0, func() { strike(p.from, p.to) })
	}
	if w.shape.bulk == 0 || w.healed != 0 {
		return 0
	}
	p.bulk = max(p.bulk, w.sim.Now()) + time.Duration(bytes)*time.Second/time.Duration(w.shape.bulk)
	return p.bulk - w.sim.Now()
}

// arrive hands a frame to a member, if the connection that it was sent on is still there.
func (n *network) arrive(p *pair, at int, epoch int, class actor.Class, frame []byte) {
	w, from, to := n.w, p.ends[1-at].host, &p.ends[at]
	if !to.up || to.epoch != epoch || !to.host.alive() {
		return
	}
	if to.host.paused() && w.chance(0.5) {
		return // its socket's buffer is full
	}
	w.note(to.host.name()+" hears "+from.name(), uint64(len(frame))<<32|uint64(crc32.Checksum(frame, castagnoli)))
	if w.tears > 0 && w.healed == 0 && n.replaces(from, to.host, frame) {
		w.strikeReplacement(to.host)
	}
	to.host.links.Receive(from.id(), class, bytes.Clone(frame))
}

// replaces tells whether a frame makes its receiver replace entries that are on its disk.
func (n *network) replaces(from, to *host, frame []byte) bool {
	message, err := actor.DecodePeerMessage(frame, from.id(), to.id())
	m, ok := message.(actor.RaftMessage)
	if err != nil || !ok || m.GetType() != raftpb.MsgApp || len(m.GetEntries()) == 0 {
		return false
	}
	return m.GetIndex() < to.proven.last && m.GetEntries()[0].GetTerm() > to.proven.lastTerm
}
