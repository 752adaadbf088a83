package snapshot

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"qkv/internal/damage"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// life is a workload of everything that writes in the folder, and what it was told to be done. Its three states are
// of some blocks each: one is saved and later removed, one is saved, one is received with an interruption.
type life struct {
	fs                   *simdisk.Disk
	first, second, third *fake
	from                 *Reader
	b                    []byte
	known                map[string]*fake // by published name: may be there
	durable              map[string]*fake // must be there
}

func newLife(t testing.TB, fs *simdisk.Disk) *life {
	l := &life{fs: fs, known: map[string]*fake{}, durable: map[string]*fake{}}
	states := make([]*fake, 3)
	for i := range states {
		s := small()
		s.applied += uint64(i)
		s.state = sized(2000)(int64(i))
		for k := range int64(5) {
			s.put(fmt.Sprintf("key %d", k), sized(60_000), 1000*int64(i+1)+k, 1000*int64(i+1)+k+100)
		}
		states[i] = s
	}
	l.first, l.second, l.third = states[0], states[1], states[2]
	l.from, l.b = sent(t, l.third)
	return l
}

func name(s *fake) string { return Name(s.applied, s.term) }

// run does all of it and stops at the first error.
func (l *life) run() error {
	for _, s := range []*fake{l.first, l.second} {
		if err := l.save(s); err != nil {
			return err
		}
		l.durable[name(s)] = s
	}
	delete(l.durable, name(l.first))
	if err := Remove(l.fs, "d/"+name(l.first)); err != nil {
		return err
	}
	return l.receive()
}

func (l *life) save(s *fake) error {
	l.known[name(s)] = s
	sv, err := beginFake(l.fs, "d", s.meta(), s)
	if err != nil {
		return err
	}
	for {
		done, err := sv.Step(100_000)
		if done {
			return nil
		}
		if err != nil {
			if d, again := sv.Step(1); d || again == nil || again.Error() != err.Error() {
				return fmt.Errorf("a step after an error: %v, %v; the error was %v", d, again, err)
			}
			return err
		}
	}
}

// receive takes the third state in pieces, and is interrupted once.
func (l *life) receive() error {
	l.known[name(l.third)] = l.third
	for _, to := range []int64{l.from.Size() / 2, l.from.Size()} {
		r, err := begun(l.fs, l.from)
		if err != nil {
			return err
		}
		if err := feed(r, l.b, 150_000, to); err != nil {
			return err
		}
		if to < l.from.Size() {
			r.Close()
			continue
		}
		if _, err := finish(r); err != nil {
			if _, again := finish(r); again == nil {
				return errors.New("Finish succeeded after an error")
			}
			return err
		}
	}
	l.durable[name(l.third)] = l.third
	return nil
}

// check holds a disk after a crash against what the workload was told: everything published is whole and is what was
// saved under that name; what was reported as done is there.
func (l *life) check(fs *simdisk.Disk) error {
	got, err := List(fs, "d")
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for _, info := range got.Published {
		want := l.known[fileName(info.Path)]
		if want == nil || info.Err != nil {
			return fmt.Errorf("%s was published: %v", info.Path, info.Err)
		}
		if _, err := Verify(fs, info.Path); err != nil {
			return err
		}
		s, _, err := contents(fs, info.Path)
		if err != nil {
			return err
		}
		if err := difference(s, want); err != nil {
			return fmt.Errorf("%s: %w", info.Path, err)
		}
		found[fileName(info.Path)] = true
	}
	for n := range l.durable {
		if !found[n] {
			return fmt.Errorf("%s was reported as published, and is not there", n)
		}
	}
	return nil
}

// goOn is what a member does with the folder after a restart: it removes what was abandoned and then gets
// everything done that was not.
func (l *life) goOn(fs *simdisk.Disk) error {
	got, err := List(fs, "d")
	if err != nil {
		return err
	}
	for _, path := range got.Abandoned {
		if err := Remove(fs, path); err != nil {
			return err
		}
	}
	again := *l
	again.fs, again.known, again.durable = fs, maps.Clone(l.known), map[string]*fake{}
	for _, s := range []*fake{l.first, l.second} {
		if err := again.save(s); err != nil && !errors.Is(err, iofs.ErrExist) {
			return err
		}
		again.durable[name(s)] = s
	}
	if err := again.receive(); err != nil && !errors.Is(err, iofs.ErrExist) {
		return err
	}
	again.durable[name(l.third)] = l.third
	fs.Crash(simdisk.Mixture)
	if err := again.check(fs); err != nil {
		return err
	}
	names, err := fs.List("d")
	if err == nil && len(names) != 3 {
		err = fmt.Errorf("the folder is left with %q", names)
	}
	return err
}

