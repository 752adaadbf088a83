package log_test

import (
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// spare steps the maker until a spare is done.
func spare(t testing.TB, m *log.Maker) string {
	t.Helper()
	for range 1000 {
		name, done, err := m.Step()
		must(t, err)
		if done {
			return name
		}
	}
	t.Fatal("no spare after 1000 steps")
	return ""
}

func (w *world) files() []string {
	names, err := w.m.List(dir)
	must(w.t, err)
	return names
}

// A step writes at most 256 KiB, and no more than 1 MiB waits for a sync; of a quick disk four times as much.
func TestMakerSteps(t *testing.T) {
	for quick, times := range map[bool]int64{false: 1, true: 4} {
		w := opened(t, 64<<10)
		o := w.o
		o.SegmentBytes = 10<<20 + 12<<10
		m := log.NewMaker(o)
		m.Quick = quick
		steps, unsynced := int64(0), int64(0)
		for {
			used, syncs := w.m.Used(), w.m.Count(simdisk.OpSync)
			_, done, err := m.Step()
			must(t, err)
			if grown := w.m.Used() - used; grown > times*256<<10 {
				t.Fatalf("a step wrote %d bytes", grown)
			} else if unsynced += grown; unsynced > times<<20 {
				t.Fatalf("%d bytes wait for a sync", unsynced)
			}
			if w.m.Count(simdisk.OpSync) > syncs {
				unsynced = 0
			}
			if steps++; done {
				break
			}
		}
		if want := o.SegmentBytes/(times*256<<10) + 3; steps > want {
			t.Errorf("quick %v: %d steps, %d are enough", quick, steps, want)
		}
	}
}

// The first zeros of a file are few: nothing is known of the disk since the last one.
func TestMakerBegins(t *testing.T) {
	w := opened(t, 64<<10)
	o := w.o
	o.SegmentBytes = 10 << 20
	m := log.NewMaker(o)
	m.Quick = true
	var grown []int64
	for range 3 {
		used := w.m.Used()
		_, _, err := m.Step()
		must(t, err)
		grown = append(grown, w.m.Used()-used)
	}
	if want := []int64{0, 256 << 10, 1 << 20}; !slices.Equal(grown, want) {
		t.Errorf("steps of %d bytes, want %d", grown, want)
	}
}

// Of the released files few are kept; those of another size are removed.
func TestMakerRecycles(t *testing.T) {
	w := opened(t, 64<<10)
	for w.l.Stats().Segments < 9 {
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 12_000)))
	}
	w.l.Release(w.now.last())
	released := w.l.TakeReleased()
	if len(released) != 8 || len(w.l.TakeReleased()) != 0 {
		t.Fatalf("released %q", released)
	}
	for _, name := range released {
		must(t, w.maker.Recycle(name))
	}
	kept := limits.SparesMost - limits.SpareSegments
	if got := len(w.files()); got != 1+kept {
		t.Errorf("%q are left", w.files())
	}
	calls := w.m.Count(simdisk.OpWrite)
	name := spare(t, w.maker)
	if w.m.Count(simdisk.OpWrite) != calls {
		t.Error("a released file was filled again")
	}
	if slices.Contains(released, name) {
		t.Errorf("%s has kept its number", name)
	}
	if slices.Contains(w.files(), "0000000000000001.wal") {
		t.Error("the founding segment is still there")
	}
}

// A log that is written quickly has more of its files wait for reuse. When it is slow again, the oldest are removed first.
func TestMakerKeeps(t *testing.T) {
	w := opened(t, 64<<10)
	for w.l.Stats().Segments < 9 {
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 12_000)))
	}
	w.l.Release(w.now.last())
	w.maker.Keeps = 5
	released := w.l.TakeReleased()
	for _, name := range released {
		must(t, w.maker.Recycle(name))
	}
	if got := w.files(); len(got) != 1+5 {
		t.Errorf("%q are left", got)
	}
	writes := w.m.Count(simdisk.OpWrite)
	for range 3 {
		w.l.AddSpare(spare(t, w.maker))
	}
	w.maker.Keeps = 0
	must(t, w.maker.Trim())
	if got := w.m.Count(simdisk.OpWrite); got != writes {
		t.Errorf("%d writes for three released files", got-writes)
	}
	if got := w.maker.Bytes(); got != 2*64<<10 {
		t.Errorf("%d bytes wait for reuse", got)
	}
	if got := w.files(); slices.ContainsFunc(released[:6], func(name string) bool { return slices.Contains(got, path.Base(name)) }) {
		t.Errorf("of %q, older files are left: %q", released, got)
	}
}

