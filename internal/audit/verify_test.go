package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

// written returns a disk with an audit log of some files of four lines each, and the content of the files.
func written(t testing.TB) (f *fixture, files map[string]string) {
	t.Helper()
	f = newFixture(t, 1)
	must(t, f.Close())
	f.open(Config{FileBytes: 900, Files: 100})
	for i := range 18 {
		f.Record(Event{
			User: fmt.Sprint("user", i), Proof: Certificate, Remote: "10.0.0.7:41022", API: Native, Operation: "user add",
			Ranges: []Range{{Key: []byte("a"), End: []byte("b")}}, Revision: 40 + int64(i), Message: "added",
		})
		f.flush()
	}
	must(t, f.Close())
	files = map[string]string{}
	numbers, err := rotated(f.disk, logName)
	must(t, err)
	for _, n := range numbers {
		files[numbered("audit.jsonl", n)] = f.text(numbered(logName, n))
	}
	files["audit.jsonl"] = f.text(logName)
	if len(files) < 4 {
		t.Fatalf("%d files", len(files))
	}
	return f, files
}

// Verification finds a changed byte in each field of each line but the newest, and names a line beside it.
func TestChangedByteIsFound(t *testing.T) {
	f, files := written(t)
	f.sound(len(files))
	middle := strings.SplitAfter(files["audit.jsonl.2"], "\n")
	var fields map[string]any
	must(t, json.Unmarshal([]byte(middle[1]), &fields))
	if len(fields) != 13 {
		t.Fatalf("%d fields in %s", len(fields), middle[1])
	}
	begin := len(middle[0])
	checked := 0
	for name := range fields {
		at := strings.Index(middle[1], `"`+name+`":`)
		for _, change := range []int{at + 1, at + len(name) + 4} { // a byte of the name, and one of the value
			for _, to := range []byte{'0', 'x', '"', '\n', middle[1][change] ^ 1} {
				if to == middle[1][change] {
					continue
				}
				text := []byte(files["audit.jsonl.2"])
				text[begin+change] = to
				put(t, f.disk, "data/audit/audit.jsonl.2", string(text))
				r := f.verify()
				if len(r.Breaks) == 0 || r.Breaks[0].File != "audit.jsonl.2" || r.Breaks[0].Line < 2 || r.Breaks[0].Line > 3 || len(r.Breaks) > 2 {
					t.Errorf("%s, byte %d to %q: %+v", name, change, to, r)
				}
				checked++
			}
		}
	}
	if checked < 100 {
		t.Errorf("%d changes", checked)
	}
}

// Verification finds every change of a single bit, but in the newest line. A run tries each third byte.
func TestEveryBit(t *testing.T) {
	f, files := written(t)
	newest := files["audit.jsonl"]
	newest = newest[strings.LastIndexByte(newest[:len(newest)-1], '\n')+1:]
	for name, text := range files {
		most := len(text)
		if name == "audit.jsonl" {
			most -= len(newest)
		}
		for at := rand.IntN(3); at < most; at += 3 {
			changed := []byte(text)
			changed[at] ^= 1 << (at % 7)
			put(t, f.disk, "data/audit/"+name, string(changed))
			if r := f.verify(); len(r.Breaks) == 0 {
				t.Errorf("%s, byte %d, %q for %q: nothing was found", name, at, changed[at], text[at])
			}
		}
		put(t, f.disk, "data/audit/"+name, text)
	}
	f.sound(len(files))
}

