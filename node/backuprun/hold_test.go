package backuprun

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// hookedStore calls a function before each deletion.
type hookedStore struct {
	store.Store
	deletes func(ctx context.Context, names []string) error
}

func (s hookedStore) Delete(ctx context.Context, names ...string) error {
	if err := s.deletes(ctx, names); err != nil {
		return err
	}
	return s.Store.Delete(ctx, names...)
}

func nothing(int64, int64) error { return nil }

// base makes a base of a new entry, and returns how long that took.
func (h *Hold) base(t *testing.T, m *testMember, w *backup.Writer) (took time.Duration, err error) {
	least := m.write()
	begun := time.Now()
	_, _, err = h.CopyBase(t.Context(), m, w, least, nothing)
	return time.Since(begun), err
}

// One runner publishes and deletes: the one that took the backup last. It waits for the calls of the one before, unless that one has left.
func TestHold(t *testing.T) {
	dir, saved := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &testMember{t: t, dir: saved, base: func(int) {}, onePlace: true}
		m.write()
		var failing error
		deletes := func(ctx context.Context, names []string) error {
			if until, ok := ctx.Deadline(); !ok || time.Until(until) > backupCall || len(names) > backupDeletes {
				t.Errorf("%d names are deleted until %v", len(names), until)
			}
			return failing
		}
		open := func(name string, h *Hold) *backup.Writer {
			w, err := h.Write(t.Context(), m, hookedStore{store.OpenFolder(disk.OS(), filepath.Join(dir, name)), deletes}, true)
			must(t, err)
			return w
		}
		a, b, c := NewHold(), NewHold(), NewHold()
		of := func(h *Hold) heldStore {
			return heldStore{Store: hookedStore{store.OpenFolder(disk.OS(), filepath.Join(dir, "a")), deletes}, hold: h, member: m}
		}
		wa := open("a", a) // each in a folder of its own, since a folder has a lock
		if took, err := a.base(t, m, wa); err != nil || took > 0 {
			t.Errorf("the first runner: %v, after %v", err, took)
		}
		wb := open("b", b)
		must(t, of(a).Put(t.Context(), backup.Moments+"2", []byte("x"))) // until it is taken over
		must(t, b.Take(t.Context(), m))
		for name, err := range map[string]error{
			"a base":     of(a).Put(t.Context(), backup.Moments+"1", []byte("x")),
			"a deletion": of(a).Delete(t.Context(), "parts/1"),
		} {
			if !errors.Is(err, store.ErrNotHeld) {
				t.Errorf("%s of a runner that was taken over: %v", name, err)
			}
		}
		must(t, of(a).Put(t.Context(), "parts/1", []byte("x")))
		if _, err := of(a).Get(t.Context(), backup.Moments+"1", 0, 1); err == nil {
			t.Error("the refused base is there")
		}
		if took, err := b.base(t, m, wb); err != nil || took != backupDrain {
			t.Errorf("the runner that took over: %v, after %v", err, took)
		}
		if took, err := b.base(t, m, wb); err != nil || took > 0 {
			t.Errorf("its second base: %v, after %v", err, took)
		}
		b.Leave(t.Context(), m)
		wc := open("c", c)
		if took, err := c.base(t, m, wc); err != nil || took > 0 {
			t.Errorf("a runner after one that left: %v, after %v", err, took)
		}
		var names []string
		for i := range 2*backupDeletes + 1 {
			names = append(names, fmt.Sprint("parts/", i))
		}
		must(t, of(c).Delete(t.Context(), names...))
		failing = errors.New("no answer")
		if err := of(c).Delete(t.Context(), "parts/1"); err == nil {
			t.Error("the deletion has not failed")
		}
		c.Leave(t.Context(), m) // its deletion may still come
		if took, err := a.base(t, m, wa); err != nil || took != backupDrain {
			t.Errorf("a runner after one with a call under way: %v, after %v", err, took)
		}
	})
}

