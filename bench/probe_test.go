package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
