package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// published is what an applier and its readers share.
type published struct {
	view   atomic.Pointer[View]
	stop   atomic.Bool
	failed atomic.Pointer[error]
	reads  atomic.Int64
}

func (p *published) fail(err error) {
	if err != nil {
		p.failed.CompareAndSwap(nil, &err)
		p.stop.Store(true)
	}
}

// consistent reads a View in every way and holds it against its own numbers: the sum of all that is kept, and each key
// reads the same by itself.
func consistent(v *View, random *rand.Rand) error {
	defer runtime.KeepAlive(v)
	all, err := v.Range(kv.Range{Key: []byte{0}, End: []byte{0}}, 0)
	if err != nil || all.Count != v.Keys() || int64(len(all.KVs)) != v.Keys() {
		return fmt.Errorf("%d keys of %d: %w", all.Count, v.Keys(), err)
	}
	ahead := make([][]byte, PrefetchKeys)
	for i, pair := range all.KVs {
		ahead[i%len(ahead)] = pair.Key
		if random.IntN(4) == 0 {
			v.Prefetch(ahead[:i%len(ahead)+1])
			if one, found, err := v.Get(pair.Key, 0); !found || !sameKeyValue(one, pair) {
				return fmt.Errorf("%d of %d: get is %+v, range has %+v: %w", i, len(all.KVs), one, pair, err)
			}
		}
		if len(pair.Value) > 8 && binary.LittleEndian.Uint64(pair.Value) != uint64(len(pair.Value)) {
			return fmt.Errorf("the value of %q is torn", pair.Key)
		}
	}
	for f, done := NewVerifier(v), false; !done; {
		if done, err = f.Step(v, 1+random.IntN(1000)); err != nil {
			return err
		}
	}
	return consistentPast(v, random)
}

// consistentPast reads the past of a View: the events turn the state at an earlier revision into the current state.
func consistentPast(v *View, random *rand.Rand) error {
	oldest := max(v.Compacted(), 1)
	revision := oldest + random.Int64N(v.Revision()-oldest+1)
	then, err := v.Range(kv.Range{Key: []byte{0}, End: []byte{0}, Revision: revision, KeysOnly: true}, 0)
	if err != nil {
		return err
	}
	mods := map[string]int64{}
	for _, pair := range then.KVs {
		mods[string(pair.Key)] = pair.ModRevision
	}
	before := revision
	err = v.Events(revision+1, func(e *kv.Event) bool {
		if e.Sub == 0 {
			before++
		}
		if e.KV.ModRevision != before {
			return false
		}
		if mods[string(e.KV.Key)] = e.KV.ModRevision; e.Deleted {
			delete(mods, string(e.KV.Key))
		}
		return true
	})
	if err != nil || before != v.Revision() || int64(len(mods)) != v.Keys() {
		return fmt.Errorf("from revision %d the events lead to %d with %d keys, the newest is %d with %d: %w",
			revision, before, len(mods), v.Revision(), v.Keys(), err)
	}
	kept, sum := int64(0), uint64(0)
	v.Scan(nil, func(key []byte, versions []Version) bool {
		for _, one := range versions {
			sum += sumOf(hashOf(key), one.Value, one.Create, one.Mod, one.Sub, one.Version, one.Lease, one.Author)
		}
		if last := versions[len(versions)-1]; !last.Tombstone {
			if mods[string(key)] != last.Mod {
				err = fmt.Errorf("%q was changed at %d, by the events at %d", key, last.Mod, mods[string(key)])
			}
			kept++
		}
		return err == nil
	})
	if err == nil && kept != v.Keys() {
		err = fmt.Errorf("scan has %d keys of %d", kept, v.Keys())
	}
	if err == nil && sum != v.history.keptSum {
		err = fmt.Errorf("the sum of all that is kept at revision %d is %x, counted is %x", v.revision, v.history.keptSum, sum)
	}
	return err
}

// read reads the newest View, and from time to time a kept one.
func (p *published) read(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	kept := p.view.Load()
	for !p.stop.Load() {
		v := p.view.Load()
		if random.IntN(3) == 0 {
			v = kept
		} else if random.IntN(3) == 0 {
			kept = v
		}
		p.fail(consistent(v, random))
		p.reads.Add(1)
	}
}