// Verification names a line or a file that was removed, inserted, moved or swapped.
func TestBreaks(t *testing.T) {
	const dir = "data/audit/"
	lines := func(text string) []string { return slices.Collect(strings.Lines(text)) }
	for _, one := range []struct {
		name string
		do   func(f *fixture, files map[string]string)
		want []Place
	}{
		{"a line removed", func(f *fixture, files map[string]string) {
			put(f.t, f.disk, dir+"audit.jsonl.2", strings.Join(slices.Delete(lines(files["audit.jsonl.2"]), 1, 2), ""))
		}, []Place{{"audit.jsonl.2", 2, "the lines from seq 6 to 6 are missing before it, or its seq was changed"}}},
		{"the first line removed", func(f *fixture, files map[string]string) {
			put(f.t, f.disk, dir+"audit.jsonl.2", strings.Join(lines(files["audit.jsonl.2"])[1:], ""))
		}, []Place{{"audit.jsonl.2", 1, "the lines from seq 5 to 5 are missing before it, or its seq was changed"}}},
		{"the first line of all removed", func(f *fixture, files map[string]string) {
			put(f.t, f.disk, dir+"audit.jsonl.1", strings.Join(lines(files["audit.jsonl.1"])[1:], ""))
		}, []Place{{"audit.jsonl.1", 1, "the lines before it are missing: a file begins with a line of the operation audit file"}}},
		{"the end cut", func(f *fixture, files map[string]string) {
			put(f.t, f.disk, dir+"audit.jsonl.2", strings.Join(lines(files["audit.jsonl.2"])[:2], ""))
		}, []Place{{"audit.jsonl.3", 1, "the lines from seq 7 to 8 are missing before it, or its seq was changed"}}},
		{"the end cut within a line", func(f *fixture, files map[string]string) {
			put(f.t, f.disk, dir+"audit.jsonl.2", files["audit.jsonl.2"][:len(files["audit.jsonl.2"])-30])
		}, []Place{{"audit.jsonl.2", 4, "it is damaged: no whole line of an audit log"}}},
		{"two lines swapped", func(f *fixture, files map[string]string) {
			all := lines(files["audit.jsonl.2"])
			all[1], all[2] = all[2], all[1]
			put(f.t, f.disk, dir+"audit.jsonl.2", strings.Join(all, ""))
		}, []Place{{"audit.jsonl.2", 2, "the lines from seq 6 to 6 are missing before it, or its seq was changed"}}},
		{"a line repeated", func(f *fixture, files map[string]string) {
			all := lines(files["audit.jsonl.2"])
			put(f.t, f.disk, dir+"audit.jsonl.2", strings.Join(slices.Insert(all, 2, all[1]), ""))
		}, []Place{{"audit.jsonl.2", 3, "it was inserted, moved or changed: its seq is 6 and not 7"}}},
		{"a line changed, with the number of its place", func(f *fixture, files map[string]string) {
			put(f.t, f.disk, dir+"audit.jsonl.2", strings.Replace(files["audit.jsonl.2"], `"revision":43`, `"revision":44`, 1))
		}, []Place{{"audit.jsonl.2", 3, "it or the line before was changed: its prev is not the hash of the line before"}}},
		{
			"a file removed", func(f *fixture, _ map[string]string) { must(f.t, f.disk.Remove(dir+"audit.jsonl.2")) },
			[]Place{{"audit.jsonl.3", 1, "the file audit.jsonl.2 is missing before it"}},
		},
		{"two files swapped", func(f *fixture, files map[string]string) {
			put(f.t, f.disk, dir+"audit.jsonl.2", files["audit.jsonl.3"])
			put(f.t, f.disk, dir+"audit.jsonl.3", files["audit.jsonl.2"])
		}, []Place{
			{"audit.jsonl.2", 1, "the file audit.jsonl.2 is missing before it"},
			{"audit.jsonl.3", 1, "the file audit.jsonl.1 is missing before it"},
			{"audit.jsonl.4", 1, "the lines from seq 9 to 12 are missing before it, or its seq was changed"},
		}},
		{"the oldest file removed, as the rotation does", func(f *fixture, _ map[string]string) { must(f.t, f.disk.Remove(dir+"audit.jsonl.1")) }, []Place{}},
	} {
		t.Run(one.name, func(t *testing.T) {
			f, files := written(t)
			one.do(f, files)
			if r := f.verify(); !slices.Equal(r.Breaks, one.want) || len(r.Torn) > 0 {
				t.Errorf("%+v, want %+v", r, one.want)
			}
		})
	}
}

// A line that was changed while the member was down is found, although the member has started since and closed it off.
func TestChangeBeforeAStart(t *testing.T) {
	f, files := written(t)
	put(t, f.disk, logName, strings.Replace(files["audit.jsonl"], `"user":"user16"`, `"user":"user1X"`, 1))
	f.open(Config{})
	f.change("next")
	r := f.verify()
	if len(r.Breaks) != 1 || r.Breaks[0].File != "audit.jsonl" || len(r.Torn) > 0 {
		t.Errorf("%+v", r)
	}
}

// The end of the newest file is told, not complained of: a member may be writing it.
func TestVerifyWhileWriting(t *testing.T) {
	f, files := written(t)
	put(t, f.disk, logName, files["audit.jsonl"][:len(files["audit.jsonl"])-30])
	r := f.sound(len(files))
	if len(r.Torn) != 1 || !strings.Contains(r.Torn[0].Text, "bytes are no whole line: the member is writing it, or was killed") {
		t.Errorf("%+v", r)
	}
}

