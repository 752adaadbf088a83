package disk

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A quota that is reached is a full disk, with its own name; other errors stay what they are.
func TestQuotaIsNoRoom(t *testing.T) {
	f, err := OS().Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = f.(*osFile).named("write", unix.EDQUOT)
	var where *fs.PathError
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EDQUOT) || !errors.As(err, &where) || where.Path != f.Name() {
		t.Errorf("a quota that is reached: %v", err)
	}
	if err := noRoom(unix.EIO); err != unix.EIO {
		t.Errorf("another error: %v", err)
	}
	if err := noRoom(nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}

// What blocks are counted in is not what is best transferred at once.
func TestUnitOfBlocks(t *testing.T) {
	if n := unitOf(&unix.Statfs_t{Bsize: 1 << 20, Frsize: 4096}); n != 4096 {
		t.Errorf("blocks of %d", n)
	}
	if n := unitOf(&unix.Statfs_t{Bsize: 512}); n != 512 {
		t.Errorf("blocks of %d where the file system does not say", n)
	}
}

// Of a range only its pages leave the page cache, and all behind an offset without a length: what is there stays for who reads it.
func TestDropCacheOfARange(t *testing.T) {
	const page, pages = 64 << 10, 64 // the pages of all machines
	f, cached := uncached(t, pages, page)
	for _, dropped := range []struct{ from, n, end int }{{0, 24, 24}, {40, 8, 48}, {56, 0, pages}} {
		if _, err := f.(*osFile).File.ReadAt(make([]byte, pages*page), 0); err != nil {
			t.Fatal(err)
		}
		if all := cached(); len(all) < pages {
			t.Skipf("of %d pages that were read the system keeps %d", pages, len(all))
		}
		if err := f.DropCache(int64(dropped.from)*page, int64(dropped.n)*page); err != nil {
			t.Fatal(err)
		}
		var want []int
		for i := range pages {
			if i < dropped.from || i >= dropped.end {
				want = append(want, i)
			}
		}
		if left := cached(); !slices.Equal(left, want) {
			t.Errorf("without %d+%d there are %v", dropped.from, dropped.n, left)
		}
	}
}

// A file that is read without readahead brings what was asked for.
func TestNoReadahead(t *testing.T) {
	const page, pages = 64 << 10, 64
	f, cached := uncached(t, pages, page)
	f.NoReadahead()
	for _, at := range []int64{0, 1, 2, 40} { // as one that reads on, too
		if _, err := f.ReadAt(make([]byte, page), at*page); err != nil {
			t.Fatal(err)
		}
	}
	if got := cached(); !slices.Equal(got, []int{0, 1, 2, 40}) {
		t.Errorf("pages %v were read", got)
	}
}

// What is prefetched is there some time later, without anybody who reads it, and nothing else.
func TestPrefetch(t *testing.T) {
	const page, pages = 64 << 10, 64
	f, cached := uncached(t, pages, page)
	f.Prefetch(4*page, 3*page)
	for end := time.Now().Add(10 * time.Second); !slices.Equal(cached(), []int{4, 5, 6}); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("pages %v were read", cached())
		}
	}
}

// uncached is a file on the disk of which the page cache has nothing, and says which of its pages are there.
func uncached(t *testing.T, pages, page int) (f File, cached func() []int) {
	t.Helper()
	f, err := OS().Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(make([]byte, pages*page), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Datasync(); err != nil {
		t.Fatal(err)
	}
	cached = func() (which []int) {
		for i := range pages {
			var stat unix.Cachestat_t
			if err := unix.Cachestat(uint(f.(*osFile).fd), &unix.CachestatRange{Off: uint64(i * page), Len: uint64(page)}, &stat, 0); err != nil {
				t.Skip("this kernel does not say what is cached: ", err)
			}
			if stat.Cache > 0 {
				which = append(which, i)
			}
		}
		return which
	}
	if err := f.DropCache(0, 0); err != nil {
		t.Fatal(err)
	}
	if left := cached(); len(left) > 0 {
		t.Skipf("this file system keeps %d of %d pages that were written", len(left), pages)
	}
	return f, cached
}

// The size of a disk is what files take and what Free returns: ext4 keeps a twentieth of its blocks for root, and these would look like
// the files of another program.
func TestSizeWithoutReservedBlocks(t *testing.T) {
	dir := t.TempDir()
	for range 100 { // other programs write meanwhile
		var s unix.Statfs_t
		free, freeErr := OS().Free(dir)
		size, sizeErr := OS().Size(dir)
		if err := errors.Join(freeErr, sizeErr, unix.Statfs(dir, &s)); err != nil {
			t.Fatal(err)
		}
		if size == free+int64(s.Blocks-s.Bfree)*unitOf(&s) {
			return
		}
	}
	t.Error("the size is not what files take and what is free")
}
