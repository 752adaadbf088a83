package log_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3"

	"qkv/internal/damage"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// Whatever bit of a log rots: with a snapshot that covers what was damaged the log opens and holds all behind the
// snapshot, and with one that does not it is refused.
func TestDamageBelowSnapshot(t *testing.T) {
	testlong.Skip(t)
	seeds, stride := 6, int64(4001)
	if *full {
		seeds, stride = 8, 61
	}
	skipped, refused := 0, 0
	for seed := range uint64(seeds) {
		w := flipLog(t, seed, true)
		pieces := livePieces(t, w.m)
		for i, p := range pieces[:len(pieces)-1] {
			for bit := int64(i) % stride; bit < (p.to-p.from)*8; bit += stride {
				for covered := w.acked.base; covered <= w.acked.last(); covered++ {
					c := w.after(t, uint64(bit))
					must(t, c.m.Rot(p.file, p.from+bit/8, uint(bit%8)))
					c.o.Covered = covered
					l, r, err := log.Open(c.o)
					if errors.Is(err, damage.ErrDamaged) {
						refused++
						continue
					}
					if err == nil {
						skipped++
						err = c.sameAbove(r, covered)
						must(t, l.Close())
					}
					if err != nil {
						t.Fatalf("seed %d, bit %d of %+v, covered up to %d: %v", seed, bit, p, covered, err)
					}
				}
			}
		}
	}
	t.Logf("%d logs opened with damage below the snapshot, %d refused", skipped, refused)
	if skipped == 0 || refused == 0 {
		t.Error("one of the two never happened")
	}
}

// What is damaged and covered leaves the log for good: nothing is written behind it, and its file is removed when it is released, behind
// those that wait to be used again, which are older.
func TestCoveredDamageLeaves(t *testing.T) {
	headers := 0
	for seed := range uint64(40) {
		w := flipLog(t, seed, true)
		pieces := livePieces(t, w.m)
		for _, p := range pieces {
			at := p.from + 600
			if p.what == "header" && p.file != pieces[len(pieces)-1].file {
				at = p.from + 100
				headers++
			} else if p.what != "entries" {
				continue
			}
			c := w.after(t, seed)
			must(t, c.m.Rot(p.file, at, 1))
			c.o.Covered = w.acked.last()
			l, r, err := log.Open(c.o)
			must(t, err)
			names := l.Segments().Names()
			if r.Skipped == nil || names[len(names)-1] == p.file {
				t.Fatalf("seed %d, damage in %s: %v, and the log goes on in %q", seed, p.file, r.Skipped, names)
			}
			l.Release(r.Last)
			released, damaged := l.TakeReleased(), l.TakeDamaged()
			if slices.Contains(released, p.file) || !slices.Equal(damaged, []string{p.file}) {
				t.Fatalf("seed %d, damage in %s: released %q, damaged %q", seed, p.file, released, damaged)
			}
			m := log.NewMaker(c.o)
			for _, name := range released {
				must(t, m.Recycle(name))
			}
			last := ""
			c.m.SetHook(func(op simdisk.Op, name string) {
				if op == simdisk.OpRemove {
					last = name
				}
			})
			must(t, m.Remove(p.file))
			c.m.SetHook(nil)
			if last != p.file {
				t.Fatalf("seed %d: %s was removed last, not %s", seed, last, p.file)
			}
			must(t, l.Close())
			c.m.Crash(simdisk.LostEntry)
			c.o.Covered = 0
			l, r, err = log.Open(c.o)
			if err != nil || r.Skipped != nil || r.Last != w.acked.last() {
				t.Fatalf("seed %d, the next start without %s: %+v %v", seed, p.file, r, err)
			}
			must(t, l.Close())
			must(t, log.Dump(c.m, dir, io.Discard, log.DumpOptions{}))
		}
	}
	if headers == 0 {
		t.Error("no header was damaged")
	}
}

