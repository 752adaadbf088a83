package disk_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// both runs a test over the real file system and the simulated one, so that they cannot drift apart.
func both(t *testing.T, test func(t *testing.T, d disk.FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, disk.OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := simdisk.New(1)
		must(t, m.MkdirAll("tmp/x"))
		test(t, m, "tmp/x")
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, d disk.FS, name string, content string) disk.File {
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
func content(t testing.TB, d disk.FS, name string) string {
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

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		name := dir + "/a/b/file"
		if _, err := d.Create(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("create without a directory: %v", err)
		}
		must(t, d.MkdirAll(dir+"/a/b"))
		must(t, d.MkdirAll(dir+"/a/b"))
		f := create(t, d, name, "hello")
		if _, err := d.Create(name); !errors.Is(err, fs.ErrExist) {
			t.Errorf("create twice: %v", err)
		}
		if f.Name() != name {
			t.Errorf("name %q", f.Name())
		}
		put(t, f, 9000, "far")
		if size, err := f.Size(); size != 9003 || err != nil {
			t.Errorf("size %d %v", size, err)
		}
		p := make([]byte, 10)
		if n, err := f.ReadAt(p, 8998); n != 5 || err != io.EOF || !bytes.Equal(p[:n], []byte("\x00\x00far")) {
			t.Errorf("read at the end: %d %v %q", n, err, p[:n])
		}
		if n, err := f.ReadAt(p, 99999); n != 0 || err != io.EOF {
			t.Errorf("read past the end: %d %v", n, err)
		}
		must(t, f.Truncate(3))
		must(t, f.Truncate(5))
		if got := content(t, d, name); got != "hel\x00\x00" {
			t.Errorf("after two truncations %q", got)
		}
		must(t, f.Datasync())
		must(t, f.Sync())
		must(t, f.DropCache(0, 0))
		must(t, d.SyncDir(dir+"/a/b"))
		must(t, f.Close())
		if err := f.Datasync(); err == nil {
			t.Error("a closed file was synced")
		}
		if _, err := f.ReadAt(p, 0); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a closed file was read: %v", err)
		}
	})
}

// What is written back is as it was, and no more durable than before: where the disk is in memory, a loss of power may take it.
func TestWriteBack(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		f := create(t, d, dir+"/grows", "")
		piece := strings.Repeat("x", 64<<10)
		for at := range int64(8) {
			put(t, f, at<<16, piece)
			must(t, f.WriteBack(at<<16, 64<<10, false))
			if at > 1 {
				must(t, f.WriteBack((at-2)<<16, 64<<10, true))
			}
		}
		must(t, f.WriteBack(1<<20, 1, true)) // there is nothing
		must(t, f.Sync())
		if got := content(t, d, dir+"/grows"); got != strings.Repeat(piece, 8) {
			t.Errorf("it has %d bytes", len(got))
		}
		if err := f.WriteBack(-1, 1, false); err == nil {
			t.Error("it writes back what is before the file")
		}
		must(t, f.Close())
		if err := f.WriteBack(0, 1, false); err == nil {
			t.Error("a closed file is written back")
		}
	})
	lost := 0
	for seed := range uint64(20) {
		m := simdisk.New(seed)
		must(t, m.MkdirAll("d"))
		f := create(t, m, "d/f", "")
		must(t, m.SyncDir("d"))
		put(t, f, 0, "hello")
		must(t, f.WriteBack(0, 5, false))
		must(t, f.WriteBack(0, 5, true))
		m.Crash(simdisk.Prefix)
		if content(t, m, "d/f") != "hello" {
			lost++
		}
	}
	if lost == 0 {
		t.Error("what was written back, and not synced, survives each loss of power")
	}
}

// Zeros are written over what was there, past its end, and where no file system can leave the page cache out.
func TestWriteZeros(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		const page = 4096
		for _, c := range []struct{ n, at int }{{2 * page, page}, {page, 7 * page}, {10, 20}, {page, 100}, {100, page}, {disk.ZerosMost, 0}, {0, 0}} {
			f := create(t, d, dir+"/zeros", "")
			before := bytes.Repeat([]byte("x"), 5*page)
			put(t, f, 0, string(before))
			must(t, f.WriteZeros(c.n, int64(c.at)))
			want := append(before, make([]byte, max(0, c.at+c.n-len(before)))...)
			clear(want[c.at : c.at+c.n])
			if c.n == 0 {
				want = before
			}
			put(t, f, 3, "yz") // the file takes any write as before
			copy(want[3:], "yz")
			must(t, f.Datasync())
			must(t, f.Close())
			if got := content(t, d, dir+"/zeros"); got != string(want) {
				t.Errorf("%d zeros at %d: the file of %d bytes is not as expected (%d bytes)", c.n, c.at, len(got), len(want))
			}
			must(t, d.Remove(dir+"/zeros"))
		}
	})
}

