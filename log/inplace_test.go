package log_test

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk/simdisk"
)

// A file may have no room although it was reserved: one that was copied without its zeros, or on a file system that writes nothing
// in place. A write that finds none is tried again, however often and whatever comes between, and nothing that was
// acknowledged is lost by a crash at any time.
func TestNoRoomInPlace(t *testing.T) {
	testlong.Skip(t)
	seeds := uint64(200)
	if *full {
		seeds = 4000
	}
	var n struct{ refused, superseded, crashed int }
	for seed := range seeds {
		w := newWorld(t, seed)
		must(t, w.create())
		must(t, w.open())
		for range 60 {
			if w.r.IntN(2) == 0 {
				w.m.Fail(simdisk.Fault{Op: simdisk.OpWrite, Call: 1 + int64(w.r.IntN(3)), Name: ".wal", Err: syscall.ENOSPC, Short: w.r.IntN(2) == 0, Stays: w.r.IntN(4) == 0})
			}
			err := w.step()
			for errors.Is(err, syscall.ENOSPC) {
				n.refused++
				if w.r.IntN(3) == 0 {
					must(t, w.releaseAll())
				}
				if w.r.IntN(3) == 0 {
					w.m.ClearFaults()
				}
				switch w.r.IntN(6) {
				case 0:
					n.superseded++
					err = w.supersede()
				case 1:
					n.crashed++
					w.m.ClearFaults()
					w.m.Crash(simdisk.Variant(w.r.IntN(int(simdisk.Variants))))
					err = w.open()
				case 2:
					w.append(w.now.last()+1, max(w.now.hard.Term, w.now.lastTerm()), 1, nil)
					err = w.sync()
				default:
					err = w.sync()
				}
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		w.m.ClearFaults()
		w.m.Crash(simdisk.Variant(w.r.IntN(int(simdisk.Variants))))
		err := w.open()
		if err == nil {
			err = w.goOn(10)
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%+v", n)
	if min(n.refused, n.superseded, n.crashed) < 50 {
		t.Error("that is too little")
	}
}

// supersede puts a marker in the place of what waits for room, as a log writer does that gets a snapshot.
func (w *world) supersede() error {
	w.l.Forget()
	if w.r.IntN(2) == 0 {
		w.commitAll()
		if err := w.l.Fence(w.r.IntN(2) == 0); err != nil {
			return err
		}
	}
	m := log.Marker{Index: w.now.last() + 1, Term: max(w.now.hard.Term, w.now.lastTerm()), ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
	w.hand(change{marker: &m})
	w.l.Reset(m)
	for {
		_, err := w.l.Sync()
		if err == nil {
			break
		}
		if !errors.Is(err, log.ErrNoSpace) {
			return err
		}
		if w.m.ClearFaults(); w.r.IntN(3) == 0 {
			w.m.Crash(simdisk.Variant(w.r.IntN(int(simdisk.Variants))))
			return w.open()
		}
	}
	w.w.Reset(m)
	w.w.Publish(w.l.Segments())
	w.acked, w.pending, w.released = w.now, nil, m.Index
	w.acked.hard = w.l.Stats().HardState
	return nil
}

// commitAll says that all that was acknowledged is committed.
func (w *world) commitAll() {
	if hs := w.now.hard; w.acked.last() > hs.Commit && sameEntries(&w.acked, &w.now) {
		hs.Commit = w.acked.last()
		w.hand(change{hard: &hs})
		w.l.SetCommit(hs.Commit)
	}
}

// sameEntries tells whether all entries of one model are in another.
func sameEntries(one, other *model) bool {
	for i := one.base + 1; i <= one.last(); i++ {
		if e := other.at(i); e == nil || !sameEntry(e, one.at(i)) {
			return false
		}
	}
	return one.base == other.base
}

// releaseAll lets go of all that is committed and acknowledged, and of its files.
func (w *world) releaseAll() error {
	if upTo := min(w.acked.hard.Commit, w.acked.last()); upTo > max(w.released, w.acked.base) {
		w.released = upTo
		w.w.Release(upTo, w.term(upTo))
		w.l.Release(upTo)
		w.w.Publish(w.l.Segments())
	}
	w.l.TakeNextPages() // of what goes now, maybe
	for _, name := range w.l.TakeReleased() {
		if err := w.m.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// A segment whose first write finds no room has begun nothing: the one before it stays when all in it is released, and a fence
// waits for the header.
func TestNoRoomForFirstGroup(t *testing.T) {
	for _, then := range []string{"crash", "fence"} {
		w := opened(t, 64<<10)
		w.l.AddSpare(spare(t, w.maker))
		segments := len(w.l.Segments().Names())
		for range 20 {
			w.hand(change{entry: entry(w.now.last()+1, 1, strings.Repeat("x", 9000))})
			w.l.Append(nil, w.pendingEntries())
			w.m.ClearFaults()
			w.m.Fail(simdisk.Fault{Op: simdisk.OpWrite, Name: ".wal", Err: syscall.ENOSPC, Stays: true})
			if _, err := w.l.Sync(); !errors.Is(err, log.ErrNoSpace) {
				t.Fatal(err)
			}
			if len(w.l.Segments().Names()) > segments {
				break
			}
			w.m.ClearFaults()
			must(t, w.sync())
		}
		last := w.acked.last()
		w.l.SetCommit(last)
		if then == "crash" {
			w.l.Release(last)
			for _, name := range w.l.TakeReleased() {
				must(t, w.m.Remove(name))
			}
		} else {
			w.l.Forget()
			must(t, w.l.Fence(true))
			w.m.ClearFaults()
			must(t, w.l.Fence(true))
			w.l.Append(nil, []*raftpb.Entry{entry(last+1, 1, "x")})
			_, err := w.l.Sync()
			must(t, err)
			last++
		}
		w.m.ClearFaults()
		w.m.Kill()
		_, r, err := log.Open(w.o)
		if err != nil {
			t.Fatalf("%s: %v", then, err)
		}
		if r.Last != last {
			t.Errorf("%s: it ends with %d, not %d", then, r.Last, last)
		}
	}
}

// A log says which file its oldest segment follows: where no snapshot reaches so far, that one is lost.
func TestBehindWhichFile(t *testing.T) {
	w := opened(t, 64<<10)
	for range 30 {
		w.append(w.now.last()+1, 1, 1, nil)
		w.hand(change{entry: entry(w.now.last()+1, 1, strings.Repeat("x", 9000))})
		w.l.Append(nil, w.pendingEntries()[1:])
		must(t, w.sync())
	}
	names := w.l.Segments().Names()
	if len(names) < 4 {
		t.Fatalf("only %d segments", len(names))
	}
	for i, want := range []string{"", path.Base(names[len(names)-2])} {
		if i > 0 {
			must(t, w.m.Remove(names[len(names)-2]))
		}
		_, r, err := log.Open(w.o)
		must(t, err)
		if r.Behind != want {
			t.Errorf("it begins with %d behind %q, not %q", r.First, r.Behind, want)
		}
	}
}

// Behind a torn end a start begins the next segment. Where its header finds no room nothing is written behind that end all the
// same, and the log goes on when there is some.
func TestNoRoomForHeader(t *testing.T) {
	torn := 0
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		must(t, w.create())
		must(t, w.open())
		w.l.AddSpare(spare(t, w.maker))
		w.crashInSync(t, seed)
		w.m.Fail(simdisk.Fault{Op: simdisk.OpWrite, Name: ".wal", Err: syscall.ENOSPC, Stays: true})
		if err := w.open(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w.m.ClearFaults()
		if !w.torn {
			continue
		}
		torn++
		w.append(w.now.last()+1, 1, 2, nil)
		if err := w.sync(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w.m.Kill()
		if err := w.open(); err != nil || w.torn {
			t.Fatalf("seed %d: torn again: %v, %v", seed, w.torn, err)
		}
	}
	if torn < 5 {
		t.Errorf("%d logs were torn", torn)
	}
}
