package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"qkv/internal/limits"
)

// alike returns keys whose hashes share their first bits.
func alike(n, bits int) (keys []string) {
	for i := 0; len(keys) < n; i++ {
		if k := fmt.Sprintf("key %d", i); hashOf([]byte(k))>>(64-bits) == 0 {
			keys = append(keys, k)
		}
	}
	return keys
}

// holds fails unless a View has exactly these keys.
func holds(t *testing.T, v *View, keys []string, there func(i int) bool) {
	t.Helper()
	for some := range slices.Chunk(keys, PrefetchKeys) {
		ahead := make([][]byte, len(some))
		for i := range some {
			ahead[i] = []byte(some[i])
		}
		v.Prefetch(ahead)
	}
	for i, k := range keys {
		pair, found, err := v.Get([]byte(k), 0)
		if err != nil || found != there(i) || found && string(pair.Key) != k {
			t.Fatalf("key %d of %d, %q, is there: %v, it should be: %v; %v", i, len(keys), k, found, there(i), err)
		}
	}
}

// TestOverflow chooses keys by their hashes, like an attacker who wants the table to grow without end.
func TestOverflow(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: defaults.CompactionWork,
		SlabBytes:      4 << 10, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	keys := alike(700, 9)
	for _, k := range keys {
		batch(t, s, 1, put(k, "first"), put(k, k))
	}
	if n := len(s.keys.table.dir.Load().segments); n > 64 {
		t.Errorf("a directory of %d for %d keys", n, len(keys))
	}
	if s.keys.table.count >= len(keys) {
		t.Fatalf("all %d keys are in the table: nothing was overflow", len(keys))
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	all := s.View()
	holds(t, all, keys, func(int) bool { return true })
	for i := 0; i < len(keys); i += 2 {
		batch(t, s, 1, del(keys[i], ""))
	}
	batch(t, s, 1, del("absent", ""), put("z", ""))
	keep(t, s, 0)
	reclaimed(s)
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if n := s.keys.tree.Len(); n != len(keys)/2+1 {
		t.Errorf("%d keys are left", n)
	}
	v := s.ViewToSave()
	holds(t, v, keys, func(i int) bool { return i%2 == 1 })
	holds(t, restored(t, v).View(), keys, func(i int) bool { return i%2 == 1 })
	holds(t, all, keys, func(int) bool { return true })
}

// TestOverflowIsDivided: when other keys make the directory larger, segments divide for which there were too many keys before. Those
// that did not go in are found all the same.
func TestOverflowIsDivided(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: defaults.CompactionWork,
		SlabBytes:      64 << 10, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	keys := alike(700, 9)
	const first = 600
	for _, k := range keys[:first] {
		batch(t, s, 1, put(k, ""))
	}
	before := s.keys.table.count
	if before >= first {
		t.Fatalf("all %d keys are in the table: nothing was overflow", first)
	}
	for i := range 20_000 {
		batch(t, s, 1, put(fmt.Sprint("other ", i), ""))
	}
	for _, k := range keys[first:] {
		batch(t, s, 1, put(k, ""))
	}
	if depth := s.keys.table.segment(hashOf([]byte(keys[0]))).depth; depth <= 9 {
		t.Fatalf("the keys' segment has the depth %d: it did not divide", depth)
	}
	holds(t, s.View(), keys, func(int) bool { return true })
}

// TestTableGrows goes through many divisions, and takes keys out and in again so that segments fill with removed slots.
func TestTableGrows(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: defaults.CompactionWork,
		SlabBytes:      64 << 10, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	random := rand.New(rand.NewPCG(1, 1))
	there := make([]bool, 20_000)
	keys := make([]string, len(there))
	for i := range keys {
		keys[i] = fmt.Sprint("key ", i)
	}
	var views []*View
	var then [][]bool
	for range 300 {
		var commands [][]byte
		for range 300 {
			i := random.IntN(len(keys))
			if there[i] = random.IntN(3) > 0; there[i] {
				commands = append(commands, put(keys[i], ""))
			} else {
				commands = append(commands, del(keys[i], ""))
			}
		}
		batch(t, s, 1, commands...)
		keep(t, s, 100)
		if random.IntN(100) == 0 {
			views = append(views, s.View())
			then = append(then, append([]bool{}, there...))
		}
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if d := s.keys.table.dir.Load(); len(d.segments) < 32 || len(d.segments) > 256 {
		t.Errorf("%d places for %d keys", len(d.segments), s.keys.table.count)
	}
	for i, v := range append(views, s.View()) {
		set := there
		if i < len(then) {
			set = then[i]
		}
		holds(t, v, keys, func(i int) bool { return set[i] })
	}
}
