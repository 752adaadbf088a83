package audit

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

// fixture is a member's audit log, with a clock that the test moves.
type fixture struct {
	*Log
	t    testing.TB
	disk faulty
	file string
	now  time.Time
	said bytes.Buffer
}

// faulty is a file system whose calls can fail.
type faulty struct {
	disk.FS
	fail func(call string) error // nil: none does
}

func (f *faulty) call(name string) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(name)
}

func (f *faulty) MkdirAll(name string) error {
	if err := f.call("mkdir"); err != nil {
		return err
	}
	return f.FS.MkdirAll(name)
}

func (f *faulty) Lock(name string) (io.Closer, error) {
	if err := f.call("lock"); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

func (f *faulty) OpenWritable(name string) (disk.File, error) {
	if err := f.call("open"); err != nil {
		return nil, err
	}
	file, err := f.FS.OpenWritable(name)
	return faultyFile{file, f}, err
}

type faultyFile struct {
	disk.File
	on *faulty
}

func (f faultyFile) Datasync() error {
	if err := f.on.call("sync"); err != nil {
		return err
	}
	return f.File.Datasync()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{
		t: t, disk: faulty{FS: disk.OS()}, file: filepath.Join(t.TempDir(), "audit", "audit.jsonl"),
		now: time.Date(2026, 11, 23, 14, 5, 6, 7, time.UTC),
	}
	f.open(Config{})
	t.Cleanup(func() { _ = f.writer.close() }) // a test may have closed it
	return f
}

// open opens the log, as a new process does.
func (f *fixture) open(c Config) {
	f.t.Helper()
	l, err := Open(f.config(c))
	must(f.t, err)
	f.Log = l
}

func (f *fixture) config(c Config) Config {
	c.FS, c.File, c.Member = &f.disk, f.file, "n1"
	c.Now, c.Logger = func() time.Time { return f.now }, slog.New(slog.NewTextHandler(&f.said, nil))
	if c.FileBytes == 0 {
		c.FileBytes = limits.AuditFileBytesLeast
	}
	if c.Files == 0 {
		c.Files = 8
	}
	return c
}

// killed ends the process without its Close.
func (f *fixture) killed() {
	f.t.Helper()
	must(f.t, f.writer.close())
}

// change records an event that succeeded, and writes it.
func (f *fixture) change(user string) {
	f.t.Helper()
	f.Record(Event{User: user, Proof: Certificate, Remote: "10.0.0.7:41022", API: Native, Operation: "user add", Revision: 7})
	f.flush()
}

// flush writes the waiting events, a second later.
func (f *fixture) flush() {
	f.now = f.now.Add(time.Second)
	f.Log.Flush()
}

// text returns the content of FILE.
func (f *fixture) text() string {
	f.t.Helper()
	b, err := os.ReadFile(f.file)
	must(f.t, err)
	return string(b)
}

// lines returns all lines that can be read, without those of the log itself.
func (f *fixture) lines() (all []Line) {
	f.t.Helper()
	r := NewReader(f.file)
	defer r.Close()
	for {
		raw, err := r.Next()
		if err == io.EOF {
			return all
		}
		must(f.t, err)
		if one := ParseLine(raw); one != nil && !strings.HasPrefix(one.Operation, "audit ") {
			all = append(all, *one)
		}
	}
}

// users returns the users of these lines.
func (f *fixture) users() (all []string) {
	for _, one := range f.lines() {
		all = append(all, one.User)
	}
	return all
}

// The bytes of each kind of line.
func TestLinesGolden(t *testing.T) {
	f := newFixture(t)
	f.Record(Event{User: "root", Proof: Password, Remote: "10.0.0.7:41022", API: Etcd, Operation: Login})
	f.Record(Event{
		User: "ci", Proof: Certificate, Remote: "[::1]:41023", API: Native, Operation: "transaction",
		Ranges:  []Range{{Key: []byte("app1/x")}, {Key: []byte("a<b\x00"), End: []byte{0}}, {Key: []byte{0xff, 1}, End: []byte{0xff, 2}}},
		Refusal: kv.Errorf(kv.NotAllowed, "ci may not write app2/"),
	})
	f.Record(Event{Operation: "member added", Message: "n4 “héhé”\nat 10.0.0.4:2380"})
	f.flush()
	long := strings.Repeat("é", auditTextBytes)
	f.Record(Event{
		User: long, API: HTTP, Operation: "put", Refusal: kv.Errorf(kv.NotAllowed, "no"), Message: long,
		Ranges: slices.Repeat([]Range{{Key: []byte("k" + long), End: bytes.Repeat([]byte{0xff}, 600)}}, auditRanges+3),
	})
	f.flush()
	name := "testdata/lines.golden"
	got := f.text()
	if *rewrite {
		must(t, os.WriteFile(name, []byte(got), 0o600))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if got != string(want) {
		t.Errorf("the lines are\n%s\nand not\n%s", got, want)
	}
}

// No event can carry a value, a password or a token: the test names all fields, so a new one is a decision.
func TestEventsHoldNoSecrets(t *testing.T) {
	fields := func(v any) (names []string) {
		for f := range reflect.TypeOf(v).Fields() {
			names = append(names, f.Name)
		}
		return names
	}
	for _, one := range []struct {
		of   any
		want string
	}{
		{Event{}, "User Proof Remote API Operation Ranges Revision Refusal Message"},
		{Range{}, "Key End"},
		{LineRange{}, "Key KeyBase64 KeyBytes End EndBase64 EndBytes"},
		{Line{}, "Time Member User Proof Remote API Operation Ranges MoreRanges Revision Result Message Repeated Lost"},
	} {
		if got := strings.Join(fields(one.of), " "); got != one.want {
			t.Errorf("%T has the fields %s, want %s: no field may hold a value, a password or a token", one.of, got, one.want)
		}
	}
}

// The longest line fits the reader's bound, whatever bytes its texts have.
func TestLongestLine(t *testing.T) {
	for _, b := range []byte{0, 'x', 0xff} {
		f := newFixture(t)
		long := strings.Repeat(string([]byte{b}), 1<<20)
		f.Record(Event{
			User: long, Remote: long, Operation: "put", Refusal: kv.Errorf(kv.NotAllowed, "%s", long),
			Ranges: slices.Repeat([]Range{{Key: []byte(long), End: []byte(long)}}, 100),
		})
		f.flush()
		if all := f.lines(); len(all) != 1 || all[0].MoreRanges != 100-auditRanges || all[0].Ranges[0].KeyBytes != 1<<20 {
			t.Errorf("%q: %d lines", b, len(all))
		}
	}
}

// A member without an audit log pays for no event.
func TestNoLog(t *testing.T) {
	var l *Log
	e := Event{User: "ci", Operation: "put"}
	if n := testing.AllocsPerRun(100, func() {
		l.Record(e)
		if l.Refuses() != nil || l.Problem() != "" {
			t.Fatal("a log that does not exist refuses")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	must(t, l.Close())
}

// The files are rotated at their size, the oldest go, and a reader finds all lines in order, also over restarts.
func TestRotation(t *testing.T) {
	f := newFixture(t)
	r := NewReader(f.file) // it follows
	defer r.Close()
	var followed []string
	follow := func() {
		for {
			raw, err := r.Next()
			if err == io.EOF {
				return
			}
			must(t, err)
			followed = append(followed, ParseLine(raw).User)
		}
	}
	long, written := strings.Repeat("m", auditTextBytes), 0
	for i := range 16 {
		for range 900 { // half of a MiB
			f.Record(Event{User: fmt.Sprint("u", written), Operation: "user add", Message: long})
			written++
		}
		f.flush()
		if follow(); i%5 == 4 {
			must(t, f.Close())
			f.open(Config{Files: 2})
		}
	}
	if len(followed) != written {
		t.Errorf("the reader that followed has %d lines of %d", len(followed), written)
	}
	for i, user := range followed {
		if user != fmt.Sprint("u", i) {
			t.Fatalf("line %d is of %s", i, user)
		}
	}
	await(t, "two rotated files", func() bool {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(f.file), "audit-*.jsonl"))
		must(t, err)
		return len(names) == 2
	})
	all := f.users()
	if len(all) < 2000 || len(all) >= written || all[len(all)-1] != fmt.Sprint("u", written-1) || all[0] != fmt.Sprint("u", written-len(all)) {
		t.Errorf("%d lines are left, from %s on", len(all), all[0])
	}
	for _, e := range []string{f.file, f.file + ".lock"} {
		if info, err := os.Stat(e); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e, info, err)
		}
	}
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("not within a minute: " + what)
		}
	}
}

