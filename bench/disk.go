package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"time"

	"qkv/log/disk"
)

const (
	syncFileBytes = 16 << 20 // zero-filled, as a segment is
	syncPageBytes = 4 << 10  // one small group of the log
	syncCount     = 1000
)

// LoneRest is about how long a disk rests between the syncs of a lone caller: while the answer goes to it and the next
// request comes.
const LoneRest = 200 * time.Microsecond

// Fdatasync measures how long a page of a zero-filled file in dir takes to be made durable, as the log does it: each
// on a page that was not written since the file was filled. The disk rests before each. That makes a difference of
// half as much again where the processor sleeps meanwhile, as a virtual one does: back to back, a sync is found done
// by a processor that is still awake. It takes a second or so, or ends with ctx.
func Fdatasync(ctx context.Context, dir string, rest time.Duration) (result Latencies, err error) {
	fs := disk.OS()
	if err := fs.MkdirAll(dir); err != nil {
		return Latencies{}, fmt.Errorf("measure the disk: %w", err)
	}
	name := path.Join(dir, fmt.Sprintf("fdatasync-%016x.tmp", rand.Uint64()))
	f, err := fs.Create(name)
	if err != nil {
		return Latencies{}, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close(), fs.Remove(name))
	}()
	if err := fill(f); err != nil {
		return Latencies{}, fmt.Errorf("measure the disk: fill %s: %w", name, err)
	}
	h := newHistogram()
	page := make([]byte, syncPageBytes)
	for i := range page {
		page[i] = byte(rand.Uint32())
	}
	for at := int64(0); h.TotalCount() < syncCount && ctx.Err() == nil; at += syncPageBytes {
		if rest > 0 {
			time.Sleep(rest)
		}
		begun := time.Now()
		if _, err := f.WriteAt(page, at); err != nil {
			return Latencies{}, fmt.Errorf("measure the disk: write %s: %w", name, err)
		}
		if err := f.Datasync(); err != nil {
			return Latencies{}, fmt.Errorf("measure the disk: sync %s: %w", name, err)
		}
		record(h, time.Since(begun))
	}
	return latencies(h), ctx.Err()
}

// fill writes zeros over the whole file, so that no later sync has to tell the file system anything.
func fill(f disk.File) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < syncFileBytes; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return err
		}
	}
	return f.Sync()
}
