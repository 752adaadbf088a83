package index

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// leases are the leases, and the keys that each one has. A copy is a view of it, once the trees are copied.
//
// Invariants:
//
//  1. granted has each lease once, and replicated.leaseSum is the sum of their leaseSum.
//  2. attached has a key, with its lease, exactly when its newest version has that lease.
//  3. Each lease of attached is granted.
type leases struct {
	granted  *btree.BTreeG[kv.Lease]
	attached *btree.BTreeG[attachment]
}

// attachment is a key with its lease.
type attachment struct {
	lease int64
	key   ref
}

func newLeases() leases {
	options := btree.Options{Degree: btreeDegree, NoLocks: true}
	return leases{
		granted: btree.NewBTreeGOptions(func(a, b kv.Lease) bool { return a.ID < b.ID }, options),
		attached: btree.NewBTreeGOptions(func(a, b attachment) bool {
			if a.lease != b.lease {
				return a.lease < b.lease
			}
			return less(a.key, b.key)
		}, options),
	}
}

// copy returns a view. It writes to the trees themselves, so that only the owner may do it.
func (l *leases) copy() leases { return leases{l.granted.Copy(), l.attached.Copy()} }

// leaseSum is what a lease adds to the digest.
func leaseSum(l kv.Lease) uint64 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(l.ID))
	binary.LittleEndian.PutUint64(b[8:], uint64(l.TTL))
	binary.LittleEndian.PutUint64(b[16:], uint64(l.Remaining))
	binary.LittleEndian.PutUint64(b[24:], l.Granted)
	return xxhash.Sum64(b[:])
}

func (l *leases) get(id int64) (kv.Lease, bool) { return l.granted.Get(kv.Lease{ID: id}) }

// LeaseChange says what became of a lease: it was granted or noted to have so much left, or it is gone.
type LeaseChange struct {
	Lease kv.Lease
	Gone  bool
}

// TakeLeaseChanges returns what became of the leases since it was called last, in the order in which it happened.
func (s *State) TakeLeaseChanges() []LeaseChange {
	all := s.leaseChanges
	s.leaseChanges = nil
	return all
}

// setLease makes a lease what it is from now on.
func (s *State) setLease(l kv.Lease) {
	if before, had := s.leases.granted.Set(l); had {
		s.leaseSum -= leaseSum(before)
	}
	s.leaseSum += leaseSum(l)
	s.leasesChanged = true
	s.leaseChanges = append(s.leaseChanges, LeaseChange{Lease: l})
}

func (s *State) grant(l kv.Lease) kv.Result {
	if _, had := s.leases.get(l.ID); had {
		return s.refused(leaseExists(l.ID))
	}
	l.Granted = s.applied + 1
	s.setLease(l)
	s.counts.Grants++
	return kv.Result{Revision: s.revision}
}

// revoke ends a lease and deletes its keys, in key order, all at one revision. One without keys makes none. A revocation
// that a leader's clock has decided is that leader's: in a later term the lease may have been renewed. And it is of the lease
// that was granted then, not of another one that its client made of the same id meanwhile.
func (s *State) revoke(id int64, term, granted uint64) kv.Result {
	if term != 0 && term != s.term {
		return s.refused(kv.Errorf(kv.Unavailable, "lease %016x had expired in term %d, and this is term %d", uint64(id), term, s.term))
	}
	l, had := s.leases.get(id)
	if !had || term != 0 && l.Granted != granted {
		return s.refused(leaseNotFound(id))
	}
	matches := s.matches[:0]
	s.leases.each(id, nil, &s.probe, func(r ref) bool {
		matches = append(matches, r)
		return true
	})
	deleted := int64(len(matches))
	s.addTombstones(matches)
	s.removeLease(l)
	if s.counts.Revokes++; term != 0 {
		s.counts.Expiry++
	}
	s.end()
	return kv.Result{Revision: s.revision, Deleted: deleted}
}

// removeLease takes a lease out that has no keys.
func (s *State) removeLease(l kv.Lease) {
	s.leases.granted.Delete(l)
	s.leaseSum -= leaseSum(l)
	s.leasesChanged = true
	s.leaseChanges = append(s.leaseChanges, LeaseChange{Lease: l, Gone: true})
}

func leaseNotFound(id int64) *kv.Error {
	return kv.Errorf(kv.LeaseNotFound, "there is no lease %016x", uint64(id))
}

func leaseExists(id int64) *kv.Error {
	return kv.Errorf(kv.LeaseExists, "there is a lease %016x already", uint64(id))
}