// A runner has asked for the deletion of a file, is replaced, and the server deletes it late. The next runner's base needs the file: it is not
// published without it.
func TestLateDeletion(t *testing.T) {
	dir, saved := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &testMember{t: t, dir: saved, base: func(int) {}, cut: 400}
		for range 60 {
			m.write()
		}
		place := store.OpenFolder(disk.OS(), filepath.Join(dir, "backup"))
		a, b := NewHold(), NewHold()
		w, err := a.Write(t.Context(), m, place, true)
		must(t, err)
		c, err := w.Base(memberFile(t, m), func(p snapshot.Part) backup.Source {
			return (&pacedMember{Source: m, ctx: t.Context()}).file(p.Name(), p.Bytes, p.SHA)
		})
		must(t, err)
		for !c.Ready() { // all files are there, and no base lists them
			_, err := c.Step(t.Context(), 1<<20)
			must(t, err)
		}
		must(t, w.Close())
		all, err := place.List(t.Context(), "parts")
		must(t, err)
		var names []string // the key of the hold is in the state, so that any of them may be of one base alone
		for _, one := range all {
			names = append(names, "parts/"+one.Name)
		}
		begun := time.Now()
		late := heldStore{hold: a, member: m, Store: hookedStore{place, func(context.Context, []string) error {
			time.Sleep(backupCall - time.Second)
			return nil
		}}}
		deleted := make(chan error)
		go func() { deleted <- late.Delete(t.Context(), names...) }()
		time.Sleep(time.Second)
		w, err = b.Write(t.Context(), m, place, false)
		must(t, err)
		_, err = b.base(t, m, w)
		if took := time.Since(begun); took < backupDrain || err == nil || !strings.Contains(err.Error(), "it is missing") || len(w.Bases()) > 0 {
			t.Errorf("a base without a file, after %v: %v", took, err)
		}
		must(t, <-deleted)
		_, err = b.base(t, m, w)
		must(t, err)
		must(t, w.Close())
		r, err := backup.Open(t.Context(), place)
		must(t, err)
		if got, err := r.Restore(backup.At{}, limits.Defaults().Index, nil); err != nil || got.Base.Revision != 62 {
			t.Errorf("the base is of entry %+v: %v", got, err)
		}
	})
}

// memberFile is the newest snapshot of a member, as a source.
func memberFile(t *testing.T, m *testMember) backup.Source {
	b, err := m.BackupBase(t.Context(), 0)
	must(t, err)
	return (&pacedMember{Source: m, ctx: t.Context()}).file(b.Name, b.Bytes, b.SHA)
}

// sameBase is a member that has no newer snapshot.
type sameBase struct {
	*testMember
	base kv.BackupBase
}

func (m sameBase) BackupBase(context.Context, uint64) (kv.BackupBase, error) { return m.base, nil }

// A runner that takes the hold over while it has no base to publish deletes nothing yet: the runner before may be about to publish a base that
// lists a file which nothing lists now.
func TestNoDeletionBehindATake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chaos{calm: true, objects: map[string][]byte{}}
		m := &testMember{t: t, dir: "snap", base: func(int) {}, clock: true, fs: simdisk.New(1)}
		must(t, m.fs.MkdirAll(m.dir))
		m.write()
		p := &process{testMember: m, on: c}
		a := NewHold()
		w, err := a.Write(t.Context(), m, p, true)
		must(t, err)
		for range 3 {
			time.Sleep(time.Hour)
			_, err := a.base(t, m, w)
			must(t, err)
		}
		bases := w.Bases()
		newest, err := m.BackupBase(t.Context(), 0)
		must(t, err)
		newest.Index, newest.Term = bases[2].Index, bases[2].Term
		newest.Name = snapshot.Name(newest.Index, newest.Term)
		r, err := snapshot.Open(m.fs, "snap/"+newest.Name)
		must(t, err)
		newest.Bytes, newest.SHA = r.Size(), r.SHA()
		must(t, r.Close())
		b := &runner{Config: Config{Say: func(string) {}, wall: time.Now}, born: time.Now(), retention: backup.Retention{Keep: time.Minute}, hold: NewHold()}
		same := sameBase{m, newest}
		w, err = b.hold.Write(t.Context(), same, p, false)
		must(t, err)
		deleted := func(after time.Duration) int {
			time.Sleep(after)
			must(t, b.base(t.Context(), same, w, 0))
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.deleted
		}
		for _, after := range []time.Duration{0, backupDrain - 1} {
			if n := deleted(after); n > 0 {
				t.Errorf("%d objects are deleted %v after the hold was taken over", n, after)
			}
		}
		if n := deleted(1); n == 0 {
			t.Error("nothing is deleted when the calls of the runner before have ended")
		}
	})
}

