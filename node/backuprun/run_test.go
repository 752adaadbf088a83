package backuprun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// testMember is a source without a member: a log, and snapshots of its end.
type testMember struct {
	t        *testing.T
	dir      string
	mu       sync.Mutex
	log      []kv.LogEntry // from entry 1 on
	wall     int64         // of the newest one
	base     func(number int)
	made     int // snapshots
	fail     error
	idle     time.Duration // of an answer without entries; 0: 10 ms
	cut      int64         // the weight at which an extent ends; 0: that of a member
	holds    *index.State  // of the requests of runners
	onePlace bool          // all backups have the same number

	clock   bool              // its writes have the time
	fs      disk.FS           // of its snapshots; nil: the real one
	digests map[uint64]uint64 // of the state, by entry
	newest  int64             // its revision then
}

// BackupHold is a command in the log, as in a member.
func (m *testMember) BackupHold(_ context.Context, ask kv.BackupHold) (kv.BackupHold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holds == nil {
		m.holds = m.state()
	}
	if m.onePlace {
		ask.Place = 1
	}
	at, term := m.holds.Applied()
	m.wall++
	envelope := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, First: 1, Wall: m.wall}, [][]byte{index.AppendBackupHold(nil, &ask).Bytes})
	if _, err := m.holds.Apply(at+1, max(term, 1), envelope, nil); err != nil {
		return kv.BackupHold{}, err
	}
	if len(m.log) > 0 {
		m.log = append(m.log, kv.LogEntry{Index: uint64(len(m.log)) + 1, Term: m.log[len(m.log)-1].Term, Envelope: envelope})
	}
	return m.holds.View().BackupHold(ask.Place), nil
}

func (m *testMember) Name() string { return "n1" }
func (m *testMember) Cluster() backup.Cluster {
	return backup.Cluster{ID: 7, Name: "test", Version: "test"}
}
func (m *testMember) Close() error { return nil }

// write appends an entry, and returns its index.
func (m *testMember) write() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := kv.LogEntry{Index: uint64(len(m.log)) + 1, Term: 1}
	if m.wall++; m.clock {
		m.wall = time.Now().UnixNano()
	}
	if len(m.log) > 0 {
		put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: fmt.Append(nil, len(m.log))}).Bytes
		e.Envelope = index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, First: 1, Wall: m.wall}, [][]byte{put})
	}
	m.log = append(m.log, e)
	return e.Index
}

func (m *testMember) BackupLog(ctx context.Context, after uint64) (kv.LogPart, error) {
	m.mu.Lock()
	part := kv.LogPart{Entries: m.log[min(after, uint64(len(m.log))):], Applied: uint64(len(m.log))}
	m.mu.Unlock()
	if len(part.Entries) == 0 {
		select {
		case <-ctx.Done():
		case <-time.After(cmp.Or(m.idle, 10*time.Millisecond)):
		}
	}
	return part, nil
}

func (m *testMember) BackupBase(context.Context, uint64) (b kv.BackupBase, err error) {
	m.made++
	if m.base(m.made); m.fail != nil {
		return b, m.fail
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state()
	for _, e := range m.log {
		if _, err := s.Apply(e.Index, e.Term, e.Envelope, nil); err != nil {
			return b, err
		}
	}
	at, term := s.Applied()
	if _, err := snapshot.Save(m.disk(), m.dir, snapshot.Meta{Cluster: 7, Member: 1, Index: at, Term: term, Version: "test"}, s.ViewToSave(), nil); err != nil && !(m.fs != nil && errors.Is(err, os.ErrExist)) {
		return b, err
	}
	r, err := snapshot.Open(m.disk(), filepath.Join(m.dir, snapshot.Name(at, term)))
	if err != nil {
		return b, err
	}
	defer r.Close()
	return kv.BackupBase{Name: r.Name(), Index: at, Term: term, Revision: r.Meta().Revision, Bytes: r.Size(), SHA: r.SHA()}, nil
}

func (m *testMember) BackupPiece(_ context.Context, name string, offset int64) ([]byte, error) {
	r, err := snapshot.Open(m.disk(), filepath.Join(m.dir, name))
	if err != nil {
		return nil, kv.Errorf(kv.Compacted, "%v", err)
	}
	defer r.Close()
	piece := make([]byte, r.Size()-offset)
	_, err = r.ReadAt(piece, offset)
	return piece, err
}

// disk is where its snapshots are.
func (m *testMember) disk() disk.FS {
	if m.fs != nil {
		return m.fs
	}
	return disk.OS()
}

// reaches waits until a backup has an entry.
func reaches(dir string, entry uint64) bool {
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		r, err := backup.Open(context.Background(), store.OpenFolder(disk.OS(), dir))
		if err != nil {
			continue
		}
		all, err := r.Reaches()
		if n := len(all); err == nil && n > 0 && all[n-1].Index >= entry {
			return true
		}
	}
	return false
}

