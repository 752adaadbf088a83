package web

import (
	"fmt"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestHoldersOfHiddenKeys lists leases as a user who may read a few of their many keys. No step looks at more keys than a step of a range,
// and the keys behind the hidden ones are found.
func TestHoldersOfHiddenKeys(t *testing.T) {
	const leaseCount, each = 5, 3 * limits.RangeRows
	s := index.NewState(limits.Index{})
	entry := uint64(0)
	apply := func(command []byte) {
		t.Helper()
		entry++
		results, err := s.Apply(entry, 1, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{command}), nil)
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	for id := int64(1); id <= leaseCount; id++ {
		apply(new(index.Head).AppendGrant(nil, kv.Lease{ID: id, TTL: 60}))
		for k := range each {
			apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "hidden/%d/%04d", id, k), Value: []byte("v"), Lease: id}))
		}
	}
	for _, id := range []int64{2, 4} {
		apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "mine/%x", id), Value: []byte("v"), Lease: id}))
	}
	looked := 0
	l := newLeases(func(_ *index.View, key []byte) bool {
		looked++
		return strings.HasPrefix(string(key), "mine/")
	})
	for done := false; !done; {
		before := looked
		var err error
		if done, err = l.step(s.View()); err != nil {
			t.Fatal(err)
		}
		if looked-before > limits.RangeRows {
			t.Fatalf("a step has looked at %d keys", looked-before)
		}
	}
	if len(l.All) != 2 || l.All[0].ID != "2" || l.All[1].ID != "4" || l.Total != leaseCount {
		t.Fatalf("%+v", l)
	}
	for i := range l.All {
		if one := &l.All[i]; len(one.Keys) != 1 || len(one.Locks) != 1 || one.Locks[0].Holds != (i == 0) || one.More {
			t.Errorf("%+v", one)
		}
	}
	if want := leaseCount*each + 2; looked != want {
		t.Errorf("%d keys were looked at, want %d: each once", looked, want)
	}
}
