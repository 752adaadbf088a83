package index

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// ref is the address of an object in a slab, a multiple of 8; 0 means none. Objects are reached only through the methods
// of ref, and no pointer that the garbage collector follows points into a slab.
type ref uint64

func (r ref) pointer() unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&r)) }
func (r ref) record() *record         { return (*record)(r.pointer()) }
func (r ref) version() *version       { return (*version)(r.pointer()) }
func refOf(v *version) ref            { return ref(uintptr(unsafe.Pointer(v))) }

const (
	// slabHead is the size of a slab's header: the slab's number among the slabs in use.
	slabHead = 64
	// slabFirst is the size of an arena's first slab. Each next slab is twice as large, up to slabAlign: a small state
	// takes little memory, and a large state has few slabs.
	slabFirst = 64 << 10
	// refBits is the number of bits of an address that Linux uses on amd64 and arm64.
	refBits = 48
)

// slab is a block of memory outside the garbage collector's heap, filled from its beginning. It is unmapped when nothing
// refers to this header any longer: neither the owner's list nor an epoch that a View can reach.
type slab struct {
	// Constant.
	address ref
	size    int
	records bool // it contains records, otherwise versions
	given   *atomic.Bool

	// Owned by the state.
	number int // index in memory.slabs
	used   int // bytes allocated from the beginning
	live   int // bytes of objects in use
	full   bool
	queued bool // it waits for evacuation, or is being evacuated
}

const (
	// sparse is the threshold of evacuation: a slab is worth it if less than one part in sparse is in use. Under random
	// overwrites a version is then relocated half a time on average; with a threshold of a half it would be relocated
	// once.
	sparse = 3
	// sparseAtRest is that threshold for an idle state.
	sparseAtRest = 2
)

// below says that the slab is full and that less than one part in parts of it is in use.
func (s *slab) below(parts int) bool { return s.full && !s.queued && parts*s.live < s.used-slabHead }

// epoch keeps retired slabs while Views that may reach them are in use: the Views of this epoch and of all earlier ones,
// which reach it through next. The garbage collector counts the references.
type epoch struct {
	retired []*slab
	next    *epoch
}

// memory is all slabs of a state. Every View refers to it, so slabs in use stay mapped with the View even after the state
// itself is gone.
type memory struct {
	slabs     []*slab
	sealed    []*slab // filled since the last evacuation step
	bytes     int64   // mapped bytes, without retired slabs
	live      int64   // bytes of objects in use
	allocated int64   // bytes ever allocated
	most      int     // size of a large slab
	ledger    *ledger
}

// arena allocates objects of one kind from its newest slab.
type arena struct {
	records bool
	current *slab
	next    int // size of the current slab; the next one is twice as large
}

// alloc allocates size bytes, a multiple of 8. The content is arbitrary.
func (m *memory) alloc(a *arena, size int) ref {
	m.allocated += int64(size)
	m.live += int64(size)
	if a.current == nil || a.current.used+size > a.current.size {
		if size > m.most/16 {
			return m.allocLarge(a, size)
		}
		m.seal(a)
		a.next = min(max(2*a.next, min(slabFirst, m.most)), m.most)
		a.current = m.open(a.records, max(a.next, slabHead+size))
	}
	s := a.current
	at := s.address + ref(s.used)
	s.used += size
	s.live += size
	return at
}

// allocLarge gives a large object a slab of its own, so no slab has a large unused end.
func (m *memory) allocLarge(a *arena, size int) ref {
	s := m.open(a.records, slabHead+size)
	s.used, s.live, s.full = s.size, size, true
	return s.address + slabHead
}

// seal closes the arena's newest slab.
func (m *memory) seal(a *arena) {
	if a.current != nil {
		a.current.full = true
		m.sealed = append(m.sealed, a.current)
		a.current = nil
	}
}

