package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"qkv/index"
	"qkv/index/authmodel"
	"qkv/index/kv"
)

// leaseKeys begin the keys that have leases: nobody else writes or deletes them.
const leaseKeys = "l/"

// A leaser is a client with one lease at a time: it is granted, renewed, given keys, and abandoned, revoked or lost. What it was
// promised is held against what the members' states show.
type leaser struct {
	w      *world
	number int
	user   user
	lease  *simLease
	values int
}

// simLease is a lease as its client knows it.
type simLease struct {
	id, ttl  int64
	promised time.Duration // it does not end before
	asked    time.Duration // when it was renewed last, whatever came of it
	seen     uint64        // the newest applied index at which a state had it
	revoked  bool          // its client has asked for that
	keys     []string
}

// leasing is all that is known of leases.
type leasing struct {
	leasers []*leaser
	alive   []*simLease
	gone    map[int64]uint64 // from which applied index on
}

// clockMost is how much faster than the world's a member's clock goes, at most.
const clockMost = 1.1

// leaseAll begins the leasers.
func (w *world) leaseAll() {
	w.leases.gone = map[int64]uint64{}
	for i := range 1 + w.random.IntN(4) {
		l := &leaser{w: w, number: i, user: user{name: w.drawUserOf("leaser")}}
		w.leases.leasers = append(w.leases.leasers, l)
		w.sim.After(w.between(0, time.Second), l.turn)
	}
}

// turn does one thing with the lease, if there is a member to be asked.
func (l *leaser) turn() {
	w := l.w
	if w.stopping {
		return
	}
	pause := w.between(20*time.Millisecond, 400*time.Millisecond)
	if at := w.any(); at.alive() && at.member.actors.consensus.Fits(1024) {
		l.act(&leaseSession{l: l, at: at, life: at.life, member: at.member})
		pause = w.between(20*time.Millisecond, time.Second)
	}
	w.sim.After(pause, l.turn)
}

func (l *leaser) act(s *leaseSession) {
	w, lease := l.w, l.lease
	head := &index.Head{By: l.user.by(s.member.status.View())}
	if lease == nil || w.leases.gone[lease.id] != 0 {
		l.lease = nil
		l.grant(s)
		return
	}
	switch n := w.random.IntN(100); {
	case n < 60:
		l.ask(s, lease, true)
	case n < 80:
		key := fmt.Sprintf("%s%d.%d", leaseKeys, l.number, w.random.IntN(3))
		l.values++
		if !slices.Contains(lease.keys, key) {
			lease.keys = append(lease.keys, key)
		}
		s.propose(head.AppendPut(nil, &kv.Put{Key: []byte(key), Value: fmt.Appendf(nil, "L%d.%d", l.number, l.values), Lease: lease.id}), func(kv.Result) {})
	case n < 88:
		l.ask(s, lease, false)
	case n < 96: // it is left to itself
		l.lease = nil
	default:
		lease.revoked, l.lease = true, nil
		s.propose(head.AppendRevoke(nil, lease.id), func(kv.Result) {})
	}
}

func (l *leaser) grant(s *leaseSession) {
	w := l.w
	lease := &simLease{id: int64(w.random.Uint64() | 1), ttl: 1 + w.random.Int64N(4)}
	if w.probably(0.3) {
		lease.ttl += w.random.Int64N(12)
	}
	begun := w.sim.Now()
	head := &index.Head{By: l.user.by(s.member.status.View())}
	s.propose(head.AppendGrant(nil, kv.Lease{ID: lease.id, TTL: lease.ttl}), func(r kv.Result) {
		if r.Err != nil {
			return
		}
		lease.promise(begun)
		w.totals.Leases++
		if w.tracing {
			w.trace("lease %016x of %d s is granted by %s, asked at %v", uint64(lease.id), lease.ttl, s.at.name(), begun)
		}
		w.leases.alive = append(w.leases.alive, lease)
		if l.lease == nil {
			l.lease = lease
		}
		view := s.member.status.View()
		at, _ := view.Applied()
		if _, there := view.Lease(lease.id); !there {
			w.leases.ended(w, lease, at, "its own member's state")
			return
		}
		lease.seen = at
	})
}

// promise notes that a lease lives for its TTL from a time on, by the fastest clock.
func (lease *simLease) promise(since time.Duration) {
	lease.asked = max(lease.asked, since)
	lease.promised = max(lease.promised, since+time.Duration(float64(lease.ttl)*float64(time.Second)/clockMost))
}

// ask renews a lease, or asks what is left of it.
func (l *leaser) ask(s *leaseSession, lease *simLease, renew bool) {
	w, begun := l.w, l.w.sim.Now()
	if !l.mayAsk(s, lease, renew) {
		return
	}
	if renew {
		lease.asked = begun
	}
	goneBefore := w.leases.gone[lease.id] != 0
	s.ask(kv.LeaseAsk{Lease: lease.id, Renew: renew}, func(left kv.LeaseTime) {
		w.note("lease", uint64(left.TTL))
		if w.tracing {
			w.trace("lease %016x, asked at %v, renew %v, by %s: %+v is left", uint64(lease.id), begun, renew, s.at.name(), left)
		}
		switch {
		case left.TTL > lease.ttl || left.TTL >= 0 && left.Granted != lease.ttl && left != (kv.LeaseTime{}):
			w.failf("of lease %016x of %d s %+v is left", uint64(lease.id), lease.ttl, left)
		case left.Granted > 0 && goneBefore:
			w.failf("lease %016x was gone before it was asked for, and %+v is left", uint64(lease.id), left)
		case renew && left.TTL > 0:
			w.totals.LeasesRenewed++
			lease.promise(begun)
		case left.Granted == 0 && !lease.revoked && w.sim.Now() < lease.promised:
			w.failf("lease %016x is said to be gone %v before its end", uint64(lease.id), lease.promised-w.sim.Now())
		}
	})
}

