package node

import (
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A failover lengthens a lease by at most half a minute, beside the time without a leader: what is left of it stands in the
// log. And it does not shorten one that was renewed behind the last of those notes.
func TestLeaseAfterFailover(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		defer seedGlobalRandom(3)()
		w := newWorld(3, shape{
			members: 3, clients: 1, keys: 16, heartbeat: 100 * time.Millisecond, election: time.Second, segmentBytes: 64 << 10,
			ordered: true, calm: true, delay: time.Millisecond, sync: 2 * time.Millisecond, faulty: time.Hour, think: time.Hour,
			limits: limits.Defaults(),
		}, nil)
		for _, h := range w.hosts {
			h.wall, h.skew = 0, 1
			h.start()
		}
		leader := func() *host {
			for _, h := range w.hosts {
				if h.alive() && h.leads {
					return h
				}
			}
			return nil
		}
		if !w.until(20*time.Second, func() bool { return leader() != nil }) {
			t.Fatal("nobody leads: ", w.failure)
		}
		w.run(time.Second)
		const ttl = 100
		first := leader()
		ask := func(do func(s *leaseSession, done func())) {
			s, answered := &leaseSession{l: &leaser{w: w}, at: first, life: first.life, member: first.member}, false
			do(s, func() { answered = true })
			if !w.until(5*time.Second, func() bool { return answered }) {
				t.Fatal("no answer: ", w.failure)
			}
		}
		ask(func(s *leaseSession, done func()) {
			s.propose(new(index.Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: ttl}), func(r kv.Result) {
				if r.Err != nil {
					t.Error(r.Err)
				}
				done()
			})
		})
		since := w.sim.Now()
		w.run(60 * time.Second)
		if l, _ := first.member.status.View().Lease(7); l.Remaining == 0 || l.Remaining > 80 {
			t.Errorf("after a minute it is noted that %d s are left", l.Remaining)
		}
		if renewed {
			since = w.sim.Now()
			ask(func(s *leaseSession, done func()) {
				s.ask(kv.LeaseAsk{Lease: 7, Renew: true}, func(left kv.LeaseTime) {
					if left.TTL != ttl {
						t.Errorf("renewed: %+v", left)
					}
					done()
				})
			})
		}
		first.crash()
		begun := w.sim.Now()
		if !w.until(20*time.Second, func() bool { return leader() != nil }) {
			t.Fatal("nobody leads: ", w.failure)
		}
		without := w.sim.Now() - begun
		next := leader()
		if !w.until(3*ttl*time.Second, func() bool { _, there := next.member.status.View().Lease(7); return !there }) {
			t.Fatal("it does not end: ", w.failure)
		}
		lived := w.sim.Now() - since
		if lived < ttl*time.Second || lived > (ttl+30)*time.Second+without {
			t.Errorf("renewed %v: a lease of %d s lived for %v, of which %v were without a leader", renewed, ttl, lived, without)
		}
	}
}
