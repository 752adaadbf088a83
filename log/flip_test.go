package log_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/damage"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// live is a piece of a log's file that holds something: a header page, or a frame.
type live struct {
	file     string
	from, to int64
	what     string
}

// livePieces reads from a dump what of a log is alive.
func livePieces(t testing.TB, d disk.FS) []live {
	t.Helper()
	var b strings.Builder
	must(t, log.Dump(d, dir, &b, log.DumpOptions{}))
	var pieces []live
	file := ""
	for line := range strings.Lines(b.String()) {
		var at int64
		var what string
		switch {
		case strings.Contains(line, ".wal  segment"):
			file = dir + "/" + strings.Fields(line)[0]
			pieces = append(pieces, live{file, 0, 4096, "header"})
		case strings.HasPrefix(line, "            "): // the rest of a header
		case strings.HasPrefix(line, "    "):
			if n, _ := fmt.Sscan(line, &at, &what); n == 2 && at%4096 == 0 {
				pieces[len(pieces)-1].to = at
				if what != "end" {
					pieces = append(pieces, live{file, at, at, strings.Trim(what, ";")})
				}
			}
		}
	}
	return pieces
}

// flipLog makes a log of some segments that ends with a synced fence.
func flipLog(t *testing.T, seed uint64, fence bool) *world {
	w := newWorld(t, seed)
	w.o.SegmentBytes = 32 << 10
	must(t, w.create())
	must(t, w.open())
	for w.l.Stats().Segments < 3 {
		switch w.r.IntN(6) {
		case 0:
			w.turn()
		case 1:
			w.overlap()
		case 2:
			w.commit()
		default:
			w.append(w.now.last()+1, max(w.now.hard.Term, w.now.lastTerm()), 1+w.r.IntN(3), nil)
		}
		must(t, w.sync())
		if w.r.IntN(4) == 0 {
			must(t, w.l.Fence(false))
		}
	}
	w.turn()
	must(t, w.sync())
	w.append(w.now.last()+1, w.now.hard.Term, 5, nil)
	must(t, w.sync())
	if fence {
		must(t, w.l.Fence(true))
	}
	must(t, w.l.Close())
	return w
}

// Every flipped bit is found, named to the frame, and never taken for a torn end when a later header says that it was
// synced.
func TestFlippedBits(t *testing.T) {
	testlong.Skip(t)
	seeds := 1
	if *full {
		seeds = 8
	}
	bits, total := 0, int64(0)
	for seed := range uint64(seeds) {
		w := flipLog(t, seed, true)
		pieces := livePieces(t, w.m)
		last := len(pieces) - 1
		if pieces[last].what != "fence" {
			t.Fatalf("the log ends with %+v", pieces[last])
		}
		for i, p := range pieces {
			total += p.to - p.from
			for bit := int64(seed) % 16; bit < (p.to-p.from)*8; bit += 16 {
				c := w.after(t, uint64(bit))
				must(t, c.m.Rot(p.file, p.from+bit/8, uint(bit%8)))
				if err := flipped(c, p, i == last); err != nil {
					t.Fatalf("seed %d, %s at %d, bit %d of %+v: %v", seed, p.file, p.from+bit/8, bit, p, err)
				}
				bits++
			}
		}
	}
	t.Logf("%d bits of %d bytes", bits, total)
}

// flipped opens a log with one bad bit.
func flipped(w *world, p live, last bool) error {
	l, r, err := log.Open(w.o)
	if last { // nothing speaks of the last frame: it looks torn, and nothing but the fence itself is lost
		if err != nil || r.Torn == nil || r.Torn.File != p.file || r.Torn.Offset != p.from {
			return fmt.Errorf("torn %v, %w", r.Torn, err)
		}
		return errors.Join(w.compare(r), l.Close())
	}
	var corrupt *damage.Error
	if !errors.As(err, &corrupt) || !errors.Is(err, damage.ErrDamaged) {
		return fmt.Errorf("not found: %w", err)
	}
	if corrupt.File != p.file || corrupt.Offset != p.from {
		return fmt.Errorf("found elsewhere: %w", err)
	}
	if !strings.Contains(err.Error(), "corrupt") || !strings.Contains(err.Error(), p.file) {
		return fmt.Errorf("unclear: %w", err)
	}
	return nil
}

// compare holds what was recovered against what was acknowledged.
func (w *world) compare(r *log.Recovered) error {
	_, err := w.check(r)
	return err
}

