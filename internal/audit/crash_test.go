package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

// A process that is killed leaves its newest file cut anywhere. The next one loses no earlier line, closes the torn write off, and the
// verification names its place.
func TestCutAtEveryByte(t *testing.T) {
	first := newFixture(t, 1)
	first.change("a")
	first.change("b")
	first.change("c")
	text := first.text(logName)
	ends := []int{0}
	for at := range len(text) {
		if text[at] == '\n' {
			ends = append(ends, at+1)
		}
	}
	for length := range len(text) + 1 {
		f := newFixture(t, 1)
		must(t, f.Close())
		put(t, f.disk, logName, text[:length])
		f.open(Config{})
		f.change("next")
		r := f.sound(1)
		whole, found := slices.BinarySearch(ends, length)
		if slices.Contains(ends, length+1) { // the newline alone is missing
			found = true
		} else if !found {
			whole--
		}
		want := append([]string{"a", "b", "c"}[:max(whole-1, 0)], "next")
		if got := f.users(); !slices.Equal(got, want) {
			t.Fatalf("cut to %d bytes: users %v, want %v", length, got, want)
		}
		if rest, ok := strings.CutPrefix(f.text(logName), text[:length]); !ok || length > 0 && !slices.Contains(ends, length) && rest[0] != '\n' {
			t.Fatalf("cut to %d bytes: earlier bytes have changed", length)
		}
		if found {
			if len(r.Torn) > 0 {
				t.Fatalf("cut between two lines, at %d: %+v", length, r)
			}
			continue
		}
		torn := fmt.Sprintf("a crash has torn %d bytes; the chain continues in line %d", length-ends[whole]+1, whole+2)
		if len(r.Torn) != 1 || r.Torn[0] != (Place{"audit.jsonl", int64(whole) + 1, torn}) {
			t.Fatalf("cut to %d bytes: %+v, want %q in line %d", length, r, torn, whole+1)
		}
		if !strings.Contains(f.said.String(), "a crash has torn the end of the audit log") {
			t.Fatalf("cut to %d bytes: the member's log says %s", length, &f.said)
		}
	}
}

// A crash of the machine, in each variant, while lines are written and files are rotated: no line of a write that was synced is lost, and
// the chain is whole.
func TestEveryCrash(t *testing.T) {
	torn := 0
	for v := range simdisk.Variants {
		for seed := range uint64(24) {
			f := newFixture(t, seed)
			must(t, f.Close())
			small := Config{FileBytes: 4000, Files: 100}
			f.open(small)
			var durable []string
			crash := int64(seed) * 35 / 4
			f.disk.SetHook(func(simdisk.Op, string) {
				if crash--; crash == 0 {
					f.disk.Fail(simdisk.Fault{Stays: true})
				}
			})
			for i := 0; f.Problem() == ""; i++ {
				var batch []string
				for j := range 1 + i%5 {
					user := fmt.Sprintf("u%d.%d", i, j)
					batch = append(batch, user)
					f.Record(Event{User: user, Operation: "user add", Message: strings.Repeat("m", 300*(i%3))})
				}
				if f.flush(); f.Problem() == "" {
					durable = append(durable, batch...)
				}
				if crash < -1000 {
					break
				}
			}
			f.disk.SetHook(nil)
			f.disk.ClearFaults()
			f.disk.Crash(v)
			f.open(small)
			f.change("next")
			r := f.verify()
			got := f.users()
			if len(r.Breaks) > 0 || len(got) <= len(durable) || !slices.Equal(got[:len(durable)], durable) || got[len(got)-1] != "next" {
				t.Fatalf("%v, seed %d: %d lines of %d synced ones: %+v", v, seed, len(got), len(durable), r)
			}
			torn += len(r.Torn)
		}
	}
	if torn == 0 {
		t.Error("no crash has torn a write: the test shows nothing")
	}
}

