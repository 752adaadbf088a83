package log_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/damage"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
)

// verify returns the paths of the segments that Verify calls sound, and the damage that it reports.
func verify(t *testing.T, d disk.FS, snapshot, least uint64) (sound []string, damage []error) {
	t.Helper()
	must(t, log.Verify(d, dir, least, func() (uint64, error) { return snapshot, nil }, func(name string, one error) error {
		if one != nil {
			damage = append(damage, one)
		} else {
			sound = append(sound, name)
		}
		return nil
	}))
	return sound, damage
}

// place returns where damage is.
func place(err error) string {
	c, ok := errors.AsType[*damage.Error](err)
	if !ok {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%s %d", c.File, c.Offset)
}

// Every flipped bit of a log in use is found where it is, and nothing else is called damaged.
func TestVerifyFindsFlippedBits(t *testing.T) {
	testlong.Skip(t)
	seeds, stride := uint64(3), int64(501)
	if *full {
		seeds, stride = 20, 31
	}
	bits := 0
	for seed := range seeds {
		w := flipLog(t, seed, true)
		pieces := livePieces(t, w.m)
		if sound, damage := verify(t, w.m, 1, w.acked.last()); len(damage) > 0 || len(sound) < 3 {
			t.Fatalf("seed %d: %v, damage %v", seed, sound, damage)
		}
		for i, p := range pieces[:len(pieces)-1] { // nothing speaks of the last frame, a fence
			for bit := int64(i) % stride; bit < (p.to-p.from)*8; bit += stride {
				c := w.after(t, uint64(bit))
				must(t, c.m.Rot(p.file, p.from+bit/8, uint(bit%8)))
				_, damage := verify(t, c.m, 1, w.acked.last())
				want := fmt.Sprintf("%s %d", p.file, p.from)
				if p.what == "header" && p.file == pieces[len(pieces)-1].file && len(damage) == 1 {
					continue // of a segment that nothing names yet: the log ends too early
				}
				if len(damage) != 1 || place(damage[0]) != want {
					t.Fatalf("seed %d, bit %d of %+v: %v", seed, bit, p, damage)
				}
				bits++
			}
		}
		c := w.after(t, seed)
		_, damage := verify(t, c.m, 1, w.acked.last()+1)
		if len(damage) != 1 || !strings.Contains(damage[0].Error(), fmt.Sprintf("ends here with entry %d", w.acked.last())) {
			t.Errorf("seed %d, with an entry that is not there: %v", seed, damage)
		}
		must(t, c.m.Remove(pieces[0].file))
		if _, damage := verify(t, c.m, w.acked.last(), 0); len(damage) > 0 {
			t.Errorf("seed %d, the oldest segment was released: %v", seed, damage)
		}
	}
	t.Logf("%d bits", bits)
}

// A missing segment and a page that the disk cannot read are named.
func TestVerifyNamesWhatCannotBeRead(t *testing.T) {
	w := flipLog(t, 3, true)
	pieces := livePieces(t, w.m)
	for _, p := range pieces {
		least := uint64(0)
		if p.from == 0 && p.file == pieces[len(pieces)-1].file {
			least = w.acked.last() // nothing names a new segment at once but its entries
		}
		if p.from == p.to {
			continue
		}
		_, damage := verify(t, badPage{w.m, p.file, p.from}, 1, least)
		if len(damage) != 1 || place(damage[0]) != fmt.Sprintf("%s %d", p.file, p.from) || !errors.Is(damage[0], syscall.EIO) {
			t.Errorf("%s at %d cannot be read: %v", p.file, p.from, damage)
		}
	}
	sound, _ := verify(t, w.m, 1, 0)
	must(t, w.m.Remove(sound[1]))
	_, damage := verify(t, w.m, 1, 0)
	if len(damage) != 1 || !strings.Contains(damage[0].Error(), path.Base(sound[2])) || !strings.Contains(damage[0].Error(), "segments are missing") {
		t.Errorf("%s is missing: %v", sound[1], damage)
	}
}

// An installed snapshot sets the log back behind entries of a former leader. Of their segments some may be removed before the others: the log
// still begins behind the snapshot.
func TestVerifyWhileResetSegmentsGo(t *testing.T) {
	w := opened(t, 64<<10)
	for w.l.Stats().Segments < 4 {
		w.put(entry(w.now.last()+1, 1, "x"))
	}
	w.l.Append(&log.HardState{Term: 2, Commit: 5}, nil)
	w.l.Reset(log.Marker{Index: 5, Term: 2, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
	if _, err := w.l.Sync(); err != nil {
		t.Fatal(err)
	}
	w.l.Release(5)
	released := w.l.TakeReleased()
	if len(released) < 3 {
		t.Fatalf("released: %q", released)
	}
	must(t, w.m.Remove(released[0]))
	must(t, w.m.Remove(released[1]))
	if _, damage := verify(t, w.m, 5, 5); len(damage) > 0 {
		t.Errorf("without %s: %v", released[:2], damage)
	}
	must(t, w.l.Close())
}

// A segment may begin with entries that replace those of earlier segments, which were released since.
func TestVerifyAfterReplacedEntries(t *testing.T) {
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
	if _, damage := verify(t, w.m, from-1, from); len(damage) > 0 {
		t.Errorf("behind a snapshot at %d: %v", from-1, damage)
	}
	if _, damage := verify(t, w.m, from-2, from); len(damage) != 1 || !strings.Contains(damage[0].Error(), "segments are missing") {
		t.Errorf("behind a snapshot at %d: %v", from-2, damage)
	}
	must(t, w.l.Close())
}

// Verify reports no damage in a log that works meanwhile, whatever the log does between two reads: it appends, begins segments, releases
// them, and uses their files again.
func TestVerifyBesideTheLog(t *testing.T) {
	testlong.Skip(t)
	reads, segments := 0, 0
	for seed := range uint64(10) {
		w := newWorld(t, seed)
		must(t, w.create())
		must(t, w.open())
		busy := busyFS{w.m, func() {
			reads++
			must(t, w.work(w.r.IntN(99)))
		}}
		for range 40 {
			must(t, w.step())
			least := w.acked.hard.Commit
			sound, damage := verify(t, busy, 0, min(least, w.acked.last()))
			segments += len(sound)
			if len(damage) > 0 {
				t.Fatalf("seed %d: %v", seed, damage)
			}
		}
		w.drop()
	}
	t.Logf("%d segments, %d reads with work of the log between them", segments, reads)
}

// busyFS calls before ahead of each read.
type busyFS struct {
	disk.FS
	before func()
}

func (b busyFS) Open(name string) (disk.File, error) {
	b.before()
	f, err := b.FS.Open(name)
	return busyFile{f, b.before}, err
}

type busyFile struct {
	disk.File
	before func()
}

func (f busyFile) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > 4096 { // in two halves, with work between them
		half := len(p) / 8192 * 4096
		if n, err := f.ReadAt(p[:half], off); err != nil {
			return n, err
		}
		n, err := f.ReadAt(p[half:], off+int64(half))
		return half + n, err
	}
	f.before()
	return f.File.ReadAt(p, off)
}

// A frame that is half written when it is read is no damage, though a later frame already proves that it was synced.
func TestVerifyReadsAFrameAgain(t *testing.T) {
	w := flipLog(t, 5, true)
	pieces := livePieces(t, w.m)
	p := pieces[len(pieces)-2]
	late := lateFS{w.m, p.file, p.from, new(bool)}
	if _, damage := verify(t, late, 1, w.acked.last()); len(damage) > 0 || !*late.read {
		t.Errorf("%+v, first read before it was written: %v (read: %v)", p, damage, *late.read)
	}
}

// lateFS shows a page of one file as zeros the first time.
type lateFS struct {
	disk.FS
	name string
	at   int64
	read *bool
}

func (l lateFS) Open(name string) (disk.File, error) {
	f, err := l.FS.Open(name)
	return lateFile{f, l, name == l.name}, err
}

type lateFile struct {
	disk.File
	of   lateFS
	this bool
}

func (f lateFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if at := f.of.at - off; f.this && at >= 0 && at+4096 <= int64(n) && !*f.of.read {
		clear(p[at:][:4096])
		*f.of.read = true
	}
	return n, err
}

// A segment that was found damaged while the log is in use is removed when it is released, and not used again.
func TestMarkedSegmentIsRemoved(t *testing.T) {
	w := flipLog(t, 1, true)
	l, r, err := log.Open(w.o)
	must(t, err)
	names := l.Segments().Names()
	l.MarkDamaged(names[1])
	l.TakeReleased()
	l.Release(r.Last)
	released, damaged := l.TakeReleased(), l.TakeDamaged()
	if len(damaged) != 1 || damaged[0] != names[1] || slices.Contains(released, names[1]) || !slices.Contains(released, names[0]) {
		t.Errorf("%s is damaged: %s are used again, %s are removed", names[1], released, damaged)
	}
	must(t, l.Close())
}