// What is written past the page cache is read by whoever reads through it, what lies there already included, and the other way
// round; and whatever offset, length and memory, it is written.
func TestWritePages(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		const page = disk.DirectBytes
		room := make([]byte, 8*page)
		begin := int(-uintptr(unsafe.Pointer(&room[0])) & (page - 1))
		f := create(t, d, dir+"/pages", string(make([]byte, 6*page)))
		want := make([]byte, 6*page)
		for i, c := range []struct{ from, n, at int }{
			{begin, page, 0}, {begin, 3 * page, 2 * page}, {begin + 8, page, page}, {begin, 100, 20}, {begin, page, 10}, {begin, 2 * page, 6 * page}, {begin, 0, 0},
		} {
			p := room[c.from : c.from+c.n]
			for j := range p {
				p[j] = byte(i + j/11)
			}
			put(t, f, int64(c.at), "through the page cache")
			if i%3 == 1 {
				must(t, f.Datasync())
			}
			must(t, f.WritePages(p, int64(c.at)))
			if i%3 == 2 {
				must(t, f.Datasync())
			}
			want = append(want, make([]byte, max(0, c.at+c.n-len(want)))...)
			if copy(want[c.at:], "through the page cache"); c.n > 0 {
				copy(want[c.at:], p)
			}
			got := make([]byte, len(want))
			if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes at %d: what is read is something else: %v", c.n, c.at, err)
			}
		}
		must(t, d.Rename(dir+"/pages", dir+"/other")) // as the log's files are
		must(t, f.WritePages(room[begin:begin+page], 4*page))
		copy(want[4*page:], room[begin:begin+page])
		must(t, f.Datasync())
		must(t, f.Close())
		if f.WritePages(room[begin:begin+page], 0) == nil {
			t.Error("a closed file was written to")
		}
		if got := content(t, d, dir+"/other"); got != string(want) {
			t.Errorf("the file of %d bytes is not as expected (%d bytes)", len(got), len(want))
		}
		must(t, d.Remove(dir+"/other"))
	})
}

// A file takes its second descriptor with it.
func TestWritePagesLeavesNoDescriptor(t *testing.T) {
	dir := t.TempDir()
	room := make([]byte, 2*disk.DirectBytes)
	begin := int(-uintptr(unsafe.Pointer(&room[0])) & (disk.DirectBytes - 1))
	open := func() (n int) {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		for _, name := range names {
			if to, err := os.Readlink("/proc/self/fd/" + name.Name()); err == nil && strings.HasPrefix(to, dir) {
				n++
			}
		}
		return n
	}
	f, err := disk.OS().Create(dir + "/file")
	must(t, err)
	must(t, f.WritePages(room[begin:begin+disk.DirectBytes], 0))
	t.Logf("%d descriptors of the file", open())
	must(t, f.Close())
	if n := open(); n != 0 {
		t.Errorf("%d descriptors are left", n)
	}
}

// What is read past the page cache is what was synced, whatever offset and length, and up to the file's end.
func TestReadMedium(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		want := make([]byte, 5*disk.DirectBytes+7)
		for i := range want {
			want[i] = byte(i / 3)
		}
		f := create(t, d, dir+"/medium", string(want))
		must(t, f.Datasync())
		for _, c := range []struct{ n, at int }{
			{disk.DirectBytes, 0},
			{4 * disk.DirectBytes, disk.DirectBytes},
			{7, 5 * disk.DirectBytes},
			{100, 11},
			{len(want), 0},
			{2 * disk.DirectBytes, 4 * disk.DirectBytes},
			{disk.DirectBytes, 6 * disk.DirectBytes},
		} {
			p := make([]byte, c.n)
			n, err := f.ReadMedium(p, int64(c.at))
			from := min(c.at, len(want))
			to := min(c.at+c.n, len(want))
			if n != to-from || !bytes.Equal(p[:n], want[from:to]) || (n < c.n) != errors.Is(err, io.EOF) || n == c.n && err != nil {
				t.Errorf("%d bytes at %d: %d, %v", c.n, c.at, n, err)
			}
		}
		must(t, f.Close())
		must(t, d.Remove(dir+"/medium"))
	})
}

// A file system that cannot write past the page cache, and one that is full.
func TestWriteZerosElsewhere(t *testing.T) {
	f, err := disk.OS().Create("/dev/shm/qkv-zeros-" + strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Skip(err)
	}
	defer os.Remove(f.Name())
	must(t, f.WriteZeros(disk.ZerosMost, 0))
	must(t, f.WritePages(make([]byte, disk.ZerosMost), 0)) // begins at a page, as all that is allocated in this size does
	size, err := f.Size()
	must(t, err)
	must(t, f.Close())
	if size != disk.ZerosMost {
		t.Fatalf("%d bytes, want %d", size, disk.ZerosMost)
	}
	m := simdisk.New(1)
	m.SetCapacity(100)
	full, err := m.Create("zeros")
	must(t, err)
	if err := full.WriteZeros(4096, 0); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a full disk: %v", err)
	}
}

