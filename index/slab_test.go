package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestOverwritingRelocatesLittle overwrites keys at random while compaction follows. Slabs are evacuated when little in
// them is in use, so less is relocated than put. At rest, slabs are evacuated earlier.
func TestOverwritingRelocatesLittle(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: limits.CompactionWork,
		SlabBytes:      1 << 16, EvacuationBytes: limits.EvacuationBytes, CountedRows: limits.CountedRows,
	})
	value := bytes.Repeat([]byte("v"), 256)
	random := rand.New(rand.NewPCG(1, 2))
	const keys, puts, kept = 2000, 30_000, 1000
	before := s.keys.memory.handed
	for range puts {
		batch(t, s, 1, (&Head{}).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "key ", random.IntN(keys)), Value: value}))
		keep(t, s, kept)
	}
	each := versionSize(apart, len(value)) + cellSize(len(value))
	made := int64(puts * each)
	relocated := float64(s.keys.memory.handed-before-made) / float64(made)
	t.Logf("%.2f bytes were relocated for each that was put", relocated)
	if relocated > 0.65 { // 1.0 where slabs are evacuated at the half
		t.Errorf("%.2f bytes were relocated for each that was put", relocated)
	}
	reclaimed(s)
	busy := s.keys.memory.bytes
	s.View().Rest()
	reclaimed(s)
	least := int64((keys + kept) * each)
	t.Logf("%d bytes were mapped when it was busy, %d are at rest, %d are in use", busy, s.keys.memory.bytes, least)
	if s.keys.memory.bytes > least*3/2 || s.keys.memory.bytes >= busy {
		t.Errorf("%d bytes are mapped at rest, %d before, for %d in use", s.keys.memory.bytes, busy, least)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestCellsMove relocates versions and values, each without the other and both, while Views of all ages read them.
func TestCellsMove(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: limits.CompactionWork,
		SlabBytes:      1 << 12, EvacuationBytes: 1 << 14, CountedRows: limits.CountedRows,
	})
	random := rand.New(rand.NewPCG(3, 4))
	value := func(key, round int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d.%d ", key, round), 20+key%30) }
	const keys, stay = 300, 15 // every 15th key is never overwritten
	newest := make([]int, keys)
	for key := range keys {
		batch(t, s, 1, (&Head{}).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, key), Value: value(key, 0)}))
	}
	type moment struct {
		view   *View
		newest []int
	}
	var moments []moment
	movedValue, movedVersion := 0, 0
	for round := 1; round <= 60; round++ {
		var before [keys][2]ref
		for key := 0; key < keys; key += stay {
			v := newestOf(s, fmt.Sprint(key))
			before[key] = [2]ref{refOf(v), v.cell()}
		}
		for range 100 {
			key := random.IntN(keys/stay)*stay + 1 + random.IntN(stay-1)
			newest[key] = round
			batch(t, s, 1, (&Head{}).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, key), Value: value(key, round)}))
		}
		moments = append(moments, moment{s.View(), slices.Clone(newest)})
		keep(t, s, 50)
		reclaimed(s)
		if err := s.Check(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for key := 0; key < keys; key += stay {
			v := newestOf(s, fmt.Sprint(key))
			if refOf(v) != before[key][0] {
				movedVersion++
			}
			if v.cell() != before[key][1] {
				movedValue++
			}
		}
		for _, m := range moments[max(0, len(moments)-8):] {
			for key, round := range m.newest {
				if pair, found, err := m.view.Get(fmt.Append(nil, key), 0); err != nil || !found || !bytes.Equal(pair.Value, value(key, round)) {
					t.Fatalf("key %d of round %d is %q, %v, %v", key, round, pair.Value, found, err)
				}
			}
		}
	}
	t.Logf("versions moved %d times, values %d times", movedVersion, movedValue)
	if movedVersion == 0 || movedValue == 0 {
		t.Error("nothing was relocated: the test shows nothing")
	}
}
