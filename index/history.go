package index

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"

	"github.com/cespare/xxhash/v2"
)

// history is the changes that are not dropped, in order: for each revision a single change, or a group of changes that
// share it. A copy of the struct is a view of it. Each member drops unreadable versions at its own pace, so the
// history is not part of the digest.
//
// For every change in the history, the previous version of the key is kept as well.
type history struct {
	// slots has one element for each revision, by gaps.slot: the change, or its group's number times eight, plus one.
	slots  fifo[atomic.Uint64]
	gaps   gaps // as replicated.gaps
	groups fifo[*group]
	// sub is where the first revision begins: its earlier changes are already dropped.
	sub int64
	// kept is the number of stored versions, and keptSum the sum of their version.sum.
	kept    int64
	keptSum uint64
	// cold is the number of versions whose value is not in memory, and coldBytes the bytes of these values.
	cold, coldBytes int64
	// valueBytes is the bytes of all values that are kept, in memory or in files.
	valueBytes int64
}

// group is the changes of one revision, by sub revision.
type group struct{ changes []atomic.Uint64 }

const (
	slotGroup = 1
	// changeCreated and changeDeleted are flags in the address of a change's version. With them, compaction skips changes
	// that drop nothing, and counting skips changes that alter no count, without loading the version.
	changeCreated = 2
	changeDeleted = 4
	changeFlags   = 7

	slotGroupShift = 3
)

// changeWord returns a version's address with its change flags: an element of the history. refOfChange returns the address.
func changeWord(r ref) uint64 {
	switch v := r.version(); {
	case v.has(created):
		return uint64(r) | changeCreated
	case v.has(tombstone):
		return uint64(r) | changeDeleted
	}
	return uint64(r)
}

func refOfChange(change uint64) ref { return ref(change &^ changeFlags) }

// add appends the only change of a revision.
func (h *history) add(r ref) { h.slots.push().Store(changeWord(r)) }

// addGroup appends the changes of one revision.
func (h *history) addGroup(g *group) {
	h.slots.push().Store(uint64(h.groups.end)<<slotGroupShift | slotGroup)
	*h.groups.push() = g
}

// group returns the group of a revision, or nil if it has a single change.
func (h *history) group(revision int64) *group {
	slot := h.slots.at(h.gaps.slot(revision)).Load()
	if slot&slotGroup == 0 {
		return nil
	}
	return *h.groups.at(int64(slot >> slotGroupShift))
}

// changes returns the number of a revision's changes.
func (h *history) changes(revision int64) int64 {
	if g := h.group(revision); g != nil {
		return int64(len(g.changes))
	}
	return 1
}

// change returns the location of a change.
func (h *history) change(revision, sub int64) *atomic.Uint64 {
	if g := h.group(revision); g != nil {
		return &g.changes[sub]
	}
	return h.slots.at(h.gaps.slot(revision))
}

// first returns the first revision that is kept, or that will be made.
func (h *history) first() int64 { return h.gaps.revision(h.slots.first) }

// from returns the first revision from one on that is kept, or that will be made.
func (h *history) from(revision int64) int64 { return max(h.gaps.skip(revision), h.first()) }

// next returns the revision that was made after one, or will be.
func (h *history) next(revision int64) int64 { return h.gaps.skip(revision + 1) }

// holds says whether a change is in the history.
func (h *history) holds(mod, sub int64) bool {
	slot := h.gaps.slot(mod)
	return slot > h.slots.first || slot == h.slots.first && sub >= h.sub
}

// keepsBefore says whether the version before at was kept when this copy was made. A version is kept while the change that
// superseded it is in the history; a tombstone, while its own change is.
func (h *history) keepsBefore(at *version) bool {
	if at.has(created) {
		mod, sub := at.precedingTombstone()
		return mod > 0 && h.holds(mod, sub)
	}
	return h.holds(at.mod, int64(at.sub))
}

// oldest is the position where the history begins. The versions of earlier changes of the same revision are dropped.
func (h *history) oldest() Position { return Position{Revision: h.first(), Sub: h.sub} }

