package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestOverwritingRelocatesLittle overwrites keys at random while compaction follows. Slabs are evacuated when little in
// them is in use, so less is relocated than put. At rest, slabs are evacuated earlier.
func TestOverwritingRelocatesLittle(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: defaults.CompactionWork,
		SlabBytes:      1 << 16, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	value := bytes.Repeat([]byte("v"), 256)
	random := rand.New(rand.NewPCG(1, 2))
	const keys, puts, kept = 2000, 30_000, 1000
	before := s.keys.memory.allocated
	for range puts {
		batch(t, s, 1, (&Head{}).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "key ", random.IntN(keys)), Value: value}).Bytes)
		keep(t, s, kept)
	}
	made := int64(puts * versionSize(0, len(value)))
	relocated := float64(s.keys.memory.allocated-before-made) / float64(made)
	t.Logf("%.2f bytes were relocated for each that was put", relocated)
	if relocated > 0.65 { // 1.0 where slabs are evacuated at the half
		t.Errorf("%.2f bytes were relocated for each that was put", relocated)
	}
	reclaimed(s)
	busy := s.keys.memory.bytes
	s.View().Rest()
	reclaimed(s)
	least := int64((keys + kept) * versionSize(0, len(value)))
	t.Logf("%d bytes were mapped when it was busy, %d are at rest, %d are in use", busy, s.keys.memory.bytes, least)
	if s.keys.memory.bytes > least*3/2 || s.keys.memory.bytes >= busy {
		t.Errorf("%d bytes are mapped at rest, %d before, for %d in use", s.keys.memory.bytes, busy, least)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}
