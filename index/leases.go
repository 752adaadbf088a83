package index

import (
	"encoding/binary"
	"math"
	"runtime"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// leases are the leases, and the keys attached to each one. A copy is a view of them once the trees are copied.
//
// Invariants:
//
//  1. granted has each lease once, and totals.leaseSum is the sum of their leaseSum.
//  2. attached has a key with a lease exactly when the key's newest version has that lease.
//  3. Each lease in attached is granted.
type leases struct {
	granted  *btree.BTreeG[kv.Lease]
	attached *btree.BTreeG[attachment]
}

// leaseState is the leases with what was made of them for others.
type leaseState struct {
	*replicated // of the same State
	leases
	frozen  leases // copies of the trees for Views, equal to them unless changed
	changed bool
	changes []LeaseChange // since the last TakeLeaseChanges
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

// copy returns a view. Copying writes to the trees themselves, so only the owner may call it.
func (l *leases) copy() leases { return leases{l.granted.Copy(), l.attached.Copy()} }

// leaseSum is a lease's checksum, which it adds to the digest.
func leaseSum(l kv.Lease) uint64 {
	var b [36]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(l.ID))
	binary.LittleEndian.PutUint64(b[8:], uint64(l.TTL))
	binary.LittleEndian.PutUint64(b[16:], uint64(l.Remaining))
	binary.LittleEndian.PutUint64(b[24:], l.Granted)
	binary.LittleEndian.PutUint32(b[32:], l.By)
	return xxhash.Sum64(b[:])
}

// Lease returns a lease.
func (l *leases) Lease(id int64) (one kv.Lease, ok bool) { return l.granted.Get(kv.Lease{ID: id}) }

// LeaseChange is a change of one lease: it was granted, its remaining time was recorded, or it is gone.
type LeaseChange struct {
	Lease kv.Lease
	Gone  bool
}

// TakeLeaseChanges returns the changes of leases since the previous call, in the order in which they happened.
func (s *State) TakeLeaseChanges() []LeaseChange {
	all := s.leases.changes
	s.leases.changes = nil
	return all
}

func (s *leaseState) set(l kv.Lease) {
	if before, had := s.granted.Set(l); had {
		s.totals.leaseSum -= leaseSum(before)
	}
	s.totals.leaseSum += leaseSum(l)
	s.changed = true
	s.changes = append(s.changes, LeaseChange{Lease: l})
}

func (s *State) grant(l kv.Lease) kv.Result {
	if _, had := s.leases.Lease(l.ID); had {
		return s.refused(leaseExists(l.ID))
	}
	l.Granted, l.By = s.applied+1, s.accounts.authorOfChange()
	s.leases.set(l)
	s.counts.Grants++
	return kv.Result{Revision: s.revision}
}

// revoke ends a lease and deletes its keys, in key order, all at one revision. A lease without keys makes no revision. A
// revocation by a leader's clock is valid only in that leader's term, because in a later term the lease may have been
// renewed. It names the granting entry because the client may have granted another lease with the same id meanwhile.
func (s *State) revoke(id int64, term, granted uint64) kv.Result {
	if term != 0 && term != s.term {
		return s.refused(kv.Errorf(kv.Unavailable, "lease %016x expired in term %d, but this is term %d", uint64(id), term, s.term))
	}
	l, had := s.leases.Lease(id)
	if !had || term != 0 && l.Granted != granted {
		return s.refused(leaseNotFound(id))
	}
	matches := s.scratch.matches[:0]
	s.leases.each(id, nil, &s.keys.probe, func(r ref) bool {
		matches = append(matches, r)
		return true
	})
	deleted := int64(len(matches))
	s.addTombstones(matches)
	s.leases.remove(l)
	if s.counts.Revokes++; term != 0 {
		s.counts.Expiry++
		s.counts.ExpiredKeys += uint64(deleted)
	}
	s.endRevision()
	return kv.Result{Revision: s.revision, Deleted: deleted}
}

// remove removes a lease that has no keys.
func (s *leaseState) remove(l kv.Lease) {
	s.granted.Delete(l)
	s.totals.leaseSum -= leaseSum(l)
	s.changed = true
	s.changes = append(s.changes, LeaseChange{Lease: l, Gone: true})
}

func leaseNotFound(id int64) *kv.Error {
	return kv.Errorf(kv.LeaseNotFound, "there is no lease %016x", uint64(id))
}

func leaseExists(id int64) *kv.Error {
	return kv.Errorf(kv.LeaseExists, "there is a lease %016x already", uint64(id))
}

// checkpoint records the remaining times of leases. Leases that no longer exist are skipped.
func (s *leaseState) checkpoint(left []kv.Lease, term uint64) kv.Result {
	if term != s.term {
		return s.refused(kv.Errorf(kv.Unavailable, "the checkpoint of leases is of term %d, but this is term %d", term, s.term))
	}
	for _, one := range left {
		if l, had := s.Lease(one.ID); had && l.Granted == one.Granted && one.Remaining > 0 {
			if l.Remaining = one.Remaining; l.Check() == nil {
				s.set(l)
			}
		}
	}
	return kv.Result{Revision: s.revision}
}

// attach and detach keep attached equal to the leases of the newest versions.
func (s *leaseState) attach(lease int64, r ref) {
	if lease != 0 {
		s.attached.Set(attachment{lease, r})
		s.changed = true
	}
}

func (s *leaseState) detach(lease int64, r ref, hint *btree.PathHint) {
	if lease != 0 {
		s.attached.DeleteHint(attachment{lease, r}, hint)
		s.changed = true
	}
}

// each calls f with the records of a lease's keys from a key on, in key order, until f returns false.
func (l *leases) each(id int64, from []byte, p *probe, f func(r ref) bool) {
	l.attached.Ascend(attachment{id, p.set(from)}, func(a attachment) bool { return a.lease == id && f(a.key) })
}

// Leases calls f with the leases from an id on, in ascending order of id, until f returns false.
func (l *leases) Leases(from int64, f func(l kv.Lease) bool) {
	l.granted.Ascend(kv.Lease{ID: from}, f)
}

// LeaseCount returns the number of leases.
func (l *leases) LeaseCount() int { return l.granted.Len() }

// LeaseKeys calls f with the keys of a lease from a key on, in key order, until f returns false. The slices are parts of
// the memory of the View: see there.
func (l *leases) LeaseKeys(id int64, from []byte, f func(key []byte) bool) {
	var p probe
	l.each(id, from, &p, func(r ref) bool { return f(r.record().key()) })
	runtime.KeepAlive(p.words)
	runtime.KeepAlive(l)
}

const leaseFields = 5

// append appends the leases in the format of a snapshot's meta data. Their keys are not included; the keys name their
// leases.
func (l *leases) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, l.granted.Len())
	l.granted.Scan(func(one kv.Lease) bool {
		dst = pack.AppendInt(pack.AppendArray(dst, leaseFields), one.ID)
		dst = pack.AppendInt(pack.AppendInt(dst, one.TTL), one.Remaining)
		dst = pack.AppendUint(pack.AppendUint(dst, one.Granted), uint64(one.By))
		return true
	})
	return dst
}