// trim drops the first change.
func (h *history) trim() {
	g := h.group(h.first())
	if h.sub++; g != nil && h.sub < int64(len(g.changes)) {
		return
	}
	if g != nil {
		h.groups.trim(h.groups.first + 1)
	}
	h.slots.trim(h.slots.first + 1)
	h.sub = 0
}

// times records the time of revisions and the weight of the history before them: a point for the first revision of each
// millisecond in which a revision was made. While recorded time stands still because a clock was ahead, points are added
// by weight, so that compaction can still choose a revision by weight. A copy of the struct is a view of it.
type times struct {
	points fifo[point]
	sum    uint64 // sum of the points' digests
	behind int64  // as point.behind, for the newest point
	most   int64  // upper bound of all point.behind; it includes dropped points until the state is loaded again
}

type point struct {
	revision, wall int64
	weight         int64 // totals.weight before the revision
	// behind is how far, in seconds, a proposer's clock was at most behind the wall of the previous point, when it wrote
	// a revision of that point.
	behind int64
}

func (p point) digest() uint64 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(p.revision))
	binary.LittleEndian.PutUint64(b[8:], uint64(p.wall))
	binary.LittleEndian.PutUint64(b[16:], uint64(p.weight))
	binary.LittleEndian.PutUint64(b[24:], uint64(p.behind))
	return xxhash.Sum64(b[:])
}

func (t *times) push(p point) {
	*t.points.push() = p
	t.sum += p.digest()
	t.most = max(t.most, p.behind)
}

const (
	timeStep   = 1_000_000     // resolution of times, in nanoseconds
	behindStep = 1_000_000_000 // resolution of behind, in nanoseconds
	weightStep = 64 << 10      // resolution of weights while time stands still, in bytes
)

// note records the time of a revision and of all later ones until the next point. p.wall is the state's clock, wall the
// clock of the member that proposed it.
func (t *times) note(p point, wall int64) {
	if n := t.points.end; n > t.points.first {
		newest := t.points.at(n - 1)
		behind := (newest.wall - wall) / behindStep
		if p.wall/timeStep <= newest.wall/timeStep && (behind == 0 || p.weight-newest.weight < weightStep) {
			t.behind = max(t.behind, behind)
			return
		}
	}
	p.behind = t.behind
	t.push(p)
	t.behind = max((p.wall-wall)/behindStep, 0)
}

// behindAt returns by how many nanoseconds clocks were behind a point when they wrote its revisions.
func (t *times) behindAt(n int64) int64 {
	if n+1 < t.points.end {
		return t.points.at(n+1).behind * behindStep
	}
	return t.behind * behindStep
}

// contradiction is a range of revisions for which the members' clocks disagree.
type contradiction struct {
	first, last int64 // revisions; last is 0 if the contradiction continues
	until       int64 // times up to this one determine no revision
	by          int64 // by how many nanoseconds the clocks disagree
}

// contradicted looks for clocks that contradict that exactly the revisions before point n were written by a time below
// its wall. It reports the largest contradiction over apart; now is the present.
//
// A clock that was ahead leaves a gap before its first point: later revisions were then written at times before that
// point, or the point is in the future. A clock that was behind wrote revisions while time stood still at the point
// before n.
func (t *times) contradicted(n, now, apart int64) (c contradiction, is bool) {
	end := t.points.end
	worst := func(m, by int64) {
		if by > apart && by > c.by {
			c, is = contradiction{first: t.points.at(m).revision, until: t.points.at(m).wall, by: by}, true
			if m+1 < end {
				c.last = t.points.at(m+1).revision - 1
			}
		}
	}
	if n > t.points.first {
		worst(n-1, t.behindAt(n-1))
	}
	if n < end {
		wall := t.points.at(n).wall
		// there are millions of points; skip them if all clocks agree
		for m := n; m < end && max(t.most, t.behind)*behindStep > apart; m++ {
			if by := t.behindAt(m); by > apart {
				worst(m, wall-(t.points.at(m).wall-by))
			}
		}
		if wall-now > apart {
			worst(end-1, max(wall-now, c.by))
		}
	}
	if is {
		if at := t.search(func(p *point) bool { return p.wall-apart > c.until-c.by }); at < end {
			c.first = min(c.first, t.points.at(at).revision)
		}
	}
	return c, is
}

