package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// DiskProbe is one of the probes of [DiskProbes], with its name in a report.
type DiskProbe struct {
	Name   string
	Config ProbeConfig // without a folder
}

// probeFileBytes bounds the file of a probe, because filling it takes a slow disk long.
const probeFileBytes = 16 << 20

// The probes on which verdicts are based.
const (
	nameSmall  = "4 KiB zero-filled"
	nameRested = "4 KiB zero-filled, rested"
	nameGrown  = "4 KiB growing"
	nameDirect = "4 KiB zero-filled, O_DIRECT O_DSYNC"
	nameThree  = "4 KiB zero-filled, 3 writers"
	nameFio    = "2300 B allocated"
)

// DiskProbes are the disk properties that a log may depend on: small and large writes to files of every kind, then variants with pauses,
// several writers, and other methods of durability. Longest is the time of each.
func DiskProbes(longest time.Duration) (all []DiskProbe) {
	add := func(name string, c ProbeConfig) {
		c.Longest, c.Count = longest, min(1000, probeFileBytes/c.Bytes)
		all = append(all, DiskProbe{name, c})
	}
	for _, before := range []Before{Zeroed, Growing, Allocated, Recycled} {
		for _, size := range []int{512, 4 << 10, 16 << 10, 64 << 10} {
			add(fmt.Sprintf("%s %v", sizeName(size), before), ProbeConfig{Bytes: size, Before: before})
		}
	}
	add(nameFio, ProbeConfig{Bytes: 2300, Before: Allocated})
	add(nameRested, ProbeConfig{Bytes: 4 << 10, Before: Zeroed, Rest: LoneRest})
	add(nameThree, ProbeConfig{Bytes: 4 << 10, Before: Zeroed, Writers: 3})
	for _, durable := range []Durable{AsDSync, AsDirect} {
		for _, size := range []int{512, 4 << 10, 64 << 10} {
			add(fmt.Sprintf("%s zero-filled, %v", sizeName(size), durable), ProbeConfig{Bytes: size, Before: Zeroed, Durable: durable})
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

// DiskMedians are the medians on which a verdict is based; 0 for an impossible probe.
type DiskMedians struct{ Small, Rested, Grown, Direct, Three, Fio50, Fio99 time.Duration }

// Add records the result of a probe.
func (m *DiskMedians) Add(name string, l Latencies) {
	switch name {
	case nameSmall:
		m.Small = l.P50
	case nameRested:
		m.Rested = l.P50
	case nameGrown:
		m.Grown = l.P50
	case nameDirect:
		m.Direct = l.P50
	case nameThree:
		m.Three = l.P50
	case nameFio:
		m.Fio50, m.Fio99 = l.P50, l.P99
	}
}

// Verdict describes, in sentences, the disk's effect on a member.
func (m DiskMedians) Verdict(class, meaning string) (all []string) {
	all = append(all, fmt.Sprintf("%s: %s. A put of one caller on one member takes at least %s (%s after a rest).", class, meaning, short(m.Small), short(m.Rested)))
	if m.Fio99 > 0 {
		const etcdMost = 10 * time.Millisecond // etcd's own advice for p99 of fdatasync at 2300 bytes
		if m.Fio99 <= etcdMost {
			all = append(all, fmt.Sprintf("p99 of 2300 bytes is %s: within the 10 ms that etcd asks for.", short(m.Fio99)))
		} else {
			all = append(all, fmt.Sprintf("p99 of 2300 bytes is %s, above the 10 ms that etcd asks for: expect SLOWDISK alarms and changes of the leader.", short(m.Fio99)))
		}
	}
	if m.Small > 0 && m.Grown > 0 {
		all = append(all, fmt.Sprintf("A growing file is %.1f times a zero-filled one: what filling segments ahead is worth here.", ratio(m.Grown, m.Small)))
	}
	if m.Small > 0 && m.Three > 0 {
		all = append(all, fmt.Sprintf("Three members on this one disk sync in %.1f times the time of one.", ratio(m.Three, m.Small)))
	}
	if m.Small > 0 && m.Direct > 0 {
		all = append(all, fmt.Sprintf("O_DIRECT with O_DSYNC takes %.2f times the time of fdatasync.", ratio(m.Direct, m.Small)))
	}
	return all
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// FioSync returns the median sync in fio's JSON.
func FioSync(out []byte) (time.Duration, error) {
	var report struct {
		Jobs []struct {
			Sync struct {
				Latency struct {
					Percentile map[string]int64 `json:"percentile"`
				} `json:"lat_ns"`
			} `json:"sync"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return 0, fmt.Errorf("read what fio says: %w", err)
	}
	if len(report.Jobs) == 0 || report.Jobs[0].Sync.Latency.Percentile["50.000000"] == 0 {
		return 0, errors.New("read what fio says: there is no median of its syncs")
	}
	return time.Duration(report.Jobs[0].Sync.Latency.Percentile["50.000000"]), nil
}
