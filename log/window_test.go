package log_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk/simdisk"
)

// opened is a new log that begins after entry 1/1.
func opened(t testing.TB, segment int64) *world {
	w := newWorld(t, 1)
	w.o.SegmentBytes = segment
	must(t, w.create())
	must(t, w.open())
	return w
}

// put appends entries, makes them durable and tells the window.
func (w *world) put(entries ...*raftpb.Entry) {
	w.t.Helper()
	for _, e := range entries {
		w.hand(change{entry: e})
	}
	w.l.Append(nil, entries)
	must(w.t, w.sync())
}

// cold lets go of all that is read.
func (w *world) cold() {
	w.w.DropUnused()
	w.w.DropUnused()
}

// storage returns the window with a reader.
func (w *world) storage() log.Storage { return log.Storage{Window: w.w, Reader: w.reader()} }

// The window answers as raft's own MemoryStorage does, whatever is hot, cold, released or replaced.
func TestWindowIsAStorage(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed)
		w.o.WindowBytes = int64(seed) * 3000
		must(t, w.create())
		must(t, w.open())
		mem := raft.NewMemoryStorage()
		must(t, mem.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &raftpb.ConfState{}}}))
		r := rand.New(rand.NewPCG(seed, 3))
		term := uint64(1)
		for range 60 {
			last, _ := mem.LastIndex()
			first, _ := mem.FirstIndex()
			from := last + 1
			if r.IntN(5) == 0 && last >= first {
				from, term = first+r.Uint64N(last-first+1), term+1
			}
			var entries []*raftpb.Entry
			for i := range 1 + r.Uint64N(4) {
				entries = append(entries, entry(from+i, term, strings.Repeat("x", r.IntN(20000)>>r.IntN(10))))
			}
			w.put(entries...)
			must(t, mem.Append(entries))
			if last, _ := mem.LastIndex(); r.IntN(6) == 0 && last > first {
				upTo := first + r.Uint64N(last-first)
				term, _ := mem.Term(upTo)
				must(t, mem.Compact(upTo))
				w.released = upTo
				w.w.Release(upTo, term)
			}
			if r.IntN(10) == 0 {
				must(t, w.reopen())
			}
			sameStorage(t, r, w.storage(), mem)
		}
	}
}

func sameStorage(t *testing.T, r *rand.Rand, a, b raft.Storage) {
	t.Helper()
	first, _ := b.FirstIndex()
	last, _ := b.LastIndex()
	if got, _ := a.FirstIndex(); got != first {
		t.Fatalf("first %d, not %d", got, first)
	}
	if got, _ := a.LastIndex(); got != last {
		t.Fatalf("last %d, not %d", got, last)
	}
	for i := first - min(first, 3); i <= last+2; i++ {
		got, gotErr := a.Term(i)
		want, wantErr := b.Term(i)
		if got != want || gotErr != wantErr {
			t.Fatalf("term of %d: %d %v, not %d %v", i, got, gotErr, want, wantErr)
		}
	}
	if _, err := a.Entries(first-1, last+1, 100); err != raft.ErrCompacted {
		t.Fatalf("entries from before the first: %v", err)
	}
	if _, err := a.Entries(last+1, last+2, 100); err != raft.ErrUnavailable {
		t.Fatalf("entries from after the last: %v", err)
	}
	if first > last {
		return
	}
	lo := first + r.Uint64N(last-first+1)
	hi := lo + 1 + r.Uint64N(last-lo+1)
	size := uint64(r.IntN(60000))
	got, err := a.Entries(lo, hi, size)
	must(t, err)
	want, err := b.Entries(lo, hi, size)
	must(t, err)
	if cap(got) != len(got) {
		t.Fatalf("%d entries with a capacity of %d", len(got), cap(got))
	}
	// Older entries come in chunks, which may end early.
	if len(got) == 0 || len(got) > len(want) {
		t.Fatalf("entries %d to %d, %d bytes: %d, not %d", lo, hi, size, len(got), len(want))
	}
	for i := range got {
		if !sameEntry(got[i], want[i]) {
			t.Fatalf("entry %v, not %v", got[i], want[i])
		}
	}
}

