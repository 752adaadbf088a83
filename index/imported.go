package index

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"time"

	"qkv/index/kv"
)

// SourceRecord is one version of another store with all its metadata.
type SourceRecord struct {
	Key []byte
	Version
}

// Import builds a state outside the log from the records of another store, the source. Every revision, version and lease is equal to the
// source's. The state must be new; until the import is complete, nothing else changes it. Each group of revisions, list of leases and
// compaction counts as an entry. If a method returns an error, the state has all revisions before the refused one, and no part of it.
type Import struct {
	state *State
	clock func() int64
	at    Position // of the newest record of a complete revision
	// records are those of the newest revision, which may be incomplete.
	records []SourceRecord
	began   batchStart
	bytes   int // of the records since then
}

const (
	// importBytes is how many bytes of another store's records are taken before what is compacted is dropped: about a large entry.
	importBytes = 512 << 10
	// importRevision bounds the compacted revision and the version numbers of another store: none of them overflows later.
	importRevision = 1 << 61
)

// unknownTTL is the TTL, in seconds, of a lease that appears in a record but is not granted. SetLeases sets the source's.
const unknownTTL = 3600

// NewImport begins an import from a source whose history begins after a compacted revision (0: none). The records of the versions that the
// source keeps of revisions up to it come first. clock returns the present, in nanoseconds since 1970.
func NewImport(s *State, compacted int64, clock func() int64) (*Import, error) {
	switch {
	case s.revision != 1 || s.history.kept != 0 || s.leases.granted.Len() != 0:
		return nil, kv.Errorf(kv.BadRequest, "this state is at revision %d and has %d keys and %d leases: only an empty state can import another store",
			s.revision, s.totals.live, s.leases.granted.Len())
	case compacted < 0 || compacted > importRevision:
		return nil, kv.Errorf(kv.BadRequest, "a source that is compacted up to revision %d, which is not between 0 and %d", compacted, int64(importRevision))
	}
	m := &Import{state: s, clock: clock, began: s.beginBatch()}
	if s.compacted = compacted; compacted > 1 {
		m.moveTo(compacted)
		s.history.slots.startAt(compacted + 1)
	}
	m.finish()
	return m, nil
}

// View returns a view of the complete revisions.
func (m *Import) View() *View { return m.state.View() }

// Add takes the record after the newest one. A record of the next revision completes the revision before it. The record's slices are not
// kept.
func (m *Import) Add(r *SourceRecord) error {
	at, n := m.at, len(m.records)
	if n > 0 {
		at = Position{m.records[n-1].Mod, m.records[n-1].Sub}
	}
	if (Position{r.Mod, r.Sub}).Compare(at) <= 0 {
		return kv.Errorf(kv.BadRequest, "record %d.%d cannot come after %d.%d", r.Mod, r.Sub, at.Revision, at.Sub)
	}
	if n > 0 && at.Revision != r.Mod {
		if err := m.complete(); err != nil {
			return err
		}
	}
	one := *r
	one.Key, one.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	m.records = append(m.records, one)
	m.bytes += len(one.Key) + len(one.Value) + versionOverhead
	return nil
}

// End completes the newest revision.
func (m *Import) End() error {
	err := m.complete()
	m.finish()
	return err
}

// Discard forgets the records of an incomplete revision: they come again.
func (m *Import) Discard() {
	m.records = nil
	m.finish()
}

// complete applies the records of the newest revision.
func (m *Import) complete() error {
	all := m.records
	if len(all) == 0 {
		return nil
	}
	if m.records = m.records[:0]; cap(all) > changesKept {
		m.records = nil // the buffer of a large deletion
	}
	if err := m.takeRevision(all); err != nil {
		return err
	}
	last := &all[len(all)-1]
	if m.at = (Position{last.Mod, last.Sub}); m.bytes >= importBytes {
		m.finish()
	}
	return nil
}

// finish ends an entry: compacted data are dropped after a View.
func (m *Import) finish() {
	s := m.state
	wall := max(m.clock(), 0)
	s.wall = max(s.wall, wall)
	s.finishBatch(&m.began, wall, m.bytes/versionOverhead+1)
	s.applied++
	s.View()
	s.TakeLeaseChanges() // no clock runs here
	m.began, m.bytes = s.beginBatch(), 0
}

// Loaded says that the state has all data that the source had at one moment: the times of their revisions are unknown. Revisions that are
// added later have the times at which they were added.
func (m *Import) Loaded() {
	m.finish()
	m.state.forgetTimes(m.clock())
}

// Compact compacts as the source did.
func (m *Import) Compact(revision int64) error {
	s := m.state
	if revision > s.revision {
		return kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", revision, s.revision)
	}
	s.compacted = max(s.compacted, revision)
	m.finish()
	return nil
}

