package index

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/cespare/xxhash/v2"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// EmptyBase is the revision of the first base: that of a new state. It has no versions, and no files.
const EmptyBase = 1

// extents divide the changes by their revisions. Those up to a revision are the base. The changes behind it are cut: each cut is an
// extent, and the changes behind the last cut are open. The log alone decides where a cut ends, so all
// members have the same extents. A copy of the struct is a view of it.
type extents struct {
	base        int64    // a revision
	historyFrom int64    // the base has only the versions that a history from this revision on needs
	next        uint64   // number of the next extent
	cuts        []Extent // without gaps, from the base on; never changed in place
	sum         uint64   // of their digests
	open        Extent   // the changes behind the last cut; Number and To are not set yet
}

// Extent is the changes of some revisions, with those that were compacted since. Its file has all of them.
type Extent struct {
	Number   uint64 // counts up from 1; no number is used twice
	From, To int64  // its first and last revision
	Versions int64  // the number of its changes
	Weight   int64  // of its changes, or of the versions that they superseded, as limits.HistoryBytes weighs them
	Bytes    int64  // of its changes alone: its file is about as large
}

const (
	extentsFields = 5
	extentFields  = 6
)

func (e *Extent) digest() uint64 {
	var b [48]byte
	binary.LittleEndian.PutUint64(b[:], e.Number)
	binary.LittleEndian.PutUint64(b[8:], uint64(e.From))
	binary.LittleEndian.PutUint64(b[16:], uint64(e.To))
	binary.LittleEndian.PutUint64(b[24:], uint64(e.Versions))
	binary.LittleEndian.PutUint64(b[32:], uint64(e.Weight))
	binary.LittleEndian.PutUint64(b[40:], uint64(e.Bytes))
	return xxhash.Sum64(b[:])
}

// ResetExtents makes everything up to the newest revision the base: the first files of a new folder need no older ones. The state must have
// all that a history from the compacted revision on needs.
func (s *State) ResetExtents() {
	s.stored = allStored
	s.extents = extents{base: s.revision, historyFrom: s.compacted, next: max(s.extents.next, 1), open: Extent{From: s.revision + 1}}
}

// add counts a change of the open revision. It weighs as much as the version before it, if that is larger: after large values are
// deleted, an extent ends soon, and a base without them can be made.
func (x *extents) add(v *version) {
	key, size := int(ref(v.record.Load()).record().size), v.valueSize()
	x.open.Versions++
	x.open.Bytes += weight(key, size)
	if before := v.older(); before != 0 {
		size = max(size, before.version().valueSize())
	}
	x.open.Weight += weight(key, size)
}

// cut ends the open extent with a revision if it has reached its size.
func (x *extents) cut(revision, size int64) {
	if x.open.Weight < size {
		return
	}
	x.open.Number, x.open.To = x.next, revision
	x.cuts = append(slices.Clip(x.cuts), x.open)
	x.sum += x.open.digest()
	x.next++
	x.open = Extent{From: revision + 1}
}

// countExtents counts the changes of the current revision. It is called before the revision is complete.
func (s *State) countExtents() {
	x := &s.extents
	for _, at := range s.scratch.made {
		x.add(at.version())
	}
	x.cut(s.revision+1, cmp.Or(s.limits.ExtentBytes, limits.ExtentBytes))
}

// rebase makes the last revision of an extent the base. Its versions that are still needed replace the base before and the extents up to it.
func (s *State) rebase(revision int64) kv.Result {
	x := &s.extents
	i := slices.IndexFunc(x.cuts, func(e Extent) bool { return e.To == revision })
	switch {
	case i < 0:
		return s.refused(kv.Errorf(kv.BadRequest, "no extent ends with revision %d: it cannot become the base", revision))
	case revision >= s.compacted:
		return s.refused(kv.Errorf(kv.BadRequest, "revision %d cannot become the base: the revisions from %d on can still be read", revision, s.compacted))
	}
	x.base, x.historyFrom = revision, min(s.compacted, x.open.From)
	for _, e := range x.cuts[:i+1] {
		x.sum -= e.digest()
	}
	x.cuts = slices.Clone(x.cuts[i+1:])
	return kv.Result{Revision: s.revision}
}

// AppendRebase appends the command that makes the last revision of an extent the base.
func AppendRebase(dst []byte, revision int64) kv.Command {
	h := new(Head)
	return h.command(kindRebase, false, pack.AppendInt(h.begin(dst, kindRebase), revision))
}

func (x *extents) append(dst []byte) []byte {
	dst = pack.AppendInt(pack.AppendInt(pack.AppendArray(dst, extentsFields), x.base), x.historyFrom)
	dst = x.open.append(pack.AppendUint(dst, x.next))
	dst = pack.AppendArray(dst, len(x.cuts))
	for i := range x.cuts {
		dst = x.cuts[i].append(dst)
	}
	return dst
}