// mayAsk tells whether the user may renew a lease, or ask for its keys: the permission to write all of them, or to read them.
func (l *leaser) mayAsk(s *leaseSession, lease *simLease, renew bool) bool {
	view := s.member.status.View()
	need, all := kv.AccessRead, []authmodel.Access(nil)
	if renew {
		need = kv.AccessWrite
	}
	view.LeaseKeys(lease.id, nil, func(key []byte) bool {
		all = append(all, authmodel.Access{Key: slices.Clone(key), Write: renew})
		return true
	})
	return l.w.permits(view, l.user.by(view), need, touching{Lease: lease.id, Write: renew}, all) == nil
}

// touching is a request with one access.
type touching kv.Touch

func (t touching) Touches(f func(kv.Touch) bool) bool { return f(kv.Touch(t)) }

// look holds a state that a member shows against what is known of leases.
func (k *leasing) look(w *world, h *host, view *index.View) {
	at, _ := view.Applied()
	for _, lease := range slices.Clone(k.alive) {
		if _, there := view.Lease(lease.id); there {
			lease.seen = max(lease.seen, at)
		} else if at > lease.seen && lease.seen > 0 {
			k.ended(w, lease, at, h.name())
			n := 0
			view.LeaseKeys(lease.id, nil, func([]byte) bool { n++; return true })
			for _, key := range lease.keys {
				if pair, found, err := view.Get([]byte(key), 0); err == nil && found && pair.Lease == lease.id {
					n++
				}
			}
			if n > 0 {
				w.failf("lease %016x is gone at %s, and %d of its keys are there", uint64(lease.id), h.name(), n)
			}
		}
	}
}

// ended notes that a state does not have a lease any more.
func (k *leasing) ended(w *world, lease *simLease, at uint64, where string) {
	k.alive = slices.DeleteFunc(k.alive, func(other *simLease) bool { return other == lease })
	k.gone[lease.id] = at
	if w.tracing {
		w.trace("lease %016x is gone at entry %d, as %s shows", uint64(lease.id), at, where)
	}
	switch now := w.sim.Now(); {
	case lease.revoked:
		w.totals.LeasesRevoked++
	case now < lease.promised:
		w.failf("lease %016x of %d s ends %v too early, at %s", uint64(lease.id), lease.ttl, lease.promised-now, where)
	default:
		w.totals.LeasesExpired++
	}
}

// awaitLeases waits until all leases have ended, which nobody renews any more.
func (w *world) awaitLeases() {
	const most = 15 * time.Second // the longest TTL
	if !w.until(2*most+elections*w.shape.election, func() bool { return len(w.leases.alive) == 0 }) {
		var left []string
		for _, lease := range w.leases.alive {
			left = append(left, fmt.Sprintf("%016x of %d s, renewed last at %v", uint64(lease.id), lease.ttl, lease.asked))
		}
		w.failf("leases do not end: %s", strings.Join(left, ", "))
	}
}

// leaseSession is one request of a leaser. It implements kv.ReplyTo.
type leaseSession struct {
	l      *leaser
	at     *host
	life   *simLife
	member *member
	take   func(d kv.Completion) // nil when it was answered
}

const leaseTimeout = 2 * time.Second

func (s *leaseSession) propose(command kv.Command, done func(r kv.Result)) {
	s.await(func(d kv.Completion) { done(d.Result) })
	endpoint{s.member}.Propose(kv.Proposal{ReplyTo: s, Requests: []uint64{1}, Commands: []kv.Command{command}, Timeout: leaseTimeout})
}

func (s *leaseSession) ask(ask kv.LeaseAsk, told func(left kv.LeaseTime)) {
	s.await(func(d kv.Completion) {
		if d.Kind != kv.LeaseTold || (d.Lease == nil) != (d.Result.Err != nil) {
			s.l.w.failf("a question for a lease is answered by %+v", d)
		} else if d.Lease != nil {
			told(*d.Lease)
		}
	})
	endpoint{s.member}.AskLeases(s, []uint64{1}, []kv.LeaseAsk{ask}, leaseTimeout)
}

// await lets a request be answered once, and in its time.
func (s *leaseSession) await(take func(d kv.Completion)) {
	w, begun := s.l.w, s.l.w.sim.Now()
	s.take = take
	w.sim.After(clientTimeout*5/4+2*overdue, func() {
		if s.take != nil && !s.life.Over() && s.at.ranSince(begun) {
			w.failf("%s has not answered a leaser's request after %v", s.at.name(), w.sim.Now()-begun)
		}
	})
}

// Complete implements kv.ReplyTo.
func (s *leaseSession) Complete(done []kv.Completion) {
	done = slices.Clone(done) // it is read later
	s.l.w.sim.Post(func() {
		if s.life.Over() {
			return
		}
		if len(done) != 1 || s.take == nil {
			s.l.w.failf("a leaser's request is answered once more: %+v", done)
			return
		}
		take := s.take
		s.take = nil
		take(done[0])
	})
}
