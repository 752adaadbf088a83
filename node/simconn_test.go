package node

import (
	"strings"
	"time"

	"qkv/actor"
)

const (
	// tendEvery is how often a connection is looked at.
	tendEvery = 50 * time.Millisecond
	// idleAfter is when a peer that says nothing is given up.
	idleAfter = 3 * time.Second
)

// pair is the connection between two members: either side dials, the other one answers, and both judge the other's
// hello before a frame passes.
type pair struct {
	n        *network
	ends     [2]end
	epoch    int // of the newest attempt
	dialling bool
	next     time.Duration // when the next attempt may be
	failures int
}

// end is one side of a connection.
type end struct {
	host  *host
	up    bool
	epoch int
	heard time.Duration
}

// tend notices what became of the other side, and dials.
func (p *pair) tend() {
	w := p.n.w
	for i := range p.ends {
		p.watch(i)
	}
	a, b := &p.ends[0], &p.ends[1]
	if !p.dialling && !(a.up && b.up) && w.sim.Now() >= p.next {
		first := w.random.IntN(2)
		for _, i := range []int{first, 1 - first} {
			if e := &p.ends[i]; e.host.alive() && !e.up && !e.host.paused() {
				p.dial(i)
				break
			}
		}
	}
	w.sim.After(w.between(tendEvery/2, tendEvery*3/2), p.tend)
}

// watch notices at one end that the other one is silent or gone.
func (p *pair) watch(i int) {
	w := p.n.w
	me, other := &p.ends[i], &p.ends[1-i]
	if !me.up || me.host.paused() {
		return
	}
	in, out := p.n.lane(other.host, me.host), p.n.lane(me.host, other.host)
	open := in.blocked+in.clogged == 0
	same := other.up && other.epoch == me.epoch
	switch {
	case same && open && !other.host.paused():
		me.heard = w.sim.Now()
	case w.sim.Now()-me.heard > idleAfter:
		p.drop(i, "says nothing")
	case !same && other.host.alive() && open && out.blocked == 0 && w.chance(0.3):
		p.drop(i, "says that it was restarted")
	}
}

// drop ends the connection at one end.
func (p *pair) drop(i int, why string) {
	me, other := &p.ends[i], &p.ends[1-i]
	if !me.up {
		return
	}
	me.up = false
	p.n.w.trace("%s loses the connection to %s: it %s", me.host.name(), other.host.name(), why)
	p.n.w.totals.Disconnects++
	me.host.links.Disconnected(other.host.id())
}

// reset ends the connection at both ends, at once or when they notice.
func (p *pair) reset() {
	first := p.n.w.random.IntN(2)
	p.drop(first, "reset it")
	if p.n.w.chance(0.5) {
		p.drop(1-first, "reset it")
	}
}

// died forgets a process's ends of its connections. The others notice by themselves.
func (n *network) died(h *host) {
	for _, p := range n.pairs {
		for i := range p.ends {
			if p.ends[i].host == h {
				p.ends[i].up = false
				p.dialling = false
				p.epoch++
			}
		}
	}
}

// dial tries to connect: hello, verdict, hello, verdict.
func (p *pair) dial(i int) {
	w, me, other := p.n.w, &p.ends[i], &p.ends[1-i]
	p.dialling = true
	p.epoch++
	epoch := p.epoch
	w.sim.After(time.Second, func() {
		if p.dialling && p.epoch == epoch {
			p.failed()
		}
	})
	out := p.n.lane(me.host, other.host)
	handshake := 2 * p.n.delay(out)
	hello, life := me.host.links.Hello(), other.host.life
	p.n.carry(out, handshake, func() {
		if p.epoch == epoch && other.host.alive() && other.host.life == life && !other.host.paused() {
			p.answer(i, epoch, hello)
		}
	})
}

// answer judges the hello of the one who dialled.
func (p *pair) answer(i, epoch int, hello []byte) {
	w, me, other := p.n.w, &p.ends[i], &p.ends[1-i]
	back := p.n.lane(other.host, me.host)
	if err := other.host.links.Admit(me.host.id(), hello); err != nil {
		p.refused(other, me, epoch, err)
		return
	}
	p.drop(1-i, "has lost it and dialled anew")
	p.up(1-i, epoch)
	answer, life := other.host.links.Hello(), me.host.life
	p.n.carry(back, p.n.delay(back), func() {
		if p.epoch != epoch || me.host.life != life || me.host.paused() {
			return
		}
		p.dialling = false
		if err := me.host.links.Admit(other.host.id(), answer); err != nil {
			p.refused(me, other, epoch, err)
			return
		}
		p.up(i, epoch)
		p.failures = 0
		w.note("connected", uint64(me.host.number)<<8|uint64(other.host.number))
	})
}

// up puts the connection into use at one end.
func (p *pair) up(i, epoch int) {
	me, other := &p.ends[i], &p.ends[1-i]
	me.up, me.epoch, me.heard = true, epoch, p.n.w.sim.Now()
	out := p.n.lane(me.host, other.host)
	out.newest, out.bulk = [3]time.Duration{}, 0
	p.n.w.trace("%s is connected to %s", me.host.name(), other.host.name())
	me.host.links.Connected(other.host.id())
}

// refused tells a member that it was refused, and waits with the next attempt.
func (p *pair) refused(by, who *end, epoch int, err error) {
	w := p.n.w
	w.trace("%s refuses %s: %v", by.host.name(), who.host.name(), err)
	w.watch.refused(by.host, who.host, err)
	p.dialling = false
	p.next = w.sim.Now() + w.between(500*time.Millisecond, 2*time.Second)
	life := who.host.life
	path := p.n.lane(by.host, who.host)
	p.n.carry(path, p.n.delay(path), func() {
		if who.host.life != life {
			return
		}
		if who.up && who.epoch == epoch {
			p.drop(p.index(who), "refused it")
		}
		who.host.links.Refused(by.host.id(), err.Error())
	})
}

func (p *pair) index(e *end) int {
	if e == &p.ends[0] {
		return 0
	}
	return 1
}

// failed waits before the next attempt, longer each time.
func (p *pair) failed() {
	p.dialling = false
	p.failures = min(p.failures+1, 5)
	p.next = p.n.w.sim.Now() + p.n.w.between(20*time.Millisecond, 50*time.Millisecond<<p.failures)
}

// refused holds the refusal of a member against what is true of it: one that forgot nothing is never called so.
func (k *watchman) refused(by, who *host, err error) {
	if by.broken && strings.Contains(err.Error(), "remember the other members") {
		return
	}
	if !strings.Contains(err.Error(), "AMNESIA") {
		k.w.failf("%s refuses %s without a reason: %v", by.name(), who.name(), err)
		return
	}
	if !who.lost() {
		k.w.failf("%s, which forgot nothing, is refused by %s: %v", who.name(), by.name(), err)
		return
	}
	if !who.wasRefused {
		who.wasRefused = true
		k.w.totals.Amnesiacs++
	}
}

var _ actor.Peers = (*simPeers)(nil)
