package bench

import (
	"os"
	"path/filepath"
	"testing"
)

// What files take is what the disk gave them: a hole is none of it, and a file in a folder of a folder is.
func TestDiskUse(t *testing.T) {
	const mib = 1 << 20
	dir := t.TempDir()
	if n := DiskUse(dir); n != 0 {
		t.Errorf("an empty folder takes %d bytes", n)
	}
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, mib)
	for i := range data {
		data[i] = byte(i)*7 + 1 // no zeros, which a file system may leave out
	}
	for name, at := range map[string]int64{filepath.Join(deep, "data"): 0, filepath.Join(dir, "hole"): 64 * mib} {
		f, err := os.Create(name)
		if err == nil {
			_, err = f.WriteAt(data, at)
		}
		if err == nil {
			err = f.Sync() // blocks are counted when they are given, which a write is not
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	if n := DiskUse(dir); n < 2*mib || n > 4*mib {
		t.Errorf("2 MiB of data beside a hole of 64 MiB take %d bytes", n)
	}
	if n := DiskUse(filepath.Join(dir, "none")); n != 0 {
		t.Errorf("a folder that is not there takes %d bytes", n)
	}
}