// Runners that begin at the same moment leave each other the time to publish a base, whichever of them took the hold last.
func TestRunnersThatBeginTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chaos{calm: true, objects: map[string][]byte{}}
		m := &testMember{t: t, dir: "snap", idle: 2 * time.Second, base: func(int) {}, clock: true, fs: simdisk.New(1)}
		must(t, m.fs.MkdirAll(m.dir))
		m.write()
		m.write()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for range 3 {
			running.Go(func() {
				p := &process{testMember: m, on: c}
				must(t, Run(ctx, Config{
					Target: Target{Store: p, Every: 5 * time.Minute, Keep: time.Hour}, Say: func(text string) { t.Log(text) },
					Open: func(context.Context, int) (Source, int, error) { return p, 1, nil },
				}))
			})
		}
		bases := func() int {
			r, err := backup.Open(t.Context(), &process{on: c})
			must(t, err)
			return len(r.Bases)
		}
		time.Sleep(2 * time.Minute)
		if bases() == 0 {
			t.Error("no base after two minutes")
		}
		for range 60 {
			time.Sleep(time.Minute)
			m.write()
		}
		if n := bases(); n < 8 {
			t.Errorf("%d bases after an hour", n)
		}
		cancel()
		running.Wait()
	})
}

// slowMember takes a while to answer who holds the backup.
type slowMember struct{ *testMember }

func (m slowMember) BackupHold(ctx context.Context, ask kv.BackupHold) (kv.BackupHold, error) {
	defer time.Sleep(backupCall / 2)
	return m.testMember.BackupHold(ctx, ask)
}

// A call of the store may take what is left of backupCall since the question was asked: the answer may be as old.
func TestCallBehindASlowAnswer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m, h := slowMember{&testMember{t: t, onePlace: true}}, NewHold()
		begun := time.Now()
		s := heldStore{hold: h, member: m, Store: hookedStore{store.OpenFolder(disk.OS(), dir), func(ctx context.Context, _ []string) error {
			if until, ok := ctx.Deadline(); !ok || until.Sub(begun) > backupCall {
				t.Errorf("asked at %v, deleted until %v", begun, until)
			}
			return nil
		}}}
		must(t, s.Delete(t.Context(), "parts/1"))
	})
}

// A take whose answer was lost may be applied late: the runner takes the backup again, and waits again.
func TestTakeWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &testMember{t: t, onePlace: true}
		lost := &losing{testMember: m}
		a, b := NewHold(), NewHold()
		held, err := a.has(t.Context(), m)
		if must(t, err); !held {
			t.Fatal("the first runner does not hold the backup")
		}
		lost.loses = true
		if err := b.Take(t.Context(), lost); err == nil {
			t.Fatal("a lost answer is an answer")
		}
		time.Sleep(backupDrain / 2) // the take is applied meanwhile, perhaps just now
		lost.loses = false
		must(t, b.Take(t.Context(), lost))
		if left := time.Until(b.drained); left != backupDrain {
			t.Errorf("after a take without an answer it waits for %v more", left)
		}
	})
}

// losing is a member whose answers to a take may be lost, after it is applied.
type losing struct {
	*testMember
	loses bool
}

func (m *losing) BackupHold(ctx context.Context, ask kv.BackupHold) (kv.BackupHold, error) {
	now, err := m.testMember.BackupHold(ctx, ask)
	if m.loses && ask.Take {
		return kv.BackupHold{}, kv.Errorf(kv.Unavailable, "no answer")
	}
	return now, err
}