// Where what the log ends with is damaged, and a snapshot covers it, nothing says which term the last entry had. No later start takes
// it for a known one: neither with the damaged file, nor without it, nor where the disk gives again what it did not.
func TestTermBehindCoveredDamage(t *testing.T) {
	for seed := range uint64(20) {
		w := flipLog(t, seed, true)
		pieces := livePieces(t, w.m)
		p := pieces[len(pieces)-1]
		for i := len(pieces) - 1; p.what != "entries"; i-- {
			p = pieces[i]
		}
		last := w.acked.last()
		rot := func(*log.Log) error { return w.m.Rot(p.file, p.from+600, 1) }
		must(t, rot(nil))
		for life, then := range []func(l *log.Log) error{
			func(*log.Log) error { return nil },
			rot, // it is as it was
			rot,
			func(l *log.Log) error {
				l.Release(last)
				return log.NewMaker(w.o).Remove(p.file)
			},
			func(*log.Log) error { return nil },
		} {
			if w.o.Covered = last; life == 2 || life == 4 {
				w.o.Covered = 0
			}
			l, r, err := log.Open(w.o)
			must(t, err)
			if term, err := r.Window.Term(last); r.Last != last || !errors.Is(err, raft.ErrCompacted) && (err != nil || term != w.term(last)) {
				t.Fatalf("seed %d, life %d: the log ends with entry %d, which has term %d, and not %d with %d: %v", seed, life, r.Last, term, last, w.term(last), err)
			}
			must(t, then(l))
			must(t, l.Close())
		}
	}
}

// sameAbove holds what was recovered above a snapshot against what was acknowledged.
func (w *world) sameAbove(r *log.Recovered, covered uint64) error {
	if r.Skipped == nil || !errors.Is(r.Skipped, damage.ErrDamaged) {
		return fmt.Errorf("the damage is not named: %w", r.Skipped)
	}
	if r.Last < w.acked.last() || r.First > covered+1 {
		return fmt.Errorf("entries %d to %d, not %d to %d", r.First, r.Last, covered+1, w.acked.last())
	}
	if hs := r.HardState; hs.Term != w.acked.hard.Term || hs.Vote != w.acked.hard.Vote {
		return fmt.Errorf("%+v, not %+v", hs, w.acked.hard)
	}
	if term, err := r.Window.Term(covered); (err != nil || term != w.term(covered)) && !errors.Is(err, raft.ErrCompacted) {
		return fmt.Errorf("the snapshot's entry is of term %d, not %d: %w", term, w.term(covered), err)
	}
	for i := covered + 1; i <= r.Last; i++ {
		got, err := (log.Storage{Window: r.Window, Reader: w.reader()}).Entries(i, i+1, 1<<40)
		if err != nil || !sameEntry(got[0], w.acked.at(i)) {
			return fmt.Errorf("entry %v, not %v: %w", got, w.acked.at(i), err)
		}
	}
	return nil
}

// unfinished makes a log in which the group that begins a new segment is written and not synced when the power fails, in
// each way. The function gets the world after the crash, the last frame that was synced, and whether a whole frame's
// header of the new segment survived.
func unfinished(t *testing.T, seed uint64, f func(c *world, last live, spoken bool)) {
	w := newWorld(t, seed)
	w.o.SegmentBytes = 32 << 10
	must(t, w.create())
	must(t, w.open())
	for w.l.Stats().Segments < 4 {
		w.append(w.now.last()+1, max(w.now.hard.Term, w.now.lastTerm()), 1+w.r.IntN(3), nil)
		if w.r.IntN(3) == 0 {
			w.turn()
		}
		pieces := livePieces(t, w.m)
		last := pieces[len(pieces)-1]
		w.m.SetHook(func(op simdisk.Op, name string) {
			if op != simdisk.OpSync || name <= last.file || !strings.HasSuffix(name, ".wal") {
				return
			}
			written := readAll(t, w.m, name)
			for v := range simdisk.Variants {
				c := w.after(t, seed<<8|uint64(v))
				c.m.Crash(v)
				found, spoken := readAll(t, c.m, name), false
				for at := 4096; at+512 <= min(len(written), len(found)); at += 4096 {
					spoken = spoken || string(written[at:at+4]) == "qkvf" && string(written[at:at+512]) == string(found[at:at+512])
				}
				f(c, last, spoken)
			}
		})
		must(t, w.sync())
		w.m.SetHook(nil)
	}
}

func readAll(t *testing.T, m *simdisk.Disk, name string) []byte {
	t.Helper()
	f, err := m.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, _ = f.ReadAt(b, 0)
	must(t, f.Close())
	return b
}

