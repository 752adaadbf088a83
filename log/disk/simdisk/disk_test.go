package simdisk_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// everyCrash calls test with a disk made by build after a crash in each variant, for some seeds.
func everyCrash(t *testing.T, build func(m *simdisk.Disk), test func(t *testing.T, v simdisk.Variant, m *simdisk.Disk)) {
	t.Helper()
	for v := range simdisk.Variants {
		for seed := range uint64(40) {
			m := simdisk.New(seed)
			build(m)
			m.Crash(v)
			test(t, v, m)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, d *simdisk.Disk, name string, content string) disk.File {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	if content != "" {
		put(t, f, 0, content)
	}
	return f
}

func put(t testing.TB, f disk.File, off int64, content string) {
	t.Helper()
	n, err := f.WriteAt([]byte(content), off)
	must(t, err)
	if n != len(content) {
		t.Fatalf("%d of %d bytes were written", n, len(content))
	}
}

// content reads a whole file, "-" when there is none.
func content(t testing.TB, d *simdisk.Disk, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); int64(n) != size || err != nil && err != io.EOF {
		t.Fatalf("%d of %d bytes: %v", n, size, err)
	}
	return string(b)
}

func TestSyncedSurvives(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1000)
	everyCrash(t, func(m *simdisk.Disk) {
		f := create(t, m, "f", big)
		must(t, f.Datasync())
		must(t, m.SyncDir(""))
		create(t, m, "g", "lost")
		put(t, f, 20000, "unsynced")
	}, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) {
		if got := content(t, m, "f"); !strings.HasPrefix(got, big) {
			t.Fatalf("%v: synced bytes are gone", v)
		}
	})
}

func TestSyncOfFileIsNotSyncOfName(t *testing.T) {
	lost, kept := 0, 0
	everyCrash(t, func(m *simdisk.Disk) {
		f := create(t, m, "f", "content")
		must(t, f.Sync())
	}, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) {
		switch got := content(t, m, "f"); got {
		case "-":
			lost++
		case "content":
			kept++
		default:
			t.Fatalf("%v: %q", v, got)
		}
	})
	if lost == 0 || kept == 0 {
		t.Errorf("%d lost, %d kept: both must happen", lost, kept)
	}
}

func TestRenameIsAtomic(t *testing.T) {
	seen := map[string]int{}
	everyCrash(t, func(m *simdisk.Disk) {
		must(t, create(t, m, "f", "old").Sync())
		must(t, create(t, m, "f.tmp", "new").Sync())
		must(t, m.SyncDir("."))
		must(t, m.Rename("f.tmp", "f"))
	}, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) {
		seen[content(t, m, "f")+" "+content(t, m, "f.tmp")]++
	})
	if len(seen) != 2 || seen["old new"] == 0 || seen["new -"] == 0 {
		t.Errorf("after a crash: %v", seen)
	}
}

func TestRenameAcrossDirectories(t *testing.T) {
	everyCrash(t, func(m *simdisk.Disk) {
		must(t, m.MkdirAll("a/b"))
		must(t, m.MkdirAll("c"))
		must(t, m.SyncDir("a"))
		must(t, m.SyncDir(""))
		must(t, create(t, m, "a/b/f", "x").Sync())
		must(t, m.Rename("a/b/f", "c/f"))
		must(t, m.SyncDir("c"))
	}, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) {
		if got := content(t, m, "a/b/f") + content(t, m, "c/f"); got != "-x" {
			t.Fatalf("%v: %q", v, got)
		}
	})
}

func TestRemovedFileMayComeBack(t *testing.T) {
	seen := map[string]int{}
	everyCrash(t, func(m *simdisk.Disk) {
		must(t, create(t, m, "f", "x").Sync())
		must(t, m.SyncDir(""))
		must(t, m.Remove("f"))
	}, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) { seen[content(t, m, "f")]++ })
	if seen["-"] == 0 || seen["x"] == 0 || len(seen) != 2 {
		t.Errorf("after a crash: %v", seen)
	}
}

