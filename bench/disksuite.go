package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"qkv/bench/result"
)

// DiskProbe is one of the probes of [DiskProbes], with its name in a report.
type DiskProbe struct {
	Name   string
	Config ProbeConfig // without a folder
}

// probeFileBytes bounds the file of a probe, because filling it takes a slow disk long.
const probeFileBytes = 16 << 20

// DiskProbes are the disk properties that a log may depend on: small and large writes to files of every kind, then variants with pauses,
// several writers, and other methods of durability. Longest is the time of each.
func DiskProbes(longest time.Duration) (all []DiskProbe) {
	add := func(name string, c ProbeConfig) {
		c.Longest, c.Count = longest, min(1000, probeFileBytes/c.Bytes)
		all = append(all, DiskProbe{name, c})
	}
	for _, before := range []Before{zeroed, growing, allocated, recycled} {
		for _, size := range []int{512, 4 << 10, 16 << 10, 64 << 10} {
			add(fmt.Sprintf("%s %v", sizeName(size), before), ProbeConfig{Bytes: size, Before: before})
		}
	}
	add(result.ProbeEtcd, ProbeConfig{Bytes: 2300, Before: allocated})
	add(result.ProbeRested, ProbeConfig{Bytes: 4 << 10, Before: zeroed, Rest: LoneRest})
	add(result.ProbeThree, ProbeConfig{Bytes: 4 << 10, Before: zeroed, Writers: 3})
	add(result.ProbeBatch, ProbeConfig{Bytes: steadyBytes, Before: zeroed})
	add(result.ProbeDeep, ProbeConfig{Bytes: 4 << 10, Before: zeroed, Durable: asDirect, Writers: result.DeepWriters})
	for _, durable := range []Durable{asDSync, asDirect} {
		for _, size := range []int{512, 4 << 10, 64 << 10} {
			add(fmt.Sprintf("%s zero-filled, %v", sizeName(size), durable), ProbeConfig{Bytes: size, Before: zeroed, Durable: durable})
		}
	}
	return all
}

func sizeName(n int) string {
	if n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// The writes of SteadyDisk: those of result.ProbeBatch, to a file that is longer than a disk's own memory.
const (
	steadyBytes = 256 << 10
	steadyFile  = 256 << 20

	windowTime  = time.Second
	mostWindows = 3600
)

// SteadyDisk writes and syncs without a pause until the time is over, to one file again and again. The windows show when a drive's fast
// cache is full, and it collects garbage meanwhile.
func SteadyDisk(ctx context.Context, dir string, longest time.Duration) (Report, error) {
	config := ProbeConfig{Dir: dir, Bytes: steadyBytes, Before: recycled, Count: steadyFile / steadyBytes, Around: true}
	f, err := openProbe(config)
	if err != nil {
		return Report{}, err
	}
	all, window := NewHistogram(), int64(0)
	var r Report
	begun := time.Now()
	err = f.write(ctx, config, begun.Add(longest), func(took time.Duration) {
		record(all, took)
		for time.Since(begun) >= time.Duration(len(r.Windows)+1)*windowTime && len(r.Windows) < mostWindows {
			r.Windows = append(r.Windows, window)
			window = 0
		}
		window++
	})
	r.Done, r.Elapsed, r.Latencies = all.TotalCount(), time.Since(begun), LatenciesOf(all)
	r.Rate = float64(r.Done) / r.Elapsed.Seconds()
	return r, errors.Join(err, unix.Close(f.fd), ctx.Err())
}
