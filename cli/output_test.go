package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares text with a file in testdata; -rewrite makes the file, and its diff is the review.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *rewrite {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./cli -rewrite writes it anew):\n--- got\n%s--- want\n%s", file, got, want)
	}
}

var formats = []string{formatPlain, formatJSON, formatFields, formatTable}

// TestOutput: the formats are a promise; a change shows as a diff of these files.
func TestOutput(t *testing.T) {
	two := []pair{
		{key: []byte("greeting"), value: []byte("hello"), create: 2, mod: 9, version: 3},
		{key: []byte("<html> & \"quotes\""), value: []byte("two\nlines"), create: 4, mod: 4, version: 1, lease: 7},
	}
	odd := []pair{
		{key: []byte("not\xffutf8"), value: []byte{0, 0xff}, create: 2, mod: 2, version: 1},
		{key: []byte("größe"), value: nil, create: 3, mod: 3, version: 1},
		{key: []byte("long"), value: []byte(strings.Repeat("0123456789", 10)), create: 3, mod: 3, version: 1},
	}
	for _, tt := range []struct {
		name   string
		answer pairs
	}{
		{"single", pairs{revision: 9, count: 1, kvs: two[:1], single: true}},
		{"single-keys-only", pairs{revision: 9, count: 1, kvs: two[:1], single: true, keysOnly: true}},
		{"missing", pairs{revision: 9, single: true}},
		{"range", pairs{revision: 9, count: 5, more: true, kvs: two}},
		{"range-keys-only", pairs{revision: 9, count: 2, kvs: two, keysOnly: true}},
		{"range-odd", pairs{revision: 9, count: 3, kvs: odd}},
		{"range-empty", pairs{revision: 9}},
		{"count", pairs{revision: 9, count: 1234567, onlyNum: true}},
	} {
		golden(t, tt.name, inFormats(func(out *bytes.Buffer, format string) error { return tt.answer.write(out, format) }))
	}
	golden(t, "put", inFormats(func(out *bytes.Buffer, format string) error { return writePut(out, format, 12) }))
	golden(t, "del", inFormats(func(out *bytes.Buffer, format string) error { return writeDel(out, format, 3, 13) }))
}

func TestStatusOutput(t *testing.T) {
	members := []memberStatus{
		{
			Name: "n1", ID: "8e9e05c52164694d", Version: "0.1.0", Role: "leader", Term: 2, CommitIndex: 9, AppliedIndex: 9,
			Revision: 4, Keys: 3, LogBytes: 64 << 20, SnapshotBytes: 1234, Digest: "5f0c3a9be1d20c44",
		},
		{Name: "n2", ID: "0000000000000002", Role: roleUnknown, Error: "no answer from 127.0.0.1:2381: timeout"},
	}
	golden(t, "status", inFormats(func(out *bytes.Buffer, format string) error { return writeStatus(out, format, members) }))
}

func inFormats(write func(out *bytes.Buffer, format string) error) string {
	var all bytes.Buffer
	for _, format := range formats {
		fmt.Fprintf(&all, "-- %s --\n", format)
		if err := write(&all, format); err != nil {
			fmt.Fprintf(&all, "error: %v\n", err)
		}
	}
	return all.String()
}

func TestPrefixEnd(t *testing.T) {
	for _, tt := range []struct{ prefix, want string }{
		{"a", "b"}, {"/etc/", "/etc0"}, {"a\xff", "b"}, {"\xff\xff", "\x00"}, {"", "\x00"},
	} {
		if got := string(prefixEnd([]byte(tt.prefix))); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.prefix, got, tt.want)
		}
	}
}

func TestParseEndpoints(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a:1", "a:1"}, {"a:1,b:2", "a:1 b:2"}, {"# comment\na:1\n\n[::1]:2 # two\n", "a:1 [::1]:2"},
		{"", "!"}, {"# none", "!"}, {"a", "!"}, {":1", "!"}, {"a:", "!"}, {"http://a:1", "!"},
	} {
		got, err := parseEndpoints(tt.text)
		text := strings.Join(got, " ")
		if err != nil {
			text = "!"
		}
		if text != tt.want {
			t.Errorf("%q: %q %v, want %q", tt.text, text, err, tt.want)
		}
	}
}

// TestPrefixed: lines of several writers stay whole, each with its name.
func TestPrefixed(t *testing.T) {
	var out bytes.Buffer
	shared := newTerminal(&out)
	a, b := shared.prefix("a"), shared.prefix("b")
	for _, part := range []string{"one ", "line\ntwo", " lines\nrest"} {
		_, _ = a.Write([]byte(part))
		b.linef("%d", len(part))
	}
	want := "b    | 4\na    | one line\nb    | 8\na    | two lines\nb    | 11\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}