// A full disk, and a disk that fails a write or a sync: the log raises its alarm, loses no event that its queue holds, and goes on by itself.
func TestDiskFails(t *testing.T) {
	for name, fail := range map[string]func(d *simdisk.Disk){
		"full":     func(d *simdisk.Disk) { d.SetCapacity(d.Used() + 100) },
		"write":    func(d *simdisk.Disk) { d.Fail(simdisk.Fault{Op: simdisk.OpWrite, Err: syscall.EIO, Stays: true}) },
		"sync":     func(d *simdisk.Disk) { d.Fail(simdisk.Fault{Op: simdisk.OpSync, Err: syscall.EIO, Stays: true}) },
		"open":     func(d *simdisk.Disk) { d.Fail(simdisk.Fault{Op: simdisk.OpOpen, Err: syscall.EIO, Stays: true}) },
		"rename":   func(d *simdisk.Disk) { d.Fail(simdisk.Fault{Op: simdisk.OpRename, Err: syscall.EIO, Stays: true}) },
		"sync dir": func(d *simdisk.Disk) { d.Fail(simdisk.Fault{Op: simdisk.OpSyncDir, Err: syscall.EIO, Stays: true}) },
		"create":   func(d *simdisk.Disk) { d.Fail(simdisk.Fault{Op: simdisk.OpCreate, Err: syscall.ENOSPC, Stays: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 3)
			must(t, f.Close())
			f.open(Config{FileBytes: 1000, Files: 100})
			var want []string
			record := func(user string) {
				want = append(want, user)
				f.change(user)
			}
			for i := range 5 {
				record(fmt.Sprint("before", i))
			}
			fail(f.disk)
			for i := range 20 {
				record(fmt.Sprint("during", i))
			}
			if text := f.Problem(); !strings.Contains(text, "the audit log data/audit/audit.jsonl cannot be written: ") || f.Refuses() != nil {
				t.Errorf("the alarm is %q, the refusal %v", text, f.Refuses())
			}
			f.disk.SetCapacity(1 << 40)
			f.disk.ClearFaults()
			record("after")
			if f.Problem() != "" || strings.Count(f.said.String(), "AUDIT: ") != 1 || !strings.Contains(f.said.String(), "written again") {
				t.Errorf("%q; the member's log says %s", f.Problem(), &f.said)
			}
			r := f.verify()
			if got := f.users(); len(r.Breaks)+len(r.Torn) > 0 || !slices.Equal(got, want) {
				t.Errorf("%v, want %v: %+v", got, want, r)
			}
			f.disk.Crash(simdisk.Prefix)
			f.open(Config{})
			if got := f.users(); !slices.Equal(got, want) {
				t.Errorf("after a crash %v, want %v", got, want)
			}
		})
	}
}

// A failed write is tried once a second, and not ten times.
func TestRetryPause(t *testing.T) {
	f := newFixture(t, 1)
	f.disk.SetCapacity(f.disk.Used())
	f.change("a")
	before := f.disk.Count(simdisk.OpWrite)
	for range 50 {
		f.now = f.now.Add(limits.AuditInterval)
		f.Log.Flush()
	}
	if n := f.disk.Count(simdisk.OpWrite) - before; n < 4 || n > 5 {
		t.Errorf("%d attempts in 5 s", n)
	}
}

// With --audit-strict, changes are refused while the log cannot be written, from the start on, and no longer.
func TestStrict(t *testing.T) {
	f := newFixture(t, 1)
	must(t, f.Close())
	f.disk.SetCapacity(f.disk.Used())
	f.open(Config{Strict: true, FileBytes: 1})
	if f.Refuses() != nil {
		t.Errorf("a log that had nothing to write refuses: %v", f.Refuses())
	}
	f.change("a")
	err := f.Refuses()
	if err == nil || !err.Certain() || !err.Retryable() || !strings.Contains(err.Message, "--audit-strict is set and the audit log data/audit/audit.jsonl cannot be written: ") {
		t.Fatalf("on a full disk: %v", err)
	}
	must(t, f.lockOf().Close())
	f.open(Config{Strict: true, FileBytes: 1})
	f.change("b")
	if f.Refuses() == nil {
		t.Error("a process that starts on a full disk refuses nothing")
	}
	f.disk.SetCapacity(1 << 40)
	f.flush()
	if err := f.Refuses(); err != nil || f.Problem() != "" {
		t.Errorf("with space again: %v, %q", err, f.Problem())
	}
	f.disk.SetCapacity(f.disk.Used())
	f.open2(Config{FileBytes: 1})
	f.change("c")
	if f.Problem() == "" || f.Refuses() != nil {
		t.Errorf("without --audit-strict: %q, %v", f.Problem(), f.Refuses())
	}
}

// lockOf returns the log's lock, as the end of a process releases it.
func (f *fixture) lockOf() interface{ Close() error } { return f.writer.lock }

// open2 opens the log in a new process, while the old one has not closed it.
func (f *fixture) open2(c Config) {
	f.t.Helper()
	must(f.t, f.lockOf().Close())
	f.open(c)
}