// For a quick log a new file is reserved: one step, no zeros, and durable before it is a spare. After any crash the log
// has what was acknowledged, and nothing that it did not write.
func TestMakerReserves(t *testing.T) {
	testlong.Skip(t)
	for v := range simdisk.Variants {
		for seed := range uint64(10) {
			w := newWorld(t, seed)
			must(t, w.create())
			must(t, w.open())
			w.maker.Reserve = true
			writes := w.m.Count(simdisk.OpWrite)
			name, done, err := w.maker.Step()
			must(t, err)
			if !done || w.m.Count(simdisk.OpWrite) != writes {
				t.Fatalf("one step: %q, done %v, %d writes", name, done, w.m.Count(simdisk.OpWrite)-writes)
			}
			w.m.Crash(v)
			must(t, w.open())
			if got := w.files(); !slices.Contains(got, path.Base(name)) {
				t.Fatalf("%v: a spare is gone: %q", v, got)
			}
			file, err := w.m.Open(name)
			must(t, err)
			if size, err := file.Size(); err != nil || size != w.o.SegmentBytes {
				t.Fatalf("%v: a spare of %d bytes: %v", v, size, err)
			}
			must(t, file.Close())
			w.l.AddSpare(name)
			for w.l.Stats().Spares > 0 {
				w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 3000)))
			}
			for range 5 { // an unsynced group behind synced ones
				w.put(entry(w.now.last()+1, 1, strings.Repeat("y", 3000)))
			}
			w.append(w.now.last()+1, 1, 3, nil)
			w.m.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpSync, Err: syscall.EIO})
			if err := w.sync(); err == nil {
				t.Fatal("a failed sync")
			}
			w.m.ClearFaults()
			w.m.Crash(v)
			must(t, w.open())
		}
	}
}

// A disk that cannot reserve has its spares filled, and a full one loses nothing.
func TestMakerCannotReserve(t *testing.T) {
	w := opened(t, 64<<10)
	w.maker.Reserve = true
	w.m.Fail(simdisk.Fault{Op: simdisk.OpReserve, Err: errors.ErrUnsupported, Stays: true})
	writes := w.m.Count(simdisk.OpWrite)
	w.l.AddSpare(spare(t, w.maker))
	if w.m.Count(simdisk.OpWrite) == writes {
		t.Error("it is neither reserved nor filled")
	}
	w.m.ClearFaults()
	used := w.m.Used()
	w.m.SetCapacity(used + 100)
	if _, _, err := w.maker.Step(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if got := w.files(); w.m.Used() != used || slices.Contains(got, "maker.tmp") {
		t.Errorf("%d bytes were not given back: %q", w.m.Used()-used, got)
	}
	w.m.SetCapacity(1 << 30)
	spare(t, w.maker)
}

// A spare that the log has overtaken by making a segment itself is handed back.
func TestOvertakenSpare(t *testing.T) {
	w := opened(t, 64<<10)
	late := spare(t, w.maker)
	for w.l.Stats().Inline == 0 {
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 12_000)))
	}
	w.l.AddSpare(late)
	w.l.AddSpare(dir + "/0000000000000000.wal")
	w.put(entry(w.now.last()+1, 1, "small"))
	if n := w.l.Stats().Inline; n != 1 { // what is only reserved is not left for nothing
		t.Errorf("%d segments were made by the log", n)
	}
	w.l.AddSpare(spare(t, w.maker))
	for w.l.Stats().Spares > 0 {
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 12_000)))
	}
	if released := w.l.TakeReleased(); !slices.Contains(released, late) {
		t.Errorf("released: %q, not %s", released, late)
	}
	if n := w.l.Stats().Inline; n != 1 {
		t.Errorf("%d segments were made by the log", n)
	}
	must(t, w.reopen())
}

