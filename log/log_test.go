package log_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
)

func TestRandomWork(t *testing.T) {
	testlong.Skip(t)
	seeds := 60
	if *full {
		seeds = 2000
	}
	for seed := range uint64(seeds) {
		w := newWorld(t, seed)
		must(t, w.create())
		must(t, w.open())
		for i := range 300 {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, i, err)
			}
		}
		if err := w.sync(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		must(t, w.l.Close())
		if err := w.open(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The same on the real file system: made, filled over several segments, released, and opened again.
func TestRealDisk(t *testing.T) {
	o := log.Options{FS: disk.OS(), Dir: t.TempDir() + "/data/wal", Cluster: 1, Member: 2, SegmentBytes: 64 << 10, WindowBytes: limits.WindowBytes, Salt: rand.Uint64}
	must(t, o.FS.MkdirAll(strings.TrimSuffix(o.Dir, "/wal")))
	must(t, log.Create(o, log.Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{2}}}))
	next := uint64(2)
	for life := range uint64(5) {
		l, r, err := log.Open(o)
		must(t, err)
		if r.Last != next-1 || r.Torn != nil || r.HardState.Term != 1+life {
			t.Fatalf("life %d: %+v", life, r)
		}
		maker := log.NewMaker(o)
		l.AddSpare(spare(t, maker))
		for range 20 {
			e := entry(next, 1+life, strings.Repeat("x", 5000))
			next++
			l.Append(&log.HardState{Term: 2 + life, Commit: next - 2}, []*raftpb.Entry{e})
			at, err := l.Sync()
			must(t, err)
			r.Window.Append([]*raftpb.Entry{e}, at)
		}
		reader := log.NewReader(o.FS)
		r.Window.Publish(l.Segments())
		l.Release(next - 15)
		for _, name := range l.TakeReleased() {
			must(t, maker.Recycle(name))
		}
		if entries, err := (log.Storage{Window: r.Window, Reader: reader}).Entries(next-3, next, 1<<30); err != nil || len(entries) != 3 {
			t.Fatalf("%d entries: %v", len(entries), err)
		}
		must(t, l.Fence(true))
		must(t, reader.Close())
		if life%2 == 0 { // else the process just ends
			must(t, l.Close())
		}
	}
	info, err := os.Stat(o.Dir)
	must(t, err)
	if info.Mode() != 0o700|os.ModeDir {
		t.Errorf("the folder has mode %v", info.Mode())
	}
}