func (m *memory) open(records bool, size int) *slab {
	s := m.ledger.mapSlab(size)
	if uint64(s.address)>>refBits != 0 || s.address%slabAlign != 0 {
		panic(fmt.Sprintf("a slab was mapped at %#x: an address of %d bits, a multiple of %#x is needed", s.address, refBits, slabAlign))
	}
	s.records, s.used, s.number = records, slabHead, len(m.slabs)
	m.slabs = append(m.slabs, s)
	m.bytes += int64(size)
	*(*uint64)(s.address.pointer()) = uint64(s.number)
	return s
}

// slabOf returns the slab of an object. Slabs begin at multiples of slabAlign, and an object begins less than that after
// its slab's beginning.
func (m *memory) slabOf(r ref) *slab {
	base := r &^ (slabAlign - 1)
	s := m.slabs[*(*uint64)(base.pointer())]
	if s.address != base {
		panic(fmt.Sprintf("object %#x lies in no slab in use: slab %d is at %#x", r, s.number, s.address))
	}
	return s
}

// free takes an object out of use. Its bytes stay unchanged because Views may still read them.
func (m *memory) free(r ref, size int) *slab {
	s := m.slabOf(r)
	s.live -= size
	m.live -= int64(size)
	if s.live < 0 {
		panic(fmt.Sprintf("slab %d has %d live bytes after %d were freed at %#x", s.number, s.live, size, r))
	}
	return s
}

// retire gives up a slab without objects in use. The slab stays mapped as long as a View of this epoch or an earlier one
// is in use.
func (m *memory) retire(s *slab, e *epoch) {
	if s.live != 0 {
		panic(fmt.Sprintf("slab %d is given up with %d live bytes", s.number, s.live))
	}
	last := m.slabs[len(m.slabs)-1]
	last.number = s.number
	m.slabs[s.number] = last
	*(*uint64)(last.address.pointer()) = uint64(last.number)
	m.slabs[len(m.slabs)-1] = nil
	m.slabs = m.slabs[:len(m.slabs)-1]
	m.bytes -= int64(s.size)
	e.retired = append(e.retired, s)
	s.given.Store(true)
	m.ledger.retired.Add(int64(s.size))
}

// roundUp rounds a size up to a multiple of 8.
func roundUp(n int) int { return (n + 7) &^ 7 }

// evacuation moves the objects in use out of sparse slabs, one slab after the other, so that these slabs can be retired.
// A copy is complete before anything refers to it. The original stays unchanged: Views that reach it by the old path read
// the same data.
type evacuation struct {
	// waiting are the sparse slabs, each once: slab.queued is set in all of them and in source.
	waiting []*slab
	// source is being evacuated, or nil. Everything before offset in it is relocated or was not in use.
	source *slab
	offset int
	// prefetched is the end of the part that prefetchNeighbours has loaded.
	prefetched int
	// from is the next version that refers to the old copy of a relocated record, or 0; to is the record's new copy.
	// Versions older than from also refer to the old copy, newer ones do not.
	from, to ref
}

const (
	// evacuationPerByte is how many bytes of a slab one entry may go through for each byte that it added, on top of
	// limits.Index.EvacuationBytes. At most half of an evacuated slab is in use (sparseAtRest), so going through twice the
	// added bytes frees as much as was added. The same amount again is left for fixWork.
	evacuationPerByte = 4
	// fixWork is the cost of correcting one version's record, in bytes gone through.
	fixWork = 128
)

// enqueue adds a slab if less than one part in parts of it is in use.
func (e *evacuation) enqueue(s *slab, parts int) {
	if s.below(parts) {
		s.queued = true
		e.waiting = append(e.waiting, s)
	}
}