// search returns the number of the first point for which after is true, or the end.
func (t *times) search(after func(p *point) bool) int64 {
	first := t.points.first
	return first + int64(sort.Search(int(t.points.len()), func(i int) bool { return after(t.points.at(first + int64(i))) }))
}

// trim drops the points that no revision from oldest on needs.
func (t *times) trim(oldest int64) {
	for t.points.len() > 1 && t.points.at(t.points.first+1).revision <= oldest {
		t.sum -= t.points.at(t.points.first).digest()
		t.points.trim(t.points.first + 1)
	}
}

// of returns the time at which a revision was written.
func (t *times) of(revision int64) (wall int64, ok bool) {
	n := t.search(func(p *point) bool { return p.revision > revision })
	if n == t.points.first {
		return 0, false
	}
	if all, first := t.unknownAt(n - 1); all || first && t.points.at(n-1).revision == revision {
		return 0, false
	}
	return t.points.at(n - 1).wall, true
}

// known returns the first known time from a revision on.
func (t *times) known(revision int64) (wall int64, ok bool) {
	if wall, ok = t.of(revision); ok {
		return wall, ok
	}
	if n := t.search(func(p *point) bool { return p.wall != unknownTime }); n < t.points.end {
		return t.points.at(n).wall, true
	}
	return 0, false
}

// weightAt returns the weight of the history before a revision.
func (t *times) weightAt(revision int64) int64 {
	n := t.search(func(p *point) bool { return p.revision > revision })
	if n == t.points.first {
		return 0
	}
	return t.points.at(n - 1).weight
}

// lightest returns the first revision before which the history has at least the given weight, or false if there is none.
func (t *times) lightest(weight int64) (revision int64, ok bool) {
	n := t.search(func(p *point) bool { return p.weight >= weight })
	if n == t.points.end {
		return 0, false
	}
	return t.points.at(n).revision, true
}

// TimeOf returns the time at which a revision was written, in nanoseconds since 1970. It is the proposing member's clock,
// made monotonic, with a resolution of a millisecond. It is false for a revision that is compacted or in the future, and
// for an imported one (forgetTimes).
func (r *replicated) TimeOf(revision int64) (wall int64, ok bool) {
	if revision < r.compacted || revision > r.revision {
		return 0, false
	}
	return r.times.of(revision)
}

// KnownTime is TimeOf, or if the time of the revision is unknown, the first known time after it.
func (r *replicated) KnownTime(revision int64) (wall int64, ok bool) {
	if revision < r.compacted || revision > r.revision {
		return 0, false
	}
	return r.times.known(revision)
}

// RevisionAt returns the newest revision written at or before a time; now is the present. It returns an error if that
// revision is compacted. It also returns an error if the proposers' clocks contradict each other at that time, or now, by
// more than limits.ClocksApart: then the time does not determine a revision. The same holds for a time before the first known one, if
// revisions were imported.
func (r *replicated) RevisionAt(wall, now int64) (revision int64, err *kv.Error) {
	later := r.times.search(func(p *point) bool { return p.wall > wall })
	if c, is := r.times.contradicted(later, now, int64(limits.ClocksApart)); is {
		return 0, r.contradictionError(&c)
	}
	if later > r.times.points.first {
		if all, _ := r.times.unknownAt(later - 1); all {
			return 0, r.unknownTimeError(later)
		}
	}
	revision = r.revision
	if later < r.times.points.end {
		revision = r.times.points.at(later).revision - 1
	}
	if revision < r.compacted {
		return 0, kv.Errorf(kv.Compacted, "the state at that time was compacted, the oldest revision that can be read is %d", r.compacted)
	}
	return revision, nil
}

// contradictionError explains which revisions a time does not determine, and until when.
func (r *replicated) contradictionError(c *contradiction) *kv.Error {
	last, ends := "on", "they are"
	if c.last > 0 {
		last, ends = fmt.Sprintf("to %d", c.last), fmt.Sprintf("revision %d is", c.last)
	}
	return kv.Errorf(kv.BadRequest, "that time does not determine a revision: for the revisions from %d %s members' clocks contradict each other by %v, so at least one was wrong. "+
		"Ask for a revision instead of a time: --rev, or its number where a time may stand; `qkv log --from %d` shows the changes of each. Times after %s determine revisions again, older ones when %s compacted.",
		max(c.first, r.compacted), last, time.Duration(c.by).Round(time.Second), max(c.first, r.compacted, 1), time.Unix(0, c.until).UTC().Format(time.RFC3339), ends)
}