// vanishing is a member that removes some parts before they are copied, and then has a newer snapshot.
type vanishing struct {
	*testMember
	asked map[string]int
	gone  int // how many parts vanish
}

func (v *vanishing) BackupPiece(ctx context.Context, name string, offset int64) ([]byte, error) {
	if v.asked[name]++; v.gone > 0 && strings.HasSuffix(name, ".part") && (v.gone > baseTries || len(v.asked) > 3*(v.made+1)) {
		v.gone--
		must(v.t, os.Remove(filepath.Join(v.dir, name)))
	}
	return v.testMember.BackupPiece(ctx, name, offset)
}

// A part that the member removes before it is copied ends no backup: the member has a newer snapshot, and what was copied is not copied again.
// A member of which every snapshot lacks a part is left for another one.
func TestPartsThatVanish(t *testing.T) {
	for _, gone := range []int{2, 1000} {
		m := &vanishing{testMember: &testMember{t: t, dir: t.TempDir(), cut: 400}, asked: map[string]int{}, gone: gone}
		for range 60 {
			m.write()
		}
		m.base = func(int) { m.write() }
		w, err := backup.Write(t.Context(), store.OpenFolder(disk.OS(), filepath.Join(t.TempDir(), "backup")), true, m.Cluster())
		must(t, err)
		hold := NewHold()
		base, copied, err := hold.CopyBase(t.Context(), m, w, 0, func(int64, int64) error { return nil })
		if gone > baseTries {
			if !NeedsBase(err) || m.made != baseTries || len(w.Bases()) > 0 {
				t.Errorf("after %d snapshots of which a part is gone: %v, %d bases", m.made, err, len(w.Bases()))
			}
			must(t, w.Close())
			continue
		}
		must(t, err)
		if m.made != gone+1 || len(base.Files) < 10 || copied < base.Bytes() {
			t.Errorf("%d snapshots were made for a base of %d files, %d bytes of %d", m.made, len(base.Files), copied, base.Bytes())
		}
		for name, n := range m.asked {
			if strings.HasSuffix(name, ".part") && n > 2 {
				t.Errorf("%s was read %d times", name, n)
			}
		}
		_, again, err := hold.CopyBase(t.Context(), m, w, 0, func(int64, int64) error { return nil })
		if must(t, err); again > copied/2 || len(w.Bases()) != 2 {
			t.Errorf("%d bytes were copied for the next of %d bases, after %d", again, len(w.Bases()), copied)
		}
		must(t, w.Close())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A member saves a snapshot for minutes. The changes of that time reach the backup meanwhile, and the base is made behind them.
func TestChangesWhileABaseIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backup")
	m := &testMember{t: t, dir: t.TempDir()}
	m.write()
	m.write()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	late := make(chan bool, 1)
	m.base = func(number int) {
		if number == 2 {
			late <- reaches(dir, m.write())
		}
	}
	var run sync.WaitGroup
	run.Go(func() {
		err := Run(ctx, Config{
			Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Millisecond, Keep: time.Hour}, Say: func(text string) { t.Log(text) },
			Open: func(context.Context, int) (Source, int, error) { return m, 1, nil },
		})
		if err != nil {
			t.Error(err)
		}
	})
	defer run.Wait()
	defer cancel()
	for waits := true; waits; time.Sleep(20 * time.Millisecond) {
		select {
		case inTime := <-late:
			if waits = false; !inTime {
				t.Error("a change waits for the base")
			}
		default:
			m.write() // a further base needs a change behind the one before
		}
	}
	if last := m.write(); !reaches(dir, last) {
		t.Errorf("entry %d does not follow the base", last)
	}
}

// fullDisk is a store that has room for the first base of a member only.
type fullDisk struct {
	*store.Folder
	made *atomic.Int64
}

func (f fullDisk) Free() (int64, bool) {
	if f.made.Load() > 1 {
		return 100, true
	}
	return f.Folder.Free()
}

