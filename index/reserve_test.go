package index

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A state takes the memory that its reserve has prepared, and Close frees the excess.
func TestReserve(t *testing.T) {
	l := limits.Index{CompactionWork: defaults.CompactionWork, SlabBytes: slabAlign, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows}
	r := NewReserve()
	const made = 50
	r.want(20 * slabAlign)
	r.want((made-20)*slabAlign + 1)
	var both sync.WaitGroup
	both.Go(r.fill)
	both.Go(r.fill)
	both.Wait()
	s := newState(r.ledger, l)
	value := bytes.Repeat([]byte("v"), 8<<10)
	for i := 0; len(s.keys.memory.slabs) < 20; i++ {
		batch(t, s, 1, (&Head{}).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "key ", i), Value: value}).Bytes)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	before := ready(s.keys.memory.ledger)
	r.Close()
	r.want(10 * slabAlign)
	r.fill()
	after := ready(s.keys.memory.ledger)
	t.Logf("%d slabs were ready for %d, %d are after it was closed", before, len(s.keys.memory.slabs), after)
	if spareSlabs > 0 {
		large := 0
		for _, one := range s.keys.memory.slabs {
			if one.size == slabAlign {
				large++
			}
		}
		if before != made-large {
			t.Errorf("of %d slabs that were ready %d are left, %d were taken", made, before, large)
		}
		if after > before || after > spareSlabs {
			t.Errorf("%d slabs are ready after the reserve was closed", after)
		}
	}
}
