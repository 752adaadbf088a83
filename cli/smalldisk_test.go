package cli

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk is a file system in memory; the test must be apart.
func smallDisk(t testing.TB, size string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "small")
	must(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("none", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
