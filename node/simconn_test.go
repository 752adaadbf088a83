package node

import (
	"errors"
	"slices"
	"strings"
	"time"

	"qkv/net/wire/peerframe"
)

const (
	// tendEvery is how often a connection is looked at.
	tendEvery = 50 * time.Millisecond
	// idleAfter is when a peer that says nothing is given up.
	idleAfter = 3 * time.Second
)

// pair is the connection between two members: either side dials, the other one answers, and both judge the other's
// identity before a frame passes.
type pair struct {
	n        *network
	ends     [2]end
	epoch    int // of the newest attempt
	dialled  int // which end made it
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
	its   peerframe.MemberIdentity // the other side's, by its handshake
	early []func()                 // frames that came while this side was still judging the other one
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
			if e := &p.ends[i]; e.host.alive() && !e.up && !e.host.paused() && e.host.finds(p.ends[1-i].host) {
				p.dial(i)
				break
			}
		}
	}
	w.sim.After(w.between(tendEvery/2, tendEvery*3/2), p.tend)
}

// lists tells whether a member takes another one for a peer, which may not have said its name yet.
func (h *host) lists(other *host) bool {
	if !h.alive() {
		return false
	}
	it, ok := h.way.peers[other.id()]
	return ok && (it.Name == other.config.Name || it.Name == "")
}

// finds tells whether it also knows where the other one is.
func (h *host) finds(other *host) bool {
	return h.lists(other) && slices.Contains(h.way.peers[other.id()].Addresses, other.config.AdvertisePeer)
}

// follow takes the connections away from those that a member does not take for peers any more, and tells them why.
func (n *network) follow(h *host) {
	for _, p := range n.pairs {
		for i := range p.ends {
			if p.ends[i].host != h || h.lists(p.ends[1-i].host) {
				continue
			}
			if p.dialling {
				p.dialling = false
				p.epoch++
			}
			if p.ends[i].up {
				epoch := p.ends[i].epoch
				p.drop(i, "is no peer any more")
				p.tell(&p.ends[i], &p.ends[1-i], epoch, h.stranger(p.ends[1-i].host))
			}
		}
	}
}

// stranger is what a member tells another one that is no peer.
func (h *host) stranger(other *host) *peerframe.Refusal {
	why := h.handler.Stranger(other.config.Name, other.id())
	if why == nil {
		h.w.failf("%s does not say why %s is no peer", h.name(), other.name())
	}
	return why
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
	case !same && other.host.alive() && open && out.blocked == 0 && w.probably(0.3):
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
	me.host.handler.Disconnected(other.host.id())
}

