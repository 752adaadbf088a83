package index

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// ref is where an object lies in a slab: its address, a multiple of 8. 0 is none. Objects are reached through the
// methods of ref only, and nothing that the garbage collector follows points into a slab.
type ref uint64

func (r ref) pointer() unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&r)) }
func (r ref) record() *record         { return (*record)(r.pointer()) }
func (r ref) version() *version       { return (*version)(r.pointer()) }
func refOf(v *version) ref            { return ref(uintptr(unsafe.Pointer(v))) }

const (
	// slabHead is what a slab keeps for itself at its beginning: its number among the slabs in use.
	slabHead = 64
	// slabFirst is the size of an arena's first slab. Each next one is twice as large, up to slabAlign, so that a
	// small state takes little memory and a large one few slabs.
	slabFirst = 64 << 10
	// refBits is how many bits of an address are used, by Linux on amd64 and arm64.
	refBits = 48
)

// slab is a piece of memory outside of the garbage collector's heap, filled from its beginning. It is unmapped when
// nothing refers to this header any longer: neither the owner's list, nor an epoch that a View can reach.
type slab struct {
	// Constant.
	base    ref
	size    int
	records bool // it holds records, else versions
	given   *atomic.Bool

	// Owned by the state.
	number int // place in memory.slabs
	used   int // bytes from the beginning that are handed out
	live   int // bytes of objects in use
	full   bool
	queued bool // it waits to be evacuated, or is being evacuated
}

const (
	// sparse is one part in how many of a slab is in use when it is worth being evacuated: under overwriting at random a
	// version is relocated half a time then, and once where it were done at the half.
	sparse = 3
	// sparseAtRest is that for who has nothing else to do.
	sparseAtRest = 2
)

// below says that less than one part in so many of a slab is in use, and that nothing will be added.
func (s *slab) below(parts int) bool { return s.full && !s.queued && parts*s.live < s.used-slabHead }

// epoch keeps slabs that were given up while Views that may reach them are in use: those of this epoch and of all
// earlier ones, which find it through next. The garbage collector does the counting.
type epoch struct {
	retired []*slab
	next    *epoch
}

// memory is all slabs of a state. Every View refers to it, so that what is in use stays mapped with the View even
// when the state itself is gone.
type memory struct {
	slabs  []*slab
	sealed []*slab // that were filled since the last evacuation step
	bytes  int64   // mapped, without those that are given up
	handed int64   // ever handed out
	most   int     // size of a large slab
	ledger *ledger
}

// arena hands out objects of one kind from the newest of its slabs.
type arena struct {
	records bool
	current *slab
	next    int // size of the next slab
}

// alloc returns room for size bytes, a multiple of 8, of any content.
func (m *memory) alloc(a *arena, size int) ref {
	m.handed += int64(size)
	if a.current == nil || a.current.used+size > a.current.size {
		if size > m.most/16 {
			return m.allocLarge(a, size)
		}
		m.seal(a)
		a.next = min(max(2*a.next, min(slabFirst, m.most)), m.most)
		a.current = m.open(a.records, max(a.next, slabHead+size))
	}
	s := a.current
	at := s.base + ref(s.used)
	s.used += size
	s.live += size
	return at
}

// allocLarge gives a large object a slab of its own, so that no slab has a large unused end.
func (m *memory) allocLarge(a *arena, size int) ref {
	s := m.open(a.records, slabHead+size)
	s.used, s.live, s.full = s.size, size, true
	return s.base + slabHead
}

// seal ends the arena's newest slab.
func (m *memory) seal(a *arena) {
	if a.current != nil {
		a.current.full = true
		m.sealed = append(m.sealed, a.current)
		a.current = nil
	}
}

func (m *memory) open(records bool, size int) *slab {
	s := m.ledger.mapSlab(size)
	if uint64(s.base)>>refBits != 0 || s.base%slabAlign != 0 {
		panic(fmt.Sprintf("a slab was mapped at %#x: an address of %d bits, a multiple of %#x is needed", s.base, refBits, slabAlign))
	}
	s.records, s.used, s.number = records, slabHead, len(m.slabs)
	m.slabs = append(m.slabs, s)
	m.bytes += int64(size)
	*(*uint64)(s.base.pointer()) = uint64(s.number)
	return s
}

// slabOf returns the slab in which an object lies: slabs begin at multiples of slabAlign, and an object begins less
// than that behind its slab's beginning.
func (m *memory) slabOf(r ref) *slab {
	base := r &^ (slabAlign - 1)
	s := m.slabs[*(*uint64)(base.pointer())]
	if s.base != base {
		panic(fmt.Sprintf("object %#x lies in no slab in use: slab %d is at %#x", r, s.number, s.base))
	}
	return s
}

// free takes an object out of use. Its bytes stay as they are: Views may still read them.
func (m *memory) free(r ref, size int) *slab {
	s := m.slabOf(r)
	s.live -= size
	if s.live < 0 {
		panic(fmt.Sprintf("slab %d has %d live bytes after %d were freed at %#x", s.number, s.live, size, r))
	}
	return s
}