// What each variant does to four sectors written over synced ones, and to a file that grew.
func TestVariants(t *testing.T) {
	fates := map[simdisk.Variant]map[string]int{}
	everyCrash(t, func(m *simdisk.Disk) {
		f := create(t, m, "f", strings.Repeat("a", 2048))
		must(t, f.Sync())
		must(t, m.SyncDir(""))
		put(t, f, 0, strings.Repeat("b", 2048))
		put(t, f, 2048, "tail")
	}, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) {
		got := content(t, m, "f")
		if fates[v] == nil {
			fates[v] = map[string]int{}
		}
		if len(got) > 2048 {
			fates[v]["grown"]++
		} else {
			fates[v]["short"]++
		}
		for i := range 4 {
			sector := got[i*512 : i*512+512]
			switch {
			case strings.Trim(sector, "b") == "":
				fates[v]["new"]++
			case strings.Trim(sector, "a") == "":
				fates[v]["old"]++
			case strings.Trim(sector, "\x00") == "":
				fates[v]["zero"]++
			case strings.Trim(sector, "ab") == "":
				fates[v]["mixed"]++
			default:
				fates[v]["garbage"]++
			}
		}
	})
	for v, want := range map[simdisk.Variant]string{
		simdisk.Prefix: "grown new old short", simdisk.Subset: "grown new old short", simdisk.Reordered: "grown new old short",
		simdisk.Torn: "grown mixed new old short", simdisk.Zeros: "grown new zero", simdisk.Garbage: "garbage grown new",
		simdisk.LostEntry: "grown new", simdisk.LostSize: "grown new short", simdisk.Mixture: "garbage grown mixed new old short zero",
	} {
		var got []string
		for fate := range fates[v] {
			got = append(got, fate)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %v, not %s", v, fates[v], want)
		}
	}
}

func TestHandlesDieInACrash(t *testing.T) {
	m := simdisk.New(1)
	f := create(t, m, "f", "x")
	l, err := m.Lock("LOCK")
	must(t, err)
	m.Crash(simdisk.Prefix)
	if _, err := f.WriteAt([]byte("y"), 0); !errors.Is(err, simdisk.ErrCrashed) {
		t.Errorf("write: %v", err)
	}
	if err := f.Sync(); !errors.Is(err, simdisk.ErrCrashed) {
		t.Errorf("sync: %v", err)
	}
	if _, err := m.Lock("LOCK"); err != nil {
		t.Errorf("the lock of a dead process is held: %v", err)
	}
	if l.Close() == nil {
		t.Error("a dead process released another one's lock")
	}
}

// After a failed sync the cache shows what the disk may never have; a second sync says nothing, and dropping the
// cache shows the truth.
func TestFailedSync(t *testing.T) {
	truths := map[bool]int{}
	for seed := range uint64(40) {
		m := simdisk.New(seed)
		f := create(t, m, "f", "old.")
		must(t, f.Sync())
		must(t, m.SyncDir(""))
		put(t, f, 0, "new.")
		m.Fail(simdisk.Fault{Op: simdisk.OpSync, Err: syscall.EIO})
		if err := f.Datasync(); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		must(t, f.Datasync())
		if got := content(t, m, "f"); got != "new." {
			t.Fatalf("the cache lost what it had: %q", got)
		}
		m.Kill()
		if got := content(t, m, "f"); got != "new." {
			t.Fatalf("the cache lost what it had in a restart: %q", got)
		}
		f, err := m.Open("f")
		must(t, err)
		must(t, f.Datasync())
		must(t, f.DropCache(0, 0))
		truth := content(t, m, "f")
		truths[truth == "new."]++
		m.Crash(simdisk.Prefix)
		if got := content(t, m, "f"); got != truth {
			t.Fatalf("dropping the cache showed %q, the disk had %q", truth, got)
		}
	}
	if truths[true] == 0 || truths[false] == 0 {
		t.Errorf("a failed sync must write something sometimes: %v", truths)
	}
}

