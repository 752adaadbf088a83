package index

import (
	"encoding/binary"
	"slices"
	"sort"
	"sync/atomic"

	"qkv/index/kv"

	"github.com/cespare/xxhash/v2"
)

// history is all changes since the compacted revision, in their order: for each revision its one change, or the group
// of those that have it together. A copy of the struct is a view of it.
//
// Of every change that is in it, the version before is kept as well.
type history struct {
	// slots has one element for each revision, numbered by it: the change, or its group's number times eight, plus one.
	slots  fifo[atomic.Uint64]
	groups fifo[*group]
	// sub is where the first revision begins: the changes before it are compacted already.
	sub int64
}

// group is the changes of one revision, by sub revision.
type group struct{ changes []atomic.Uint64 }

const (
	slotGroup = 1
	// changeCreated and changeDeleted stand beside the version of a change, so that compaction need not look at those that
	// drop nothing, and counting not at those that change no number.
	changeCreated = 2
	changeDeleted = 4
	changeFlags   = 7

	slotGroupShift = 3
)

// changeOf is how a version is noted as a change.
func changeOf(r ref) uint64 {
	switch v := r.version(); {
	case v.has(created):
		return uint64(r) | changeCreated
	case v.has(tombstone):
		return uint64(r) | changeDeleted
	}
	return uint64(r)
}

func changed(change uint64) ref { return ref(change &^ changeFlags) }

// add appends a change that has its revision alone.
func (h *history) add(r ref) { h.slots.push().Store(changeOf(r)) }

// addGroup appends changes of one revision.
func (h *history) addGroup(g *group) {
	h.slots.push().Store(uint64(h.groups.end)<<slotGroupShift | slotGroup)
	*h.groups.push() = g
}

// group returns the group of a revision, or nil when there is one change only.
func (h *history) group(revision int64) *group {
	slot := h.slots.at(revision).Load()
	if slot&slotGroup == 0 {
		return nil
	}
	return *h.groups.at(int64(slot >> slotGroupShift))
}

// changes returns how many changes a revision has.
func (h *history) changes(revision int64) int64 {
	if g := h.group(revision); g != nil {
		return int64(len(g.changes))
	}
	return 1
}

// change returns where the version of a change is noted.
func (h *history) change(revision, sub int64) *atomic.Uint64 {
	if g := h.group(revision); g != nil {
		return &g.changes[sub]
	}
	return h.slots.at(revision)
}

// holds says whether a change is in the history.
func (h *history) holds(mod, sub int64) bool {
	return mod > h.slots.first || mod == h.slots.first && sub >= h.sub
}

// oldest is where the history begins: of what stands before it in its revision, the versions are gone.
func (h *history) oldest() Position { return Position{Revision: h.slots.first, Sub: h.sub} }

// trim drops the first change.
func (h *history) trim() {
	first := h.slots.first
	g := h.group(first)
	if h.sub++; g != nil && h.sub < int64(len(g.changes)) {
		return
	}
	if g != nil {
		h.groups.trim(h.groups.first + 1)
	}
	h.slots.trim(first + 1)
	h.sub = 0
}

// times says when revisions were written, and what history weighs before them: a point for the first revision of each millisecond in
// which there was one. While the times stand, since a clock was ahead before, points go on by weight: history is compacted by that.
// A copy of the struct is a view of it.
type times struct {
	points fifo[point]
	sum    uint64 // of the points' sums
	behind int64  // as point.behind, of the newest point
	most   int64  // no point.behind is more; those of points that are gone count, until the state is loaded
}

type point struct {
	revision, wall int64
	weight         int64 // replicated.weight before the revision
	// behind is by how many seconds, at most, the clock of a member that proposed was behind the wall of the point before
	// this one, when it wrote a revision of that one.
	behind int64
}

// digest is what the point adds to the digest.
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
	timeStep   = 1_000_000     // the resolution of times, in nanoseconds
	behindStep = 1_000_000_000 // and of how far clocks were behind
	weightStep = 64 << 10      // that of weights, in bytes, while the times stand
)

// note remembers when a revision was written, and all that follow until the next point: by the clocks of all members that is
// p.wall, by the own one of the member that proposed it wall.
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