// retire gives up a slab in which nothing is in use any longer. It stays mapped as long as a View of this epoch, or of
// an earlier one, is in use.
func (m *memory) retire(s *slab, e *epoch) {
	if s.live != 0 {
		panic(fmt.Sprintf("slab %d is given up with %d live bytes", s.number, s.live))
	}
	last := m.slabs[len(m.slabs)-1]
	last.number = s.number
	m.slabs[s.number] = last
	*(*uint64)(last.base.pointer()) = uint64(last.number)
	m.slabs[len(m.slabs)-1] = nil
	m.slabs = m.slabs[:len(m.slabs)-1]
	m.bytes -= int64(s.size)
	e.retired = append(e.retired, s)
	s.given.Store(true)
	m.ledger.retired.Add(int64(s.size))
}

// roundUp makes sizes multiples of 8.
func roundUp(n int) int { return (n + 7) &^ 7 }

// evacuation moves what is in use out of slabs that are mostly not, one slab after the other, so that they can be
// given up. A copy is complete before anything refers to it, and what is relocated stays as it was, too: Views that came
// by the old way read the same.
type evacuation struct {
	// waiting are the sparse slabs, each once: slab.queued is set in all of them and in source.
	waiting []*slab
	// source is being evacuated, or nil. What lies before offset in it is relocated or was not in use.
	source *slab
	offset int
	// prefetched is the end of what prefetchNeighbours has gone through.
	prefetched int
	// from is the next version that refers to the old copy of a relocated record, or 0; to is that record's new
	// copy. Versions before from do so, too, and none after it.
	from, to ref
}

const (
	// timesHanded is how much of a slab one entry may go through for each byte that it has added, beside
	// limits.EvacuationBytes. Of a slab that is evacuated at most the half is in use (sparseAtRest), so that to go through
	// twice what was added frees as much; as much again is left for fixWork.
	timesHanded = 4
	// fixWork is what it costs to correct one version's record, in bytes gone through.
	fixWork = 128
)

// enqueue adds a slab if less than one part in so many of it is in use.
func (e *evacuation) enqueue(s *slab, parts int) {
	if s.below(parts) {
		s.queued = true
		e.waiting = append(e.waiting, s)
	}
}

// evacuate does one step.
func (s *State) evacuate(work int64) {
	e := &s.evacuation
	for _, filled := range s.memory.sealed {
		e.enqueue(filled, sparse)
	}
	clear(s.memory.sealed)
	s.memory.sealed = s.memory.sealed[:0]
	for {
		switch {
		case work <= 0:
			s.limits.Reach("evacuation")
			return
		case e.from != 0:
			s.correct()
			work -= fixWork
		case e.source == nil && len(e.waiting) == 0:
			return
		case e.source == nil:
			e.source, e.offset, e.prefetched = e.waiting[0], slabHead, slabHead
			e.waiting[0] = nil
			e.waiting = e.waiting[1:]
		case e.offset == e.source.used || e.source.live == 0:
			s.memory.retire(e.source, s.epoch)
			e.source = nil
		case e.source.records:
			work -= int64(s.evacuateRecord())
		default:
			work -= int64(s.evacuateVersion())
		}
	}
}

// evacuateVersion relocates the next version and returns its size.
func (s *State) evacuateVersion() int {
	e := &s.evacuation
	if e.offset >= e.prefetched {
		s.prefetchNeighbours()
	}
	at := e.source.base + ref(e.offset)
	v := at.version()
	size := v.size()
	e.offset += size
	if v.owner&versionDead != 0 {
		return size
	}
	to := s.copy(&s.relocated, at, size)
	if newer := v.newer(); newer != 0 {
		newer.version().prev.Store(uint64(to))
	} else {
		s.recordOf(v).record().head.Store(uint64(to))
	}
	if older := v.older(); older != 0 {
		older.version().setNewer(to)
	}
	if s.history.holds(v.mod, int64(v.sub)) {
		s.history.change(v.mod, int64(v.sub)).Store(changeOf(to))
	}
	return size
}

// evacuateRecord relocates the next record and returns its size. Its versions are corrected in the next steps.
func (s *State) evacuateRecord() int {
	e := &s.evacuation
	at := e.source.base + ref(e.offset)
	r := at.record()
	size := recordSize(int(r.size))
	e.offset += size
	if r.owner&recordDead != 0 {
		return size
	}
	to := s.copy(&s.records, at, size)
	r.owner |= recordRelocated
	s.table.replace(hashOf(r.key()), at, to)
	s.tree.Set(to)
	if to.record().newest().has(tombstone) {
		s.tombstoned.Set(to)
	}
	if lease := to.record().newest().lease(); lease != 0 {
		s.attach(lease, to)
	}
	s.changed = true
	e.from, e.to = ref(r.head.Load()), to
	return size
}

// correct makes one version refer to its record's new copy, and goes on to the one before. Versions that came since
// refer to it already; those that are compacted meanwhile need not.
func (s *State) correct() {
	e := &s.evacuation
	v := e.from.version()
	if v.owner&versionDead != 0 {
		e.from = 0
		return
	}
	v.record.Store(uint64(e.to))
	e.from = v.older()
}

// copy puts a copy of an object into another slab.
func (s *State) copy(to *arena, at ref, size int) ref {
	from := s.evacuation.source
	copied := s.memory.alloc(to, size)
	if s.memory.slabOf(copied) == from {
		panic(fmt.Sprintf("slab %d is evacuated into itself", from.number))
	}
	copy(unsafe.Slice((*byte)(copied.pointer()), size), unsafe.Slice((*byte)(at.pointer()), size))
	from.live -= size
	return copied
}