// What is old leaves the memory and is read from the disk in chunks, one ahead of what was asked for, and only so many are
// kept.
func TestWindowCools(t *testing.T) {
	w := opened(t, 8<<20)
	const bytes = log.ColdReadBytes / 4 // of an entry: there are three in a read
	const n = 3*limits.WindowBytes/bytes + 1
	data := strings.Repeat("x", bytes)
	for i := range uint64(n) {
		w.put(entry(2+i, 1, data))
	}
	if hot := w.w.HotBytes(); hot > limits.WindowBytes || hot < limits.WindowBytes/4*3-2<<20 {
		t.Errorf("%d bytes are in memory", hot)
	}
	reads := w.m.Count(simdisk.OpRead)
	if entries, err := w.w.Entries(2, n, math.MaxUint64); len(entries) != 0 || err != nil {
		t.Errorf("%d entries that are not in memory, %v", len(entries), err)
	}
	if entries, err := w.w.Entries(n-4, n, math.MaxUint64); len(entries) != 4 || err != nil {
		t.Errorf("%d entries that are in memory, %v", len(entries), err)
	}
	if w.m.Count(simdisk.OpRead) != reads {
		t.Error("the window read the disk")
	}
	s := w.storage()
	for lo := uint64(2); lo < n; {
		entries, err := s.Entries(lo, n, math.MaxUint64)
		must(t, err)
		if lo == 2 && (len(entries) != 3 || len(w.w.TakeWanted(nil)) != 1) {
			t.Errorf("a chunk has %d entries, and the next one is not wanted", len(entries))
			break
		}
		lo += uint64(len(entries))
		if bytes := w.w.ChunkBytes(); bytes > limits.WindowBytes {
			t.Fatalf("%d bytes of older entries are kept", bytes)
		}
		if lo == 5 { // what was taken above is on its way for ever
			break
		}
	}
	w.cold()
	if bytes := w.w.ChunkBytes(); bytes != 0 {
		t.Errorf("%d bytes are kept that nobody asks for", bytes)
	}
	must(t, s.Reader.Close())
}

// A reader of older entries arrives at those in memory although entries are written while it reads.
func TestColdReadsArrive(t *testing.T) {
	w := newWorld(t, 1)
	w.o.WindowBytes = 64 << 10
	must(t, w.create())
	must(t, w.open())
	last, data := uint64(1), strings.Repeat("x", 200)
	write := func(n int) {
		for range n {
			last++
			w.put(entry(last, 1, data))
		}
	}
	write(1_000)
	r := w.reader()
	reads := 0
	for next := uint64(2); next <= last; {
		entries, err := w.w.Entries(next, last+1, math.MaxUint64)
		must(t, err)
		next += uint64(len(entries))
		for _, order := range w.w.TakeWanted(nil) {
			if reads++; reads > 100 {
				t.Fatalf("after %d reads it is at entry %d of %d, and those from %d on are in memory", reads, next, last, w.w.InMemory())
			}
			write(20)
			read, err := r.Read(order)
			_, _, err = w.w.Load(order, read, err)
			must(t, err)
		}
	}
	t.Logf("%d reads", reads)
	must(t, r.Close())
}

// Records that lie close together are read at once; the files of released segments are closed.
func TestColdReads(t *testing.T) {
	w := opened(t, 64<<10)
	for i := range uint64(200) {
		w.put(entry(2+i, 1, strings.Repeat("y", 200)))
	}
	must(t, w.reopen())
	w.cold()
	reads, s := w.m.Count(simdisk.OpRead), w.storage()
	for lo := uint64(2); lo <= 201; {
		entries, err := s.Entries(lo, 202, math.MaxUint64)
		must(t, err)
		for _, e := range entries {
			if e.GetIndex() != lo || len(e.GetData()) != 200 {
				t.Fatalf("entry %d: %v", lo, e)
			}
			lo++
		}
	}
	segments := int64(w.l.Stats().Segments)
	if n := w.m.Count(simdisk.OpRead) - reads; n > segments {
		t.Errorf("%d reads of %d segments", n, segments)
	}
	w.released = 150
	w.w.Release(150, 1)
	w.l.Release(150)
	w.w.Publish(w.l.Segments())
	if _, err := s.Entries(151, 202, math.MaxUint64); err != nil {
		t.Error(err)
	}
}