func (s *leaseState) read(r *pack.Reader) {
	for range r.Array() {
		fields := r.Struct(leaseFields)
		l := kv.Lease{ID: r.Int(), TTL: r.Int(), Remaining: r.Int(), Granted: r.Uint(), By: uint32(min(r.Uint(), math.MaxUint32))}
		r.End(fields)
		if r.Err() != nil {
			return
		}
		if err := l.Check(); err != nil {
			r.Fail(err.Message)
			return
		}
		if _, had := s.Lease(l.ID); had {
			r.Fail(leaseExists(l.ID).Message)
			return
		}
		s.set(l)
	}
	s.changes = nil // a caller that loads a state reads all leases from it
}

func (w *walk) leases() (err error) {
	sum := uint64(0)
	w.s.leases.granted.Scan(func(l kv.Lease) bool {
		sum += leaseSum(l)
		return true
	})
	if sum != w.s.totals.leaseSum {
		return broken(10, "the leases have the sum %016x, counted was %016x", w.s.totals.leaseSum, sum)
	}
	if n := w.s.leases.attached.Len(); n != w.leased {
		return broken(10, "%d keys are attached to leases, %d have one", n, w.leased)
	}
	w.s.leases.attached.Scan(func(a attachment) bool {
		r := w.s.keys.find(hashOf(a.key.record().key()), a.key.record().key())
		_, granted := w.s.leases.Lease(a.lease)
		if r != a.key || r.record().newest().has(tombstone) || r.record().newest().lease() != a.lease || !granted {
			err = broken(10, "%q is attached to lease %016x, granted: %v", a.key.record().key(), uint64(a.lease), granted)
		}
		return err == nil
	})
	return err
}