// What is written again after a failed sync, and synced, is on the disk: nothing of the failed one comes back over it.
func TestWrittenAgainAfterAFailedSync(t *testing.T) {
	for seed := range uint64(40) {
		for _, end := range []func(m *simdisk.Disk){
			func(m *simdisk.Disk) { m.Crash(simdisk.Prefix) },
			func(m *simdisk.Disk) { m.Kill() },
			func(m *simdisk.Disk) {
				f, err := m.Open("f")
				must(t, err)
				must(t, f.DropCache(0, 0))
			},
		} {
			m := simdisk.New(seed)
			f := create(t, m, "f", "aaaaaaaaaa")
			must(t, f.Sync())
			must(t, m.SyncDir(""))
			put(t, f, 0, "bbbbbbbbbb")
			m.Fail(simdisk.Fault{Op: simdisk.OpSync, Err: syscall.EIO})
			if err := f.Datasync(); err == nil {
				t.Fatal("the sync does not fail")
			}
			put(t, f, 3, "ccc")
			must(t, f.Datasync())
			end(m)
			if got := content(t, m, "f"); got[3:6] != "ccc" || strings.Trim(got[:3]+got[6:], "ab") != "" {
				t.Fatalf("seed %d: %q", seed, got)
			}
		}
	}
}

func TestKillKeepsTheCache(t *testing.T) {
	m := simdisk.New(1)
	f := create(t, m, "f", "never synced")
	m.Kill()
	if got := content(t, m, "f"); got != "never synced" {
		t.Errorf("%q", got)
	}
	if err := f.Sync(); !errors.Is(err, simdisk.ErrCrashed) {
		t.Errorf("a dead process synced: %v", err)
	}
	m.Crash(simdisk.LostEntry)
	if got := content(t, m, "f"); got != "-" && got != "never synced" {
		t.Errorf("%q", got)
	}
}

// A batch is cut anywhere, its syncs before the cut hold, and what is finished is never lost.
func TestBatch(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(m *simdisk.Disk, v simdisk.Variant)
	}{{"crash", (*simdisk.Disk).Crash}, {"kill", func(m *simdisk.Disk, _ simdisk.Variant) { m.Kill() }}} {
		seen := map[string]int{}
		for seed := range uint64(400) {
			m := simdisk.New(seed)
			f := create(t, m, "f", "0")
			must(t, f.Sync())
			must(t, m.SyncDir(""))
			b := m.StartBatch()
			for _, s := range []string{"1", "2", "3"} {
				put(t, f, 0, s)
				must(t, f.Datasync())
			}
			m.StopBatch()
			if b.Calls() != 6 || b.Syncs() != 3 || b.Bytes() != 3 {
				t.Fatalf("%d calls, %d syncs, %d bytes", b.Calls(), b.Syncs(), b.Bytes())
			}
			end.end(m, simdisk.Variant(seed%uint64(simdisk.Variants)))
			seen[content(t, m, "f")]++
			b.Finish()
		}
		for _, s := range []string{"0", "1", "2", "3"} {
			if seen[s] < 10 {
				t.Errorf("%s: %v", end.name, seen)
			}
		}
	}
	everyCrash(t, func(m *simdisk.Disk) {
		b := m.StartBatch()
		f := create(t, m, "f", "final")
		must(t, f.Sync())
		must(t, m.SyncDir(""))
		m.StopBatch()
		other := m.StartBatch()
		create(t, m, "g", "pending")
		m.StopBatch()
		b.Finish()
		_ = other
	}, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) {
		if got := content(t, m, "f"); got != "final" {
			t.Fatalf("%v: a finished batch lost %q", v, got)
		}
	})
}