// A caller that is not raft asks for entries: those in memory come at once, others by an order for its own reader. An order whose entries
// were released is refused or has the right entries, and nothing that was released is given.
func TestAsk(t *testing.T) {
	w := opened(t, 64<<10)
	w.o.WindowBytes = 20_000
	for i := range uint64(200) {
		w.put(entry(2+i, 1, strings.Repeat("y", 200)))
	}
	must(t, w.reopen())
	for i := range uint64(20) {
		w.put(entry(202+i, 1, "new"))
	}
	own := w.reader()
	hot, cold := 0, 0
	var early log.ColdRead
	for lo := uint64(2); lo <= 221; {
		entries, order, err := w.w.Ask(lo, 1000, 2000)
		must(t, err)
		if order.Empty() {
			hot++
		} else {
			cold++
			entries, err = own.Read(order)
			must(t, err)
		}
		if early.Empty() {
			early = order
		}
		if size := len(entries); size == 0 || size > 20 {
			t.Fatalf("%d entries from %d on", size, lo)
		}
		for _, e := range entries {
			if e.GetIndex() != lo {
				t.Fatalf("entry %d in the place of %d", e.GetIndex(), lo)
			}
			lo++
		}
	}
	if hot == 0 || cold == 0 {
		t.Fatalf("%d answers from memory, %d from the disk", hot, cold)
	}
	if entries, order, err := w.w.Ask(222, 1000, 2000); err != nil || len(entries) > 0 || !order.Empty() {
		t.Errorf("behind the end: %d entries, %v", len(entries), err)
	}
	w.released = 150
	w.w.Release(150, 1)
	w.l.Release(150)
	w.w.Publish(w.l.Segments())
	if _, _, err := w.w.Ask(150, 1000, 2000); !errors.Is(err, raft.ErrCompacted) {
		t.Errorf("an entry that was released: %v", err)
	}
	if entries, err := own.Read(early); err == nil && entries[0].GetIndex() != 2 {
		t.Errorf("an order that was overtaken gives entry %d", entries[0].GetIndex())
	}
	must(t, own.Close())
}

// Who reads more segments than are kept open closes those that were opened first, and opens them again.
func TestColdReadsOfManySegments(t *testing.T) {
	w := opened(t, 64<<10)
	for i := range uint64(120) {
		w.put(entry(2+i, 1, strings.Repeat("y", 5000)))
	}
	must(t, w.reopen())
	if n := w.l.Stats().Segments; n < 8 {
		t.Fatalf("%d segments", n)
	}
	s := w.storage()
	for range 2 {
		w.cold()
		for lo := uint64(2); lo < 122; {
			entries, err := s.Entries(lo, 122, math.MaxUint64)
			must(t, err)
			for _, e := range entries {
				if e.GetIndex() != lo {
					t.Fatalf("entry %d in the place of %d", e.GetIndex(), lo)
				}
				lo++
			}
		}
	}
	must(t, s.Reader.Close())
}

// All that may lack entries at once have two reads on order: every other member of the largest cluster, and the applier, which
// does not wait for those that are held back.
func TestColdReadsOfAll(t *testing.T) {
	w := opened(t, 64<<10)
	for i := range uint64(200) {
		w.put(entry(2+i, 1, "y"))
	}
	must(t, w.reopen())
	w.cold()
	const others = limits.Members + limits.Learners - 1
	later := func(uint64, int64) bool { return false }
	for lo := range uint64(2*(others+1) + 1) {
		if entries, err := w.w.Entries(2+lo, 202, 1<<20); len(entries) > 0 || err != nil {
			t.Fatal(len(entries), err)
		}
		if orders := w.w.TakeWanted(later); len(orders) > 0 {
			t.Fatalf("%d orders that were held back", len(orders))
		}
	}
	if orders := w.w.TakeWanted(nil); len(orders) != 2*(others+1) {
		t.Errorf("%d reads on order, of %d other members and the applier", len(orders), others)
	}
}