// Two members never write one file.
func TestFileOfAnother(t *testing.T) {
	f := newFixture(t)
	if _, err := Open(f.config(Config{})); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("the second one: %v", err)
	}
	f.change("a")
	must(t, f.Close())
	f.open(Config{})
}

// A file that another program removes, renames or cuts loses no later line.
func TestAnotherProgram(t *testing.T) {
	for name, do := range map[string]func(file string) error{
		"removed":           os.Remove,
		"renamed":           func(file string) error { return os.Rename(file, file+".old") },
		"cut within a line": func(file string) error { return os.Truncate(file, 20) },
		"emptied":           func(file string) error { return os.Truncate(file, 0) },
	} {
		f := newFixture(t)
		f.change("before")
		must(t, do(f.file))
		f.change("after")
		f.change("later")
		if all := f.users(); !slices.Equal(all, []string{"after", "later"}) || f.Problem() != "" {
			t.Errorf("%s: %v, %q", name, all, f.Problem())
		}
	}
}

// A line that a crash has torn anywhere costs no other line.
func TestTornLine(t *testing.T) {
	f := newFixture(t)
	f.change("first")
	begin := len(f.text())
	f.change("torn")
	whole := f.text()
	for end := begin; end < len(whole); end++ {
		f.killed()
		must(t, os.WriteFile(f.file, []byte(whole[:end]), 0o600))
		f.said.Reset()
		f.open(Config{})
		f.change("next")
		want := []string{"first", "next"}
		if end == len(whole)-1 { // all but the newline
			want = []string{"first", "torn", "next"}
		}
		if got := f.users(); !slices.Equal(got, want) {
			t.Fatalf("cut at byte %d: %v", end-begin, got)
		}
		if said := strings.Contains(f.said.String(), "has torn the last line"); said != (end > begin) {
			t.Errorf("cut at byte %d, the member's log says %q", end-begin, &f.said)
		}
	}
}

