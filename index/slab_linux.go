//go:build linux && !race

package index

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slabAlign is the size of a large slab, and where slabs begin: at its multiples, which are those of a huge page too.
const slabAlign = 4 << 20

// spareSlabs is how many large slabs that nobody can reach any longer are kept for the next ones: memory that was
// never touched costs a page fault, and the zeroing of a huge page. So many come at once when a snapshot is done, whose
// View has held all that was given up meanwhile. Who is idle keeps none (ledger.rest).
const spareSlabs = 32

// mapping is memory of the kernel. It is given back when nothing refers to it.
type mapping struct {
	base    unsafe.Pointer
	bytes   uintptr
	cleanup runtime.Cleanup
}

// ledger is what slabs report to when nothing refers to them any longer. It refers to no slab.
type ledger struct {
	retired atomic.Int64 // bytes of slabs that are given up and still mapped
	spares  atomic.Int32
	top     atomic.Pointer[spare]
	resting atomic.Bool // no spares are kept
}

// spare is an element of a stack to which the garbage collector's goroutines add, and from which the owner takes.
type spare struct {
	mapping *mapping
	next    *spare
}

// mapSlab returns memory outside of the heap, of any content.
func (l *ledger) mapSlab(size int) *slab {
	m := l.take(size)
	if m == nil {
		m = mapMemory(size)
	}
	s := &slab{base: ref(uintptr(m.base)), size: size, given: new(atomic.Bool)}
	end := ending{m, l, s.given, int64(size)}
	runtime.AddCleanup(s, ending.run, end)
	return s
}

// mapMemory maps memory. Large slabs are made of huge pages: fewer page faults and TLB misses, and a process that is
// killed gives its memory back thirty times faster, before its sockets close.
func mapMemory(size int) *mapping {
	room := uintptr(size) + slabAlign
	at, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("mapping %d bytes of memory failed: %v", room, err))
	}
	before := -uintptr(at) & (slabAlign - 1)
	page := uintptr(unix.Getpagesize())
	keep := (uintptr(size) + page - 1) &^ (page - 1)
	base := unsafe.Add(at, before)
	unmap(at, before)
	unmap(unsafe.Add(base, keep), room-before-keep)
	if size == slabAlign {
		// Where the kernel has no huge pages the slab works all the same.
		_ = unix.Madvise(unsafe.Slice((*byte)(base), size), unix.MADV_HUGEPAGE)
	}
	m := &mapping{base: base, bytes: keep}
	m.cleanup = runtime.AddCleanup(m, func(base unsafe.Pointer) { unmap(base, keep) }, base)
	return m
}

func unmap(at unsafe.Pointer, n uintptr) {
	if n == 0 {
		return
	}
	if err := unix.MunmapPtr(at, n); err != nil {
		panic(fmt.Sprintf("unmapping %d bytes at %p failed: %v", n, at, err))
	}
}

// ending is what happens to the memory of a slab that nothing refers to any longer.
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
		return
	}
	e.ledger.push(e.mapping)
}

// push makes memory a spare.
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

// prepare adds a spare that was touched.
func (l *ledger) prepare() {
	m := mapMemory(slabAlign)
	all := unsafe.Slice((*byte)(m.base), slabAlign)
	for i := 0; i < slabAlign; i += unix.Getpagesize() {
		all[i] = 1
	}
	l.push(m)
}

// trim gives back the spares that are too many.
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

// atRest says that nobody has wanted a slab since rest was called.
func (l *ledger) atRest() bool { return l.resting.Load() }

// rest gives the spares back, and those that come until the next slab is wanted.
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

// pop returns a spare, or nil. An element never comes back once it was taken.
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
