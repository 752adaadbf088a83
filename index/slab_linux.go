//go:build linux && !race

package index

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slabAlign is the size of a large slab and the alignment of all slabs. It is a multiple of a huge page.
const slabAlign = 4 << 20

// spareSlabs is the number of unreachable large slabs that are kept for reuse: untouched memory costs a page fault and
// the zeroing of a huge page. That many become free at once when a snapshot is done, because its View kept all slabs that
// were retired meanwhile. An idle state keeps none (ledger.rest).
const spareSlabs = 32

// mapping is a memory mapping. It is unmapped when nothing refers to it.
type mapping struct {
	base    unsafe.Pointer
	bytes   uintptr
	cleanup runtime.Cleanup
}

// ledger receives the memory of slabs that nothing refers to any longer. It refers to no slab.
type ledger struct {
	retired atomic.Int64 // bytes of slabs that are retired and still mapped
	mapped  atomic.Int64 // slabs that something may refer to
	spares  atomic.Int32
	top     atomic.Pointer[spare]
	resting atomic.Bool // no spares are kept
}

// spare is an element of a stack. The garbage collector's goroutines push, and the owner pops.
type spare struct {
	mapping *mapping
	next    *spare
}

// mapSlab returns a slab outside the heap. Its content is arbitrary.
func (l *ledger) mapSlab(size int) *slab {
	m := l.take(size)
	if m == nil {
		var err error
		if m, err = mapMemory(size); err != nil {
			panic(err)
		}
	}
	l.mapped.Add(1)
	s := &slab{address: ref(uintptr(m.base)), size: size, given: new(atomic.Bool)}
	end := ending{m, l, s.given, int64(size)}
	runtime.AddCleanup(s, ending.run, end)
	return s
}

// mapMemory maps memory. Large slabs use huge pages: fewer page faults and TLB misses. The kernel also frees the memory
// of a killed process thirty times faster, before it closes the process's sockets.
func mapMemory(size int) (*mapping, error) {
	room := uintptr(size) + slabAlign
	at, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, &OutOfMemory{int64(room), err}
	}
	before := -uintptr(at) & (slabAlign - 1)
	page := uintptr(unix.Getpagesize())
	keep := (uintptr(size) + page - 1) &^ (page - 1)
	base := unsafe.Add(at, before)
	unmap(at, before)
	unmap(unsafe.Add(base, keep), room-before-keep)
	if size == slabAlign {
		// Without huge pages in the kernel the slab still works.
		_ = unix.Madvise(unsafe.Slice((*byte)(base), size), unix.MADV_HUGEPAGE)
	}
	m := &mapping{base: base, bytes: keep}
	m.cleanup = runtime.AddCleanup(m, func(base unsafe.Pointer) { unmap(base, keep) }, base)
	return m, nil
}

func unmap(at unsafe.Pointer, n uintptr) {
	if n == 0 {
		return
	}
	if err := unix.MunmapPtr(at, n); err != nil {
		panic(fmt.Sprintf("unmapping %d bytes at %p failed: %v", n, at, err))
	}
}

// ending is run when nothing refers to a slab any longer. It frees or keeps the slab's memory.
type ending struct {
	mapping *mapping
	ledger  *ledger
	given   *atomic.Bool
	bytes   int64
}

func (e ending) run() {
	if e.given.Load() {
		e.ledger.retired.Add(-e.bytes)
	}
	if e.bytes != slabAlign || e.ledger.resting.Load() || e.ledger.spares.Load() >= spareSlabs {
		e.mapping.unmap()
	} else {
		e.ledger.push(e.mapping)
	}
	e.ledger.mapped.Add(-1)
}

// push adds a spare.
func (l *ledger) push(m *mapping) {
	l.spares.Add(1)
	one := &spare{mapping: m}
	for {
		one.next = l.top.Load()
		if l.top.CompareAndSwap(one.next, one) {
			return
		}
	}
}

// prepare adds a spare whose pages are already touched, if there is memory for it.
func (l *ledger) prepare() {
	m, err := mapMemory(slabAlign)
	if err != nil {
		return
	}
	all := unsafe.Slice((*byte)(m.base), slabAlign)
	for i := 0; i < slabAlign; i += unix.Getpagesize() {
		all[i] = 1
	}
	l.push(m)
}

// trim unmaps spares over the limit.
func (l *ledger) trim() {
	for l.spares.Load() > spareSlabs {
		m := l.pop()
		if m == nil {
			return
		}
		m.unmap()
	}
}

func (m *mapping) unmap() {
	m.cleanup.Stop()
	unmap(m.base, m.bytes)
}

// atRest says that no slab was requested since the last call of rest.
func (l *ledger) atRest() bool { return l.resting.Load() }

// rest unmaps the spares. Until the next slab is requested, new spares are unmapped as well.
func (l *ledger) rest() {
	l.resting.Store(true)
	for m := l.pop(); m != nil; m = l.pop() {
		m.unmap()
	}
}

// take returns a spare for a slab, or nil.
func (l *ledger) take(size int) *mapping {
	if l.resting.Load() {
		l.resting.Store(false)
	}
	if size != slabAlign {
		return nil
	}
	return l.pop()
}

// pop returns a spare, or nil. A popped element is never pushed again.
func (l *ledger) pop() *mapping {
	for {
		one := l.top.Load()
		if one == nil {
			return nil
		}
		if l.top.CompareAndSwap(one, one.next) {
			l.spares.Add(-1)
			return one.mapping
		}
	}
}