func TestFaults(t *testing.T) {
	m := simdisk.New(1)
	f := create(t, m, "f", "")
	m.Fail(simdisk.Fault{Op: simdisk.OpWrite, Call: 2, Err: syscall.ENOSPC, Short: true})
	put(t, f, 0, "one")
	n, err := f.WriteAt(bytes.Repeat([]byte("x"), 1000), 3)
	if !errors.Is(err, syscall.ENOSPC) || n == 1000 {
		t.Errorf("%d %v", n, err)
	}
	if size, _ := f.Size(); size != int64(3+n) {
		t.Errorf("%d bytes after a short write of %d", size, n)
	}
	m.Fail(simdisk.Fault{Name: "f", Stays: true})
	for range 3 {
		if _, err := f.Size(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
	}
	if _, err := m.List(""); err != nil {
		t.Errorf("another file's fault: %v", err)
	}
	m.ClearFaults()
	must(t, f.Sync())
}

func TestCapacity(t *testing.T) {
	m := simdisk.New(1)
	m.SetCapacity(10)
	f := create(t, m, "f", "12345678")
	n, err := f.WriteAt([]byte("abcd"), 8)
	if n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d %v", n, err)
	}
	if free, _ := m.Free(""); free != 0 {
		t.Errorf("%d bytes free", free)
	}
	put(t, f, 0, "overwrites")
	must(t, f.Truncate(4))
	must(t, m.Remove("f"))
	if m.Used() != 0 {
		t.Errorf("%d bytes used by nothing", m.Used())
	}
}

func TestRot(t *testing.T) {
	m := simdisk.New(1)
	f := create(t, m, "f", strings.Repeat("a", 5000))
	must(t, f.Sync())
	must(t, m.SyncDir(""))
	must(t, m.Rot("f", 4500, 1))
	want := strings.Repeat("a", 4500) + "c" + strings.Repeat("a", 499)
	if content(t, m, "f") != want {
		t.Error("the bit is not flipped")
	}
	m.Crash(simdisk.Prefix)
	if content(t, m, "f") != want {
		t.Error("the bit was flipped in the cache only")
	}
}

func TestGuard(t *testing.T) {
	m := simdisk.New(1)
	m.Guard(".wal", false)
	f := create(t, m, "s.wal", strings.Repeat("\x00", 3*4096))
	must(t, f.Sync())
	put(t, f, 4096, "first")
	put(t, f, 5000, "same page, not synced yet")
	must(t, f.Sync())
	put(t, f, 2*4096, "overwritten with zeros, in two parts")
	put(t, f, 2*4096, strings.Repeat("\x00", 10))
	put(t, f, 2*4096+10, strings.Repeat("\x00", 4086))
	must(t, f.Sync())
	put(t, f, 2*4096, "again")
	if m.Rewrites() != 0 {
		t.Fatalf("%d rewrites of pages that held zeros", m.Rewrites())
	}
	put(t, f, 4096+4095, "x")
	if m.Rewrites() != 1 {
		t.Fatalf("%d rewrites, not 1", m.Rewrites())
	}
	put(t, f, 8192, "next page")
	must(t, m.Rename("s.wal", "r.wal"))
	r, err := m.OpenWritable("r.wal")
	must(t, err)
	put(t, r, 4096, "recycled")
	if m.Rewrites() != 1 {
		t.Fatalf("%d rewrites, not 1: a renamed file is a new one", m.Rewrites())
	}
	b := m.StartBatch()
	must(t, r.Sync())
	must(t, m.Rename("r.wal", "q.wal"))
	m.StopBatch()
	b.Finish()
	q, err := m.OpenWritable("q.wal")
	must(t, err)
	put(t, q, 4096, "recycled")
	if m.Rewrites() != 1 {
		t.Fatalf("%d rewrites, not 1: that the sync before the rename is final now says nothing of the new file", m.Rewrites())
	}
}

func TestTrace(t *testing.T) {
	m := simdisk.New(1)
	var trace strings.Builder
	m.SetTrace(&trace)
	must(t, m.MkdirAll("d"))
	f := create(t, m, "d/f.tmp", "12345")
	must(t, f.Datasync())
	must(t, f.Sync())
	must(t, m.Rename("d/f.tmp", "d/f"))
	must(t, m.SyncDir("d"))
	must(t, f.Truncate(2))
	content(t, m, "d/f")
	m.Fail(simdisk.Fault{Op: simdisk.OpRemove, Err: syscall.EIO})
	_ = m.Remove("d/f")
	want := `mkdir d
create d/f.tmp
write d/f.tmp 0+5
sync d/f.tmp data
sync d/f.tmp all
rename d/f.tmp d/f
syncdir d
truncate d/f.tmp 2
remove d/f = input/output error
`
	if trace.String() != want {
		t.Errorf("got\n%s", trace.String())
	}
}

