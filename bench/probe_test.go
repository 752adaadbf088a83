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

	"qkv/bench/result"
	"qkv/internal/testlong"
	"qkv/log/disk"
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

// TestProbeFS: the file of a probe has no name while it is probed, so that nothing is left of one that is killed.
func TestProbeFS(t *testing.T) {
	dir := t.TempDir()
	on := &lookingFS{FS: disk.OS(), look: func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v is there during a probe: %v", left, err)
		}
	}}
	l, err := ProbeFS(t.Context(), on, dir, 0, 10)
	if err != nil || l.Count != 10 || l.P50 <= 0 || on.syncs < 10 {
		t.Errorf("%v %+v after %d syncs", err, l, on.syncs)
	}
	if _, err := ProbeFS(t.Context(), disk.OS(), filepath.Join(dir, "none"), 0, 1); err == nil {
		t.Error("a folder that is not there is probed")
	}
}

// lookingFS looks at each sync of a file.
type lookingFS struct {
	disk.FS
	look  func()
	syncs int
}

type lookingFile struct {
	disk.File
	on *lookingFS
}

func (l *lookingFS) Create(name string) (disk.File, error) {
	f, err := l.FS.Create(name)
	return lookingFile{f, l}, err
}

func (f lookingFile) Datasync() error {
	f.on.look()
	f.on.syncs++
	return f.File.Datasync()
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

func TestFioSync(t *testing.T) {
	median, err := FioSync([]byte(`{"jobs": [{"sync": {"lat_ns": {"percentile": {"50.000000": 127488, "99.000000": 300000}}}}]}`))
	if err != nil || median != 127488*time.Nanosecond {
		t.Errorf("%v %v", median, err)
	}
	for _, bad := range []string{"", "{}", `{"jobs": [{}]}`} {
		if _, err := FioSync([]byte(bad)); err == nil {
			t.Errorf("%q has a median", bad)
		}
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
		info, statErr := os.Stat(f.name)
		if err != nil || statErr != nil || writes != want || info.Size() != 1024 {
			t.Errorf("around %v: %d writes, %v, %v %v", around, writes, info, err, statErr)
		}
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	}
}
