package audit

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

const logName = "data/audit/audit.jsonl"

// fixture is a member's audit log on a simulated disk, with a clock that the test moves.
type fixture struct {
	*Log
	t    testing.TB
	disk *simdisk.Disk
	now  time.Time
	said bytes.Buffer
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newFixture(t testing.TB, seed uint64) *fixture {
	t.Helper()
	f := &fixture{t: t, disk: simdisk.New(seed), now: time.Date(2026, 11, 23, 14, 5, 6, 7, time.UTC)}
	f.open(Config{})
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
	c.FS, c.File, c.Member = f.disk, logName, "n1"
	c.Now, c.Logger = func() time.Time { return f.now }, slog.New(slog.NewTextHandler(&f.said, nil))
	if c.FileBytes == 0 {
		c.FileBytes = 1 << 20
	}
	if c.Files == 0 {
		c.Files = 8
	}
	return c
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

// text returns the content of a file.
func (f *fixture) text(name string) string {
	f.t.Helper()
	file, err := f.disk.Open(name)
	must(f.t, err)
	defer file.Close()
	size, err := file.Size()
	must(f.t, err)
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil && err != io.EOF {
		f.t.Fatal(err)
	}
	return string(b)
}

// put replaces the content of a file.
func put(t testing.TB, on disk.FS, name, text string) {
	t.Helper()
	if err := on.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	file, err := on.Create(name)
	must(t, err)
	_, err = file.WriteAt([]byte(text), 0)
	must(t, errors.Join(err, file.Close()))
}

// verify returns the report about the files.
func (f *fixture) verify() Report {
	f.t.Helper()
	r, err := Verify(f.disk, logName)
	must(f.t, err)
	return r
}

// sound fails unless the chain is whole over so many files.
func (f *fixture) sound(files int) Report {
	f.t.Helper()
	r := f.verify()
	if len(r.Breaks) > 0 || r.Files != files || r.LastSeq-r.FirstSeq+1 < r.Lines-int64(len(r.Torn)) {
		f.t.Fatalf("want %d whole files: %+v", files, r)
	}
	return r
}

// lines returns all lines that can be read, without those of the log itself.
func (f *fixture) lines() (all []Line) {
	f.t.Helper()
	r := NewReader(f.disk, logName)
	defer r.Close()
	for {
		raw, err := r.Next()
		if err == io.EOF {
			return all
		}
		must(f.t, err)
		if one, whole := ParseLine(raw); whole && !strings.HasPrefix(one.Operation, "audit ") {
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

// The bytes of each kind of line. The hash of a line is what sha256sum prints for the line with its newline.
func TestLinesGolden(t *testing.T) {
	f := newFixture(t, 1)
	f.Record(Event{User: "root", Proof: Password, Remote: "10.0.0.7:41022", API: Etcd, Operation: Login})
	f.Record(Event{
		User: "ci", Proof: Certificate, Remote: "[::1]:41023", API: Native, Operation: "transaction",
		Ranges:  []Range{{Key: []byte("app1/x")}, {Key: []byte("a<b\x00"), End: []byte{0}}, {Key: []byte{0xff, 1}, End: []byte{0xff, 2}}},
		Refusal: kv.Errorf(kv.NotAllowed, "ci may not write app2/"),
	})
	f.Record(Event{Operation: "member added", Message: "n4 “héhé”\nat 10.0.0.4:2380"})
	f.flush()
	long := strings.Repeat("é", limits.AuditTextBytes)
	f.Record(Event{
		User: long, API: HTTP, Operation: "put", Refusal: kv.Errorf(kv.NotAllowed, "no"), Message: long,
		Ranges: slices.Repeat([]Range{{Key: []byte("k" + long), End: bytes.Repeat([]byte{0xff}, 600)}}, limits.AuditRanges+3),
	})
	f.flush()
	name := "testdata/lines.golden"
	got := f.text(logName)
	if *rewrite {
		must(t, os.WriteFile(name, []byte(got), 0o600))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if got != string(want) {
		t.Errorf("the lines are\n%s\nand not\n%s", got, want)
	}
	if r := f.sound(1); r.Lines != 5 || r.FirstSeq != 1 || r.LastSeq != 5 {
		t.Errorf("%+v", r)
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
		{Line{}, "Time Member User Proof Remote API Operation Ranges MoreRanges Revision Result Message Repeated Lost Previous Torn After Seq Prev"},
	} {
		if got := strings.Join(fields(one.of), " "); got != one.want {
			t.Errorf("%T has the fields %s, want %s: no field may hold a value, a password or a token", one.of, got, one.want)
		}
	}
}

// The longest line fits the reader's bound, whatever bytes its texts have.
func TestLongestLine(t *testing.T) {
	for _, b := range []byte{0, 'x', 0xff} {
		f := newFixture(t, 1)
		long := strings.Repeat(string([]byte{b}), 1<<20)
		f.Record(Event{
			User: long, Remote: long, Operation: "put", Refusal: kv.Errorf(kv.NotAllowed, "%s", long),
			Ranges: slices.Repeat([]Range{{Key: []byte(long), End: []byte(long)}}, 100),
		})
		f.flush()
		f.sound(1)
		if all := f.lines(); len(all) != 1 || all[0].MoreRanges != 100-limits.AuditRanges || all[0].Ranges[0].KeyBytes != 1<<20 {
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

// The files are rotated at their size, the oldest go, and one chain holds them together, also over restarts.
func TestRotation(t *testing.T) {
	f := newFixture(t, 1)
	must(t, f.Close())
	f.open(Config{FileBytes: 2000, Files: 3})
	for i := range 60 {
		f.change(fmt.Sprint("u", i))
		if i%7 == 0 {
			must(t, f.Close())
			f.open(Config{FileBytes: 2000, Files: 3})
		}
	}
	numbers, err := rotated(f.disk, logName)
	must(t, err)
	if len(numbers) != 3 || numbers[0] < 5 || numbers[2] != numbers[0]+2 {
		t.Fatalf("rotated files %v", numbers)
	}
	for _, n := range numbers {
		if size := len(f.text(numbered(logName, n))); size < 2000 || size > 2400 {
			t.Errorf("file %d has %d bytes", n, size)
		}
	}
	f.sound(4)
	for i, user := range f.users() {
		if want := fmt.Sprint("u", 60-len(f.users())+i); user != want {
			t.Errorf("line %d is of %s, want %s", i, user, want)
		}
	}
}

// Two members never write one file.
func TestFileOfAnother(t *testing.T) {
	f := newFixture(t, 1)
	if _, err := Open(f.config(Config{})); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("the second one: %v", err)
	}
	f.change("a")
	f.sound(1)
	must(t, f.Close())
	f.open(Config{})
}

// What another program does to the newest file is told by the first line of the next one, and found by the verification.
func TestAnotherProgram(t *testing.T) {
	for _, one := range []struct {
		name, told, found string
		do                func(f *fixture, text string)
	}{
		{"removed", "and was removed", "audit.jsonl.1 is missing before it", func(f *fixture, _ string) { must(f.t, f.disk.Remove(logName)) }},
		{"cut", "and has", "the lines from seq 3 to 3 are missing", func(f *fixture, text string) {
			put(f.t, f.disk, logName, text[:strings.LastIndexByte(text[:len(text)-1], '\n')+1])
		}},
		{"cut within a line", "and has", "it is damaged", func(f *fixture, text string) { put(f.t, f.disk, logName, text[:len(text)-20]) }},
		{"extended", "and has", "it is damaged", func(f *fixture, text string) { put(f.t, f.disk, logName, text+"another\n") }},
		{"emptied", "and has 0", "the lines from seq 1 to 3 are missing", func(f *fixture, _ string) { put(f.t, f.disk, logName, "") }},
	} {
		t.Run(one.name, func(t *testing.T) {
			f := newFixture(t, 1)
			f.change("before")
			f.change("last")
			one.do(f, f.text(logName))
			f.change("after")
			f.change("later")
			if text := f.text(logName); !strings.Contains(text, one.told) || !strings.Contains(text, `"previous":"audit.jsonl.1"`) || f.Problem() != "" {
				t.Errorf("%s\n%s", text, f.Problem())
			}
			if !strings.Contains(f.said.String(), "another program has changed the audit log") {
				t.Errorf("the member's log says %s", &f.said)
			}
			r := f.verify()
			if one.name == "removed" || one.name == "emptied" { // the chain begins with the next file
				if all := f.users(); !slices.Equal(all, []string{"after", "later"}) {
					t.Errorf("%v", all)
				}
				return
			}
			if len(r.Breaks) != 1 || !strings.Contains(r.Breaks[0].Text, one.found) {
				t.Errorf("%+v", r)
			}
		})
	}
}
