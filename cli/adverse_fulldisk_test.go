package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qkv/net/client"
)

// growToTheBrim puts keys until the members take no more, and deletes them. It returns how much was put, and how long
// after the delete the meter's puts were taken again.
func growToTheBrim(t *testing.T, c *clusterProcess, l *meter) (grown int, back time.Duration) {
	t.Helper()
	s := c.open(0, processWait)
	defer func() { _ = s.Close() }()
	var err error
	value := randomBytes(512 << 10)
	for i := 0; err == nil && i < 1000; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err = s.Put(ctx, fmt.Appendf(nil, "own/%d", i), value)
		switch {
		case err == nil:
			grown += len(value)
		case errors.Is(err, client.ErrOutcomeUnknown) && ctx.Err() == nil:
			err = nil // this member is behind since its disk was full, and is being brought up to date
		}
		cancel()
	}
	if err == nil || !strings.Contains(err.Error(), "certainly did not happen") {
		t.Errorf("after %d MB: %v", grown>>20, err)
	}
	c.allRun()
	c.qkv("del", "own/", "--prefix", "--timeout", processWait.String()).exits(t, exitOK)
	return grown, l.acknowledges(processWait)
}

// fill fills a disk to its last byte with one file.
func fill(t testing.TB, name string) {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		if _, err := f.Write(piece); err != nil {
			piece = piece[:len(piece)/2]
		}
	}
}

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