// A disk that fails a call raises the alarm, loses no event that the queue holds, is tried once a second, and with --audit-strict lets
// changes be refused meanwhile, from the start on.
func TestDiskFails(t *testing.T) {
	for _, failing := range []string{"open", "sync"} {
		for _, strict := range []bool{true, false} {
			f := newFixture(t)
			f.killed()
			f.open(Config{Strict: strict})
			calls := 0
			f.disk.fail = func(call string) error {
				if call != failing {
					return nil
				}
				calls++
				return syscall.ENOSPC
			}
			if f.Refuses() != nil {
				t.Errorf("a log that had nothing to write refuses: %v", f.Refuses())
			}
			f.change("a")
			f.Record(Event{User: "b", Operation: "user add"})
			for range 5 { // of a second
				f.now = f.now.Add(limits.AuditInterval)
				f.Log.Flush()
			}
			if calls != 1 || !strings.Contains(f.Problem(), "the audit log "+f.file+" cannot be written: ") || !strings.Contains(f.Problem(), "no space left on device") {
				t.Errorf("%s: %d calls, %q", failing, calls, f.Problem())
			}
			switch err := f.Refuses(); {
			case !strict && err != nil:
				t.Errorf("without --audit-strict: %v", err)
			case strict && (err == nil || !err.Certain() || !err.Retryable() || !strings.Contains(err.Message, "--audit-strict is set and the audit log "+f.file+" cannot be written: ")):
				t.Errorf("with --audit-strict: %v", err)
			}
			f.disk.fail = nil
			f.flush()
			if f.Problem() != "" || f.Refuses() != nil {
				t.Errorf("with space again: %q, %v", f.Problem(), f.Refuses())
			}
			if got := slices.Compact(f.users()); !slices.Equal(got, []string{"a", "b"}) { // a line may stand twice
				t.Errorf("%s: %v", failing, got)
			}
		}
	}
}

// A start on a full disk succeeds, and a wrong path is refused.
func TestOpen(t *testing.T) {
	f := newFixture(t)
	must(t, f.Close())
	for _, one := range []struct {
		call    string
		err     error
		refused bool
	}{
		{"mkdir", syscall.ENOSPC, false},
		{"lock", syscall.ENOSPC, false},
		{"open", syscall.EIO, false},
		{"mkdir", syscall.EACCES, true},
		{"mkdir", syscall.ENOTDIR, true},
		{"lock", syscall.EROFS, true},
		{"open", syscall.EACCES, true},
	} {
		f.disk.fail = func(call string) error {
			if call == one.call {
				return one.err
			}
			return nil
		}
		l, err := Open(f.config(Config{Strict: true}))
		if (err != nil) != one.refused || err != nil && !errors.Is(err, one.err) {
			t.Errorf("%v of %s: %v", one.err, one.call, err)
		}
		f.disk.fail = nil
		if err == nil {
			if l.Refuses() == nil {
				t.Errorf("%v of %s: a log that is not open refuses nothing", one.err, one.call)
			}
			f.Log = l
			if f.change("a"); l.Problem() != "" {
				t.Errorf("%v of %s: %s", one.err, one.call, l.Problem())
			}
			must(t, l.Close())
		}
	}
}

// A write that does not return counts as failed until it does.
func TestWriteThatHangs(t *testing.T) {
	f := newFixture(t)
	must(t, f.Close())
	f.open(Config{Strict: true})
	f.Record(Event{User: "a", Operation: "user add"})
	asked := false
	f.disk.fail = func(call string) error {
		if call != "sync" || asked {
			return nil
		}
		asked = true
		if f.Problem() != "" {
			t.Error("a write that has just begun is a problem")
		}
		f.now = f.now.Add(limits.AuditStall)
		if !strings.Contains(f.Problem(), "has not returned for 10s") || f.Refuses() == nil {
			t.Errorf("%q, %v", f.Problem(), f.Refuses())
		}
		return nil
	}
	f.flush()
	if !asked || f.Problem() != "" || f.Refuses() != nil {
		t.Errorf("%v: %q, %v", asked, f.Problem(), f.Refuses())
	}
}