// evacuate does one step.
func (s *store) evacuate(work int64) {
	e := &s.keys.evacuation
	for _, filled := range s.keys.memory.sealed {
		e.enqueue(filled, sparse)
	}
	clear(s.keys.memory.sealed)
	s.keys.memory.sealed = s.keys.memory.sealed[:0]
	for {
		switch {
		case work <= 0:
			s.limits.Reach("evacuation")
			return
		case e.from != 0:
			s.keys.correct()
			work -= fixWork
		case e.source == nil && len(e.waiting) == 0:
			chosen, cost := s.choose()
			if work -= cost; cost == 0 {
				return
			}
			if chosen != nil {
				chosen.queued = true
				e.waiting = append(e.waiting, chosen)
			}
		case e.source == nil:
			e.source, e.offset, e.prefetched = e.waiting[0], slabHead, slabHead
			e.waiting[0] = nil
			e.waiting = e.waiting[1:]
		case e.offset == e.source.used || e.source.live == 0:
			s.keys.memory.retire(e.source, s.keys.epoch)
			e.source = nil
		case e.source.records:
			work -= int64(s.evacuateRecord())
		default:
			work -= int64(s.evacuateVersion())
		}
	}
}

// evacuateVersion relocates the next version and returns its size.
func (s *store) evacuateVersion() int {
	e := &s.keys.evacuation
	if e.offset >= e.prefetched {
		s.keys.prefetchNeighbours()
	}
	at := e.source.address + ref(e.offset)
	v := at.version()
	size := v.size()
	e.offset += size
	if v.owner&versionDead != 0 {
		return size
	}
	newer, record := v.newer(), ref(0)
	if newer == 0 {
		record = s.keys.recordOf(v)
		if s.overBudget() && s.evictableNow(v) {
			s.replace(&record.record().head, v.flags()|cold, nil)
			s.coldLive += int64(v.valueSize())
			return size
		}
	}
	to := s.keys.copy(&s.keys.relocated, at, size)
	if newer != 0 {
		newer.version().prev.Store(uint64(to))
	} else {
		record.record().head.Store(uint64(to))
		record.record().unuse()
	}
	if older := v.older(); older != 0 {
		older.version().setNewer(to)
	}
	if s.history.holds(v.mod, int64(v.sub)) {
		s.history.change(v.mod, int64(v.sub)).Store(changeWord(to))
	}
	return size
}

// evacuateRecord relocates the next record and returns its size. The next steps correct its versions.
func (s *store) evacuateRecord() int {
	s.keys.flushNewKeys() // one of them may be this record
	e := &s.keys.evacuation
	at := e.source.address + ref(e.offset)
	r := at.record()
	size := recordSize(int(r.size))
	e.offset += size
	if r.owner&recordDead != 0 {
		return size
	}
	to := s.keys.newRecord(r.key())
	to.record().head.Store(r.head.Load())
	to.record().owner = r.owner
	e.source.live -= size
	s.keys.memory.live -= int64(size)
	r.owner |= recordRelocated
	s.keys.table.replace(hashOf(r.key()), at, to)
	s.keys.tree.Set(to)
	if to.record().newest().has(tombstone) {
		s.keys.tombstoned.Set(to)
	}
	if lease := to.record().newest().lease(); lease != 0 {
		s.leases.attach(lease, to)
	}
	s.keys.changed = true
	e.from, e.to = ref(r.head.Load()), to
	return size
}

// correct makes one version refer to its record's new copy, and moves on to the previous version. Versions that were
// added since already refer to it; versions that were compacted meanwhile need no correction.
func (s *keyspace) correct() {
	e := &s.evacuation
	v := e.from.version()
	if v.owner&versionDead != 0 {
		e.from = 0
		return
	}
	v.record.Store(uint64(e.to))
	e.from = v.older()
}

// copy copies an object into another slab.
func (s *keyspace) copy(to *arena, at ref, size int) ref {
	from := s.evacuation.source
	copied := s.memory.alloc(to, size)
	if s.memory.slabOf(copied) == from {
		panic(fmt.Sprintf("slab %d is evacuated into itself", from.number))
	}
	copy(unsafe.Slice((*byte)(copied.pointer()), size), unsafe.Slice((*byte)(at.pointer()), size))
	from.live -= size
	s.memory.live -= int64(size)
	return copied
}