// Without a fence the last group is spoken of by nobody: damage to it looks torn, and only its entries are lost. A
// vote that it holds is not, because it stands in two headers.
func TestFlippedBitsOfTheLastGroup(t *testing.T) {
	testlong.Skip(t)
	w := newWorld(t, 5)
	must(t, w.create())
	must(t, w.open())
	w.append(2, 1, 3, nil)
	must(t, w.sync())
	hs := log.HardState{Term: 7, Vote: 2, Commit: 1}
	kept := w.acked
	w.append(5, 7, 2, &hs)
	must(t, w.sync())
	must(t, w.l.Close())
	pieces := livePieces(t, w.m)
	for i, p := range pieces[len(pieces)-2:] {
		for bit := int64(0); bit < (p.to-p.from)*8; bit += 16 {
			c := w.after(t, uint64(bit))
			must(t, c.m.Rot(p.file, p.from+bit/8, uint(bit%8)))
			l, r, err := log.Open(c.o)
			must(t, err)
			want := w.acked
			if i == 0 { // the entries' frame
				want = kept
			}
			if r.HardState.Term != 7 || r.HardState.Vote != 2 || r.Last != want.last() || r.Torn == nil || r.Torn.Offset != p.from {
				t.Fatalf("%+v bit %d: %+v last %d torn %v", p, bit, r.HardState, r.Last, r.Torn)
			}
			must(t, l.Close())
		}
	}
}

// The header of a segment that was just begun is proved by the second group in it, even though the segment is the
// newest and its salt is in the header that is gone.
func TestDamagedNewestHeader(t *testing.T) {
	for _, page := range []int64{1, 2} {
		w := newWorld(t, 1)
		must(t, w.create())
		must(t, w.open())
		for range page {
			w.append(w.now.last()+1, 1, 1, nil)
			must(t, w.sync())
		}
		name := dir + "/0000000000000002.wal"
		must(t, w.m.Rot(name, 100, 3))
		_, r, err := log.Open(w.o)
		if page == 2 {
			if !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), name+" at byte 0") {
				t.Errorf("two groups: %v", err)
			}
			continue
		}
		// Open syncs the header for itself, and the first frame says so.
		if !errors.Is(err, damage.ErrDamaged) {
			t.Errorf("one group: %+v %v", r, err)
		}
	}
}

// A read that the disk refuses is damage, not a torn end.
func TestUnreadable(t *testing.T) {
	w := flipLog(t, 3, true)
	for n := int64(1); n < 1000; n++ {
		c := w.after(t, uint64(n))
		c.m.Fail(simdisk.Fault{Op: simdisk.OpRead, Call: n})
		_, r, err := log.Open(c.o)
		if c.m.Armed() > 0 {
			return
		}
		if err == nil || r != nil {
			t.Fatalf("read %d failed, the log was opened", n)
		}
	}
	t.Error("too many reads")
}

// A file of the middle that is gone is a gap that recovery cannot tell from a release; the caller can: what is before
// the first entry must be in a snapshot.
func TestMissingSegment(t *testing.T) {
	w := flipLog(t, 4, true)
	names, err := w.m.List(dir)
	must(t, err)
	must(t, w.m.Remove(dir+"/"+names[1]))
	_, r, err := log.Open(w.o)
	must(t, err)
	if r.First <= 2 {
		t.Errorf("the log begins with %d", r.First)
	}
}

// Other members' logs, unknown versions and empty folders are refused for what they are.
func TestRefused(t *testing.T) {
	w := flipLog(t, 6, true)
	for name, o := range map[string]log.Options{
		"cluster": {FS: w.m, Dir: dir, Cluster: 1, Member: w.o.Member, Salt: w.o.Salt, SegmentBytes: 32 << 10},
		"member":  {FS: w.m, Dir: dir, Cluster: w.o.Cluster, Member: 1, Salt: w.o.Salt, SegmentBytes: 32 << 10},
	} {
		if _, _, err := log.Open(o); !errors.Is(err, log.ErrForeign) || !strings.Contains(err.Error(), "put each member's own files back") {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if err := log.Create(w.o, log.Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{}}); err == nil {
		t.Error("a log was made over a log")
	}
	must(t, w.m.MkdirAll("empty"))
	o := w.o
	o.Dir = "empty"
	if _, _, err := log.Open(o); !errors.Is(err, damage.ErrDamaged) {
		t.Errorf("an empty folder: %v", err)
	}
	o.Dir = "none"
	if _, _, err := log.Open(o); err == nil {
		t.Error("no folder was opened")
	}
}

// The same when the segment is not the first file behind the one before: a spare was finished while the log made a
// segment itself.
func TestDamagedHeaderBehindSpare(t *testing.T) {
	w := opened(t, 64<<10)
	late := spare(t, w.maker)
	for w.l.Stats().Inline == 0 {
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 12_000)))
	}
	w.put(entry(w.now.last()+1, 1, "x"))
	name := dir + "/0000000000000004.wal"
	if late != dir+"/0000000000000003.wal" {
		t.Fatalf("the spare is %s", late)
	}
	must(t, w.m.Rot(name, 100, 3))
	if _, _, err := log.Open(w.o); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), name+" at byte 0") {
		t.Error(err)
	}
}