// checkpoint notes what is left of leases. Those that are gone are passed over.
func (s *State) checkpoint(left []kv.Lease, term uint64) kv.Result {
	if term != s.term {
		return s.refused(kv.Errorf(kv.Unavailable, "what is left of leases is of term %d, and this is term %d", term, s.term))
	}
	for _, one := range left {
		if l, had := s.leases.get(one.ID); had && l.Granted == one.Granted && one.Remaining > 0 && one.Remaining <= l.TTL {
			l.Remaining = one.Remaining
			s.setLease(l)
		}
	}
	return kv.Result{Revision: s.revision}
}

// attach and detach follow the newest version of a key.
func (s *State) attach(lease int64, r ref) {
	if lease != 0 {
		s.leases.attached.Set(attachment{lease, r})
		s.leasesChanged = true
	}
}

func (s *State) detach(lease int64, r ref, hint *btree.PathHint) {
	if lease != 0 {
		s.leases.attached.DeleteHint(attachment{lease, r}, hint)
		s.leasesChanged = true
	}
}

// each hands out the records of a lease's keys from one on, in key order, until f returns false.
func (l *leases) each(id int64, from []byte, p *probe, f func(r ref) bool) {
	l.attached.Ascend(attachment{id, p.set(from)}, func(a attachment) bool { return a.lease == id && f(a.key) })
}

// Lease returns a lease.
func (v *View) Lease(id int64) (l kv.Lease, ok bool) { return v.leases.get(id) }

// Leases hands out the leases from an id on, by rising id, until f returns false.
func (v *View) Leases(from int64, f func(l kv.Lease) bool) {
	v.leases.granted.Ascend(kv.Lease{ID: from}, f)
}

// LeaseCount is how many leases there are.
func (v *View) LeaseCount() int { return v.leases.granted.Len() }

// LeaseKeys hands out the keys of a lease from one on, in their order, until f returns false. The slices are parts of the View.
func (v *View) LeaseKeys(id int64, from []byte, f func(key []byte) bool) {
	var p probe
	v.leases.each(id, from, &p, func(r ref) bool { return f(r.record().key()) })
	runtime.KeepAlive(p.words)
	runtime.KeepAlive(v)
}

// append appends the leases as they stand in a snapshot's meta data; their keys are found there among the keys.
func (l *leases) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, 4*l.granted.Len())
	l.granted.Scan(func(one kv.Lease) bool {
		dst = pack.AppendInt(pack.AppendInt(pack.AppendInt(dst, one.ID), one.TTL), one.Remaining)
		dst = pack.AppendUint(dst, one.Granted)
		return true
	})
	return dst
}

func (s *State) readLeases(r *pack.Reader) {
	n := r.Array()
	if n%4 != 0 {
		r.Fail("leases of another number of fields")
		return
	}
	for range n / 4 {
		l := kv.Lease{ID: r.Int(), TTL: r.Int(), Remaining: r.Int(), Granted: r.Uint()}
		if r.Err() != nil {
			return
		}
		if _, had := s.leases.get(l.ID); had || l.Check() != nil || l.Remaining < 0 || l.Remaining > l.TTL {
			r.Fail(fmt.Sprintf("lease %016x twice, or of %d seconds of which %d are left", uint64(l.ID), l.TTL, l.Remaining))
			return
		}
		s.setLease(l)
	}
	s.leaseChanges = nil // who loads a state looks at all of them
}

// leases checks the leases for Check.
func (w *walk) leases() (err error) {
	sum := uint64(0)
	w.s.leases.granted.Scan(func(l kv.Lease) bool {
		sum += leaseSum(l)
		return true
	})
	if sum != w.s.leaseSum {
		return broken(10, "the leases have the sum %016x, counted was %016x", w.s.leaseSum, sum)
	}
	if n := w.s.leases.attached.Len(); n != w.leased {
		return broken(10, "%d keys are attached to leases, %d have one", n, w.leased)
	}
	w.s.leases.attached.Scan(func(a attachment) bool {
		r := w.s.find(hashOf(a.key.record().key()), a.key.record().key())
		_, granted := w.s.leases.get(a.lease)
		if r != a.key || r.record().newest().has(tombstone) || r.record().newest().lease() != a.lease || !granted {
			err = broken(10, "%q is attached to lease %016x, granted: %v", a.key.record().key(), uint64(a.lease), granted)
		}
		return err == nil
	})
	return err
}
