package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot"
)

// verifyAll asks for a verification until it is done.
func verifyAll(t *testing.T, b *backups) kv.Verified {
	t.Helper()
	v := kv.Verified{}
	for begun := time.Now(); !v.Done; {
		var err *kv.Error
		if v, err = b.Verify(context.Background(), v.Run, limits.VerifyRateMost); err != nil || time.Since(begun) > wait {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	return v
}

// flipByte inverts the bits of one byte of a file.
func flipByte(t *testing.T, name string, at int) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err == nil {
		content[at] ^= 0xff
		err = os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startToVerify starts a member whose two snapshots and segments stay as they are until it is told otherwise, except for the orders.
func startToVerify(t *testing.T) (a *alone, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	fill := func() {
		for i := range 300 {
			a.put(t, fmt.Sprint("key", i%20), strings.Repeat("v", 2000))
		}
	}
	for fill(); len(list(t, dir, "snap/*.snap")) < 2; fill() {
	}
	a.stop(t)
	calm := limits.Defaults()
	calm.SnapshotInterval = time.Hour
	if a, err = startAloneWith(t, dir, 64<<10, calm); err != nil {
		t.Fatal(err)
	}
	for range 100 { // some segments behind the snapshots
		a.put(t, "key", strings.Repeat("w", 4000))
	}
	return a, dir
}

// A member verifies its files, one verification at a time: a second client joins it, and its number is of no use once another one has
// begun. It ends when nobody asks any more, and with the member.
func TestVerifyOnce(t *testing.T) {
	a, _ := startToVerify(t)
	b := newBackups(a.m)
	if v := verifyAll(t, b); v.Files < 4 || v.Bytes < 64<<10 || len(v.Damaged) > 0 {
		t.Errorf("all is sound: %+v", v)
	}
	first, err := b.Verify(context.Background(), 0, limits.VerifyRateLeast)
	if err != nil || first.Done || first.Bytes > 3*limits.VerifyPieceBytes {
		t.Fatalf("64 KiB a second: %+v, %v", first, err)
	}
	joined, err := b.Verify(context.Background(), 0, limits.VerifyRateMost)
	if err != nil || joined.Run != first.Run || joined.Done {
		t.Errorf("the second: %+v, %v", joined, err)
	}
	if _, err := b.Verify(context.Background(), first.Run-1, limits.VerifyRateMost); codeOf(err) != kv.BadRequest || !strings.Contains(err.Message, "is over") {
		t.Errorf("the one before: %v", err)
	}
	check := b.check
	select {
	case <-check.done:
		if check.err == nil || !strings.Contains(check.err.Error(), "its command has ended") {
			t.Errorf("it has ended: %v", check.err)
		}
	case <-time.After(limits.VerifyIdle + wait):
		t.Error("it goes on, though nobody asks")
	}
	last, err := b.Verify(context.Background(), 0, limits.VerifyRateLeast)
	if err != nil || last.Run == first.Run {
		t.Errorf("another one: %+v, %v", last, err)
	}
	begun := time.Now()
	if err := b.close(); err != nil || !b.check.ended() || time.Since(begun) > limits.BackupStop {
		t.Errorf("it stops after %v: %v", time.Since(begun), err)
	}
	if _, err := b.Verify(context.Background(), 0, limits.VerifyRateMost); codeOf(err) != kv.Unavailable {
		t.Errorf("a member that stops: %v", err)
	}
	a.stop(t)
}

// A verification names a damaged part of a snapshot. Then all keys are saved anew, and everything is sound.
func TestVerifyNamesAPart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	often := limits.Defaults()
	often.SnapshotBytes, often.SnapshotInterval, often.Index.ExtentBytes, often.Index.ExtentsFrom = 64<<10, time.Millisecond, 20_000, -1
	a, err := startAloneWith(t, dir, 64<<10, often)
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	b := newBackups(a.m)
	var parts []snapshot.Part
	for begun := time.Now(); len(parts) < 4; a.put(t, fmt.Sprint("key", time.Now().UnixNano()), strings.Repeat("v", 2000)) {
		if listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap")); err == nil && len(listing.Published) > 0 {
			parts = listing.Published[0].Parts
		}
		if time.Since(begun) > wait {
			t.Fatalf("%+v", a.m.status.Parts())
		}
	}
	if s := a.m.Status(); s.Get(figures.BaseRevision) == 0 || s.Get(figures.BaseFiles) == 0 || s.Get(figures.BaseBytes) == 0 || s.Get(figures.ExtentBytes) < 60_000 {
		t.Errorf("its status has %+v", s)
	}
	if v := verifyAll(t, b); len(v.Damaged) > 0 {
		t.Fatalf("%+v", v)
	}
	victim := filepath.Join(dir, "snap", parts[1].Name())
	flipByte(t, victim, 5000)
	v := verifyAll(t, b)
	if len(v.Damaged) != 1 || v.Damaged[0].Name != "snap/"+filepath.Base(victim) || !strings.Contains(v.Damaged[0].Help, "nothing is lost") {
		t.Fatalf("%+v", v)
	}
	for begun := time.Now(); len(verifyAll(t, b).Damaged) > 0; time.Sleep(10 * time.Millisecond) {
		if a.put(t, "key", "after"); time.Since(begun) > wait {
			t.Fatalf("it has %q", list(t, dir, "snap/*"))
		}
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
}

// A damaged segment leaves the log for good once two snapshots cover it. A damaged snapshot is moved aside. Then
// everything is sound, and the alarms end.
func TestVerifyRepairs(t *testing.T) {
	a, dir := startToVerify(t)
	b := newBackups(a.m)
	snaps := list(t, dir, "snap/*.snap")
	older := snaps[0]
	name := ""
	for _, segment := range list(t, dir, "wal/*.wal") { // the first that is behind the snapshots, and closed
		if content, err := os.ReadFile(segment); err == nil && strings.Contains(string(content), strings.Repeat("w", 4000)) {
			name = segment
			break
		}
	}
	content, _ := os.ReadFile(name)
	flipByte(t, name, strings.LastIndex(string(content), strings.Repeat("w", 4000)))
	flipByte(t, older, 5000)
	v := verifyAll(t, b)
	var named []string
	for _, f := range v.Damaged {
		named = append(named, f.Name)
		if !strings.Contains(f.Reason, "at byte ") || !strings.Contains(f.Help, "qkv verify") {
			t.Errorf("unclear: %+v", f)
		}
	}
	if want := []string{"wal/" + filepath.Base(name), "snap/" + filepath.Base(older)}; !slices.Equal(named, want) {
		t.Fatalf("damaged: %q, want %q", named, want)
	}
	corrupt := func() (n int) {
		for _, one := range a.m.status.Alarms() {
			if one.Name == kv.CorruptAlarm {
				n++
			}
		}
		return n
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		a.put(t, "key", "after")
		left := list(t, dir, "wal/*.wal")
		if !slices.Contains(left, name) && len(list(t, dir, "quarantine/*")) == 1 && corrupt() == 2 {
			break
		}
		if time.Since(begun) > wait {
			t.Fatalf("left: %q, %q, %d alarms", left, list(t, dir, "quarantine/*"), corrupt())
		}
	}
	if v := verifyAll(t, b); len(v.Damaged) > 0 || corrupt() > 0 {
		t.Errorf("afterwards: %+v, %d alarms", v, corrupt())
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
	a.stop(t)
}