// What was released or replaced while it was read is not taken over.
func TestColdReadIsOvertaken(t *testing.T) {
	for name, test := range map[string]struct {
		do     func(w *world)
		lo, hi uint64
	}{
		"nothing happened":   {func(*world) {}, 2, 202},
		"all is released":    {func(w *world) { w.w.Release(150, 1) }, 0, 0},
		"the end is another": {func(w *world) { w.put(entry(100, 2, "new")) }, 2, 100},
		"the end is another one that is cold, too": {func(w *world) {
			for i := range uint64(100) {
				w.put(entry(100+i, 2, strings.Repeat("new", 700)))
			}
		}, 2, 100},
		"reset": {func(w *world) { w.w.Reset(log.Marker{Index: 500, Term: 3}) }, 0, 0},
	} {
		w := opened(t, 64<<10)
		w.o.WindowBytes = 64 << 10
		for i := range uint64(200) {
			w.put(entry(2+i, 1, "y"))
		}
		must(t, w.reopen())
		w.cold()
		if entries, err := w.w.Entries(2, 202, 1<<20); len(entries) > 0 || err != nil {
			t.Fatal(len(entries), err)
		}
		orders := w.w.TakeWanted(nil)
		if len(orders) != 1 {
			t.Fatalf("%s: %d orders", name, len(orders))
		}
		if _, err := w.w.Entries(7, 202, 1<<20); err != nil || len(w.w.TakeWanted(nil)) != 0 {
			t.Errorf("%s: what is on its way is ordered again, %v", name, err)
		}
		read, err := w.reader().Read(orders[0])
		must(t, err)
		test.do(w)
		if lo, hi, err := w.w.Load(orders[0], read, nil); lo != test.lo || hi != test.hi || err != nil {
			t.Errorf("%s: entries %d to %d are taken over, %v", name, lo, hi, err)
		}
	}
}

// A log that begins anew behind a snapshot shows nothing that was read of the one before: entries that were never committed
// stood at the same indexes in another term, and would be applied in the place of those that are.
func TestResetForgetsWhatWasRead(t *testing.T) {
	w := opened(t, 64<<10)
	w.o.WindowBytes = 16 << 10
	must(t, w.reopen())
	for i := range uint64(200) {
		w.put(entry(2+i, 3, strings.Repeat("never committed ", 20)))
	}
	s := w.storage()
	if entries, err := s.Entries(110, 202, math.MaxUint64); err != nil || len(entries) == 0 {
		t.Fatal(len(entries), err)
	}
	m := log.Marker{Index: 100, Term: 4}
	w.hand(change{marker: &m})
	w.l.Reset(m)
	must(t, w.sync())
	for i := range uint64(120) {
		w.put(entry(101+i, 4, strings.Repeat("committed ", 30)))
	}
	for lo := uint64(101); lo < 221; {
		entries, err := s.Entries(lo, 221, math.MaxUint64)
		must(t, err)
		for _, e := range entries {
			if e.GetIndex() != lo || e.GetTerm() != 4 {
				t.Fatalf("entry %d of term %d in the place of %d of term 4", e.GetIndex(), e.GetTerm(), lo)
			}
			lo++
		}
	}
}

// A read that fails of what has been replaced meanwhile says nothing about what stands there now: that may fail once, too.
func TestFailedReadOfWhatWasReplaced(t *testing.T) {
	w := opened(t, 64<<10)
	w.o.WindowBytes = 16 << 10
	must(t, w.reopen())
	order := func(term uint64) log.ColdRead {
		for i := range uint64(200) {
			w.put(entry(2+i, term, strings.Repeat("y", 300)))
		}
		if _, err := w.w.Entries(2, 22, 1<<20); err != nil {
			t.Fatal(err)
		}
		orders := w.w.TakeWanted(nil)
		if len(orders) == 0 {
			t.Fatal("nothing is read")
		}
		return orders[0]
	}
	before := order(1)
	w.put(entry(2, 2, "in its place"))
	if _, _, err := w.w.Load(before, nil, syscall.EIO); err != nil {
		t.Errorf("of what was replaced: %v", err)
	}
	now := order(3)
	if _, _, err := w.w.Load(now, nil, syscall.EIO); err != nil {
		t.Errorf("of what stands there now, once: %v", err)
	}
}

