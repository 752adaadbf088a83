//go:build linux && !race

package index

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestSparesRest takes slabs, gives them up and lets the ledger rest: nothing is kept then, and the next slab makes it keep
// spares again.
func TestSparesRest(t *testing.T) {
	l := &ledger{}
	give := func() {
		m, err := mapMemory(slabAlign)
		if err != nil {
			t.Fatal(err)
		}
		ending{mapping: m, ledger: l, given: new(atomic.Bool), bytes: slabAlign}.run()
	}
	for range spareSlabs + 3 {
		give()
	}
	if n := l.spares.Load(); n != spareSlabs {
		t.Fatalf("%d spares are kept of %d slabs, expected %d", n, spareSlabs+3, spareSlabs)
	}
	top := l.top.Load().mapping
	if s := l.mapSlab(slabAlign); s.address != ref(uintptr(top.base)) {
		t.Errorf("a slab was mapped at %#x, while there was a spare at %p", s.address, top.base)
	}
	l.rest()
	if n := l.spares.Load(); n != 0 || l.top.Load() != nil {
		t.Errorf("%d spares are there after all were given back", n)
	}
	l.mapSlab(slabAlign)
	give()
	if n := l.spares.Load(); n != 1 {
		t.Errorf("%d spares are there, expected one: a slab was wanted since", n)
	}
	l.rest()
	give()
	if n := l.spares.Load(); n != 0 {
		t.Errorf("%d spares are kept by who rests", n)
	}
}

func ready(l *ledger) int { return int(l.spares.Load()) }

// A state that is discarded leaves nothing mapped: no slab, and no spare that was prepared for it.
func TestDiscard(t *testing.T) {
	r := NewReserve()
	r.Prepare(8*slabAlign, 0, func(do func()) { go do() })
	func() {
		s := newState(r.ledger, limits.Defaults().Index)
		s.Found(Founders(map[string]uint64{"n1": 1}))
		value := make([]byte, 1<<20)
		for n := range uint64(20) {
			put := new(Head).AppendPut(nil, &kv.Put{Key: []byte{byte(n)}, Value: value}).Bytes
			if _, err := s.Apply(n+1, 1, AppendEnvelope(nil, Envelope{}, [][]byte{put}), nil); err != nil {
				t.Fatal(err)
			}
		}
		if r.Discard() || r.ledger.mapped.Load() == 0 {
			t.Error("a state in use has no slab")
		}
		runtime.KeepAlive(s)
	}()
	for try := 0; try < 20 && !r.Discard(); try++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if r.ledger.mapped.Load() != 0 || ready(r.ledger) != 0 {
		t.Errorf("%d slabs and %d spares stay", r.ledger.mapped.Load(), ready(r.ledger))
	}
}
