package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/bench/result"
	"qkv/internal/testlong"
)

// TestProbeDisk: every standard probe finds something, or is not possible here, and leaves nothing behind.
func TestProbeDisk(t *testing.T) {
	dir := t.TempDir()
	found := 0
	for _, p := range DiskProbes(5 * time.Second) {
		p.Config.Dir, p.Config.Count = dir, 4
		l, err := ProbeDisk(t.Context(), p.Config)
		switch {
		case errors.Is(err, ErrNotPossible):
			t.Log(p.Name, err)
		case err != nil || l.Count != int64(4*max(1, p.Config.Writers)) || l.P50 <= 0:
			t.Errorf("%s: %v %+v", p.Name, err, l)
		default:
			found++
		}
	}
	if found < 15 {
		t.Errorf("only %d probes were possible", found)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left: %v", left, err)
	}
	for _, judged := range []string{result.ProbeLog, result.ProbeRested, result.ProbeBatch, result.ProbeGrown, result.ProbeThree, result.ProbeEtcd, result.ProbeDirect, result.ProbeDeep} {
		if !slices.ContainsFunc(DiskProbes(time.Second), func(p DiskProbe) bool { return p.Name == judged }) {
			t.Errorf("a report judges disks by %q, which no probe measures", judged)
		}
	}
}

// TestProbeRests: a rest is before what is measured, and no part of it.
func TestProbeRests(t *testing.T) {
	const rest = 50 * time.Millisecond
	var l Latencies
	for range 5 { // syncs of other processes may take as long
		var err error
		if l, err = ProbeDisk(t.Context(), ProbeConfig{Dir: t.TempDir(), Bytes: 512, Count: 5, Rest: rest}); err != nil {
			t.Fatal(err)
		}
		if l.P50 < rest {
			return
		}
	}
	t.Errorf("%+v, of which each rest is %v", l, rest)
}

func TestProbeDiskRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/does/not/exist", file} {
		if _, err := ProbeDisk(t.Context(), ProbeConfig{Dir: dir, Bytes: 512}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := ProbeDisk(t.Context(), ProbeConfig{Dir: t.TempDir(), Bytes: 0}); err == nil {
		t.Error("writes of nothing are measured")
	}
}

// TestSteadyDisk: the writes go on after the file's end, its seconds are all there, and no file is left.
func TestSteadyDisk(t *testing.T) {
	testlong.Skip(t)
	dir := t.TempDir()
	r, err := SteadyDisk(t.Context(), dir, 2200*time.Millisecond)
	if err != nil || r.Done == 0 || len(r.Windows) < 2 || r.Latencies.Count != r.Done {
		t.Errorf("%v, %d windows: %v", r, len(r.Windows), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left: %v", left, err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := SteadyDisk(stopped, dir, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestProbeGoesAround: the third write of a file of two is at its start, and without Around there is none.
func TestProbeGoesAround(t *testing.T) {
	for around, want := range map[bool]int{false: 2, true: 5} {
		config := ProbeConfig{Dir: t.TempDir(), Bytes: 512, Count: 2, Around: around}
		f, err := openProbe(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		writes := 0
		err = f.write(ctx, config, time.Now().Add(time.Hour), func(time.Duration) {
			if writes++; writes == 5 {
				stop()
			}
		})
		stop()
		var info unix.Stat_t
		if statErr := unix.Fstat(f.fd, &info); err != nil || statErr != nil || writes != want || info.Size != 1024 {
			t.Errorf("around %v: %d writes, %v, %v %v", around, writes, info, err, statErr)
		}
		if err := unix.Close(f.fd); err != nil {
			t.Error(err)
		}
	}
}
