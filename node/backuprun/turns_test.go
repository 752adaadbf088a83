package backuprun

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/snapshot/backup/store"
)

// oddMember is a testMember that answers in another way.
type oddMember struct {
	*testMember
	compacted bool         // its log begins behind the end of the backup
	ahead     atomic.Int64 // how many more entries it says to have applied
	asked     atomic.Int64 // requests for a part of the log
	piece     int          // bytes of an answer at most; 0: any
}

func newOdd(t *testing.T) *oddMember {
	m := &oddMember{testMember: &testMember{t: t, dir: t.TempDir(), base: func(int) {}}}
	m.write()
	m.write()
	return m
}

func (m *oddMember) BackupLog(ctx context.Context, after uint64) (kv.LogPart, error) {
	m.asked.Add(1)
	if m.compacted {
		return kv.LogPart{}, kv.Errorf(kv.Compacted, "the log begins later")
	}
	part, err := m.testMember.BackupLog(ctx, after)
	part.Applied += uint64(m.ahead.Load())
	return part, err
}

func (m *oddMember) BackupPiece(ctx context.Context, name string, offset int64) ([]byte, error) {
	all, err := m.testMember.BackupPiece(ctx, name, offset)
	if m.piece > 0 && err == nil {
		all = all[:min(len(all), m.piece):min(len(all), m.piece)]
	}
	return all, err
}

// follow runs a backup of these members, which take turns, until the test ends.
func follow(t *testing.T, c Config, members ...Source) {
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	c.Keep, c.Say = time.Hour, func(text string) { t.Log(text) }
	c.Open = func(_ context.Context, turn int) (Source, int, error) {
		return members[turn%len(members)], len(members), nil
	}
	run.Go(func() {
		if err := Run(ctx, c); err != nil {
			t.Error(err)
		}
	})
}

func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	for begun := time.Now(); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// A backup that lacks entries which its member has applied is not complete.
func TestCompleteIsAllThatIsApplied(t *testing.T) {
	dir, m := filepath.Join(t.TempDir(), "backup"), newOdd(t)
	m.ahead.Store(1)
	var complete atomic.Int64
	follow(t, Config{Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour}, Complete: func(time.Duration) { complete.Add(1) }}, m)
	if last := m.write(); !reaches(dir, last) {
		t.Fatalf("entry %d is not in the backup", last)
	}
	begun := m.asked.Load()
	await(t, "further requests", func() bool { return m.asked.Load() > begun+3 })
	if n := complete.Load(); n > 0 {
		t.Errorf("the backup was called complete %d times, and lacks an entry", n)
	}
	m.ahead.Store(0)
	await(t, "a complete backup", func() bool { return complete.Load() > 0 })
}

// The disk takes a minute for what a member has answered. The backup is complete as of the answer.
func TestCompleteAsOfTheAnswer(t *testing.T) {
	var ago time.Duration
	r := &runner{Config: Config{Complete: func(a time.Duration) { ago = a }}}
	if r.upToDate(newOdd(t), 1, time.Now().Add(-time.Minute)); ago < time.Minute {
		t.Errorf("it is called complete as of %v ago", ago)
	}
}

// The interval of the bases has passed, and nothing was written: the member saves no further snapshot.
func TestNoBaseWithoutAWrite(t *testing.T) {
	dir, m := filepath.Join(t.TempDir(), "backup"), newOdd(t)
	m.base = func(number int) {
		if number > 1 {
			t.Error("another base of the same entry")
		}
	}
	follow(t, Config{Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Millisecond}}, m)
	await(t, "requests behind the first base", func() bool { return m.asked.Load() > 5 })
}

// A member answers with less of a snapshot than was asked for. The base has all of it.
func TestShortPieces(t *testing.T) {
	dir, m := filepath.Join(t.TempDir(), "backup"), newOdd(t)
	m.piece = 100
	follow(t, Config{Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour}}, m)
	if !reaches(dir, 2) {
		t.Error("there is no base")
	}
}

// One member's log begins behind the end of the backup, and another one's does not: nothing is missing in the backup, and no base is made.
// Only where no member has these entries a new base is made.
func TestAnotherMembersLog(t *testing.T) {
	for what, compacted := range map[string]bool{"one log is compacted": false, "all logs are": true} {
		dir, first, second := filepath.Join(t.TempDir(), "backup"), newOdd(t), newOdd(t)
		var bases, later atomic.Int64
		first.base, second.base = func(int) { bases.Add(1) }, func(int) { bases.Add(1); later.Add(1) }
		first.compacted, second.compacted = true, compacted
		last := second.write()
		follow(t, Config{Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour}}, first, second)
		if compacted {
			await(t, what, func() bool { return bases.Load() > 1 })
			continue
		}
		if !reaches(dir, last) {
			t.Errorf("%s: entry %d is not in the backup", what, last)
		}
		if bases.Load() != 1 || later.Load() > 0 {
			t.Errorf("%s: %d bases", what, bases.Load())
		}
	}
}

// The disk of the backup is unmounted during a run. No other backup begins in the folder below it. The run goes on when the disk is back.
func TestUnmountedDuringARun(t *testing.T) {
	dir, m := filepath.Join(t.TempDir(), "backup"), newOdd(t)
	var failed atomic.Int64
	var said atomic.Pointer[string]
	follow(t, Config{Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour}, Failed: func(err error) {
		text := err.Error()
		said.Store(&text)
		failed.Add(1)
	}}, m)
	if !reaches(dir, 2) {
		t.Fatal("there is no base")
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	await(t, "a failure to open it again", func() bool { return failed.Load() > 1 })
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 || !strings.Contains(*said.Load(), "mount its disk again") {
		t.Errorf("the folder below holds %v, %v; the run said %s", names, err, *said.Load())
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if last := m.write(); !reaches(dir, last) {
		t.Errorf("entry %d is not in the backup", last)
	}
}
