package disk

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

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