// A full disk fails the step, and gives back what the step had taken. The next one may succeed.
func TestMakerOnFullDisk(t *testing.T) {
	w := opened(t, 64<<10)
	for range 3 { // what was being filled when the process ended is removed by the next start
		_, _, err := w.maker.Step()
		must(t, err)
		if !slices.Contains(w.files(), "maker.tmp") {
			t.Fatalf("nothing is being filled: %q", w.files())
		}
		w.m.Kill()
		must(t, w.open())
		if slices.Contains(w.files(), "maker.tmp") {
			t.Fatalf("left over: %q", w.files())
		}
	}
	used := w.m.Used()
	w.m.SetCapacity(used + 100)
	for range 3 {
		_, _, _ = w.maker.Step() // makes the file
		if _, _, err := w.maker.Step(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("a full disk: %v", err)
		}
		if w.m.Used() != used {
			t.Fatalf("%d bytes were not given back", w.m.Used()-used)
		}
	}
	w.m.SetCapacity(1 << 30)
	w.l.AddSpare(spare(t, w.maker))
}

// Without a spare and without space the log waits. It starts again, and has back the free end of the segment.
func TestLogOnFullDisk(t *testing.T) {
	w := opened(t, 64<<10)
	w.m.SetCapacity(w.m.Used() + 20_000)
	var err error
	for err == nil {
		w.hand(change{entry: entry(w.now.last()+1, 1, strings.Repeat("x", 9000))})
		w.l.Append(nil, w.pendingEntries())
		err = w.sync()
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	w.m.Kill()
	must(t, w.open())
	for err = nil; err == nil; {
		w.hand(change{entry: entry(w.now.last()+1, 1, strings.Repeat("x", 100))})
		w.l.Append(nil, w.pendingEntries())
		err = w.sync()
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	w.m.Kill()
	w.m.SetCapacity(w.m.Used() + 1000)
	must(t, w.open()) // it ends cleanly: it is opened without a new segment
	for range 3 {
		w.append(w.now.last()+1, 1, 5, nil)
		if err := w.sync(); !errors.Is(err, log.ErrNoSpace) {
			t.Fatalf("a group that finds no room: %v", err)
		}
	}
	w.m.SetCapacity(1 << 30)
	must(t, w.sync()) // nothing of it is lost
	w.m.Kill()
	must(t, w.open())
	if w.acked.last() != w.w.LastIndexOf() {
		t.Errorf("entries up to %d, not %d", w.w.LastIndexOf(), w.acked.last())
	}
}

// Neither the log nor its maker takes of the disk what is reserved, however much is free.
func TestReserve(t *testing.T) {
	w := newWorld(t, 1)
	must(t, w.create())
	reserve := int64(0)
	w.o.Reserve = func() int64 { return reserve }
	must(t, w.open())
	w.m.SetCapacity(w.m.Used() + 1<<20)
	free, err := w.m.Free(dir)
	must(t, err)
	reserve = free - 10_000
	for range 20 {
		if err != nil {
			break
		}
		w.hand(change{entry: entry(w.now.last()+1, 1, strings.Repeat("x", 9000))})
		w.l.Append(nil, w.pendingEntries())
		err = w.sync()
	}
	if !errors.Is(err, log.ErrNoSpace) {
		t.Errorf("a log in front of the reserve: %v", err)
	}
	for range 20 {
		if _, _, err = w.maker.Step(); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a maker in front of the reserve: %v", err)
	}
	if left, err := w.m.Free(dir); err != nil || left < reserve {
		t.Errorf("%d bytes are left of a reserve of %d: %v", left, reserve, err)
	}
	reserve = 0
	must(t, w.sync())
	spare(t, w.maker)
}

// What others take while a spare is being filled may be the reserve: then it is given up, and leaves what it had.
func TestReserveIsTakenMeanwhile(t *testing.T) {
	w := newWorld(t, 1)
	w.o.SegmentBytes = 3 * log.SpareStepBytes
	must(t, w.create())
	reserve := int64(0)
	w.o.Reserve = func() int64 { return reserve }
	must(t, w.open())
	_, _, err := w.maker.Step() // makes the file
	must(t, err)
	_, done, err := w.maker.Step()
	must(t, err)
	if done || !slices.Contains(w.files(), "maker.tmp") {
		t.Fatalf("nothing is being filled: %q", w.files())
	}
	free, err := w.m.Free(dir)
	must(t, err)
	reserve = free
	if _, _, err := w.maker.Step(); !errors.Is(err, log.ErrReserve) {
		t.Errorf("a maker in the reserve: %v", err)
	}
	if slices.Contains(w.files(), "maker.tmp") {
		t.Errorf("it is still there: %q", w.files())
	}
	reserve = 0
	spare(t, w.maker)
}

// A spare of another size than the log's files have by now is handed back, and not kept open: the disk would not get back its room.
func TestSpareOfAnotherSize(t *testing.T) {
	w := opened(t, 64<<10)
	other := dir + "/0000000000000099.wal"
	f, err := w.m.Create(other)
	must(t, err)
	must(t, f.WriteZeros(disk.DirectBytes, 0))
	must(t, f.Close())
	w.l.AddSpare(other)
	for w.l.Stats().Spares > 0 {
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 12_000)))
	}
	if released := w.l.TakeReleased(); !slices.Contains(released, other) {
		t.Errorf("released: %q, not %s", released, other)
	}
	if slices.Contains(w.m.OpenFiles(), other) {
		t.Error("it is still open")
	}
}