// A further base does not fit the disk. The changes go on.
func TestChangesWithoutRoomForABase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backup")
	var made atomic.Int64
	m := &testMember{t: t, dir: t.TempDir(), base: func(number int) { made.Store(int64(number)) }}
	m.write()
	m.write()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	var run sync.WaitGroup
	run.Go(func() {
		err := Run(ctx, Config{
			Target: Target{Store: fullDisk{store.OpenFolder(disk.OS(), dir), &made}, Every: time.Millisecond, Keep: time.Hour}, Say: func(text string) { t.Log(text) },
			Open: func(context.Context, int) (Source, int, error) { return m, 1, nil },
			Failed: func(err error) {
				select {
				case failed <- err:
				default:
				}
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
	defer run.Wait()
	defer cancel()
	for none := true; none; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-failed:
			if none = false; !strings.Contains(err.Error(), "make room on") {
				t.Error(err)
			}
		default:
			m.write()
		}
	}
	if last := m.write(); !reaches(dir, last) {
		t.Errorf("entry %d waits for the base", last)
	}
}

// The folder of a backup is there when a run begins, and gone when the first member answers: its disk was unmounted. It is not made anew.
func TestFolderThatGoesBeforeTheFirstMember(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backup")
	m := &testMember{t: t, dir: t.TempDir()}
	m.write()
	w, err := backup.Write(t.Context(), store.OpenFolder(disk.OS(), dir), true, m.Cluster())
	must(t, err)
	must(t, w.Close())
	ctx, cancel := context.WithCancel(t.Context())
	var failures []error
	must(t, Run(ctx, Config{
		Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour, Keep: time.Hour}, Say: func(text string) { t.Log(text) },
		Open: func(_ context.Context, turn int) (Source, int, error) {
			if turn == 0 {
				must(t, os.Rename(dir, dir+".away"))
				return nil, 0, errors.New("no member answers")
			}
			return m, 1, nil
		},
		Failed: func(err error) {
			if failures = append(failures, err); len(failures) == 2 {
				cancel()
			}
		},
	}))
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(failures[1].Error(), "is gone: mount its disk again") {
		t.Errorf("the folder: %v; the failures: %v", err, failures)
	}
}

// A further base that fails is made after the pause for failures, and not only after the next interval: a restore would apply the log of two
// intervals.
func TestFailedBaseIsMadeAgain(t *testing.T) {
	dir, saved := filepath.Join(t.TempDir(), "backup"), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const every, failing = 20 * time.Minute, 3
		m := &testMember{t: t, dir: saved, idle: 2 * time.Second}
		m.write()
		m.write()
		var tries []time.Time
		m.base = func(number int) {
			m.fail = nil
			if number > 1 && number <= 1+failing {
				m.fail = errors.New("no room for a snapshot")
			}
			tries = append(tries, time.Now())
		}
		ctx, cancel := context.WithTimeout(t.Context(), every+10*time.Minute)
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				m.write()
				select {
				case <-ctx.Done():
				case <-time.After(30 * time.Second):
				}
			}
		}()
		if err := Run(ctx, Config{
			Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: every, Keep: time.Hour}, Say: func(text string) { t.Log(text) },
			Open: func(context.Context, int) (Source, int, error) { return m, 1, nil },
		}); err != nil {
			t.Error(err)
		}
		if len(tries) != 2+failing {
			t.Fatalf("%d bases were begun: %v", len(tries), tries)
		}
		if first := tries[1].Sub(tries[0]); first < every || first > every+2*baseAgain {
			t.Errorf("the second base is begun after %v", first)
		}
		for i := 2; i < len(tries); i++ {
			if again := tries[i].Sub(tries[i-1]); again < baseAgain || again > 2*baseAgain {
				t.Errorf("try %d comes %v after the one that failed", i+1, again)
			}
		}
		r, err := backup.Open(context.Background(), store.OpenFolder(disk.OS(), dir))
		if err != nil || len(r.Bases) != 2 {
			t.Fatalf("the backup has the bases %+v, %v", r, err)
		}
	})
}

