package backup

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/internal/testlong"
	"qkv/log/disk/simdisk"
)

// life is everything that a Writer does in a folder, and what it was told to be done.
type life struct {
	*history
	on       *simdisk.Disk
	sources  []uint64 // the entries at which a base is made
	acked    uint64   // the newest entry that is in the backup
	bases    int
	retained bool
}

func newLife(t testing.TB) *life {
	l := &life{history: newHistory(t, 4), on: newFolder(t)}
	l.grow(6)
	for range 2 {
		r := l.save()
		must(t, r.Close())
		at, _ := l.state.Applied()
		l.sources = append(l.sources, at)
		l.grow(6)
	}
	return l
}

// run does all of it and stops at the first error.
func (l *life) run() (err error) {
	var w *Writer
	for i, at := range l.sources {
		if w, err = Write(background, place(l.on), true, testOf, 1); err != nil {
			return err
		}
		if err := errors.Join(l.step(w, i, at), w.Close()); err != nil {
			return err
		}
	}
	return nil
}

// step makes one base, and appends entries before and after it.
func (l *life) step(w *Writer, i int, at uint64) error {
	if i > 0 {
		if err := l.append(w, at+1); err != nil {
			return err
		}
	}
	if err := l.copy(w, at, i > 0); err != nil && !errors.Is(err, iofs.ErrExist) {
		return err
	}
	l.bases = i + 1
	l.acked = max(l.acked, at)
	if err := l.append(w, at+4); err != nil {
		return err
	}
	if i == 0 {
		return nil
	}
	_, err := removeOld(w, time.Duration(w.Newest().UnixNano()-l.moments[at].wall))
	l.retained = err == nil
	return err
}