// A start on a full disk succeeds, and a wrong path is refused.
func TestOpen(t *testing.T) {
	f := newFixture(t, 1)
	must(t, f.Close())
	for _, one := range []struct {
		op      simdisk.Op
		err     error
		refused bool
	}{
		{simdisk.OpMkdir, syscall.ENOSPC, false},
		{simdisk.OpLock, syscall.ENOSPC, false},
		{simdisk.OpOpen, syscall.EIO, false},
		{simdisk.OpMkdir, syscall.EACCES, true},
		{simdisk.OpMkdir, syscall.ENOTDIR, true},
		{simdisk.OpLock, syscall.EROFS, true},
		{simdisk.OpOpen, syscall.EACCES, true},
	} {
		f.disk.Fail(simdisk.Fault{Op: one.op, Err: one.err})
		l, err := Open(f.config(Config{Strict: true}))
		if (err != nil) != one.refused || err != nil && !errors.Is(err, one.err) {
			t.Errorf("%v of %v: %v", one.err, one.op, err)
		}
		if err == nil {
			if l.Refuses() == nil {
				t.Errorf("%v of %v: a log that is not open refuses nothing", one.err, one.op)
			}
			f.Log = l
			f.change("a")
			if l.Problem() != "" {
				t.Errorf("%v of %v: %s", one.err, one.op, l.Problem())
			}
			must(t, l.Close())
		}
		f.disk.ClearFaults()
	}
	f.sound(1)
}

// A write that does not return counts as failed until it does.
func TestWriteThatHangs(t *testing.T) {
	f := newFixture(t, 1)
	must(t, f.Close())
	f.open(Config{Strict: true})
	f.Record(Event{User: "a", Operation: "user add"})
	asked := false
	f.disk.SetHook(func(op simdisk.Op, _ string) {
		if op != simdisk.OpSync || asked {
			return
		}
		asked = true
		if f.Problem() != "" {
			t.Error("a write that has just begun is a problem")
		}
		f.now = f.now.Add(limits.AuditStall)
		if !strings.Contains(f.Problem(), "has not returned for 10s") || f.Refuses() == nil {
			t.Errorf("%q, %v", f.Problem(), f.Refuses())
		}
	})
	f.flush()
	if !asked || f.Problem() != "" || f.Refuses() != nil {
		t.Errorf("%v: %q, %v", asked, f.Problem(), f.Refuses())
	}
	f.sound(1)
}

// The start of a large file reads its end only.
func TestStartReadsTheEnd(t *testing.T) {
	f := newFixture(t, 1)
	must(t, f.Close())
	f.open(Config{FileBytes: 64 << 20})
	for range 14 {
		for range 1400 {
			f.Record(Event{User: "root", Operation: "user add", Message: strings.Repeat("m", limits.AuditTextBytes)})
		}
		f.flush()
	}
	size := len(f.text(logName))
	cut := f.text(logName)[:size-100]
	must(t, f.Close())
	put(t, f.disk, logName, cut)
	batch := f.disk.StartBatch()
	f.open(Config{FileBytes: 64 << 20})
	f.disk.StopBatch()
	batch.Finish()
	if size < 5*limits.AuditTailBytes || batch.Reads() > 24 {
		t.Errorf("%d reads of a file of %d bytes", batch.Reads(), size)
	}
	f.change("next")
	if r := f.sound(1); len(r.Torn) != 1 {
		t.Errorf("%+v", r.Torn)
	}
}

// A clock that jumps back does not stop the retries for longer than the jump, and breaks no chain.
func TestClockJumps(t *testing.T) {
	f := newFixture(t, 1)
	f.change("a")
	f.now = f.now.Add(-time.Hour)
	f.change("b")
	f.sound(1)
	if got := f.users(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v", got)
	}
}

// A rotated file's new name is durable before FILE exists anew: a crash that kept only the new FILE would lose the old one.
func TestRenameIsDurableFirst(t *testing.T) {
	f := newFixture(t, 1)
	must(t, f.Close())
	f.open(Config{FileBytes: 1000, Files: 100})
	var ops []simdisk.Op
	f.disk.SetHook(func(op simdisk.Op, _ string) { ops = append(ops, op) })
	for i := 0; !slices.Contains(ops, simdisk.OpRename); i++ {
		if i == 100 {
			t.Fatal("no file of 1000 bytes is rotated after 100 lines")
		}
		f.change(fmt.Sprint("user", i))
	}
	f.disk.SetHook(nil)
	rename := slices.Index(ops, simdisk.OpRename)
	create := slices.Index(ops[rename:], simdisk.OpCreate)
	if create < 0 || !slices.Contains(ops[rename:rename+create], simdisk.OpSyncDir) {
		t.Errorf("the calls after the rename are %v: the folder is not synced before the next file is created", ops[rename:])
	}
}