// A store refuses deletions until a minute after a base. The backup goes on, no further base is made for that, the failure is reported in words and tried
// again, and what is too old is removed when the store allows it.
func TestDeletionsAreRefused(t *testing.T) {
	dir, saved := filepath.Join(t.TempDir(), "backup"), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const every, keep, refusing, ends = 5 * time.Minute, 10 * time.Minute, 31 * time.Minute, time.Hour
		m := &testMember{t: t, dir: saved, idle: 2 * time.Second, clock: true, base: func(int) {}}
		m.write()
		m.write()
		ctx, cancel := context.WithTimeout(t.Context(), ends)
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				m.write()
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Second):
				}
			}
		}()
		begun, complete := time.Now(), time.Now()
		var failed, removed []time.Duration
		to := &undeletable{Store: store.OpenFolder(disk.OS(), dir), until: begun.Add(refusing)}
		if err := Run(ctx, Config{
			Target: Target{Store: to, Every: every, Keep: keep}, Say: func(text string) { t.Log(time.Since(begun), text) },
			Open: func(context.Context, int) (Source, int, error) { return m, 1, nil },
			Complete: func(time.Duration) {
				if gap := time.Since(complete); gap > time.Minute {
					t.Errorf("the backup was not complete for %v", gap)
				}
				complete = time.Now()
			},
			Removed: func(err error) {
				switch {
				case err == nil:
					removed = append(removed, time.Since(begun))
				case strings.Contains(err.Error(), "access denied"):
					failed = append(failed, time.Since(begun))
				default:
					t.Error(err)
				}
			},
		}); err != nil {
			t.Error(err)
		}
		again := slices.IndexFunc(removed, func(at time.Duration) bool { return at > refusing })
		if n := len(failed); n < 5 || failed[0] > keep+3*every || failed[n-1] > refusing || again < 0 || removed[again] > refusing+2*baseAgain {
			t.Fatalf("failures at %v", failed)
		}
		for i, at := range failed[1:] {
			if again := at - failed[i]; again > 3*baseAgain {
				t.Errorf("it is tried again after %v", again)
			}
		}
		if m.made < 10 || m.made > 1+int(ends/every) {
			t.Errorf("%d bases were made", m.made)
		}
		if last := removed[len(removed)-1]; last < ends-2*every {
			t.Errorf("removed at %v", removed)
		}
		r, err := backup.Open(context.Background(), to.Store)
		if err != nil || len(r.Bases) > 2+int(keep/every) || len(r.Faults) > 0 {
			t.Fatalf("the backup has the bases %+v, %v", r, err)
		}
	})
}

// undeletable is a store that refuses deletions until a time.
type undeletable struct {
	store.Store
	until time.Time
}

func (u *undeletable) Delete(ctx context.Context, names ...string) error {
	if time.Now().Before(u.until) && len(names) > 0 {
		return errors.New("access denied")
	}
	return u.Store.Delete(ctx, names...)
}

// A wall clock that jumps ahead does not age what is kept. A clock that was put right is followed after a while.
func TestClockOfRetention(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, steps := range map[string][]struct{ after, wall, want time.Duration }{ // since the begin
		"undisturbed":               {{0, 0, -3 * day}, {hour, hour, hour}, {2 * hour, 2 * hour, 2 * hour}},
		"ahead for a base":          {{0, 0, -3 * day}, {hour, hour, hour}, {2 * hour, 2*hour + 30*day, 2 * hour}, {3 * hour, 3 * hour, 3 * hour}, {4 * hour, 4 * hour, 4 * hour}},
		"ahead for two close bases": {{0, 0, -3 * day}, {hour, hour, hour}, {2 * hour, 2*hour + day, 2 * hour}, {2*hour + time.Minute, 2*hour + day, 2*hour + time.Minute}},
		"ahead for ever":            {{0, 0, -3 * day}, {hour, hour, hour}, {2 * hour, 2*hour + day, 2 * hour}, {3 * hour, 3*hour + day, 3*hour + day}, {4 * hour, 4*hour + day, 4*hour + day}},
		"behind":                    {{0, 0, -3 * day}, {hour, hour, hour}, {2 * hour, -day, -day}, {3 * hour, hour - day, hour - day}},
		"ahead from the start":      {{0, 30 * day, -3 * day}, {time.Minute, time.Minute, time.Minute - 3*day}, {hour, hour, hour}},
	} {
		var c steadyClock
		for i, s := range steps {
			if at := c.now(s.after, begun.Add(s.wall), begun.Add(-3*day)); at.Sub(begun) != s.want {
				t.Errorf("%s, call %d: %v after the begin, want %v", name, i+1, at.Sub(begun), s.want)
			}
		}
	}
}