// What is reserved reads as zeros, is durable with a sync, takes its room from the others, and finds room for what is
// written there later.
func TestReserve(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		const size = 10 << 20
		f := create(t, d, dir+"/reserved", "")
		before := taken(t, d, f)
		must(t, f.Reserve(size))
		must(t, f.Sync())
		if got, err := f.Size(); err != nil || got != size || taken(t, d, f)-before < size/2 {
			t.Errorf("%d bytes, %v; %d were taken, and then %d", got, err, before, taken(t, d, f))
		}
		put(t, f, 5000, "x")
		must(t, f.Datasync())
		must(t, f.Close())
		want := make([]byte, size)
		want[5000] = 'x'
		if content(t, d, dir+"/reserved") != string(want) {
			t.Error("the file is not as expected")
		}
	})
	m := simdisk.New(1)
	m.SetCapacity(100)
	f, err := m.Create("reserved")
	must(t, err)
	if err := f.Reserve(101); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a full disk: %v", err)
	}
	must(t, f.Reserve(100))
	_, err = f.WriteAt([]byte("x"), 99)
	must(t, err)
}

// taken is how much of its disk a file has. Of a real one, others take and give back some meanwhile: there it is what the system says
// of the file.
func taken(t testing.TB, d disk.FS, f disk.File) int64 {
	t.Helper()
	if d != disk.OS() {
		free, err := d.Free(filepath.Dir(f.Name()))
		must(t, err)
		return -free
	}
	info, err := os.Stat(f.Name())
	must(t, err)
	return 512 * info.Sys().(*syscall.Stat_t).Blocks
}

func TestReadOnly(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		must(t, create(t, d, dir+"/x", "12345").Close())
		f, err := d.Open(dir + "/x")
		must(t, err)
		if _, err := f.WriteAt([]byte("a"), 0); err == nil {
			t.Error("a file opened for reading was written")
		}
		if err := f.Truncate(0); err == nil {
			t.Error("a file opened for reading was truncated")
		}
		must(t, f.Datasync()) // allowed: recovery syncs what it only reads
		must(t, f.DropCache(0, 0))
		must(t, f.Close())
		w, err := d.OpenWritable(dir + "/x")
		must(t, err)
		put(t, w, 1, "ab")
		must(t, w.Close())
		if got := content(t, d, dir+"/x"); got != "1ab45" {
			t.Errorf("%q", got)
		}
		for _, open := range []func(string) (disk.File, error){d.Open, d.OpenWritable} {
			if _, err := open(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open of nothing: %v", err)
			}
		}
	})
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		must(t, create(t, d, dir+"/b", "bb").Close())
		must(t, create(t, d, dir+"/a", "aa").Close())
		must(t, d.MkdirAll(dir+"/sub"))
		list := func(dir string) []string {
			names, err := d.List(dir)
			must(t, err)
			return names
		}
		if got := list(dir); !slices.Equal(got, []string{"a", "b", "sub"}) {
			t.Errorf("list %q", got)
		}
		must(t, d.Rename(dir+"/a", dir+"/b"))
		must(t, d.Rename(dir+"/b", dir+"/sub/c"))
		must(t, d.Rename(dir+"/sub", dir+"/moved"))
		if got := content(t, d, dir+"/moved/c"); got != "aa" {
			t.Errorf("after three renames %q", got)
		}
		if err := d.Remove(dir + "/moved"); err == nil {
			t.Error("a directory that is not empty was removed")
		}
		must(t, d.Remove(dir+"/moved/c"))
		must(t, d.Remove(dir+"/moved"))
		if got := list(dir); len(got) != 0 {
			t.Errorf("left over: %q", got)
		}
		for what, err := range map[string]error{
			"remove": d.Remove(dir + "/none"), "rename": d.Rename(dir+"/none", dir+"/x"), "syncdir": d.SyncDir(dir + "/none"),
			"list": errorOf(d.List(dir + "/none")), "free": errorOf(d.Free(dir + "/none")),
		} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of nothing: %v", what, err)
			}
		}
	})
}

func errorOf[T any](_ T, err error) error { return err }

func TestLock(t *testing.T) {
	both(t, func(t *testing.T, d disk.FS, dir string) {
		l, err := d.Lock(dir + "/LOCK")
		must(t, err)
		if _, err := d.Lock(dir + "/LOCK"); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("locked twice: %v", err)
		}
		must(t, d.Remove(dir+"/LOCK"))
		if _, err := d.Lock(dir + "/LOCK"); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("locked twice when the file was removed: %v", err)
		}
		must(t, l.Close())
		l, err = d.Lock(dir + "/LOCK")
		must(t, err)
		must(t, l.Close())
		if free, err := d.Free(dir); free <= 0 || err != nil {
			t.Errorf("free %d %v", free, err)
		}
	})
}

func TestModes(t *testing.T) {
	d, dir := disk.OS(), t.TempDir()
	must(t, d.MkdirAll(dir+"/d"))
	must(t, create(t, d, dir+"/d/f", "").Close())
	for name, want := range map[string]os.FileMode{dir + "/d": 0o700 | os.ModeDir, dir + "/d/f": 0o600} {
		info, err := os.Stat(name)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, not %v", name, info.Mode(), want)
		}
	}
}