// Times yields the times at which revisions were written, newest first: revision was the first one written at wall, after
// the previous time.
func (r *replicated) Times() iter.Seq2[int64, int64] {
	return func(yield func(revision, wall int64) bool) {
		for n := r.times.points.end; n > r.times.points.first; n-- {
			if p := r.times.points.at(n - 1); !yield(p.revision, p.wall) {
				return
			}
		}
	}
}

// fifo is a queue of numbered elements. The owner adds at the end and removes at the beginning. A copy of the struct is a
// view of it: elements stay in place, and removed elements stay in memory as long as the copy.
type fifo[T any] struct {
	chunks     []*[chunkLen]T
	first, end int64 // number of the first element; number after the last one
}

const (
	chunkBits = 10
	chunkLen  = 1 << chunkBits
)

// startAt sets the first number of an empty queue.
func (q *fifo[T]) startAt(n int64) {
	q.chunks, q.first, q.end = nil, n, n
}

func (q *fifo[T]) at(n int64) *T {
	return &q.chunks[n>>chunkBits-q.first>>chunkBits][n&(chunkLen-1)]
}

// push adds an element and returns it, for the caller to set. No earlier copy of the queue sees it.
func (q *fifo[T]) push() *T {
	if n := q.end>>chunkBits - q.first>>chunkBits; n == int64(len(q.chunks)) {
		q.chunks = append(q.chunks, new([chunkLen]T))
	}
	q.end++
	return q.at(q.end - 1)
}

// extend adds elements without allocating them; fill allocates. A wrong length in a snapshot therefore costs little
// memory.
func (q *fifo[T]) extend(n int64) {
	q.end += n
	if q.end > q.first {
		q.chunks = make([]*[chunkLen]T, (q.end-1)>>chunkBits-q.first>>chunkBits+1)
	}
}

// fill returns an element of an extended queue.
func (q *fifo[T]) fill(n int64) *T {
	chunk := &q.chunks[n>>chunkBits-q.first>>chunkBits]
	if *chunk == nil {
		*chunk = new([chunkLen]T)
	}
	return q.at(n)
}

// filled says whether fill has allocated the element's chunk.
func (q *fifo[T]) filled(n int64) bool { return q.chunks[n>>chunkBits-q.first>>chunkBits] != nil }

// trim removes the elements before a number, which is at most end.
func (q *fifo[T]) trim(first int64) {
	drop := min(first>>chunkBits-q.first>>chunkBits, int64(len(q.chunks)))
	if q.first = first; drop > 0 {
		q.chunks = slices.Clone(q.chunks[drop:]) // only older copies keep the removed chunks
	}
}

func (q *fifo[T]) len() int64 { return q.end - q.first }

// The cost of compaction, in units of about 20 ns. A key's first version is skipped. Any other change drops the version
// before it, and a deletion drops its tombstone as well.
const (
	skipWork = 1
	dropWork = 16
	// commandWork is the additional work that an entry may do for each of its commands, on top of limits.Index.CompactionWork.
	commandWork = 2 * dropWork
)