func (e *Extent) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, extentFields), e.Number)
	dst = pack.AppendInt(pack.AppendInt(dst, e.From), e.To)
	return pack.AppendInt(pack.AppendInt(pack.AppendInt(dst, e.Versions), e.Weight), e.Bytes)
}

func readExtents(r *pack.Reader) (x extents) {
	whole := r.Struct(extentsFields)
	x.base, x.historyFrom, x.next = r.Int(), r.Int(), r.Uint()
	x.open = readExtent(r)
	from, number := x.base+1, uint64(0)
	for range r.Array() {
		e := readExtent(r)
		if e.From != from || e.To < from || e.Number <= number || e.Number >= x.next || e.Versions < 1 || min(e.Weight, e.Bytes) < 0 {
			r.Fail(fmt.Sprintf("the extent %+v begins at revision %d and follows number %d, before %d", e, from, number, x.next))
			return x
		}
		from, number = e.To+1, e.Number
		x.cuts = append(x.cuts, e)
		x.sum += e.digest()
	}
	r.End(whole)
	if x.base < EmptyBase {
		r.Fail(fmt.Sprintf("the base has revision %d", x.base))
	}
	if x.open.From != from || x.open.Number != 0 || x.open.To != 0 || x.open.Versions < 0 || min(x.open.Weight, x.open.Bytes) < 0 {
		r.Fail(fmt.Sprintf("the open extent %+v does not begin at revision %d", x.open, from))
	}
	return x
}

func readExtent(r *pack.Reader) (e Extent) {
	s := r.Struct(extentFields)
	e.Number, e.From, e.To, e.Versions, e.Weight, e.Bytes = r.Uint(), r.Int(), r.Int(), r.Int(), r.Int(), r.Int()
	r.End(s)
	return e
}

// stored says how much of the state is in files; it is no part of store. Versions that are not are kept though they are compacted. It is local: no other
// member and no digest depends on it.
type stored struct {
	base int64 // the base of this revision is in files
	to   int64 // and so are the extents up to this revision
}

// allStored is the mark of a state that no member runs on: it drops compacted changes at once.
var allStored = stored{base: math.MaxInt64 - 1, to: math.MaxInt64 - 1}

// droppable returns the revision before which changes may be dropped. A compacted change stays until a file has it. A change before the base
// does not wait for its extent, which is never written again. The versions of a base stay until the base is stored.
func (s *State) droppable() int64 {
	limit := min(s.oldest(), max(s.stored.to, s.extents.base)+1)
	if s.stored.base < s.extents.base {
		limit = min(limit, s.extents.historyFrom)
	}
	return limit
}

// scanBase calls f with the versions of the base, from a key on, in key order, oldest first, and with the sum of their checksums, until f
// returns false: the changes up to the base that a history from the compacted revision on needs, which the base had when it was made. The
// state keeps them until the base is stored. The slices are parts of the View or reused.
func (v *View) scanBase(from []byte, f func(key []byte, versions []Version, sum uint64) bool) {
	defer runtime.KeepAlive(v)
	var p probe
	var versions []Version
	v.tree.Ascend(p.set(from), func(r ref) bool {
		sum := uint64(0)
		versions, sum = v.ofBase(r.record(), versions[:0])
		return len(versions) == 0 || f(r.record().key(), versions, sum)
	})
	runtime.KeepAlive(p.words)
}

// ofBase appends the versions of a key that the base has, oldest first, and returns the sum of their checksums.
func (v *View) ofBase(r *record, to []Version) (all []Version, sum uint64) {
	from := position{mod: v.extents.historyFrom}
	if oldest := (position{v.history.first(), uint32(v.history.sub)}); oldest.mod > from.mod || oldest.mod == from.mod && oldest.sub > 0 {
		from = oldest
	}
	for at := r.newest(); ; at = ref(at.prev.Load()).version() {
		old := at.before(from)
		if at.mod <= v.extents.base && !(old && at.has(tombstone)) {
			var one Version
			one.set(v, r.key(), at)
			to, sum = append(to, one), sum+at.sum
		}
		if old {
			break
		}
		if mod, sub := at.precedingTombstone(); at.has(created) && (mod == 0 || mod < from.mod || mod == from.mod && sub < int64(from.sub)) {
			break
		}
	}
	slices.Reverse(to)
	return to, sum
}

// BaseServes says whether the base is sufficient for the View: whether all is dropped that the base lacks. Until then, a file that
// describes the View needs the base before, and the extents up to this one.
func (v *View) BaseServes() bool { return v.history.first() >= v.extents.historyFrom }

