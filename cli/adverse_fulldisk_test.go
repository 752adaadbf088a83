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

// TestAdverseFullDisk: the disks of all three members are filled to the brim, by others' files and by puts. Nobody dies,
// all can be read, members start on a full disk, and soon after there is room again puts are taken.
func TestAdverseFullDisk(t *testing.T) {
	if !fullVariant() {
		t.Skip("full disks of three members: QKV_FULL=1; TestProcessDiskFull fills one member's, package node three simulated ones")
	}
	const value = 32 << 10
	backMost := variant(10*time.Second, 5*time.Second)
	alongside(t)
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	rounds := variant(1, 4)
	disks := []string{smallDisk(t, "512m"), smallDisk(t, "512m"), smallDisk(t, "512m")}
	c := newProcesses(t, 3, "--segment-bytes", "4194304") // after the disks, so that it ends before them
	for i, m := range c.members {
		m.dataDir = filepath.Join(disks[i], "data")
		m.start()
	}
	c.level()
	s := c.open(0, processWait)
	if _, err := s.Put(t.Context(), []byte("first"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	var reads, failed atomic.Int64
	reading := make(chan struct{})
	var readers sync.WaitGroup
	for i := range c.members {
		at := c.open(i, 5*time.Second)
		readers.Go(func() {
			for {
				select {
				case <-reading:
					return
				case <-t.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
				reads.Add(1)
				if kv, found, err := at.Get(t.Context(), []byte("first")); err != nil || !found || string(kv.Value) != "1" {
					if failed.Add(1) < 5 {
						t.Errorf("get while disks are full: %q %v %v", kv.Value, found, err)
					}
				}
			}
		})
	}
	l := startMeter(c, "full", c.clients(3), 12, value, 2*time.Millisecond)
	l.timeout = 2 * time.Second
	var longest, longestDelete time.Duration
	refused, most := 0, 0
	for round := range rounds {
		l.acknowledges(processWait)
		for _, dir := range disks {
			fill(t, filepath.Join(dir, "foreign"))
		}
		from := l.now()
		c.await("puts are refused for want of space", func(members []memberStatus) bool {
			return slices.ContainsFunc(members, func(m memberStatus) bool { return m.raises("NOSPACE") })
		})
		time.Sleep(variant(3*time.Second, 10*time.Second))
		refused += l.failures(from, l.now())
		c.allRun()
		if round%2 == 0 { // a member that is started on a full disk
			m := c.members[rand.IntN(3)]
			m.kill()
			m.start()
			c.answer()
			c.allRun()
		}
		for _, dir := range disks {
			must(t, os.Remove(filepath.Join(dir, "foreign")))
		}
		back := l.acknowledges(processWait)
		longest = max(longest, back)
		if back > backMost {
			t.Errorf("puts were taken %v after there was room, over %v", back, backMost)
		}
		grown, deleted := growToTheBrim(t, c, l)
		most, longestDelete = max(most, grown), max(longestDelete, deleted)
	}
	close(reading)
	readers.Wait()
	t.Logf("figures: three disks of 512 MB (tmpfs) filled to the brim %d times: %d puts refused, %d reads all the while, %d of them failed, puts again %v after there was room; by %d MB of own keys, puts again %v after they were deleted",
		rounds, refused, reads.Load(), failed.Load(), longest.Round(time.Millisecond), most>>20, longestDelete.Round(time.Millisecond))
	c.await("the alarm ends", func(members []memberStatus) bool {
		return !slices.ContainsFunc(members, func(m memberStatus) bool { return m.raises("NOSPACE") })
	})
	l.nothingLost()
	c.level()
	c.allRun()
}

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
