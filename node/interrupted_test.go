package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/internal/limits"
)

// What a save or a transfer leaves in the folder of snapshots: a start removes unfinished files of a save, and parts that no snapshot lists.
// It keeps such parts while there is a partly received file, because that transfer may continue. They go with the next snapshot.
func TestInterruptedParts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	rare, often := limits.Defaults(), limits.Defaults()
	often.SnapshotBytes = 1
	a, err := startAloneWith(t, dir, 64<<10, rare)
	if err != nil {
		t.Fatal(err)
	}
	a.put(t, "key", "value")
	a.stop(t)
	extent, err := os.ReadFile(filepath.Join("..", "snapshot", "testdata", "extent.part"))
	if err != nil {
		t.Fatal(err)
	}
	sha := extent[len(extent)-32:]
	part := fmt.Sprintf("%020d-%064x.part", 2, sha)
	saved, received := strings.Replace(part, "2-", "3-", 1)+".tmp", fmt.Sprintf("%s.%064x.tmp", strings.Replace(part, "2-", "1-", 1), sha)
	// holds waits until exactly these files are in the folder, beside snapshots.
	holds := func(what string, want ...string) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			var has []string
			for _, name := range list(t, dir, "snap/*.part*") {
				has = append(has, filepath.Base(name))
			}
			if slices.Equal(has, want) {
				return
			}
			if time.Since(begun) > wait {
				t.Fatalf("%s: the folder has %q, not %q", what, has, want)
			}
			a.put(t, "key", what)
		}
	}
	for _, c := range []struct {
		what    string
		bounds  limits.Tunable
		files   []string
		holding []string
	}{
		{"no transfer", rare, []string{part, saved}, nil},
		{"a transfer", rare, []string{part, saved, received}, []string{received, part}},
		{"a transfer that does not continue", often, []string{part, saved, received}, nil},
	} {
		for _, name := range c.files {
			if err := os.WriteFile(filepath.Join(dir, "snap", name), extent, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if a, err = startAloneWith(t, dir, 64<<10, c.bounds); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		holds(c.what, c.holding...)
		a.stop(t)
	}
}