// A crash at every call of the disk, in every variant: what was reported is there, what is there is whole.
func TestCrashAtEveryCall(t *testing.T) {
	testlong.Skip(t)
	seeds := uint64(1)
	if full {
		seeds = 20
	}
	l := newLife(t, newDisk(t))
	calls, crashes := 0, 0
	at := func(op simdisk.Op, name string) {
		calls++
		for seed := range seeds * uint64(simdisk.Variants) {
			v := simdisk.Variant(seed % uint64(simdisk.Variants))
			fs := l.fs.Clone(seed<<16 + uint64(calls))
			if fs.Crash(v); seed == 0 {
				fs = l.fs.Clone(uint64(calls))
				fs.Kill()
			}
			crashes++
			err := l.check(fs)
			if err == nil {
				err = l.goOn(fs)
			}
			if err != nil {
				t.Fatalf("%v before call %d (%v %s), seed %d: %v", v, calls, op, name, seed, err)
			}
		}
	}
	l.fs.SetHook(at)
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	at(simdisk.OpAny, "the end")
	t.Logf("%d calls, %d crashes", calls, crashes)
}

// After a kill, what the next process has seen in a list survives any crash: it may have released the log for it.
func TestListedIsDurable(t *testing.T) {
	l := newLife(t, newDisk(t))
	calls := uint64(0)
	l.fs.SetHook(func(op simdisk.Op, name string) {
		calls++
		for v := range simdisk.Variants {
			fs := l.fs.Clone(calls<<8 + uint64(v))
			fs.Kill()
			before, err := List(fs, "d")
			if err != nil {
				t.Fatal(err)
			}
			fs.Crash(v)
			after, err := List(fs, "d")
			if err != nil {
				t.Fatal(err)
			}
			for i, info := range before.Published {
				if i >= len(after.Published) || info.Path != after.Published[i].Path {
					t.Fatalf("%v after a kill before call %d (%v %s): %s was listed and is lost", v, calls, op, name, info.Path)
				}
				if _, err := Verify(fs, info.Path); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
}

// Every call fails once, in each way: nothing invalid is ever published, the error stays, nothing that was reported
// is lost, also when the power fails afterwards, and the work can be done again.
func TestEveryCallFails(t *testing.T) {
	testlong.Skip(t)
	faults := map[string]simdisk.Fault{
		"EIO":         {Err: syscall.EIO},
		"EIO stays":   {Err: syscall.EIO, Stays: true},
		"ENOSPC":      {Err: syscall.ENOSPC},
		"short write": {Err: syscall.ENOSPC, Op: simdisk.OpWrite, Short: true},
		"failed sync": {Err: syscall.EIO, Op: simdisk.OpSync},
	}
	failed := 0
	for what, f := range faults {
		for n := int64(1); ; n++ {
			l := newLife(t, newDisk(t))
			f.Call = n
			f.Name = "d/"
			if f.Op == simdisk.OpAny && n%2 == 0 {
				f.Name = "d" // calls on the folder too
			}
			l.fs.Fail(f)
			before := l.fs.Calls()
			err := l.run()
			if err == nil && n > l.fs.Calls()-before {
				break
			}
			if err != nil {
				failed++
				if !errors.Is(err, f.Err) || !strings.Contains(err.Error(), "snapshot") {
					t.Fatalf("%s at call %d: %v", what, n, err)
				}
			}
			l.fs.ClearFaults()
			l.checkAfterFault(t, what, n)
		}
	}
	t.Logf("%d runs failed", failed)
}

// checkAfterFault checks a life whose run has met a fault, in this process and after a crash.
func (l *life) checkAfterFault(t *testing.T, what string, n int64) {
	t.Helper()
	for v := range simdisk.Variants {
		if !full && (int64(v)+n)%5 != 0 {
			continue
		}
		fs := l.fs.Clone(uint64(n)<<8 + uint64(v))
		fs.Crash(v)
		err := l.check(fs)
		if err == nil {
			err = l.goOn(fs)
		}
		if err != nil {
			t.Fatalf("%s at call %d, then %v: %v", what, n, v, err)
		}
	}
	if err := errors.Join(l.check(l.fs), l.goOn(l.fs)); err != nil {
		t.Fatalf("%s at call %d: %v", what, n, err)
	}
}

// The order of calls is the promise; it is written down.
func TestTrace(t *testing.T) {
	l := newLife(t, newDisk(t))
	var got strings.Builder
	l.fs.SetTrace(&got)
	if err := l.save(l.first); err != nil {
		t.Fatal(err)
	}
	n := name(l.first)
	lines := strings.Split(strings.TrimSpace(got.String()), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "write") })
	want := []string{
		"remove d/" + n + ".tmp", "create d/" + n + ".tmp",
		"sync d/" + n + ".tmp all", "dropcache d/" + n + ".tmp", "rename d/" + n + ".tmp d/" + n, "syncdir d",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the calls were\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// What is not on the medium as it was written is not published, whatever the page cache has, and leaves nothing behind.
func TestReadBackFails(t *testing.T) {
	for _, why := range []error{damage.ErrDamaged, syscall.EIO} {
		fs := newDisk(t)
		l := newLife(t, fs)
		s, err := beginFake(fs, "d", l.first.meta(), l.first)
		for done := false; err == nil && !done && s.back == nil; {
			if s.all {
				if why == damage.ErrDamaged {
					err = fs.Rot("d/"+name(l.first)+".tmp", s.file.offset/2, 3)
				} else {
					fs.Fail(simdisk.Fault{Op: simdisk.OpRead, Err: why})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			done, err = s.Step(1)
		}
		for done := false; err == nil && !done; {
			done, err = s.Step(1)
		}
		if !errors.Is(err, why) {
			t.Errorf("%v instead of %v", err, why)
		}
		wantFiles(t, fs, "d")
	}
}

// A publication that fails at its last step is undone: nobody may count on a name that a crash can take away.
func TestFolderSyncFails(t *testing.T) {
	l := newLife(t, newDisk(t))
	for _, do := range []func() error{func() error { return l.save(l.first) }, l.receive} {
		l.fs.Fail(simdisk.Fault{Op: simdisk.OpSyncDir, Err: syscall.EIO})
		if err := do(); !errors.Is(err, syscall.EIO) {
			t.Errorf("the folder's sync fails: %v", err)
		}
		wantFiles(t, l.fs, "d")
		if err := do(); err != nil {
			t.Errorf("done again: %v", err)
		}
		if err := l.fs.Remove("d/" + mustOne(t, l.fs)); err != nil {
			t.Fatal(err)
		}
	}
}

// mustOne returns the name of the only file.
func mustOne(t testing.TB, fs disk.FS) string {
	t.Helper()
	names, err := fs.List("d")
	if err != nil || len(names) != 1 {
		t.Fatalf("the folder has %q, %v", names, err)
	}
	return names[0]
}

// A disk that fills up: the file is removed, and so is the reason.
func TestDiskFull(t *testing.T) {
	l := newLife(t, newDisk(t))
	l.fs.SetCapacity(500_000)
	if err := l.save(l.first); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("saved on a full disk: %v", err)
	}
	wantFiles(t, l.fs, "d")
	if l.fs.Used() != 0 {
		t.Errorf("%d bytes are still taken", l.fs.Used())
	}
	if err := l.receive(); err == nil || !strings.Contains(err.Error(), "only 500000 free") {
		t.Errorf("received on a full disk: %v", err)
	}
	wantFiles(t, l.fs, "d")
}

// A file that cannot be read is not called corrupt: it may be readable tomorrow.
func TestReadFails(t *testing.T) {
	fs := newDisk(t)
	s := blocks()
	path := save(t, fs, "d", s, 1<<30)
	for n := int64(1); ; n++ {
		fs.Fail(simdisk.Fault{Call: n, Err: syscall.EIO})
		before := fs.Calls()
		_, err := Verify(fs, path)
		if fs.Calls()-before < n {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, syscall.EIO) || errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Fatalf("call %d fails: %v", n, err)
		}
	}
}

// A large file that is saved is synced as it grows; one that is received is written back as it grows, and synced once. Each of
// those calls is as final as the last one.
func TestSyncsAsItGrows(t *testing.T) {
	s := small()
	s.put("large", sized(1_200_000), 101, 102, 103, 104, 105)
	from, b := sent(t, s)
	for what, one := range map[string]struct {
		op    simdisk.Op
		syncs int64 // at most
		do    func(l *life) error
	}{
		"save": {simdisk.OpSync, from.Size(), func(l *life) error { return l.save(s) }},
		"receive": {simdisk.OpWriteBack, 1, func(l *life) error {
			r, err := begun(l.fs, from)
			if err == nil {
				err = feed(r, b, 1<<20, from.Size())
			}
			if err == nil {
				_, err = finish(r)
			}
			return err
		}},
	} {
		l := &life{fs: newDisk(t), known: map[string]*fake{}}
		var calls strings.Builder
		l.fs.SetTrace(&calls)
		if err := one.do(l); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		begun, awaited := strings.Count(calls.String(), " begin "), strings.Count(calls.String(), " wait ")
		if underWay := begun - awaited; underWay > int(snapshotBackBytes/snapshotSyncBytes) {
			t.Errorf("%s: %d of %d MiB that are written back are waited for", what, awaited, begun)
		}
		all, syncs := l.fs.Count(one.op), l.fs.Count(simdisk.OpSync)
		if least := from.Size() / (2 * snapshotSyncBytes); all < least || syncs > one.syncs {
			t.Errorf("%s: %d calls of %v and %d syncs, of %d bytes", what, all, one.op, syncs, from.Size())
		}
		for n := int64(1); n <= all+1; n++ {
			l := &life{fs: newDisk(t), known: map[string]*fake{}}
			l.fs.Fail(simdisk.Fault{Op: one.op, Call: n, Err: syscall.EIO})
			err := one.do(l)
			if calls := l.fs.Count(one.op); n <= all && (err == nil || calls != n) || n > all && (err != nil || calls != all) {
				t.Fatalf("%s with %v %d failing: %d calls, %v", what, one.op, n, calls, err)
			}
			if err != nil {
				wantFiles(t, l.fs, "d")
			}
		}
	}
}