// copy copies the snapshot of an entry, and meanwhile appends an entry behind it after each of the first steps.
func (l *life) copy(w *Writer, at uint64, beside bool) error {
	r, err := openSnapshot(l.history, at)
	if err != nil {
		return err
	}
	defer r.Close()
	c, err := w.Base(r, l.part)
	if err != nil {
		return err
	}
	for done, to := false, at+2; !done; to = min(to+1, at+3) {
		if done, err = c.Step(background, 500); err == nil && beside {
			err = l.append(w, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// append appends the entries up to one.
func (l *life) append(w *Writer, to uint64) error {
	from, _ := w.Last()
	if from == 0 {
		from = l.sources[0]
	}
	for from < to {
		next := min(from+2, to)
		if err := w.Append(background, l.entries[from:next]); err != nil {
			return err
		}
		from, l.acked = next, max(l.acked, next)
	}
	return nil
}

// check holds a disk after a crash against what the life was told.
func (l *life) check(on *simdisk.Disk) error {
	got, err := restore(on, At{})
	if l.bases == 0 && (errors.Is(err, ErrNone) || errors.Is(err, iofs.ErrNotExist) || errors.Is(err, ErrRange)) {
		return nil
	}
	if err != nil {
		return err
	}
	if got.Index < l.acked {
		return fmt.Errorf("entry %d was in the backup, and entry %d is restored: %v", l.acked, got.Index, got.Notes)
	}
	l.same(got, got.Index)
	return nil
}

// goOn does all of it again, on another disk.
func (l *life) goOn(on *simdisk.Disk) error {
	again := *l
	again.on, again.acked, again.bases = on, 0, 0
	if err := again.run(); err != nil {
		return err
	}
	if err := again.check(on); err != nil {
		return err
	}
	for _, dir := range []string{"", listsDir, filesDir, logDir} {
		names, err := on.List("to/b/" + dir)
		if err != nil {
			return err
		}
		if text := strings.Join(names, " "); strings.Contains(text, ".tmp") {
			return fmt.Errorf("the folder %s is left with %s", dir, text)
		}
	}
	w, err := Write(background, place(on), false, testOf, 1) // what a crash has left goes with the next list
	if err == nil {
		err = w.publish(background, w.bases)
	}
	if err == nil {
		_, err = w.Sweep(background)
	}
	if err != nil {
		return err
	}
	r, err := Open(background, place(on))
	if err != nil {
		return err
	}
	if names, err := on.List("to/b/" + filesDir); err != nil || len(names) != len(r.Bases[0].Files) {
		return fmt.Errorf("%d files are left for a base of %d: %w", len(names), len(r.Bases[0].Files), err)
	}
	return nil
}

// A kill, or a power failure, at every call of the disk: what was acknowledged is restored, and the work can go on.
func TestCrashAtEveryCall(t *testing.T) {
	testlong.Skip(t)
	l := newLife(t)
	calls := 0
	at := func(op simdisk.Op, name string) {
		if !strings.HasPrefix(name, "to") {
			return
		}
		calls++
		variants := []simdisk.Variant{simdisk.Variant(calls % int(simdisk.Variants))}
		if full {
			variants = variants[:0]
			for v := range simdisk.Variants {
				variants = append(variants, v)
			}
		}
		for i := range 1 + len(variants) {
			on, how := l.on.Clone(uint64(calls)<<8+uint64(i)), "kill"
			if i == 0 {
				on.Kill()
			} else {
				on.Crash(variants[i-1])
				how = variants[i-1].String()
			}
			if err := errors.Join(l.check(on), l.goOn(on)); err != nil {
				t.Fatalf("%s before call %d (%v %s): %v", how, calls, op, name, err)
			}
		}
	}
	l.on.SetHook(at)
	must(t, l.run())
	at(simdisk.OpAny, "to, at the end")
	if !l.retained {
		t.Error("nothing was retained")
	}
	t.Logf("%d calls", calls)
}

// After a kill, what the next Writer has found survives any crash: its caller may have let go of those entries.
func TestFoundIsDurable(t *testing.T) {
	l := newLife(t)
	calls := uint64(0)
	l.on.SetHook(func(op simdisk.Op, name string) {
		calls++
		on := l.on.Clone(calls)
		on.Kill()
		w, err := Write(background, place(on), true, testOf, 1)
		if !strings.HasPrefix(name, "to") || err != nil {
			return
		}
		index, _ := w.Last()
		bases := len(w.Bases())
		must(t, w.Close())
		on.Crash(simdisk.Variant(calls % uint64(simdisk.Variants)))
		rd := reading(t, on)
		if len(rd.Bases) != bases {
			t.Fatalf("before call %d (%v %s): %d bases were there, and %d are", calls, op, name, bases, len(rd.Bases))
		}
		if bases == 0 {
			return
		}
		got, err := rd.Restore(At{}, testLimits(), nil)
		must(t, err)
		if got.Index < index {
			t.Fatalf("before call %d (%v %s): entry %d was there, and entry %d is", calls, op, name, index, got.Index)
		}
	})
	must(t, l.run())
}

// Every call fails once: the error is reported, nothing that was acknowledged is lost, and the work can be done again.
func TestEveryCallFails(t *testing.T) {
	failed := 0
	for what, f := range map[string]simdisk.Fault{
		"EIO":         {Err: syscall.EIO},
		"ENOSPC":      {Err: syscall.ENOSPC, Op: simdisk.OpWrite, Short: true},
		"failed sync": {Err: syscall.EIO, Op: simdisk.OpSync},
	} {
		step := int64(3)
		if full {
			step = 1
		}
		for n := int64(1); ; n += step {
			l := newLife(t)
			f.Call, f.Name = n, "to"
			l.on.Fail(f)
			err := l.run()
			if err == nil && l.on.Armed() > 0 {
				break
			}
			if err != nil {
				failed++
				if !errors.Is(err, f.Err) || !strings.Contains(err.Error(), "to/b") && !strings.Contains(err.Error(), "to:") {
					t.Fatalf("%s at call %d: %v", what, n, err)
				}
			}
			l.on.ClearFaults()
			on := l.on.Clone(uint64(n))
			on.Crash(simdisk.Variant(n % int64(simdisk.Variants)))
			if err := errors.Join(l.check(l.on), l.check(on), l.goOn(on)); err != nil {
				t.Fatalf("%s at call %d: %v", what, n, err)
			}
		}
	}
	t.Logf("%d runs failed", failed)
}