// A segment's last group that rots is damage as soon as any whole frame of the next segment is there, though its header
// is torn: the frame says where the segment before ends. Nothing that was acknowledged is cut then, and what is whole is no damage.
func TestRotBeforeTornSegment(t *testing.T) {
	seeds := 12
	if *full {
		seeds = 150
	}
	named, looksTorn, whole := 0, 0, 0
	for seed := range uint64(seeds) {
		unfinished(t, seed, func(c *world, p live, spoken bool) {
			must(t, c.m.Rot(p.file, p.from+c.r.Int64N(p.to-p.from), uint(c.r.IntN(8))))
			l, r, err := log.Open(c.o)
			switch {
			case errors.Is(err, damage.ErrDamaged):
				named++
				return
			case err != nil:
				t.Fatalf("seed %d: %v", seed, err)
			case c.compare(r) == nil: // as when the header of a segment rots that has no frame yet
				whole++
			case spoken:
				t.Fatalf("seed %d: the rot in %+v was not seen: last %d, acknowledged %d, torn %v", seed, p, r.Last, c.acked.last(), r.Torn)
			default:
				looksTorn++
			}
			must(t, l.Close())
		})
	}
	t.Logf("%d named as damage, %d with all that was acknowledged, %d of which no frame speaks", named, whole, looksTorn)
	if named == 0 || looksTorn == 0 {
		t.Error("one of the cases never happened")
	}
}

// The proof that a segment's header is damaged may lie anywhere in any file behind the newest whole one: here behind the
// first MiB of a segment that the log made itself, while a spare was on its way to it.
func TestDamagedBeginningBehindSpare(t *testing.T) {
	w := opened(t, 4<<20)
	late := spare(t, w.maker)
	for w.l.Stats().Inline == 0 {
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 1<<20)))
	}
	w.put(entry(w.now.last()+1, 1, "x"))
	name := activeFile(t, w)
	if late >= name {
		t.Fatalf("the spare is %s, the segment %s", late, name)
	}
	for _, at := range []int64{100, 4096 + 600} { // the header; the first group's payload
		must(t, w.m.Rot(name, at, 3))
	}
	must(t, w.m.Rot(name, 4096+20, 3)) // and its header
	if _, _, err := log.Open(w.o); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), name+" at byte 0") {
		t.Error(err)
	}
}

// openFiles counts the files that are open to be read.
type openFiles struct {
	disk.FS
	open, most int
}

type openFile struct {
	disk.File
	of *openFiles
}

func (o *openFiles) Open(name string) (disk.File, error) {
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	o.open++
	o.most = max(o.most, o.open)
	return &openFile{f, o}, nil
}

func (f *openFile) Close() error {
	f.of.open--
	return f.File.Close()
}

// A process that starts again and again, and writes something each time, leaves a number of files that depends on what
// was written only, and has one of them open at a time while it reads them.
func TestRestartLoop(t *testing.T) {
	testlong.Skip(t)
	w := newWorld(t, 1)
	counted := &openFiles{FS: w.m}
	w.o.FS = counted
	must(t, w.create())
	must(t, w.open())
	most := 0
	for i := range 3000 {
		counted.most = 0
		w.append(w.now.last()+1, 1, 1, nil)
		must(t, w.sync())
		if i%3 == 0 {
			must(t, w.l.Fence(true))
		}
		w.m.Kill()
		l, r, err := log.Open(w.o)
		must(t, err)
		if counted.most > 1 || counted.open > 0 {
			t.Fatalf("%d files were open at a time, and %d are", counted.most, counted.open)
		}
		w.l, w.w, w.maker = l, r.Window, log.NewMaker(w.o)
		w.acked.hard, w.now.hard = r.HardState, r.HardState
		if r.Last != w.acked.last() {
			t.Fatalf("entries up to %d, not %d", r.Last, w.acked.last())
		}
		w.w.Release(w.released, w.term(w.released))
		most = max(most, len(w.files()))
		if s := w.l.Stats(); s.Segments > 6 {
			w.released = w.acked.last() - 10
			w.w.Release(w.released, 1)
			w.l.Release(w.released)
			must(t, w.make())
		}
	}
	t.Logf("at most %d files", most)
	if most > 20 {
		t.Errorf("%d files", most)
	}
}