// workload makes random calls, the same for a seed, and returns a hash of all that it read.
func workload(m *simdisk.Disk, seed uint64, steps int) uint64 {
	r := rand.New(rand.NewPCG(seed, 1))
	h := fnv.New64a()
	var batches []*simdisk.Batch
	for range steps {
		name := fmt.Sprintf("d%d/f%d", r.IntN(2), r.IntN(4))
		if r.IntN(10) == 0 {
			batches = append(batches, m.StartBatch())
		}
		step(m, r, h, name)
		m.StopBatch()
		if len(batches) > 0 && r.IntN(8) == 0 {
			batches[0].Finish()
			batches = batches[1:]
		}
		if r.IntN(200) == 0 {
			m.Kill()
		}
	}
	return h.Sum64()
}

func step(m *simdisk.Disk, r *rand.Rand, h io.Writer, name string) {
	_ = m.MkdirAll("d0")
	_ = m.MkdirAll("d1")
	f, err := m.OpenWritable(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = m.Create(name)
	}
	if err != nil {
		fmt.Fprintln(h, err)
		return
	}
	switch r.IntN(12) {
	case 0:
		err = f.Datasync()
	case 1:
		err = m.SyncDir(name[:2])
	case 2:
		err = f.Truncate(r.Int64N(20000))
	case 3:
		err = m.Rename(name, "d1/f9")
	case 4:
		err = m.Remove(name)
	case 5:
		m.Fail(simdisk.Fault{Call: r.Int64N(30), Short: r.IntN(2) == 0})
	default:
		p := make([]byte, r.IntN(9000))
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		_, err = f.WriteAt(p, r.Int64N(16000))
	}
	p := make([]byte, 500)
	n, _ := f.ReadAt(p, r.Int64N(16000))
	fmt.Fprintln(h, err, p[:n])
}

// state is all that a disk shows.
func state(t testing.TB, m *simdisk.Disk) string {
	m.ClearFaults()
	var b strings.Builder
	for _, dir := range []string{"d0", "d1"} {
		names, _ := m.List(dir)
		for _, name := range names {
			fmt.Fprintf(&b, "%s/%s %x\n", dir, name, fnv.New64a().Sum([]byte(content(t, m, dir+"/"+name))))
		}
	}
	return b.String()
}

func TestSameSeedSameDisk(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(20) {
		var first string
		for range 2 {
			m := simdisk.New(seed)
			read := workload(m, seed, 300)
			m.Crash(simdisk.Mixture)
			now := fmt.Sprint(read, state(t, m))
			if first == "" {
				first = now
			} else if now != first {
				t.Fatalf("seed %d: two runs differ", seed)
			}
		}
	}
}

// A clone shows and crashes like the original, and neither notices the other.
func TestClone(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(20) {
		m := simdisk.New(seed)
		workload(m, seed, 200)
		a, b := m.Clone(7), m.Clone(7)
		want := state(t, m)
		if got := state(t, a); got != want {
			t.Fatalf("seed %d: the clone shows something else", seed)
		}
		workload(a, seed+1, 100)
		a.Crash(simdisk.Mixture)
		if got := state(t, m); got != want {
			t.Fatalf("seed %d: the original noticed its clone", seed)
		}
		c := m.Clone(7)
		b.Crash(simdisk.Mixture)
		c.Crash(simdisk.Mixture)
		if state(t, b) != state(t, c) {
			t.Fatalf("seed %d: two clones crash differently", seed)
		}
	}
}