// NextBase returns the revision of the newest base that can be made now, and the weight of the extents that it replaces; 0: none.
func (r *replicated) NextBase() (revision, weight int64) {
	for _, e := range r.extents.cuts {
		if e.To >= r.compacted {
			break
		}
		weight, revision = weight+e.Weight, e.To
	}
	return revision, weight
}

// BaseBytes returns about how large the base is: it has the live keys, and history that the changes behind it have not made.
func (v *View) BaseBytes() int64 {
	history := v.HistoryBytes() - v.extents.open.Bytes
	for i := range v.extents.cuts {
		history -= v.extents.cuts[i].Bytes
	}
	return v.LiveUsedBytes() + max(history, 0)
}

// Base returns the revision of the base.
func (r *replicated) Base() int64 { return r.extents.base }

// Extents returns the extents behind the base, in order. The caller must not change them.
func (r *replicated) Extents() []Extent { return r.extents.cuts }

// OpenExtent returns the changes behind the last extent. Its number is that of the next one, and To is the newest revision.
func (r *replicated) OpenExtent() Extent {
	e := r.extents.open
	e.Number, e.To = r.extents.next, r.revision
	return e
}

// Has says whether the View has all changes of an extent: those that were compacted are dropped once they are in files.
func (v *View) Has(e *Extent) bool {
	return v.history.oldest().Compare(Position{Revision: v.gaps.skip(e.From)}) <= 0
}

// Changes are the changes of an extent, in the order of their positions. It keeps its View.
type Changes struct {
	v      *View
	extent Extent
	found  versionSum // the changes that Scan handed out
}

// ChangesOf returns the changes of an extent, the compacted ones included. The View must have them: see Has.
func (v *View) ChangesOf(e Extent) Changes {
	if at := v.history.oldest(); !v.Has(&e) {
		panic(fmt.Sprintf("the changes from revision %d on are wanted, the history begins at %d.%d", e.From, at.Revision, at.Sub))
	}
	return Changes{v: v, extent: e}
}

// OpenChanges returns the changes behind the last extent.
func (v *View) OpenChanges() Changes { return v.ChangesOf(v.OpenExtent()) }

// First returns the revision of the first change.
func (c *Changes) First() int64 { return c.extent.From }

// Scan calls f with the changes from a position on, until f returns false, and returns the position after the last one. The slices are
// parts of the View; the Version is reused.
func (c *Changes) Scan(from Position, f func(key []byte, one *Version) bool) (next Position) {
	defer runtime.KeepAlive(c.v)
	if from.Revision < c.extent.From {
		from = Position{Revision: c.extent.From}
	}
	from.Revision = c.v.gaps.skip(from.Revision)
	b := versionBatch{v: c.v}
	hand := func(at ref, key []byte, one *Version) bool {
		c.found.add(1, at.version().sum)
		from = Position{one.Mod, one.Sub + 1}
		return f(key, one)
	}
	var refs [prefetchCommands]ref
	for ahead := from; ahead.Revision <= c.extent.To; {
		full := false
		for _, at := range c.collect(refs[:0], ahead) {
			full = b.add(at)
			ahead = Position{at.version().mod, int64(at.version().sub) + 1}
		}
		if ahead.Sub >= c.v.history.changes(ahead.Revision) {
			ahead = Position{Revision: c.v.history.next(ahead.Revision)}
		}
		if full || ahead.Revision > c.extent.To {
			if !b.hand(hand) {
				return from
			}
			from = ahead
		}
	}
	return from
}

// collect appends the next changes, as many as there is room for, and loads their memory: then the cache misses overlap.
func (c *Changes) collect(refs []ref, from Position) []ref {
	h, sum := &c.v.history, 0
	for ; from.Revision <= c.extent.To && len(refs) < cap(refs); from = (Position{Revision: h.next(from.Revision)}) {
		for n := h.changes(from.Revision); from.Sub < n && len(refs) < cap(refs); from.Sub++ {
			refs = append(refs, refOfChange(h.change(from.Revision, from.Sub).Load()))
		}
	}
	for _, at := range refs {
		sum += int(at.version().mod)
	}
	for _, at := range refs {
		sum += int(ref(at.version().record.Load()).record().size)
	}
	runtime.KeepAlive(sum) // the loads are not removed
	return refs
}

// keyOf returns the key of a version.
func keyOf(at ref) []byte { return ref(at.version().record.Load()).record().key() }

// set fills a Version with a version of a View.
func (v *Version) set(of *View, key []byte, at *version) {
	*v = Version{Mod: at.mod, Sub: int64(at.sub), Create: at.create(), Version: at.number(), Lease: at.lease(), Tombstone: at.has(tombstone), Author: at.author()}
	if !v.Tombstone {
		v.Value, v.unread = at.value(), of.unread(key, at)
	}
}