// behindAt is by how many nanoseconds clocks were behind a point when they wrote its revisions.
func (t *times) behindAt(n int64) int64 {
	if n+1 < t.points.end {
		return t.points.at(n+1).behind * behindStep
	}
	return t.behind * behindStep
}

// contradiction is a stretch of revisions of which the members' clocks say other times.
type contradiction struct {
	first, last int64 // revisions; last is 0 where it goes on
	until       int64 // times up to this one tell nothing
	by          int64 // nanoseconds
}

// contradicted tells whether clocks contradict that the revisions before point n, and no others, were written by a time that
// is below its wall: by more than apart, at a time that now is the present. A clock that was ahead has left a gap before its first
// point. Then somebody has written behind that point, at a time before it; or the point lies in the future. A clock that was behind
// has written when the times stood at the point before n.
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
		for m := n; m < end && max(t.most, t.behind)*behindStep > apart; m++ { // millions, where clocks are as they should be
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

// trim drops the points that say nothing of revisions from oldest on.
func (t *times) trim(oldest int64) {
	for t.points.len() > 1 && t.points.at(t.points.first+1).revision <= oldest {
		t.sum -= t.points.at(t.points.first).digest()
		t.points.trim(t.points.first + 1)
	}
}

// of returns when a revision was written.
func (t *times) of(revision int64) (wall int64, ok bool) {
	n := t.search(func(p *point) bool { return p.revision > revision })
	if n == t.points.first {
		return 0, false
	}
	return t.points.at(n - 1).wall, true
}

// weightAt returns the weight of history before a revision.
func (t *times) weightAt(revision int64) int64 {
	n := t.search(func(p *point) bool { return p.revision > revision })
	if n == t.points.first {
		return 0
	}
	return t.points.at(n - 1).weight
}

// lightest returns the first revision before which history weighs so much, or false when there is none.
func (t *times) lightest(weight int64) (revision int64, ok bool) {
	n := t.search(func(p *point) bool { return p.weight >= weight })
	if n == t.points.end {
		return 0, false
	}
	return t.points.at(n).revision, true
}

// fifo is a queue of numbered elements, to which the owner adds at the end and from which it takes at the beginning.
// A copy of the struct is a view of it: elements stay where they are, and what is trimmed lives as long as the copy.
type fifo[T any] struct {
	chunks     []*[chunkLen]T
	first, end int64 // numbers of the first element, and behind the last one
}

const (
	chunkBits = 10
	chunkLen  = 1 << chunkBits
)

// startAt makes the empty queue begin with a number.
func (q *fifo[T]) startAt(n int64) {
	q.chunks, q.first, q.end = nil, n, n
}

func (q *fifo[T]) at(n int64) *T {
	return &q.chunks[n>>chunkBits-q.first>>chunkBits][n&(chunkLen-1)]
}

// push adds an element and returns it, for the caller to set. No copy of the queue sees it.
func (q *fifo[T]) push() *T {
	if n := q.end>>chunkBits - q.first>>chunkBits; n == int64(len(q.chunks)) {
		q.chunks = append(q.chunks, new([chunkLen]T))
	}
	q.end++
	return q.at(q.end - 1)
}

// extend adds elements that are not there yet: fill makes them. So a length that is not true costs little.
func (q *fifo[T]) extend(n int64) {
	q.end += n
	if q.end > q.first {
		q.chunks = make([]*[chunkLen]T, (q.end-1)>>chunkBits-q.first>>chunkBits+1)
	}
}

// fill returns an element of a queue that was extended.
func (q *fifo[T]) fill(n int64) *T {
	chunk := &q.chunks[n>>chunkBits-q.first>>chunkBits]
	if *chunk == nil {
		*chunk = new([chunkLen]T)
	}
	return q.at(n)
}

// filled says whether fill has made an element, or a neighbour of it.
func (q *fifo[T]) filled(n int64) bool { return q.chunks[n>>chunkBits-q.first>>chunkBits] != nil }

// trim drops the elements before a number, which is at most end.
func (q *fifo[T]) trim(first int64) {
	drop := min(first>>chunkBits-q.first>>chunkBits, int64(len(q.chunks)))
	if q.first = first; drop > 0 {
		q.chunks = slices.Clone(q.chunks[drop:]) // so that nothing holds the dropped ones but older copies
	}
}

func (q *fifo[T]) len() int64 { return q.end - q.first }

// What compaction costs, in units of about 20 ns: a key's first version is skipped, another change drops the version
// before it, and a deletion is dropped itself, too.
const (
	skipWork = 1
	dropWork = 16
	// commandWork is how much one entry may do for each of its commands, beside limits.CompactionWork.
	commandWork = 2 * dropWork
)

// compact makes a revision the oldest one that can be read. What nobody can read any more goes later, in steps.
func (s *State) compact(revision int64) kv.Result {
	switch {
	case revision <= s.compacted:
		return s.refused(kv.Errorf(kv.Compacted, "revision %d is compacted already: so is all before %d, the oldest that can be read", revision, s.compacted))
	case revision > s.revision:
		return s.refused(kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", revision, s.revision))
	}
	s.counts.Compactions++
	s.compacted = revision
	return kv.Result{Revision: s.revision}
}

// Reclaim does a bounded part of what gives back memory: it drops what was compacted, and evacuates sparse slabs. It says
// whether there is more to do. Apply does as much in proportion to what it adds; this is for a state that is idle.
func (s *State) Reclaim() (more bool) {
	if s.memory.ledger.atRest() {
		for _, one := range s.memory.slabs {
			s.evacuation.enqueue(one, sparseAtRest)
		}
	}
	s.drop(s.limits.CompactionWork)
	s.evacuate(s.limits.EvacuationBytes)
	return s.history.slots.first < s.dropping || s.evacuation.source != nil || len(s.evacuation.waiting) > 0
}

// drop goes through the oldest changes below the compacted revision, as the newest View has it: so that View, and what is
// read for the results of the entries before it, still has all of them. The version before each change is dropped, and
// so is a tombstone itself, with the key when nothing newer is there.
func (s *State) drop(work int64) {
	prefetched := int64(0) // revisions before it are in the caches
	for s.history.slots.first < s.dropping {
		if work <= 0 {
			s.limits.Reach("compaction")
			return
		}
		if s.history.slots.first >= prefetched {
			s.prefetchHistory()
			prefetched = s.history.slots.first + prefetchCommands
		}
		work -= s.dropOldest()
	}
}

// dropOldest drops the oldest change, with the version before it, and returns what work that was.
func (s *State) dropOldest() (work int64) {
	h := &s.history
	revision := h.slots.first
	change := h.change(revision, h.sub).Load()
	h.trim()
	if change&changeCreated != 0 {
		return skipWork // a tombstone before it went when its own revision did
	}
	at := changed(change)
	v := at.version()
	r := s.recordOf(v)
	s.dropVersion(v.older())
	v.owner |= prevDropped
	if !v.has(tombstone) {
		return dropWork
	}
	s.dropVersion(at)
	if newer := v.newer(); newer != 0 {
		newer.version().owner |= prevDropped
	} else {
		s.remove(r)
	}
	return 2 * dropWork
}

// older returns the version before, or 0 when there is none, or none any longer.
func (v *version) older() ref {
	if v.owner&prevDropped != 0 {
		return 0
	}
	return ref(v.prev.Load())
}

// recordOf returns the record of a version's key, also while versions still refer to the old copy of a relocated record.
func (s *State) recordOf(v *version) ref {
	r := ref(v.record.Load())
	if key := r.record(); key.owner&recordRelocated != 0 {
		return s.find(hashOf(key.key()), key.key())
	}
	return r
}

// dropVersion takes a version that is not live out of use.
func (s *State) dropVersion(at ref) {
	v := at.version()
	v.owner |= versionDead
	s.kept--
	s.keptSum -= v.sum
	s.evacuation.enqueue(s.memory.free(at, v.size()), sparse)
}

// remove takes a key out whose last version is gone.
func (s *State) remove(r ref) {
	record := r.record()
	s.table.remove(hashOf(record.key()), r)
	s.tree.Delete(r)
	s.tombstoned.Delete(r)
	s.changed = true
	record.owner |= recordDead
	s.evacuation.enqueue(s.memory.free(r, recordSize(int(record.size))), sparse)
}
