package log_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"qkv/internal/testlong"
	"qkv/log/disk/simdisk"
)

// changing says whether a call can leave something behind for a crash to find.
func changing(op simdisk.Op) bool {
	switch op {
	case simdisk.OpCreate, simdisk.OpRename, simdisk.OpRemove, simdisk.OpSyncDir, simdisk.OpWrite, simdisk.OpSync, simdisk.OpTruncate, simdisk.OpMkdir:
		return true
	default:
		return false
	}
}

// after makes a world that has the disk's copy, and knows what the original knows.
func (w *world) after(t testing.TB, seed uint64) *world {
	c := &world{t: t, r: rand.New(rand.NewPCG(seed, 2)), m: w.m.Clone(seed)}
	c.o = options(c.m, seed+1)
	c.acked, c.pending, c.now, c.released = w.acked, slices.Clone(w.pending), w.now, w.released
	return c
}

// recover opens the log after a crash, and crashes in the middle of that as often as told.
func (w *world) recover(crashes int) error {
	for range crashes {
		calls := 0
		at := 1 + w.r.IntN(40)
		w.m.SetHook(func(op simdisk.Op, _ string) {
			if calls++; calls == at {
				panic(errCrash)
			}
		})
		err := catch(w.open)
		w.m.SetHook(nil)
		if err == nil {
			return nil
		}
		if err != errCrash {
			return err
		}
		w.m.Crash(simdisk.Variant(w.r.IntN(int(simdisk.Variants))))
	}
	return w.open()
}

var errCrash = errors.New("the power is gone")

// catch turns the panic of a crash into an error.
func catch(f func() error) (err error) {
	defer func() {
		if p := recover(); p == errCrash {
			err = errCrash
		} else if p != nil {
			panic(p)
		}
	}()
	return f()
}

// A crash at every disk operation of a workload, in every variant, finds all that was acknowledged, and of the rest a
// first part; and the log goes on from there, also when the recovery itself is hit.
func TestCrashAtEveryOperation(t *testing.T) {
	testlong.Skip(t)
	seeds, operations := 1, 1000
	if *full {
		seeds = 6
	}
	recoveries, torn := 0, 0
	for seed := range uint64(seeds) {
		w := newWorld(t, seed)
		must(t, w.create())
		must(t, w.open())
		seen := 0
		w.m.SetHook(func(op simdisk.Op, name string) {
			if !changing(op) {
				return
			}
			seen++
			for v := range simdisk.Variants {
				if !*full && (int(v)+seen)%3 != 0 {
					continue // a third in turn
				}
				c := w.after(t, seed*1e6+uint64(seen)*16+uint64(v))
				c.m.Crash(v)
				err := c.recover(c.r.IntN(3))
				if err == nil {
					err = c.goOn(5)
				}
				if err != nil {
					t.Fatalf("seed %d, operation %d, before %v %s, %v: %v", seed, seen, op, name, v, err)
				}
				recoveries++
				if c.torn {
					torn++
				}
			}
		})
		for seen < operations {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
	if torn == 0 {
		t.Error("no recovery has met a torn end")
	}
	t.Logf("%d recoveries, %d with a torn end", recoveries, torn)
}

// goOn works on after a recovery, and checks that it is found again.
func (w *world) goOn(steps int) error {
	for range steps {
		if err := w.step(); err != nil {
			return fmt.Errorf("after the recovery: %w", err)
		}
	}
	w.m.Crash(simdisk.Mixture)
	if err := w.open(); err != nil {
		return fmt.Errorf("after the recovery and another crash: %w", err)
	}
	return nil
}

// A crash at every operation while the log is made leaves a log or none; then it can be made again.
func TestCrashWhileCreating(t *testing.T) {
	for at := 1; ; at++ {
		for v := range simdisk.Variants {
			w := newWorld(t, uint64(at)<<8|uint64(v))
			must(t, w.m.MkdirAll("data"))
			must(t, w.m.SyncDir("."))
			calls := 0
			w.m.SetHook(func(simdisk.Op, string) {
				if calls++; calls == at {
					panic(errCrash)
				}
			})
			err := catch(w.create)
			if err == nil {
				return // all operations have been tried
			}
			if err != errCrash {
				t.Fatal(err)
			}
			w.m.SetHook(nil)
			w.m.Crash(v)
			if err := w.create(); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatalf("call %d, %v: %v", at, v, err)
			}
			must(t, w.open())
		}
	}
}

// kinds of failures that the n-th call meets.
var failures = []simdisk.Fault{
	{Err: syscall.EIO},
	{Err: syscall.ENOSPC},
	{Err: syscall.ENOSPC, Short: true},
	{Err: syscall.EIO, Stays: true},
}

// Whichever call fails, and however: nothing that was acknowledged is lost, the log refuses everything after its
// error, and a restart works.
func TestEveryCallFails(t *testing.T) {
	testlong.Skip(t)
	steps, stride, seeds := 260, 5, 1
	if *full {
		steps, stride, seeds = 700, 1, 3
	}
	runs := 0
	for seed := range uint64(seeds) {
		for kind, f := range failures {
			for n := 1 + kind; ; n += stride {
				f.Call = int64(n)
				done, err := failAt(t, seed, f, steps)
				if err != nil {
					t.Fatalf("seed %d, call %d: %v %v: %v", seed, n, f.Err, f.Short, err)
				}
				runs++
				if done {
					break
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}

// failAt works until the fault strikes, and restarts. It reports done when the fault never did.
func failAt(t testing.TB, seed uint64, f simdisk.Fault, steps int) (done bool, err error) {
	w := newWorld(t, seed)
	w.m.Fail(f)
	err = w.create()
	if err == nil {
		err = w.open()
	}
	for i := 0; err == nil && i < steps; i++ {
		err = w.step()
	}
	if err == nil {
		done = w.m.Armed() > 0
		w.m.ClearFaults()
		return done, w.goOn(0)
	}
	if !errors.Is(err, f.Err) {
		return false, err
	}
	if err := w.refuses(); err != nil {
		return false, err
	}
	w.m.ClearFaults()
	if w.r.IntN(2) == 0 {
		w.m.Kill()
	} else {
		w.m.Crash(simdisk.Variant(w.r.IntN(int(simdisk.Variants))))
	}
	if err := w.create(); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	if err := w.open(); err != nil {
		return false, err
	}
	return false, w.goOn(20)
}

// refuses checks that a log that has failed writes nothing any more. The maker's errors are not the log's.
func (w *world) refuses() error {
	w.m.ClearFaults()
	if w.l == nil {
		return nil // it was the opening that failed
	}
	w.append(w.now.last()+1, max(w.now.hard.Term, w.now.lastTerm()), 1, nil)
	calls := w.m.Calls()
	_, err := w.l.Sync()
	if err == nil {
		w.acked, w.pending = w.now, nil // it was the maker that failed
		return nil
	}
	if again := w.l.Fence(true); again != err {
		return fmt.Errorf("a fence after %w returned %v", err, again)
	}
	if w.m.Calls() != calls {
		return fmt.Errorf("the log went on after %w", err)
	}
	return nil
}
