package actor

import (
	"time"

	"github.com/tidwall/btree"

	"qkv/index"
	"qkv/internal/limits"
)

// revocable is the set of leases that may be revoked. They are taken by rising id, and after the greatest id again from the least. The
// leases of one entry are then neighbors in every member's lease trees: an entry changes few of their pages, whose old versions the
// published Views keep. No lease waits for more than one round of all.
type revocable struct {
	tree *btree.BTreeG[revocableLease]
	lap  uint64 // of the newest taken lease
	id   int64  // its id
}

type revocableLease struct {
	lap   uint64
	id    int64
	lease *timedLease
}

func newRevocable() revocable {
	return revocable{tree: btree.NewBTreeGOptions(func(a, b revocableLease) bool {
		if a.lap != b.lap {
			return a.lap < b.lap
		}
		return a.id < b.id
	}, btree.Options{NoLocks: true})}
}

// add adds leases after the newest taken one. An earlier lease of the same id no longer exists.
func (r *revocable) add(all ...*timedLease) {
	for _, l := range all {
		lap := r.lap
		if l.id <= r.id {
			lap++
		}
		r.tree.Set(revocableLease{lap, l.id, l})
	}
}

// take takes the next lease.
func (r *revocable) take() (*timedLease, bool) {
	one, ok := r.tree.PopMin()
	if ok {
		r.lap, r.id = one.lap, one.id
	}
	return one.lease, ok
}

// revocationPace is the rate limit of revocations: limits.LeaseRevocationRate, a token bucket. It holds at most one entry's tokens, and a
// lease of many keys takes tokens in advance.
type revocationPace struct {
	tokens int64         // revocations that may be proposed, in units of 1/time.Second
	at     time.Duration // the time of the last refill
}

// refill adds the tokens since the last refill; waiting is the number of leases to revoke.
func (p *revocationPace) refill(now time.Duration, waiting int) {
	const most = limits.LeaseRevocations * int64(time.Second) // a burst is one entry
	rate := max(limits.LeaseRevocationRate, int64(time.Duration(waiting)*time.Second/limits.LeaseRevocationTime))
	if passed := max(now-p.at, 0); passed < time.Second {
		p.tokens = min(p.tokens+int64(passed)*rate, most)
	} else {
		p.tokens = most
	}
	p.at = now
}

func (p *revocationPace) available() int { return int(max(p.tokens, 0) / int64(time.Second)) }

func (p *revocationPace) use(n int) { p.tokens -= int64(n) * int64(time.Second) }

// expire makes a lease that has just expired revocable, if this member has led since; otherwise the lease waits for the next round.
func (k *leaseClock) expire(l *timedLease) {
	if l.deadline <= k.proven {
		k.revocable.add(l)
	} else {
		k.expired = append(k.expired, l)
	}
}

// prove notes that this member led at a time: leases that had expired by then may be revoked. Leases renewed meanwhile go back into due.
func (k *leaseClock) prove(at, now time.Duration, t leaseTiming) {
	k.proven = max(k.proven, at)
	kept := k.expired[:0]
	for _, l := range k.expired {
		switch {
		case l.revoked:
		case l.deadline > now:
			k.due.add(l, l.next(t))
		case l.deadline > k.proven:
			kept = append(kept, l)
		default:
			k.revocable.add(l)
		}
	}
	clear(k.expired[len(kept):])
	k.expired = kept
}

// mayRevoke returns how many leases of one key each may be revoked now. beside: this turn also proposes writes. Without writes, the next
// ones would wait for a sync of these revocations, so a minimum must have accumulated, unless it is all of them.
func (k *leaseClock) mayRevoke(now time.Duration, beside bool) int {
	waiting := k.revocable.tree.Len()
	k.pace.refill(now, waiting)
	n := min(k.pace.available(), limits.LeaseRevocationsInflight-k.revoking)
	if waiting == 0 || !beside && n < min(waiting, limits.LeaseRevocationsAlone) {
		return 0
	}
	return max(n, 0)
}

// toRevoke takes leases to revoke, until their work is that of n leases with one key each.
func (k *leaseClock) toRevoke(now time.Duration, t leaseTiming, keysOf func(lease int64) int, n int) (all []*timedLease) {
	for work := 0; work < n; {
		l, ok := k.revocable.take()
		switch {
		case !ok:
			return all
		case l.revoked:
		case l.deadline > now:
			k.due.add(l, l.next(t))
		default:
			l.work = 1 + keysOf(l.id)/limits.LeaseRevocationKeys
			work += l.work
			all = append(all, l)
		}
	}
	return all
}

// keysOf counts the keys of a lease, up to a page.
func keysOf(view *index.View) func(lease int64) int {
	return func(lease int64) (n int) {
		view.LeaseKeys(lease, nil, func([]byte) bool {
			n++
			return n < limits.LeaseKeys
		})
		return n
	}
}

// revocationsProposed notes that the revocations of leases are in raft's log.
func (k *leaseClock) revocationsProposed(all []*timedLease) {
	for _, l := range all {
		l.revoking = true
		k.pace.use(l.work)
	}
	k.revoking += len(all)
}