// compact makes a revision the oldest readable one. Unreadable versions are dropped later, in steps.
func (s *State) compact(revision int64) kv.Result {
	switch {
	case revision <= s.compacted:
		return s.refused(kv.Errorf(kv.Compacted, "revision %d is compacted already, the oldest that can be read is %d", revision, s.compacted))
	case s.gaps.of(revision) != nil:
		return s.refused(s.compactedError(revision))
	case revision > s.revision:
		return s.refused(kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", revision, s.revision))
	}
	s.counts.Compactions++
	s.compacted = revision
	return kv.Result{Revision: s.revision}
}

// KeepHistory makes the state keep all of its history, through later compactions, until ShowHistory. Each command has its usual result. The
// digest is another one after a compaction. It is for a state that no member runs on.
func (s *State) KeepHistory() {
	oldest := s.compacted
	s.keeps = &oldest
}

// Hides reports whether history is kept that was compacted.
func (s *State) Hides() bool { return s.oldest() < s.compacted }

// ShowHistory makes the kept history readable again. A state whose base has changed needs ResetExtents before it is saved.
func (s *State) ShowHistory() { s.compacted, s.keeps = s.oldest(), nil }

// oldest returns the oldest revision whose history the state keeps.
func (s *State) oldest() int64 {
	if s.keeps != nil {
		return *s.keeps
	}
	return s.compacted
}

// Reclaim does a bounded step of freeing memory: it drops compacted versions, lets values go that are in files, and
// evacuates sparse slabs. It returns whether there is more to do. Apply does as much in proportion to its additions;
// Reclaim is for an idle state.
func (s *State) Reclaim() (more bool) {
	if s.keys.memory.ledger.atRest() {
		for _, one := range s.keys.memory.slabs {
			s.keys.evacuation.enqueue(one, sparseAtRest)
		}
	}
	s.drop(s.limits.CompactionWork)
	s.evictValues(s.limits.CompactionWork)
	s.evacuate(s.limits.EvacuationBytes)
	return s.history.first() < s.dropping || s.hasValuesToEvict() || s.overBudget() && s.clock.rests != s.eviction.to || s.keys.evacuation.source != nil || len(s.keys.evacuation.waiting) > 0
}

// drop drops the oldest changes before the revision dropping. The newest View, and the reads for the results of earlier
// entries, therefore still have them. It drops the version before each change, and a tombstone itself,
// with the key if there is no newer version.
func (s *store) drop(work int64) {
	prefetched := int64(0) // slots before it are in the caches
	for s.history.first() < s.dropping {
		if work <= 0 {
			s.limits.Reach("compaction")
			return
		}
		if first := s.history.slots.first; first >= prefetched {
			s.prefetchHistory(first)
			prefetched = first + prefetchCommands
		}
		work -= s.dropOldest()
	}
}

// dropOldest drops the oldest change with the version before it, and returns the work done.
func (s *store) dropOldest() (work int64) {
	h := &s.history
	change := h.change(h.first(), h.sub).Load()
	h.trim()
	if change&changeCreated != 0 {
		return skipWork // a tombstone before it was dropped with its own revision
	}
	at := refOfChange(change)
	v := at.version()
	r := s.keys.recordOf(v)
	s.dropVersion(v.older())
	v.owner |= prevDropped
	if !v.has(tombstone) {
		return dropWork
	}
	s.dropVersion(at)
	if newer := v.newer(); newer != 0 {
		newer.version().owner |= prevDropped
	} else {
		s.keys.remove(r)
	}
	return 2 * dropWork
}

// older returns the previous version, or 0 if there is none or it is dropped.
func (v *version) older() ref {
	if v.owner&prevDropped != 0 {
		return 0
	}
	return ref(v.prev.Load())
}

// recordOf returns the record of a version's key, even while the version still refers to the old copy of a relocated
// record.
func (s *keyspace) recordOf(v *version) ref {
	r := ref(v.record.Load())
	if key := r.record(); key.owner&recordRelocated != 0 {
		return s.find(hashOf(key.key()), key.key())
	}
	return r
}

// dropVersion takes a superseded version or tombstone out of use.
func (s *store) dropVersion(at ref) {
	v := at.version()
	v.owner |= versionDead
	s.history.kept--
	s.history.keptSum -= v.sum
	s.history.valueBytes -= int64(v.valueSize())
	if v.has(cold) {
		s.history.cold--
		s.history.coldBytes -= int64(v.valueSize())
	}
	s.keys.evacuation.enqueue(s.keys.memory.free(at, v.size()), sparse)
}

// remove removes a key whose last version is dropped.
func (s *keyspace) remove(r ref) {
	record := r.record()
	s.table.remove(hashOf(record.key()), r)
	s.tree.Delete(r)
	s.tombstoned.Delete(r)
	s.changed = true
	record.owner |= recordDead
	s.evacuation.enqueue(s.memory.free(r, recordSize(int(record.size))), sparse)
}