// SetLeases replaces the leases by the source's at the newest revision, by ascending id. A key with any other lease is refused: without
// that lease it would never expire.
func (m *Import) SetLeases(all []kv.Lease) error {
	s := m.state
	for i, l := range all {
		if e := l.Check(); e != nil {
			return e
		}
		if i > 0 && all[i-1].ID >= l.ID {
			return kv.Errorf(kv.BadRequest, "lease %016x is out of order", uint64(l.ID))
		}
	}
	var gone []kv.Lease
	var err *kv.Error
	s.leases.granted.Scan(func(l kv.Lease) bool {
		if _, has := slices.BinarySearchFunc(all, l, compareLeases); !has {
			gone = append(gone, l)
			s.leases.each(l.ID, nil, &s.keys.probe, func(r ref) bool {
				err = kv.Errorf(kv.LeaseNotFound, "the key %q has lease %016x, which the source does not have: put or delete the key at the source", r.record().key(), uint64(l.ID))
				return false
			})
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	for _, l := range gone {
		s.leases.remove(l)
	}
	for _, l := range all {
		l.Granted, l.By = s.applied+1, 0
		s.leases.set(l)
	}
	m.finish()
	return nil
}

func compareLeases(a, b kv.Lease) int { return cmp.Compare(a.ID, b.ID) }

// moveTo sets the revision of a state without history. What the source has up to there is the base.
func (m *Import) moveTo(revision int64) {
	m.state.revision = revision
	m.state.ResetExtents()
}

// takeRevision applies the records of one revision.
func (m *Import) takeRevision(all []SourceRecord) *kv.Error {
	s := m.state
	mod := all[0].Mod
	if left := mod - 1 - s.revision; mod > s.compacted && mod <= importRevision && IsCut(left) {
		s.skipTo(mod - 1) // the source is a qkv that left them out
	}
	if err := m.fitsRevision(all); err != nil {
		return err
	}
	for i := range all {
		if id := all[i].Lease; id != 0 && s.leases.refuses(id) != nil {
			s.leases.set(kv.Lease{ID: id, TTL: unknownTTL, Granted: s.applied + 1})
		}
	}
	switch {
	case mod < s.compacted:
		for i := range all {
			m.loadVersion(&all[i])
		}
		return nil
	case mod == s.compacted: // the history begins with it
		for i := range all {
			if before, needed := beforeCompacted(&all[i]); needed {
				m.loadVersion(&before)
			}
		}
		s.history.slots.startAt(mod)
		m.moveTo(mod - 1)
	}
	for i := range all {
		one := &all[i]
		hash := hashOf(one.Key)
		if one.Tombstone {
			s.addTombstone(s.keys.find(hash, one.Key))
		} else {
			s.put(hash, &kv.Put{Key: one.Key, Value: one.Value, Lease: one.Lease})
		}
	}
	s.endRevision()
	return nil
}

// fitsRevision returns why records cannot be the next revision, or nil: the source's versions of a key must equal the
// versions that this state derives.
func (m *Import) fitsRevision(all []SourceRecord) *kv.Error {
	seen := map[string]*SourceRecord{} // of this revision
	s, mod := m.state, all[0].Mod
	if mod > s.compacted && mod != s.revision+1 || mod < 2 {
		return kv.Errorf(kv.BadRequest, "revision %d cannot follow revision %d: the source lacks the revisions between", mod, s.revision)
	}
	for i := range all {
		one := &all[i]
		if e := (kv.Put{Key: one.Key, Value: one.Value}).Check(requestBounds); e != nil {
			return e
		}
		if mod >= s.compacted && one.Sub != int64(i) || one.Sub < 0 || one.Sub > math.MaxUint32 {
			return kv.Errorf(kv.BadRequest, "change %d of revision %d is number %d: the source lacks the changes between", i, mod, one.Sub)
		}
		if !m.fits(one, seen[string(one.Key)]) {
			return kv.Errorf(kv.BadRequest, "change %d.%d of the key %q (version %d since revision %d) does not continue the key's stored version: the source lacks changes",
				mod, one.Sub, one.Key, one.Version.Version, one.Create)
		}
		if len(all) > 1 {
			seen[string(one.Key)] = one
		}
	}
	return nil
}

// fits says whether a record continues the key's previous version: one of the same revision, or the newest stored one.
func (m *Import) fits(one, same *SourceRecord) bool {
	s, exists, create, number := m.state, false, int64(0), int64(0)
	if same != nil {
		exists, create, number = !same.Tombstone, same.Create, same.Version.Version
	} else if r := s.keys.find(hashOf(one.Key), one.Key); r != 0 {
		newest := r.record().newest()
		exists, create, number = !newest.has(tombstone), newest.create(), newest.number()
		if one.Mod <= s.compacted {
			return false // the source has at most one version of a key up to its compacted revision
		}
	}
	first := one.Version.Version == 1 && one.Create == one.Mod
	switch {
	case one.Tombstone && (one.Create != 0 || one.Version.Version != 0 || one.Lease != 0 || len(one.Value) != 0):
		return false
	case one.Tombstone && one.Mod == s.compacted && same == nil:
		return one.Mod > 2 // the tombstone of a key that no longer exists
	case one.Tombstone:
		return exists && one.Mod > s.compacted
	case one.Mod <= s.compacted:
		return same == nil && (first || one.Version.Version > 1 && one.Version.Version <= importRevision && one.Create >= 2 && one.Create < one.Mod)
	case exists:
		return one.Create == create && one.Version.Version == number+1
	}
	return first
}

// beforeCompacted returns the version before a change of the compacted revision, which the source no longer has. No
// client can read it, but the state keeps a version before each change of its history.
func beforeCompacted(one *SourceRecord) (before SourceRecord, needed bool) {
	before = SourceRecord{Key: one.Key, Version: Version{Mod: one.Mod - 1, Create: one.Create, Version: one.Version.Version - 1}}
	switch {
	case one.Tombstone:
		before.Create, before.Version.Version = before.Mod, 1
	case before.Version.Version == 1:
		before.Mod = before.Create
	}
	return before, before.Version.Version > 0
}

// loadVersion adds the single version of a key that is older than the history.
func (m *Import) loadVersion(one *SourceRecord) {
	s, hash := m.state, hashOf(one.Key)
	r := s.keys.newRecord(one.Key)
	flags, words := uint32(0), [2]int64{one.Create, one.Version.Version}
	if one.Version.Version == 1 {
		flags = created
		words = [2]int64{}
	}
	if one.Lease != 0 {
		flags |= leased
		s.leases.attach(one.Lease, r)
	}
	at := s.newVersion(flags, len(one.Value), 0)
	v := at.version()
	v.mod, v.sub = one.Mod, uint32(one.Sub)
	v.sum = sumOf(hash, one.Value, one.Create, one.Mod, one.Sub, one.Version.Version, one.Lease, 0)
	v.setWords(words, one.Lease)
	copy(v.value(), one.Value)
	r.push(at, 0)
	s.keys.table.insert(hash, r)
	s.keys.newKeys = append(s.keys.newKeys, r)
	s.totals.live++
	s.totals.liveBytes += int64(len(one.Key) + len(one.Value))
	s.addToSums(v)
}

// unknownTime is the wall of a time point whose revisions were written at unknown times.
const unknownTime = 0

// forgetTimes makes the times of all revisions unknown: they were taken from another store, which does not record times. The state is
// known from the present on: wall is the present, in nanoseconds since 1970.
//
// The points get an unknown time. The newest revision has a point of its own with the present: from then on it is the newest, and a
// point after an unknown one is no time of its first revision. A single revision keeps the present as its time: there is no point before
// it. The points are new ones, because views share the old ones.
func (r *replicated) forgetTimes(wall int64) {
	old := r.times
	if old.points.len() == 0 {
		return
	}
	r.wall = max(r.wall, wall)
	t := &r.times
	t.sum = 0
	t.points.startAt(old.points.first)
	for n := old.points.first; n < old.points.end; n++ {
		p := *old.points.at(n)
		p.wall = unknownTime
		if n+1 == old.points.end && p.revision == r.revision {
			p.wall = r.wall
		}
		t.push(p)
	}
	if t.points.at(t.points.end-1).revision < r.revision {
		t.push(point{revision: r.revision, wall: r.wall, weight: r.totals.weight})
	}
}

// unknownAt reports whether the times of the revisions from point n on are unknown: of all until the next point, or of first alone.
func (t *times) unknownAt(n int64) (all, first bool) {
	all = t.points.at(n).wall == unknownTime
	return all, all || n > t.points.first && t.points.at(n-1).wall == unknownTime
}

// unknownTimeError explains why a time before point `later` determines no revision.
func (r *replicated) unknownTimeError(later int64) *kv.Error {
	last, from := r.revision, "the next write"
	if later < r.times.points.end {
		p := r.times.points.at(later)
		last, from = p.revision, time.Unix(0, p.wall).UTC().Format(time.RFC3339)
	}
	return kv.Errorf(kv.BadRequest, "the times of the revisions up to %d are not known: they were imported from another store. Times from %s on determine revisions. "+
		"Ask for a revision instead of a time: --rev, or its number where a time may stand", last, from)
}
