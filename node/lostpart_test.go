package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

// A part that is damaged or missing ends a start, since all snapshots list it. The error names it, nothing is moved, and with the part
// put back the member starts with all its keys.
func TestLostPart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	often := limits.Defaults()
	often.SnapshotBytes, often.SnapshotInterval, often.Index.ExtentBytes = 1, time.Millisecond, 20_000
	a, err := startAloneWith(t, dir, 64<<10, often)
	if err != nil {
		t.Fatal(err)
	}
	victim := "" // that both snapshots list
	for n := 0; victim == ""; n++ {
		if d := a.put(t, fmt.Sprintf("k%d", n), strings.Repeat("v", 1000)); d.Result.Err != nil || n > 10_000 {
			t.Fatal(n, d.Result.Err)
		}
		listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap"))
		if all := listing.Published; err == nil && len(all) == 2 && len(all[1].Parts) > 2 && len(all[0].Parts) > 2 {
			victim = filepath.Join(dir, "snap", all[1].Parts[1].Name())
		}
	}
	view := a.m.status.View()
	a.stop(t)
	before := list(t, dir, "snap/*")
	sound, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, sound...)
	flipped[len(flipped)/2] ^= 1
	for what, harm := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(victim, flipped, 0o600) },
		"missing": func() error { return os.Remove(victim) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		a, err := startAloneWith(t, dir, 64<<10, often)
		if err == nil {
			a.stop(t)
			t.Fatalf("%s: it starts", what)
		}
		if !errors.Is(err, log.ErrCorrupt) || !strings.Contains(err.Error(), "copy snap/"+filepath.Base(victim)+" from another member") {
			t.Errorf("%s: %v", what, err)
		}
		if err := os.WriteFile(victim, sound, 0o600); err != nil {
			t.Fatal(err)
		}
		if after := list(t, dir, "snap/*"); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: the folder has %v, it had %v", what, after, before)
		}
	}
	if a, err = startAloneWith(t, dir, 64<<10, often); err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	until := time.Now().Add(wait)
	for a.m.status.View().Revision() < view.Revision() && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
	if now := a.m.status.View(); now.Revision() != view.Revision() || now.LiveBytes() != view.LiveBytes() || now.HistoryBytes() != view.HistoryBytes() {
		t.Errorf("it starts with revision %d and %d bytes, it had %d and %d", now.Revision(), now.LiveBytes(), view.Revision(), view.LiveBytes())
	}
}