// raft's campaign looks for membership entries among those that are committed and not applied, on the disk or not.
func TestKindsWithoutTheDisk(t *testing.T) {
	w := opened(t, 64<<10)
	for i := range uint64(20) {
		e := entry(2+i, 1, "y")
		if i == 11 {
			e.Type = raftpb.EntryConfChangeV2.Enum()
		}
		w.put(e)
	}
	for _, when := range []string{"in memory", "after a restart"} {
		w.w.ScanKinds(func() {
			entries, err := w.w.Entries(5, 22, 1)
			must(t, err)
			for i, e := range entries {
				if change := 5+i == 13; (e.GetType() != raftpb.EntryNormal) != change {
					t.Errorf("%s: entry %d has kind %v", when, 5+i, e.GetType())
				}
			}
			if len(entries) != 17 || len(w.w.TakeWanted(nil)) != 0 {
				t.Errorf("%s: %d kinds", when, len(entries))
			}
		})
		must(t, w.reopen())
	}
}

// A cold read verifies what it reads. An error counts when it comes twice: a file may have been given up meanwhile.
func TestColdReadOfDamage(t *testing.T) {
	w := opened(t, 64<<10)
	w.put(entry(2, 1, "two"))
	w.put(entry(3, 1, strings.Repeat("three", 20_000)))
	must(t, w.reopen())
	w.cold()
	must(t, w.m.Rot(dir+"/0000000000000002.wal", 4096+512+12, 1))
	read := func() (once, twice error) {
		for _, err := range []*error{&once, &twice} {
			_, _ = w.w.Entries(2, 3, 100)
			for _, order := range w.w.TakeWanted(nil) {
				entries, readErr := w.reader().Read(order)
				if readErr == nil {
					t.Fatal("it was read")
				}
				_, _, *err = w.w.Load(order, entries, readErr)
			}
		}
		return once, twice
	}
	once, err := read()
	var corrupt *damage.Error
	if once != nil || !errors.As(err, &corrupt) || corrupt.Offset != 4608 || !strings.HasSuffix(corrupt.File, "02.wal") {
		t.Errorf("%v, then %v", once, err)
	}
	w.m.Fail(simdisk.Fault{Op: simdisk.OpRead, Err: syscall.EIO, Stays: true})
	if once, err := read(); once == nil && err == nil {
		t.Errorf("a read that fails: %v, then %v", once, err)
	}
}

// Between two reads that fail one that does not shows that the disk can read: the second is as good as the first one.
func TestColdReadsThatFailNowAndThen(t *testing.T) {
	w := opened(t, 64<<10)
	w.put(entry(2, 1, "two"))
	w.put(entry(3, 1, strings.Repeat("three", 20_000)))
	must(t, w.reopen())
	for i := range 3 {
		for _, fails := range []bool{true, false} {
			w.cold()
			_, err := w.w.Entries(2, 3, 100)
			must(t, err)
			orders := w.w.TakeWanted(nil)
			if len(orders) != 1 {
				t.Fatalf("%d orders", len(orders))
			}
			read, err := w.reader().Read(orders[0])
			if must(t, err); fails {
				read, err = nil, syscall.EIO
			}
			if _, _, err := w.w.Load(orders[0], read, err); err != nil {
				t.Fatalf("round %d: it counts that one failed, and was read then: %v", i, err)
			}
		}
	}
}

// A reader lets go of segments that the log has let go of: what is open takes room on the disk.
func TestReaderLetsGoOfSegments(t *testing.T) {
	w := opened(t, 64<<10)
	for i := range uint64(30) {
		w.put(entry(2+i, 1, strings.Repeat("y", 5000)))
	}
	must(t, w.reopen())
	w.cold()
	reader := w.reader()
	read := func(lo uint64) {
		_, err := w.w.Entries(lo, lo+1, 100)
		must(t, err)
		for _, order := range w.w.TakeWanted(nil) {
			entries, err := reader.Read(order)
			must(t, err)
			_, _, err = w.w.Load(order, entries, nil)
			must(t, err)
		}
	}
	oldest := w.m.OpenFiles()[0]
	times := func() (n int) {
		for _, name := range w.m.OpenFiles() {
			if name == oldest {
				n++
			}
		}
		return n
	}
	before := times()
	if read(2); times() != before+1 {
		t.Fatalf("to read an entry it has not opened %s: %q", oldest, w.m.OpenFiles())
	}
	w.w.Release(25, 1)
	w.l.Release(25)
	w.w.Publish(w.l.Segments())
	w.cold()
	if read(26); times() > before {
		t.Errorf("%s is released, and open: %q", oldest, w.m.OpenFiles())
	}
}