// reset ends the connection at both ends, at once or when they notice.
func (p *pair) reset() {
	first := p.n.w.random.IntN(2)
	p.drop(first, "reset it")
	if p.n.w.probably(0.5) {
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

// dial tries to connect: identity, verdict, identity, verdict.
func (p *pair) dial(i int) {
	w, me, other := p.n.w, &p.ends[i], &p.ends[1-i]
	p.dialling, p.dialled = true, i
	p.epoch++
	p.ends[0].early, p.ends[1].early = nil, nil
	epoch := p.epoch
	w.sim.After(time.Second, func() {
		if p.dialling && p.epoch == epoch {
			p.failed()
		}
	})
	out := p.n.lane(me.host, other.host)
	handshake := 2 * p.n.delay(out)
	identity, life := p.n.identity(me.host), other.host.life
	p.n.carry(out, handshake, func() {
		if p.epoch == epoch && other.host.alive() && other.host.life == life && !other.host.paused() {
			p.answer(i, epoch, identity)
		}
	})
}

// identity is what a member says of itself: of its disk no more than is on it.
func (n *network) identity(h *host) peerframe.MemberIdentity {
	i := h.handler.Identity()
	if says := (proven{last: i.Last, lastTerm: i.LastTerm}); !n.w.watch.blind && (h.proven.behind(says) || i.HardTerm > h.proven.hard.Term) {
		n.w.failf("%s says that its disk has %v, which has %v", h.name(), says, h.proven)
	}
	return i
}

// answer judges the one who dialled.
func (p *pair) answer(i, epoch int, identity peerframe.MemberIdentity) {
	w, me, other := p.n.w, &p.ends[i], &p.ends[1-i]
	back := p.n.lane(other.host, me.host)
	life := me.host.life
	if life == nil {
		return
	}
	if !other.host.lists(me.host) {
		p.refused(other, me, epoch, other.host.stranger(me.host))
		return
	}
	p.admit(other, me, epoch, identity, func() {
		p.drop(1-i, "has lost it and dialled anew")
		p.up(1-i, epoch, identity)
		answer := p.n.identity(other.host)
		p.n.carry(back, p.n.delay(back), func() {
			if p.epoch != epoch || me.host.life != life || me.host.paused() {
				return
			}
			p.admit(me, other, epoch, answer, func() {
				p.dialling = false
				p.up(i, epoch, answer)
				p.failures = 0
				w.note("connected", uint64(me.host.number)<<8|uint64(other.host.number))
			})
		})
	})
}

// admit lets one end judge what the other one says of itself, which may take disk calls, and goes on if nothing has
// changed meanwhile.
func (p *pair) admit(by, who *end, epoch int, identity peerframe.MemberIdentity, admitted func()) {
	life := by.host.life
	life.Call(func() {
		err := by.host.handler.Admit(who.host.id(), identity)
		p.n.w.sim.Post(func() {
			if err == nil && by.host.life == life {
				by.host.knows(who.host, identity.Process)
			}
			switch {
			case p.epoch != epoch || by.host.life != life || who.host.life == nil:
			case err != nil:
				p.refused(by, who, epoch, err)
			case !by.host.lists(who.host):
				p.refused(by, who, epoch, by.host.stranger(who.host))
			default:
				admitted()
			}
		})
	})
}

// up puts the connection into use at one end.
func (p *pair) up(i, epoch int, its peerframe.MemberIdentity) {
	me, other := &p.ends[i], &p.ends[1-i]
	me.up, me.epoch, me.heard, me.its = true, epoch, p.n.w.sim.Now(), its
	out := p.n.lane(me.host, other.host)
	out.newest, out.bulk = [3]time.Duration{}, 0
	p.n.w.trace("%s is connected to %s", me.host.name(), other.host.name())
	me.host.handler.Connected(other.host.id())
	early := me.early
	me.early = nil
	for _, arrive := range early {
		arrive()
	}
}

// refused tells a member that it was refused, and waits with the next attempt.
func (p *pair) refused(by, who *end, epoch int, err error) {
	w := p.n.w
	w.trace("%s refuses %s: %v", by.host.name(), who.host.name(), err)
	w.watch.refused(by.host, who.host, err)
	p.dialling = false
	p.next = w.sim.Now() + w.between(500*time.Millisecond, 2*time.Second)
	why, ok := errors.AsType[*peerframe.Refusal](err)
	if !ok {
		why = &peerframe.Refusal{Code: peerframe.Refused, Text: err.Error()}
	}
	p.tell(by, who, epoch, why)
}

// tell carries a refusal to the other end of a connection, which ends there.
func (p *pair) tell(by, who *end, epoch int, why *peerframe.Refusal) {
	life, id := who.host.life, by.host.id()
	path := p.n.lane(by.host, who.host)
	p.n.carry(path, p.n.delay(path), func() {
		if who.host.life != life || life == nil {
			return
		}
		if who.up && who.epoch == epoch {
			p.drop(p.index(who), "refused it")
		}
		if who.host.lists(by.host) { // else there is no link that would say so
			who.host.handler.Refused(id, *why)
		}
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
func (k *checker) refused(by, who *host, err error) {
	if k.blind || by.caused(err) {
		return
	}
	if no, ok := errors.AsType[*peerframe.Refusal](err); ok && k.w.shape.spares > 0 && by.alive() && by.member.status.View().Members().Get(who.id()) == nil {
		if removed := no.Code == peerframe.Removed || no.Code == peerframe.RemovedByLeader; removed && !k.members.Removed(who.id()) {
			k.w.failf("%s tells %s, which nobody removed, that it was: %v", by.name(), who.name(), err)
		}
		return
	}
	if no, ok := errors.AsType[*peerframe.Refusal](err); ok && k.w.shape.spares > 0 && strings.Contains(no.Text, "accepts the next connection") {
		return // it has heard of the other one since
	}
	if !strings.Contains(err.Error(), "AMNESIA") {
		k.w.failf("%s refuses %s without a reason: %v", by.name(), who.name(), err)
		return
	}
	if !who.lost() {
		if who.copied { // who was away met the copy first
			return
		}
		k.w.failf("%s, which forgot nothing, is refused by %s: %v", who.name(), by.name(), err)
		return
	}
	if !who.wasRefused {
		who.wasRefused = true
		k.w.totals.Amnesiacs++
	}
}
