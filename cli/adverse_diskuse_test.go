package cli

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/bench"
)

// TestAdverseDiskUse: values are overwritten as fast as it goes. What the files of a member take is at most six times the live data and the
// history that was asked for. While a newer base is written, the older one and all extents behind it stay, and the writes fill others: at
// 28 MB/s, with three members on one disk and two processors, the bases took up to 2.3 times the live data, the extents 2.9 times, and the log
// 0.8 times.
func TestAdverseDiskUse(t *testing.T) {
	if !fullVariant() {
		t.Skip("how much of a disk overwriting takes: QKV_FULL=1; TestDiskUseUnderOverwriting of package actor does it on simulated disks")
	}
	const (
		value    = 64 << 10
		callers  = 56
		keys     = 128 // of a caller: 448 MiB
		rounds   = 8
		history  = 64 << 20
		timesAll = 6
	)
	c := newProcesses(t, 3, "--history-bytes", fmt.Sprint(history))
	for _, m := range c.members {
		m.start()
	}
	c.level()
	var running sync.WaitGroup
	var puts, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	clients := c.clients(callers / 7)
	body := make([]byte, value)
	for i := range callers {
		running.Go(func() {
			for n := range keys * rounds {
				if ctx.Err() != nil {
					return
				}
				if _, err := clients[i%len(clients)].Put(ctx, fmt.Appendf(nil, "overwritten/%03d/%03d", i, n%keys), body); err != nil {
					failed.Add(1)
				} else {
					puts.Add(1)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	begun := time.Now()
	peak, by := int64(0), int64(0)
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-time.After(100 * time.Millisecond):
		}
		for _, m := range c.members {
			if n := bench.DiskUse(m.dataDir); n > peak {
				peak, by = n, puts.Load()
			}
		}
	}
	c.allRun()
	c.level()
	end := int64(0)
	for _, m := range c.members {
		end = max(end, bench.DiskUse(m.dataDir))
	}
	const holds = callers*keys*value + history
	t.Logf("figures: %d MiB live and %d MiB of history, %d puts of %d KiB in %v, %d failed: a member's files took %d MiB at most (%.2f times both), after %d puts, and %d MiB at the end (%.2f)",
		callers*keys*value>>20, history>>20, puts.Load(), value>>10, time.Since(begun).Round(time.Second), failed.Load(), peak>>20, float64(peak)/holds, by, end>>20, float64(end)/holds)
	if peak > timesAll*holds {
		t.Errorf("a member's files took %.2f times what it holds, over %d", float64(peak)/holds, timesAll)
	}
	if failed.Load() > 0 {
		t.Errorf("%d puts failed", failed.Load())
	}
}