// crashInSync loses power while a group of three pages is made durable, behind one that is.
func (w *world) crashInSync(t *testing.T, seed uint64) {
	t.Helper()
	w.append(w.now.last()+1, 1, 3, nil)
	must(t, w.sync())
	w.m.StartBatch()
	w.hand(change{entry: entry(w.now.last()+1, 1, strings.Repeat("x", 9000))})
	w.l.Append(nil, w.pendingEntries())
	_, err := w.l.Sync()
	must(t, err)
	w.m.StopBatch()
	w.m.Crash(simdisk.Variant(seed % uint64(simdisk.Variants)))
}

// A log whose end is torn opens on a full disk too, as often as need be, without taking any of it. It writes nothing behind
// that end, and goes on in the next segment when there is room for one.
func TestTornLogOnFullDisk(t *testing.T) {
	torn := 0
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		must(t, w.create())
		must(t, w.open())
		w.crashInSync(t, seed)
		used := w.m.Used()
		w.m.SetCapacity(used)
		for range 2 {
			must(t, w.open())
			must(t, w.l.Fence(true))
			if w.m.Used() > used {
				t.Fatalf("seed %d: opening it took %d bytes", seed, w.m.Used()-used)
			}
			w.m.Kill()
		}
		must(t, w.open())
		if !w.torn {
			continue
		}
		torn++
		w.append(w.now.last()+1, 1, 2, nil)
		if err := w.sync(); !errors.Is(err, log.ErrNoSpace) {
			t.Fatalf("seed %d: behind a torn end, without room: %v", seed, err)
		}
		w.m.SetCapacity(1 << 30)
		must(t, w.sync())
		w.m.Kill()
		must(t, w.open())
		if w.torn {
			t.Errorf("seed %d: the end is torn again", seed)
		}
	}
	if torn < 5 {
		t.Errorf("%d logs were torn", torn)
	}
}

