package actor

import (
	"slices"
	"time"

	"github.com/tidwall/btree"

	"qkv/index"
	"qkv/internal/limits"
)

const (
	// leaseRevocations bounds the lease clock's revocations in one entry, to keep the delay of following puts small. Neighbouring leases
	// take about 0.5 us each to apply, scattered ones 4 us (BenchmarkRevoke of package index).
	leaseRevocations = 512
	// leaseRevocationRate bounds these revocations per second. It is high enough to revoke 100,000 leases that end at once within 5 s, the
	// shortest TTL that their clients may request. It is not unlimited, because each revocation costs three members and the watchers some
	// 30 us: no processor would be left for puts. With a longer queue, all revocations finish in about leaseRevocationTime.
	leaseRevocationRate = 21_000
	leaseRevocationTime = 4 * time.Second
	// leaseRevocationsAlone is how many expired leases must have collected, about 6 ms' worth, before they get an entry and a sync of
	// their own. Together with other writes any number of them is proposed.
	leaseRevocationsAlone = 128
	// leaseRevocationKeys is how many additional keys of a lease cost as much as another lease: in bulk a key takes some 0.4 us. An entry
	// therefore revokes only four leases of a thousand keys each.
	leaseRevocationKeys = 8
	// leaseRevocationsInflight bounds the revocations in flight: at leaseRevocationRate an entry may take 48 ms.
	leaseRevocationsInflight = 1024
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

// revocationPace is the rate limit of revocations: leaseRevocationRate, a token bucket. It holds at most one entry's tokens, and a
// lease of many keys takes tokens in advance.
type revocationPace struct {
	tokens int64         // revocations that may be proposed, in units of 1/time.Second
	at     time.Duration // the time of the last refill
}

// refill adds the tokens since the last refill; waiting is the number of leases to revoke.
func (p *revocationPace) refill(now time.Duration, waiting int) {
	const most = leaseRevocations * int64(time.Second) // a burst is one entry
	rate := max(leaseRevocationRate, int64(time.Duration(waiting)*time.Second/leaseRevocationTime))
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
	k.expired = slices.DeleteFunc(k.expired, func(l *timedLease) bool {
		switch {
		case l.revoked:
		case l.deadline > now:
			k.due.add(l, l.next(t))
		case l.deadline > k.proven:
			return false
		default:
			k.revocable.add(l)
		}
		return true
	})
}

// mayRevoke returns how many leases of one key each may be revoked now. beside: this turn also proposes writes. Without writes, the next
// ones would wait for a sync of these revocations, so a minimum must have accumulated, unless it is all of them.
func (k *leaseClock) mayRevoke(now time.Duration, beside bool) int {
	waiting := k.revocable.tree.Len()
	k.pace.refill(now, waiting)
	n := min(k.pace.available(), leaseRevocationsInflight-k.revoking)
	if waiting == 0 || !beside && n < min(waiting, leaseRevocationsAlone) {
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
			l.work = 1 + keysOf(l.id)/leaseRevocationKeys
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
