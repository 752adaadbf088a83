package index

import (
	"fmt"
	"unsafe"
)

// evacuation moves what is in use out of slabs that are mostly not, one slab after the other, so that they can be
// given up. A copy is complete before anything refers to it, and what is left behind stays as it is: Views that came
// by the old way read the same.
type evacuation struct {
	waiting []*slab
	from    *slab
	offset  int // of the next object in from
	// behind is the next version that still refers to a record's copy that was left behind, and ahead the record.
	behind, ahead ref
}

const (
	// stepBytes is how much of a slab one entry always may go through, and timesHanded how much more for each byte
	// that it has added: a slab is at most half in use, so that at twice the pace there is never more to do.
	stepBytes   = 64 << 10
	timesHanded = 4
	// fixWork is what it costs to correct one version's record, in bytes gone through.
	fixWork = 128
)

// look takes a slab on if it has become sparse.
func (e *evacuation) look(s *slab) {
	if s.sparse() {
		s.queued = true
		e.waiting = append(e.waiting, s)
	}
}

// evacuate does one step.
func (s *State) evacuate(handed int64) {
	e := &s.evacuation
	for _, filled := range s.memory.sealed {
		e.look(filled)
	}
	clear(s.memory.sealed)
	s.memory.sealed = s.memory.sealed[:0]
	for work := s.layout.stepBytes + timesHanded*handed; work > 0; {
		switch {
		case e.behind != 0:
			s.correct()
			work -= fixWork
		case e.from == nil && len(e.waiting) == 0:
			return
		case e.from == nil:
			e.from, e.offset = e.waiting[0], slabHead
			e.waiting[0] = nil
			e.waiting = e.waiting[1:]
		case e.offset == e.from.used || e.from.live == 0:
			s.memory.retire(e.from, s.epoch)
			e.from = nil
		case e.from.records:
			work -= int64(s.evacuateRecord())
		default:
			work -= int64(s.evacuateVersion())
		}
	}
}

// evacuateVersion moves the next version and returns its size.
func (s *State) evacuateVersion() int {
	e := &s.evacuation
	at := e.from.base + ref(e.offset)
	v := at.version()
	size := v.size()
	e.offset += size
	if v.owner&versionDead != 0 {
		return size
	}
	to := s.copy(&s.survivors, at, size)
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

// evacuateRecord moves the next record and returns its size. Its versions are corrected in the next steps.
func (s *State) evacuateRecord() int {
	e := &s.evacuation
	at := e.from.base + ref(e.offset)
	r := at.record()
	size := recordSize(int(r.size))
	e.offset += size
	if r.owner&recordDead != 0 {
		return size
	}
	to := s.copy(&s.records, at, size)
	r.owner |= recordMoved
	s.table.replace(hashOf(r.key()), at, to)
	s.tree.Set(to)
	if to.record().newest().has(tombstone) {
		s.graves.Set(to)
	}
	s.changed = true
	e.behind, e.ahead = ref(r.head.Load()), to
	return size
}

// correct makes one version refer to its record's new copy, and goes on to the one before. Versions that came since
// refer to it already; those that are compacted meanwhile need not.
func (s *State) correct() {
	e := &s.evacuation
	v := e.behind.version()
	if v.owner&versionDead != 0 {
		e.behind = 0
		return
	}
	v.record.Store(uint64(e.ahead))
	e.behind = v.older()
}

// copy puts a copy of an object into another slab.
func (s *State) copy(to *arena, at ref, size int) ref {
	from := s.evacuation.from
	copied := s.memory.alloc(to, size)
	if s.memory.slabOf(copied) == from {
		panic(fmt.Sprintf("slab %d is evacuated into itself", from.number))
	}
	copy(unsafe.Slice((*byte)(copied.pointer()), size), unsafe.Slice((*byte)(at.pointer()), size))
	from.live -= size
	return copied
}