// Unsynced says whether a Sync would write.
func TestUnsynced(t *testing.T) {
	w := opened(t, 64<<10)
	says := func(want bool, after string) {
		t.Helper()
		if w.l.Unsynced() != want || w.l.Pending() > 0 && !want {
			t.Errorf("after %s: %v, %d bytes", after, w.l.Unsynced(), w.l.Pending())
		}
	}
	says(false, "opening")
	w.l.SetCommit(1)
	w.l.Append(&log.HardState{Term: 1, Commit: 1}, nil)
	says(false, "a commit index")
	w.l.Append(&log.HardState{Term: 2}, nil)
	says(true, "a term")
	_, err := w.l.Sync()
	must(t, err)
	says(false, "a sync")
	w.l.Append(nil, w.pendingEntries())
	says(false, "nothing")
	must(t, w.l.Fence(true))
	says(false, "a fence")
	must(t, w.l.Close())
	if _, err := w.l.Sync(); !errors.Is(err, log.ErrClosed) {
		t.Errorf("a sync of a closed log: %v", err)
	}
	must(t, w.l.Close())
}

// A snapshot takes the place of a group that waits for room, in what the segment has left: the term stays, and a start begins behind
// the snapshot.
func TestSnapshotInPlaceOfWaitingGroup(t *testing.T) {
	for _, first := range []int{100, 9000} {
		w := opened(t, 68<<10)
		last := w.now.last()
		for i := range 3 {
			w.l.Append(nil, []*raftpb.Entry{entry(last+uint64(i)+1, 1, strings.Repeat("x", 9000))})
			_, err := w.l.Sync()
			must(t, err)
		}
		w.m.SetCapacity(w.m.Used())
		w.l.Append(&log.HardState{Term: 5, Vote: 2}, []*raftpb.Entry{entry(last+4, 1, strings.Repeat("x", first)), entry(last+5, 5, strings.Repeat("x", 40_000))})
		if _, err := w.l.Sync(); !errors.Is(err, log.ErrNoSpace) {
			t.Fatalf("a group that finds no room: %v", err)
		}
		w.l.Forget()
		w.l.Reset(log.Marker{Index: 1000, Term: 5, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
		if _, err := w.l.Sync(); err != nil {
			t.Fatalf("a snapshot in its place: %v", err)
		}
		w.l.Release(1000)
		w.m.Kill()
		_, r, err := log.Open(w.o)
		must(t, err)
		if r.First != 1001 || r.Last != 1000 || r.HardState.Term != 5 || r.HardState.Vote != 2 {
			t.Errorf("a start finds entries %d to %d, %+v", r.First, r.Last, r.HardState)
		}
	}
}

// What is forgotten has never been part of the log: the next segment begins behind what is durable, whether a snapshot follows or
// other entries do.
func TestForgottenGroupLeavesNothing(t *testing.T) {
	for _, follows := range []string{"a snapshot", "other entries"} {
		w := opened(t, 64<<10)
		last := w.now.last()
		for ; w.l.Fits(1); last++ { // nothing more goes into the segment
			w.l.Append(nil, []*raftpb.Entry{entry(last+1, 1, "x")})
			_, err := w.l.Sync()
			must(t, err)
		}
		used := w.m.Used()
		w.m.SetCapacity(used)
		w.l.Append(nil, []*raftpb.Entry{entry(last+1, 1, "y"), entry(last+2, 3, "y")})
		if _, err := w.l.Sync(); !errors.Is(err, log.ErrNoSpace) {
			t.Fatalf("a group that finds no room: %v", err)
		}
		w.l.Forget()
		w.m.SetCapacity(used + 1<<20)
		var want uint64
		if follows == "a snapshot" {
			want = 1000
			w.l.Reset(log.Marker{Index: want, Term: 5, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
		} else {
			want = last + 1
			w.l.Append(nil, []*raftpb.Entry{entry(want, 2, "z")})
		}
		if _, err := w.l.Sync(); err != nil {
			t.Fatalf("%s in its place: %v", follows, err)
		}
		w.m.Kill()
		_, r, err := log.Open(w.o)
		if err != nil {
			t.Fatalf("a start behind %s: %v", follows, err)
		}
		if r.Last != want || follows == "other entries" && r.LastTerm != 2 {
			t.Errorf("a start behind %s finds the last entry %d of term %d, wanted %d", follows, r.Last, r.LastTerm, want)
		}
	}
}