// The newest segment, cut at any sector: recovery refuses it and names it, or has lost nothing. Its header says how long it was
// made.
func TestCutNewest(t *testing.T) {
	for _, fenced := range []bool{true, false} {
		w := flipLog(t, 5, fenced)
		pieces := livePieces(t, w.m)
		newest := pieces[len(pieces)-1]
		refused := 0
		for at := int64(4096); at < newest.to; at += 512 {
			c := w.after(t, uint64(at))
			f, err := c.m.OpenWritable(newest.file)
			must(t, err)
			must(t, errors.Join(f.Truncate(at), f.Sync(), f.Close()))
			l, r, err := log.Open(c.o)
			if err == nil {
				err = errors.Join(c.compare(r), l.Close())
			}
			if errors.Is(err, damage.ErrDamaged) && strings.Contains(err.Error(), newest.file) {
				refused++
			} else if err != nil {
				t.Errorf("fenced %v, cut at %d of %d: %v", fenced, at, newest.to, err)
			}
		}
		if refused == 0 {
			t.Error("nothing was refused")
		}
	}
}

// The newest segment, gone, emptied, or with a bad bit in its header, is named and refused, whatever a snapshot covers: which
// entries, terms and votes were in it nobody knows. So is one that a start has begun. Where nobody has said yet that it follows,
// a start says it.
func TestLostNewest(t *testing.T) {
	lose := map[string]func(m *simdisk.Disk, name string) error{
		"gone": func(m *simdisk.Disk, name string) error { return m.Remove(name) },
		"empty": func(m *simdisk.Disk, name string) error {
			f, err := m.OpenWritable(name)
			return errors.Join(err, f.Truncate(0), f.Sync(), f.Close())
		},
		"a bad header": func(m *simdisk.Disk, name string) error { return m.Rot(name, 100, 3) },
	}
	torn := false
	for how, lose := range lose {
		for seed := range uint64(12) {
			w := flipLog(t, seed, seed%2 == 0)
			must(t, w.open())
			if seed%3 == 0 { // what is torn off stays, and another segment is begun behind it
				w.append(w.now.last()+1, w.now.hard.Term, 3, nil)
				w.m.Fail(simdisk.Fault{Op: simdisk.OpSync, Call: 1})
				if err := w.sync(); err == nil {
					t.Fatal("the sync did not fail")
				}
				w.m.ClearFaults()
				w.m.Crash(simdisk.Mixture)
				must(t, w.open())
				torn = torn || w.torn
			}
			must(t, w.sayNext())
			must(t, w.l.Close())
			pieces := livePieces(t, w.m)
			newest := pieces[len(pieces)-1].file
			w.m.Crash(simdisk.Mixture)
			for _, covered := range []uint64{0, w.acked.last(), w.acked.last() + 100} {
				c := w.after(t, seed)
				must(t, lose(c.m, newest))
				c.o.Covered = covered
				_, _, err := log.Open(c.o)
				if !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), newest) || errors.Is(err, fs.ErrNotExist) {
					t.Errorf("seed %d, %s is %s, covered up to %d: %v", seed, newest, how, covered, err)
				}
				if err := log.Dump(c.m, dir, io.Discard, log.DumpOptions{}); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), newest) {
					t.Errorf("seed %d, %s is %s, as a dump: %v", seed, newest, how, err)
				}
			}
		}
	}
	if !torn {
		t.Error("no end was torn")
	}
}

// What says which segment follows is written by a start where the sync of it has failed before, whatever the cache shows.
func TestNextPageBehindFailedSync(t *testing.T) {
	for seed := range uint64(8) {
		w := flipLog(t, seed, true)
		must(t, w.open())
		w.m.Fail(simdisk.Fault{Op: simdisk.OpSync})
		if err := w.sayNext(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("the sync did not fail: %v", err)
		}
		w.m.Kill()
		must(t, w.open())
		must(t, w.sayNext())
		newest := activeFile(t, w)
		w.m.Crash(simdisk.Zeros)
		must(t, w.m.Remove(newest))
		if _, _, err := log.Open(w.o); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), newest) {
			t.Errorf("seed %d: %s is gone: %v", seed, newest, err)
		}
	}
}