// activeFile is the newest segment's file.
func activeFile(t *testing.T, w *world) string {
	pieces := livePieces(t, w.m)
	return pieces[len(pieces)-1].file
}

// makeInline puts until the log makes a segment itself, and returns that one's size and how often was written for it.
func makeInline(t *testing.T, w *world) (size, writes int64) {
	for w.l.Stats().Inline == 0 {
		before := w.m.Count(simdisk.OpWrite)
		w.put(entry(w.now.last()+1, 1, strings.Repeat("x", 1<<20)))
		writes = w.m.Count(simdisk.OpWrite) - before
	}
	file, err := w.m.Open(activeFile(t, w))
	must(t, err)
	size, err = file.Size()
	must(t, err)
	must(t, file.Close())
	return size, writes
}

// Who waits for a segment that the log makes itself waits for what it writes, and for no zeros.
func TestInlineSegmentIsReserved(t *testing.T) {
	w := opened(t, 16<<20)
	if size, writes := makeInline(t, w); size != 16<<20 || writes != 1 {
		t.Errorf("it has %d bytes and took %d writes", size, writes)
	}
}

// Where a whole one cannot be reserved it is little larger than what is written there.
func TestInlineSegmentIsSmall(t *testing.T) {
	for _, cannot := range []error{syscall.ENOSPC, errors.ErrUnsupported} {
		w := opened(t, 16<<20)
		w.m.Fail(simdisk.Fault{Op: simdisk.OpReserve, Err: cannot, Stays: true})
		if size, _ := makeInline(t, w); size > 5<<19 {
			t.Errorf("%v: it has %d bytes for an entry of %d", cannot, size, 1<<20)
		}
	}
}

// A header that the disk does not give, in what a snapshot covers, is named by what the disk said.
func TestUnreadableHeaderBelowSnapshot(t *testing.T) {
	w := flipLog(t, 1, true)
	tried := map[string]bool{}
	pieces := livePieces(t, w.m)
	for _, p := range pieces {
		if tried[p.file] || p.file == pieces[len(pieces)-1].file {
			continue
		}
		tried[p.file] = true
		c := w.after(t, 1)
		c.m.Fail(simdisk.Fault{Op: simdisk.OpRead, Name: p.file})
		c.o.Covered = w.acked.last()
		l, r, err := log.Open(c.o)
		must(t, err)
		if !errors.Is(r.Skipped, syscall.EIO) || !strings.Contains(fmt.Sprint(r.Skipped), p.file) {
			t.Errorf("%s cannot be read, and it is said: %v", p.file, r.Skipped)
		}
		must(t, l.Close())
	}
	if len(tried) == 0 {
		t.Error("there is one segment only")
	}
}

// Damage in the last entry of a segment is covered by a snapshot of that entry, and by none before it.
func TestDamageOfWhatASnapshotEndsWith(t *testing.T) {
	w := opened(t, 64<<10)
	next := uint64(2) // the entry that the newest segment begins with
	for i := next; w.l.Stats().Segments < 4; i++ {
		before := w.l.Stats().Segments
		if w.put(entry(i, 1, strings.Repeat("y", 5000))); w.l.Stats().Segments > before {
			next = i
		}
	}
	pieces := livePieces(t, w.m)
	last := pieces[0] // of the segment before
	for _, p := range pieces {
		if p.file != pieces[len(pieces)-1].file {
			last = p
		}
	}
	for covered, opens := range map[uint64]bool{next - 2: false, next - 1: true} {
		c := w.after(t, covered)
		must(t, c.m.Rot(last.file, last.to-100, 1))
		c.o.Covered = covered
		l, r, err := log.Open(c.o)
		if opens != (err == nil) || err != nil && !errors.Is(err, damage.ErrDamaged) {
			t.Errorf("entry %d is damaged, and a snapshot is of entry %d: %v", next-1, covered, err)
		}
		if err == nil {
			if r.First != next || r.Skipped == nil {
				t.Errorf("the log begins with entry %d, not %d: %v", r.First, next, r.Skipped)
			}
			must(t, l.Close())
		}
	}
}