// randomBatch is commands on few keys: every kind of change happens to each of them.
func randomBatch(random *rand.Rand, keys int) [][]byte {
	var commands [][]byte
	for range 1 + random.IntN(40) {
		key := fmt.Appendf(nil, "%03d", random.IntN(keys))
		switch n := random.IntN(40); {
		case n == 0:
			commands = append(commands, new(Head).AppendDelete(nil, &kv.Delete{Key: key, End: fmt.Appendf(nil, "%03d", random.IntN(keys))}).Bytes)
		case n < 8:
			commands = append(commands, new(Head).AppendDelete(nil, &kv.Delete{Key: key, End: nil}).Bytes)
		case n < 11:
			put, del := kv.Op{Put: &kv.Put{Key: key}}, kv.Op{Delete: &kv.Delete{Key: key, End: append(key, '9')}}
			ops := []kv.Op{put, del, put, {Put: &kv.Put{Key: fmt.Appendf(nil, "%03d", random.IntN(keys))}}}
			commands = append(commands, new(Head).AppendTxn(nil, &kv.Txn{Success: ops[random.IntN(3):]}).Bytes)
		default:
			size := random.IntN(300)
			if random.IntN(100) == 0 {
				size = random.IntN(30_000)
			}
			value := bytes.Repeat(key[:1], size)
			if size > 8 {
				binary.LittleEndian.PutUint64(value, uint64(size))
			}
			commands = append(commands, new(Head).AppendPut(nil, &kv.Put{Key: key, Value: value}).Bytes)
		}
	}
	return commands
}

// TestReaders reads Views, new ones and old ones, while the owner applies, compacts, evacuates, gives slabs up and
// lets the garbage collector take them. Without the race detector slabs are really unmapped; with it, it sees them.
func TestReaders(t *testing.T) {
	duration := 2 * time.Second
	if testing.Short() {
		duration = time.Second
	}
	s := NewState(limits.Index{
		CompactionWork: 100,
		SlabBytes:      32 << 10, EvacuationBytes: 1 << 10, CountedRows: defaults.CountedRows,
	})
	p := &published{}
	p.view.Store(s.View())
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() { p.read(uint64(i)) })
	}
	random := rand.New(rand.NewPCG(5, 6))
	for until := time.Now().Add(duration); time.Now().Before(until) && !p.stop.Load(); {
		batch(t, s, time.Now().UnixNano(), randomBatch(random, 400)...)
		keep(t, s, 500)
		p.view.Store(s.View())
		if random.IntN(50) == 0 {
			runtime.GC()
		}
	}
	p.stop.Store(true)
	readers.Wait()
	if err := p.failed.Load(); err != nil {
		t.Fatal(*err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	t.Logf("%d reads, %d revisions, compacted to %d, %d slabs of %d KiB, %d KiB given up and not collected",
		p.reads.Load(), v.Revision(), v.Compacted(), len(s.keys.memory.slabs), v.MappedBytes()>>10, v.RetiredBytes()>>10)
}

// TestSlabsAreGivenBack waits until the garbage collector finds that slabs are unreachable.
func TestSlabsAreGivenBack(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: 10_000,
		SlabBytes:      slabAlign, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	held := s.View()
	random := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		batch(t, s, 1, randomBatch(random, 100)...)
		keep(t, s, 500)
	}
	if err := eventually(20, func() bool { return s.View().RetiredBytes() == 0 }); err == nil {
		t.Error("slabs went that a View may reach")
	}
	if held.Keys() != 0 {
		t.Error("a View has changed")
	}
	runtime.KeepAlive(held)
	held = nil
	if err := eventually(2000, func() bool { return s.View().RetiredBytes() == 0 }); err != nil {
		t.Errorf("%d bytes are given up and stay: %v", s.View().RetiredBytes(), err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

// eventually collects garbage until a condition holds: finding that out is for a goroutine that the host has to let run.
func eventually(collections int, done func() bool) error {
	for range collections {
		runtime.GC()
		if done() {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("not after %d collections", collections)
}