// The cache is what a plain byte slice would be, and a crash leaves of each sector only bytes that it once had.
func TestAgainstPlainBytes(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := simdisk.New(seed)
		f := create(t, m, "f", "")
		must(t, m.SyncDir(""))
		var plain []byte
		for range 40 {
			switch r.IntN(8) {
			case 0:
				must(t, f.Datasync())
			case 1:
				size := r.IntN(30000)
				must(t, f.Truncate(int64(size)))
				plain = append(plain[:min(size, len(plain)):min(size, len(plain))], make([]byte, max(size-len(plain), 0))...)
			default:
				p := bytes.Repeat([]byte{byte(r.IntN(3))}, 1+r.IntN(9000))
				off := r.IntN(20000)
				put(t, f, int64(off), string(p))
				plain = append(plain, make([]byte, max(off+len(p)-len(plain), 0))...)
				copy(plain[off:], p)
			}
			if content(t, m, "f") != string(plain) {
				t.Fatalf("seed %d: the cache differs", seed)
			}
		}
		must(t, f.Datasync())
		synced := slices.Clone(plain)
		put(t, f, int64(r.IntN(20000)), strings.Repeat("z", 5000))
		m.Crash(simdisk.Subset)
		got := content(t, m, "f")
		for i := range min(len(got), len(synced)) {
			if got[i] != synced[i] && got[i] != 'z' {
				t.Fatalf("seed %d: byte %d is %q, was %q", seed, i, got[i], synced[i])
			}
		}
		if len(got) < len(synced) {
			t.Fatalf("seed %d: %d bytes, %d were synced", seed, len(got), len(synced))
		}
	}
}

func BenchmarkWriteAndSync(b *testing.B) {
	m := simdisk.New(1)
	f, _ := m.Create("f")
	p := bytes.Repeat([]byte("x"), 4096)
	b.ReportAllocs()
	for i := range b.N {
		_, _ = f.WriteAt(p, int64(i%16)*4096)
		_ = f.Datasync()
	}
}

// A failed sync takes nothing back that an earlier one of the same batch has made durable.
func TestFailedSyncAfterAnotherInItsBatch(t *testing.T) {
	m := simdisk.New(1)
	b := m.StartBatch()
	f := create(t, m, "f", "first")
	must(t, f.Sync())
	must(t, m.SyncDir(""))
	put(t, f, 5, "second")
	m.Fail(simdisk.Fault{Op: simdisk.OpSync})
	if err := f.Datasync(); err == nil {
		t.Fatal("the sync does not fail")
	}
	m.StopBatch()
	b.Finish()
	m.Crash(simdisk.Prefix)
	if got := content(t, m, "f"); !strings.HasPrefix(got, "first") {
		t.Fatalf("%q", got)
	}
}

// A crash may lose a write into reserved space and keep a later one, whatever its variant. The file's length and synced
// writes survive, the lost pages are zeros, and a write into space that was filled keeps its order.
func TestCrashOfReservedSpace(t *testing.T) {
	for _, reserved := range []bool{true, false} {
		lost := map[simdisk.Variant]int{}
		build := func(m *simdisk.Disk) {
			f := create(t, m, "f", "")
			if reserved {
				must(t, f.Reserve(4*4096))
			} else {
				must(t, f.WriteZeros(4*4096, 0))
			}
			must(t, f.Sync())
			must(t, m.SyncDir("."))
			put(t, f, 0, strings.Repeat("s", 4096))
			must(t, f.Datasync())
			put(t, f, 4096, strings.Repeat("a", 4096))
			put(t, f, 2*4096, strings.Repeat("b", 4096))
		}
		everyCrash(t, build, func(t *testing.T, v simdisk.Variant, m *simdisk.Disk) {
			got := content(t, m, "f")
			if len(got) != 4*4096 || got[:4096] != strings.Repeat("s", 4096) {
				t.Fatalf("%v: %d bytes, and the synced page is %q", v, len(got), got[:10])
			}
			if got[4096:8192] == strings.Repeat("\x00", 4096) && got[2*4096:3*4096] == strings.Repeat("b", 4096) {
				lost[v]++
			}
		})
		for _, v := range []simdisk.Variant{simdisk.Prefix, simdisk.Torn, simdisk.LostEntry, simdisk.LostSize} {
			if (lost[v] > 0) != reserved {
				t.Errorf("reserved %v, %v: %d crashes have lost the first write and kept the second one", reserved, v, lost[v])
			}
		}
	}
}
