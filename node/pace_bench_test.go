package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// BenchmarkPutsBesideSnapshot measures the p99 of puts to a member of one with 100 MB, 64 under way at a time, while no
// snapshot is saved, and while one is saved all the time: with is to be at most 1.5 times without.
func BenchmarkPutsBesideSnapshot(b *testing.B) {
	for _, snapshots := range []bool{false, true} {
		b.Run(map[bool]string{false: "without", true: "with"}[snapshots], func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "d")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			bounds := limits.Defaults()
			bounds.SnapshotBytes = 1 << 40
			a, err := startAloneWith(b, dir, 64<<20, bounds)
			if err != nil {
				b.Fatal(err)
			}
			a.putMany(b, 1000, 100_000, 1, nil)
			a.stop(b)
			if snapshots {
				bounds.SnapshotBytes = 1
			}
			if a, err = startAloneWith(b, dir, 64<<20, bounds); err != nil {
				b.Fatal(err)
			}
			times := make([]time.Duration, 0, b.N)
			b.ResetTimer()
			a.putMany(b, b.N, 100, 64, &times)
			b.StopTimer()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
			a.stop(b)
		})
	}
}

// putMany puts so many values of a size, some at a time, and notes how long each took.
func (a *alone) putMany(b testing.TB, n, bytes, together int, times *[]time.Duration) {
	b.Helper()
	value := strings.Repeat("v", bytes)
	begun := make([]time.Time, n)
	for sent, done := 0, 0; done < n; {
		for ; sent < n && sent-done < together; sent++ {
			begun[sent] = time.Now()
			endpoint{a.m}.Propose(kv.Proposal{
				ReplyTo: a, Requests: []uint64{uint64(sent)}, Timeout: time.Minute,
				Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %d", sent%1000), Value: []byte(value)})},
			})
		}
		for _, d := range <-a.ch {
			if d.Result.Err != nil {
				b.Fatal(d.Result.Err)
			}
			if times != nil {
				*times = append(*times, time.Since(begun[d.Request]))
			}
			done++
		}
	}
}
