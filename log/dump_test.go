package log_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"qkv/internal/damage"
	"qkv/log"
	"qkv/log/disk/simdisk"
)

// TestDumpMarksSegments: a segment in the middle that is gone, or whose header is damaged, is marked and an error.
func TestDumpMarksSegments(t *testing.T) {
	const middle = dir + "/0000000000000002.wal"
	for what, harm := range map[string]func(*simdisk.Disk) error{
		"is gone":                       func(m *simdisk.Disk) error { return m.Remove(middle) },
		"header is damaged":             func(m *simdisk.Disk) error { return m.Rot(middle, 30, 1) },
		"did you mean " + dir + "/wal?": func(m *simdisk.Disk) error { return m.Rename(dir, dir+".0") },
	} {
		t.Run(what, func(t *testing.T) {
			m := flipLog(t, 1, true).m
			var out strings.Builder
			must(t, log.Dump(m, dir, &out, log.DumpOptions{Entries: true}))
			must(t, harm(m))
			if strings.HasPrefix(what, "did") {
				must(t, m.MkdirAll(dir))
				must(t, m.Rename(dir+".0", dir+"/wal"))
			}
			out.Reset()
			err := log.Dump(m, dir, &out, log.DumpOptions{})
			if !strings.Contains(fmt.Sprint(err), what) {
				t.Errorf("%v\n%s", err, out.String())
			}
			if !strings.HasPrefix(what, "did") && (!errors.Is(err, damage.ErrDamaged) || strings.Count(out.String(), "CORRUPT") != 1) {
				t.Errorf("not marked: %v\n%s", err, out.String())
			}
		})
	}
}

// A read that fails is told with the disk's own error, whichever call it was: the disk may be ill, and the file whole.
func TestDumpOfAnUnreadableFile(t *testing.T) {
	m := flipLog(t, 1, true).m
	var out strings.Builder
	before := m.Calls()
	must(t, log.Dump(m, dir, &out, log.DumpOptions{Entries: true}))
	calls := m.Calls() - before
	failed := 0
	for n := range calls {
		m.Fail(simdisk.Fault{Call: n + 1, Err: syscall.EIO})
		out.Reset()
		if err := log.Dump(m, dir, &out, log.DumpOptions{Entries: true}); err != nil {
			failed++
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("call %d: %v\n%s", n+1, err, out.String())
			}
		}
		m.ClearFaults()
	}
	if failed == 0 || calls < 10 {
		t.Errorf("%d of %d calls were told of", failed, calls)
	}
}