func TestWindowState(t *testing.T) {
	w := opened(t, 64<<10).w
	if _, err := w.Snapshot(); err != raft.ErrSnapshotTemporarilyUnavailable {
		t.Errorf("no snapshot: %v", err)
	}
	snap := &raftpb.Snapshot{Data: []byte("s")}
	w.SetSnapshot(snap)
	if got, err := w.Snapshot(); got != snap || err != nil {
		t.Errorf("%v %v", got, err)
	}
	hs, conf, err := w.InitialState()
	if !raft.IsEmptyHardState(hs) || conf == nil || err != nil {
		t.Errorf("%v %v %v", hs, conf, err)
	}
	w.SetInitial(log.HardState{Term: 3, Vote: 2, Commit: 1}, &raftpb.ConfState{Voters: []uint64{7}})
	hs, conf, _ = w.InitialState()
	if hs.GetTerm() != 3 || hs.GetVote() != 2 || hs.GetCommit() != 1 || len(conf.GetVoters()) != 1 {
		t.Errorf("%v %v", hs, conf)
	}
}

// After a release of entries that were replaced below it, recovery finds a log whose first entry's predecessor it
// does not know; the caller's snapshot does.
func TestUnknownTermBeforeTheFirst(t *testing.T) {
	w := opened(t, 64<<10)
	for i := range uint64(13) { // fills the first segment
		w.put(entry(2+i, 1, "x"))
	}
	for w.l.Stats().Segments < 3 {
		w.put(entry(w.now.last()+1, 1, "x"))
	}
	from := w.now.last() - 4
	w.hand(change{hard: &log.HardState{Term: 2, Commit: 1}})
	w.l.Append(&log.HardState{Term: 2, Commit: 1}, nil)
	w.put(entry(from, 2, "new"))
	w.l.Release(from - 1)
	for _, name := range w.l.TakeReleased() {
		must(t, w.m.Remove(name))
	}
	must(t, w.l.Close())
	_, r, err := log.Open(w.o)
	must(t, err)
	if r.First != from || r.Last != from {
		t.Fatalf("first %d last %d, not %d", r.First, r.Last, from)
	}
	if _, err := r.Window.Term(from - 1); err != raft.ErrCompacted {
		t.Errorf("a term that nobody knows: %v", err)
	}
	r.Window.Release(from-1, 1)
	if term, err := r.Window.Term(from - 1); term != 1 || err != nil {
		t.Errorf("%d %v", term, err)
	}
}

// Programmers' errors panic with the numbers.
func TestWindowPanics(t *testing.T) {
	w := opened(t, 64<<10)
	w.put(entry(2, 1, "x"))
	for want, f := range map[string]func(){
		"1 entries at 0 positions":   func() { w.w.Append([]*raftpb.Entry{entry(3, 1, "")}, nil) },
		"entry 5 after entry 2":      func() { w.w.Append([]*raftpb.Entry{entry(5, 1, "")}, make([]log.Position, 1)) },
		"the last entry is 2":        func() { w.w.Release(3, 1) },
		"of term 7, it has term 1":   func() { w.w.Release(2, 7) },
		"log: entry 9 after entry 2": func() { w.l.Append(nil, []*raftpb.Entry{entry(9, 1, "")}) },
		"of term 0 after term 1":     func() { w.l.Append(nil, []*raftpb.Entry{entry(3, 0, "")}) },
		"bytes, at most":             func() { w.l.Append(nil, []*raftpb.Entry{entry(3, 1, strings.Repeat("x", limits.RecordBytes))}) },
		"unknown kind 16": func() {
			w.l.Append(nil, []*raftpb.Entry{{Index: new(uint64(3)), Term: new(uint64(1)), Type: raftpb.EntryType(16).Enum()}})
		},
		"term 0 vote 0 after term 1": func() { w.l.Append(&log.HardState{}, nil) },
		"vote 2 after term 1 vote 1": func() {
			w.l.Append(&log.HardState{Term: 1, Vote: 1}, nil)
			w.l.Append(&log.HardState{Term: 1, Vote: 2}, nil)
		},
		"reset to 0/1":            func() { w.l.Reset(log.Marker{Term: 1}) },
		"a segment of 5000 bytes": func() { o := w.o; o.SegmentBytes = 5000; log.NewMaker(o) },
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, want) {
					t.Errorf("%q panicked with %q", want, p)
				}
			}()
			f()
		}()
	}
}