// A reader that follows gets every line once and in order, over rotations, also when several come between two looks.
func TestFollow(t *testing.T) {
	for _, every := range []int{1, 3, 7, 40} {
		f := newFixture(t, 1)
		must(t, f.Close())
		f.open(Config{FileBytes: 1500, Files: 100})
		r := NewReader(f.disk, logName)
		defer r.Close()
		var got, want []string
		for i := range 120 {
			user := fmt.Sprint("u", i)
			want = append(want, user)
			f.change(user)
			if i%every > 0 {
				continue
			}
			for {
				raw, err := r.Next()
				if err == io.EOF {
					break
				}
				must(t, err)
				if one, whole := ParseLine(raw); !whole {
					t.Fatalf("%q", raw)
				} else if one.User != "" {
					got = append(got, one.User)
				}
			}
		}
		if !slices.Equal(got, want[:len(got)]) || len(got) < 120-every {
			t.Errorf("every %d: %d lines: %v", every, len(got), got)
		}
	}
}

// A reader gets no part of a line that is being written.
func TestFollowPartOfALine(t *testing.T) {
	f := newFixture(t, 1)
	f.change("a")
	text := f.text(logName)
	for cut := range len(text) {
		on := simdisk.New(1)
		must(t, on.MkdirAll("data/audit"))
		put(t, on, logName, text[:cut])
		r := NewReader(on, logName)
		var got strings.Builder
		read := func() {
			for {
				raw, err := r.Next()
				if err == io.EOF {
					return
				}
				must(t, err)
				if raw[len(raw)-1] != '\n' {
					t.Fatalf("%q", raw)
				}
				got.Write(raw)
			}
		}
		read()
		file, err := on.OpenWritable(logName)
		must(t, err)
		_, err = file.WriteAt([]byte(text[cut:]), int64(cut))
		must(t, err)
		read()
		if got.String() != text {
			t.Fatalf("cut at %d: %q", cut, &got)
		}
		must(t, r.Close())
	}
}

// A line without an end comes in pieces, so a reader's memory has a bound.
func TestLongLineComesInPieces(t *testing.T) {
	on := simdisk.New(1)
	must(t, on.MkdirAll("data/audit"))
	put(t, on, logName, strings.Repeat("x", 3*limits.AuditLineBytes-1)+"\nend\n")
	r := NewReader(on, logName)
	defer r.Close()
	var lengths []int
	for raw, err := r.Next(); err != io.EOF; raw, err = r.Next() {
		must(t, err)
		lengths = append(lengths, len(raw))
	}
	if !slices.Equal(lengths, []int{limits.AuditLineBytes, limits.AuditLineBytes, limits.AuditLineBytes, 4}) {
		t.Errorf("%v", lengths)
	}
}

// Files of any content are read, verified and continued without a panic, and keep their bytes.
func FuzzFiles(f *testing.F) {
	_, files := written(f)
	f.Add([]byte(files["audit.jsonl.1"]), []byte(files["audit.jsonl.2"]))
	f.Add([]byte(files["audit.jsonl.1"]), []byte(files["audit.jsonl.2"][:500]))
	f.Add([]byte(files["audit.jsonl.1"]), []byte(""))
	f.Add([]byte("x"), []byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, older, newer []byte) {
		x := &fixture{t: t, disk: simdisk.New(1)}
		must(t, x.disk.MkdirAll("data/audit"))
		put(t, x.disk, logName+".1", string(older))
		put(t, x.disk, logName, string(newer))
		x.verify()
		x.open(Config{FileBytes: 1 << 30})
		x.Record(Event{User: "next", Operation: "user add"})
		x.flush()
		if x.Problem() != "" {
			t.Fatal(x.Problem())
		}
		text := x.text(logName)
		if !strings.HasPrefix(text, string(newer)) {
			t.Fatal("a byte has changed")
		}
		all := x.lines()
		if len(all) == 0 || all[len(all)-1].User != "next" {
			t.Fatalf("the newest line is missing: %q", text)
		}
		before := len(x.verify().Breaks)
		x.Record(Event{User: "last", Operation: "user add"})
		x.flush()
		if r := x.verify(); len(r.Breaks) != before {
			t.Fatalf("the continued chain breaks: %+v", r)
		}
	})
}
