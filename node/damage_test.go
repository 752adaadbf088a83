package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// flipEntries inverts a bit of the first record of a segment.
func flipEntries(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[4096+512+20] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// flipEveryPage inverts a bit behind each frame's header of a segment.
func flipEveryPage(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := 4096; at < len(b); at += 4096 {
		if b[at] != 0 {
			b[at+512+20] ^= 1
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// damagedFolder is a stopped member's folder with two snapshots, and its segments that hold something.
func damagedFolder(t *testing.T) (dir string, segments []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 300 || len(list(t, dir, "snap/*.snap")) < 2; n++ {
		if d := a.put(t, fmt.Sprintf("k%d", n%10), strings.Repeat("v", 3000)); d.Result.Err != nil || n > 10_000 {
			t.Fatal(n, d.Result.Err)
		}
	}
	a.stop(t)
	return dir, begun(t, dir)
}

// begun are the segments of a stopped member's folder that hold a frame. A segment that is made ready has a header alone, and a recycled
// one has frames of the segment before.
func begun(t *testing.T, dir string) (segments []string) {
	t.Helper()
	err := log.Verify(disk.OS(), filepath.Join(dir, "wal"), 0, func() (uint64, error) { return 0, nil }, func(name string, _ error) error {
		segments = append(segments, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return segments
}

// Damage to entries that a snapshot covers is an alarm; what the snapshot does not hold ends the member. A snapshot that
// is damaged itself covers nothing.
func TestDamageBelowSnapshot(t *testing.T) {
	dir, segments := damagedFolder(t)
	flipEntries(t, segments[0])
	for n := range 2 {
		a, err := startAlone(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		if alarms := a.m.alarms(); n == 0 && (len(alarms) != 1 || alarms[0].Name != kv.CorruptAlarm || !strings.Contains(alarms[0].Text, filepath.Base(segments[0]))) {
			t.Errorf("alarms %+v", alarms)
		}
		if d := a.put(t, "more", "after the damage"); d.Result.Err != nil {
			t.Error(d.Result.Err)
		}
		a.stop(t)
	}
	putAboveSnapshots(t, dir)
	for _, name := range list(t, dir, "wal/*.wal") {
		flipEveryPage(t, name)
	}
	if a, err := startAlone(t, dir); !errors.Is(err, damage.ErrDamaged) {
		if err == nil {
			a.stop(t)
		}
		t.Errorf("damage above the snapshot: %v", err)
	}
}

// A start on damage that a snapshot covers has two more saved, so that what is damaged goes, wherever it is and however little is
// written. The next start meets none.
func TestCoveredDamageGoes(t *testing.T) {
	testlong.Skip(t)
	whole, segments := damagedFolder(t)
	// The newest segment may hold a single frame. Damage in the log's last frame cannot be told from a torn write.
	segments = segments[:len(segments)-1]
	few := limits.Defaults() // snapshots, by what is written
	covered := 0
	for i, damaged := range segments {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		damaged = filepath.Join(dir, "wal", filepath.Base(damaged))
		flipEntries(t, damaged)
		a, err := startAloneWith(t, dir, 64<<10, few)
		if errors.Is(err, damage.ErrDamaged) {
			continue // no snapshot covers it
		}
		if err != nil {
			t.Fatal(err)
		}
		covered++
		alarms := a.m.alarms()
		if _, err := os.Stat(damaged); err == nil && (len(alarms) != 1 || alarms[0].Name != kv.CorruptAlarm) { // it may have gone at once
			t.Errorf("segment %d: alarms %+v", i, alarms)
		}
		for n, since := 0, time.Now(); ; n++ {
			if _, err := os.Stat(damaged); errors.Is(err, fs.ErrNotExist) {
				break
			}
			if time.Since(since) > wait {
				t.Fatalf("segment %d of %d stays, with snapshots %q", i, len(segments), list(t, dir, "snap/*.snap"))
			}
			if d := a.put(t, "more", fmt.Sprint(n)); d.Result.Err != nil {
				t.Fatal(d.Result.Err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		a.stop(t)
		if a, err = startAloneWith(t, dir, 64<<10, few); err != nil {
			t.Fatal(err)
		}
		if alarms := a.m.alarms(); len(alarms) != 0 {
			t.Errorf("segment %d, the next start: alarms %+v", i, alarms)
		}
		a.stop(t)
	}
	if covered == 0 {
		t.Error("no snapshot covers any damage")
	}
	t.Logf("damage to %d of %d segments is covered", covered, len(segments))
}

// A start that finds a damaged snapshot has others saved, however little is written: the next damage must not meet the only one.
func TestDamagedSnapshotIsReplacedAtAStart(t *testing.T) {
	dir, _ := damagedFolder(t)
	snaps := list(t, dir, "snap/*.snap")
	must(t, os.Truncate(snaps[len(snaps)-1], 100))
	a, err := startAloneWith(t, dir, 64<<10, limits.Defaults())
	must(t, err)
	for since := time.Now(); len(list(t, dir, "snap/*.snap")) < limits.SnapshotsKept; time.Sleep(10 * time.Millisecond) {
		if d := a.put(t, "more", "behind the damage"); d.Result.Err != nil || time.Since(since) > wait/4 {
			t.Fatalf("there are the snapshots %q: %v", list(t, dir, "snap/*.snap"), d.Result.Err)
		}
	}
	a.stop(t)
}

// putAboveSnapshots leaves entries in the log that no snapshot covers: a member may save one between any two writes.
func putAboveSnapshots(t *testing.T, dir string) {
	t.Helper()
	for range 20 {
		before := list(t, dir, "snap/*.snap")
		a, err := startAlone(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if d := a.put(t, "above", fmt.Sprint(n)); d.Result.Err != nil {
				t.Fatal(d.Result.Err)
			}
		}
		a.stop(t)
		if slices.Equal(before, list(t, dir, "snap/*.snap")) {
			return
		}
	}
	t.Fatal("each of 20 starts saved a snapshot")
}

// A member whose state is not what the others have says so to clients, with a code of its own, and after a restart, too.
func TestDifferingMemberSaysWhy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		a, err := startAlone(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			a.put(t, "k", "v")
			a.m.actors.consensus.Offer(actor.Differs{Reason: "its digest is another one"})
		}
		for begun := time.Now(); a.m.status.Raft().Role != actor.RoleSuspended; time.Sleep(time.Millisecond) {
			if time.Since(begun) > wait {
				t.Fatalf("start %d: it takes part: %+v", n, a.m.status.Raft())
			}
		}
		refusal := endpoint{a.m}.Refuse()
		if refusal == nil || refusal.Code != kv.Corrupt || !refusal.Certain() || !refusal.Retryable() || !strings.Contains(refusal.Message, "its digest is another one") {
			t.Errorf("start %d: %+v", n, refusal)
		}
		for begun := time.Now(); a.m.proposed.announcing.underWay.Load(); time.Sleep(time.Millisecond) { // of before it was refused
			if time.Since(begun) > wait {
				t.Fatal("its announcement has no end")
			}
		}
		if a.m.announce(); a.m.proposed.announcing.underWay.Load() {
			t.Error("it takes no part, and announces itself")
		}
		a.stop(t)
	}
}

// An older snapshot that the disk cannot read, beside a newer one that is sound, is an alarm and ends no start; the newest, which
// the state would be loaded from, does.
func TestUnreadableOlderSnapshot(t *testing.T) {
	dir, _ := damagedFolder(t)
	snaps := list(t, dir, "snap/*.snap")
	unreadable := func(name string) {
		t.Helper()
		if err := errors.Join(os.Rename(name, filepath.Join(dir, "away")), os.Mkdir(name, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	unreadable(snaps[0])
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if alarms := a.m.alarms(); len(alarms) != 1 || alarms[0].Name != kv.CorruptAlarm || !strings.Contains(alarms[0].Text, snaps[0]) {
		t.Errorf("alarms %+v", alarms)
	}
	if d := a.put(t, "more", "beside it"); d.Result.Err != nil {
		t.Error(d.Result.Err)
	}
	a.stop(t)
	snaps = list(t, dir, "snap/*.snap")
	unreadable(snaps[len(snaps)-1])
	if a, err := startAlone(t, dir); err == nil || errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), snaps[len(snaps)-1]+" cannot be read") {
		if err == nil {
			a.stop(t)
		}
		t.Errorf("the newest cannot be read: %v", err)
	}
}

// A snapshot that a newer qkv wrote is neither damaged nor moved.
func TestSnapshotOfNewer(t *testing.T) {
	dir, _ := damagedFolder(t)
	snaps := list(t, dir, "snap/*.snap")
	name := snaps[len(snaps)-1]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[12] = 1 << 7 // an incompatible feature
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := startAlone(t, dir); !errors.Is(err, damage.ErrFormat) {
		if err == nil {
			a.stop(t)
		}
		t.Errorf("a newer snapshot: %v", err)
	}
	if now := list(t, dir, "snap/*.snap"); len(now) != len(snaps) || len(list(t, dir, "damaged/*")) != 0 {
		t.Errorf("snapshots %v", now)
	}
}

// What was received of a snapshot stays to be continued, if it is the newest and the log does not reach so far; all other such
// files are removed at a start, and so take no room for ever.
func TestReceivedPartsGo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(filepath.Join(dir, "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	a.put(t, "k", "v")
	a.stop(t)
	part := func(at uint64) string {
		return filepath.Join(dir, "snap", snapshot.Name(at, 2)+"."+strings.Repeat("ab", 32)+".tmp")
	}
	for _, one := range []struct{ there, left []uint64 }{
		{[]uint64{2}, nil},
		{[]uint64{1000, 2000, 3}, []uint64{2000}},
	} {
		for _, at := range one.there {
			if err := os.WriteFile(part(at), []byte("a part"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if a, err = startAlone(t, dir); err != nil {
			t.Fatal(err)
		}
		a.stop(t)
		var want []string
		for _, at := range one.left {
			want = append(want, part(at))
		}
		if got := list(t, dir, "snap/*.tmp"); !slices.Equal(got, want) {
			t.Errorf("of %v these are left: %q", one.there, got)
		}
	}
}

// Where files are lost that no snapshot makes good, the refusal names the one that the log goes on from.
func TestLostFileIsNamed(t *testing.T) {
	dir, segments := damagedFolder(t)
	for tries := 0; len(segments) < 2 && tries < 10; tries++ { // what the snapshots have let go of goes by time
		dir, segments = damagedFolder(t)
	}
	for _, name := range append(list(t, dir, "snap/*.snap"), segments[0]) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	a, err := startAlone(t, dir)
	if err == nil {
		a.stop(t)
	}
	if !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(segments[0])+", which is missing") {
		t.Errorf("without %s: %v", filepath.Base(segments[0]), err)
	}
}

// A lone member whose newest segment is gone, or empty, does not start without what was acknowledged there: the segment before it says
// that it was there, soon after it was begun.
func TestLostNewestSegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := startAloneWith(t, dir, 64<<10, limits.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if d := a.put(t, fmt.Sprint("k", n), strings.Repeat("v", 3000)); d.Result.Err != nil {
			t.Fatal(d.Result.Err)
		}
	}
	segments := begun(t, dir)
	before, newest := segments[len(segments)-2], segments[len(segments)-1]
	for since := time.Now(); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(before)
		if err != nil || time.Since(since) > wait {
			t.Fatalf("%s does not say what follows it: %v", before, err)
		}
		if string(b[len(b)-4096:][:4]) == "qkvf" {
			break
		}
	}
	a.stop(t)
	for _, lose := range []func(name string) error{
		func(name string) error { return os.Rename(name, filepath.Join(dir, "away")) },
		func(name string) error { return os.WriteFile(name, nil, 0o600) },
	} {
		if err := lose(newest); err != nil {
			t.Fatal(err)
		}
		a, err := startAloneWith(t, dir, 64<<10, limits.Defaults())
		if err == nil {
			a.stop(t)
		}
		if !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), newest+" at byte 0: the segment") {
			t.Errorf("without %s: %v", newest, err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "away"), newest); err != nil {
		t.Fatal(err)
	}
	if a, err = startAloneWith(t, dir, 64<<10, limits.Defaults()); err != nil {
		t.Fatalf("with %s in its place again: %v", newest, err)
	}
	a.stop(t)
}

// savedToTheEnd is a stopped member's folder whose newest snapshot has all that the log has.
func savedToTheEnd(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	often := limits.Defaults()
	often.SnapshotBytes = 1
	a, err := startAloneWith(t, dir, 64<<10, often)
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	for begun, n := time.Now(), 0; time.Since(begun) < wait; n++ {
		if d := a.put(t, "k", fmt.Sprint(n)); d.Result.Err != nil {
			t.Fatal(d.Result.Err)
		}
		time.Sleep(20 * time.Millisecond)
		index, term := a.m.status.View().Applied()
		if snaps := list(t, dir, "snap/*.snap"); len(snaps) > 0 && filepath.Base(snaps[len(snaps)-1]) == snapshot.Name(index, term) {
			return dir
		}
	}
	t.Fatal("no snapshot has all that the log has")
	return ""
}

// flipLastEntries inverts a bit of the last entries of a segment.
func flipLastEntries(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(b) - 4096; at > 0; at -= 4096 {
		if string(b[at:at+4]) == "qkvf" && b[at+4] == 1 {
			b[at+512+20] ^= 1
			break
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Damage to what the log ends with, which a snapshot covers, leaves that snapshot the one which the log continues: at the next
// starts, too, when the damaged file is gone.
func TestDamagedEndBelowSnapshot(t *testing.T) {
	dir := savedToTheEnd(t)
	segments := begun(t, dir)
	flipLastEntries(t, segments[len(segments)-1])
	for n := range 3 {
		a, err := startAlone(t, dir)
		if err != nil {
			t.Fatalf("start %d, snapshots %q, segments %q: %v", n, list(t, dir, "snap/*"), begun(t, dir), err)
		}
		if alarms := a.m.alarms(); n == 0 && (len(alarms) != 1 || !strings.Contains(alarms[0].Text, filepath.Base(segments[len(segments)-1]))) {
			t.Errorf("alarms %+v", alarms)
		}
		a.stop(t)
	}
}

// A suspended member offers its newest snapshot to no other member: the state in it may be wrong.
func TestSuspendedMemberOffersNoSnapshot(t *testing.T) {
	dir, _ := damagedFolder(t)
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	offer := func() string {
		file, refusal := peerHandler{a.m}.Part(peerframe.PartRequest{From: a.m.folder.Member, Name: "n1", Part: peerframe.NewestSnapshot})
		if refusal != nil {
			return refusal.Text
		}
		_ = file.Close()
		return ""
	}
	if refusal := offer(); refusal != "" {
		t.Fatalf("a member that takes part offers no snapshot: %s", refusal)
	}
	a.m.actors.consensus.Offer(actor.Differs{Reason: "its digest is another one"})
	for begun := time.Now(); a.m.status.Raft().Role != actor.RoleSuspended; time.Sleep(time.Millisecond) {
		if time.Since(begun) > wait {
			t.Fatalf("it takes part: %+v", a.m.status.Raft())
		}
	}
	if refusal := offer(); !strings.Contains(refusal, "takes no part in the cluster") {
		t.Errorf("a suspended member offers a snapshot: %q", refusal)
	}
}
