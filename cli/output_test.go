package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/net/client"
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
	two := []client.KeyValue{
		{Key: []byte("greeting"), Value: []byte("hello"), CreateRevision: 2, ModRevision: 9, Version: 3},
		{Key: []byte("<html> & \"quotes\""), Value: []byte("two\nlines"), CreateRevision: 4, ModRevision: 4, Version: 1, Lease: 7},
	}
	odd := []client.KeyValue{
		{Key: []byte("not\xffutf8"), Value: []byte{0, 0xff}, CreateRevision: 2, ModRevision: 2, Version: 1},
		{Key: []byte("größe"), Value: nil, CreateRevision: 3, ModRevision: 3, Version: 1},
		{Key: []byte("long"), Value: []byte(strings.Repeat("0123456789", 10)), CreateRevision: 3, ModRevision: 3, Version: 1},
	}
	for _, tt := range []struct {
		name   string
		answer pairs
	}{
		{"single", pairs{Answer: client.Answer{Revision: 9, Count: 1, KVs: two[:1]}, single: true}},
		{"single-keys-only", pairs{Answer: client.Answer{Revision: 9, Count: 1, KVs: two[:1]}, single: true, keysOnly: true}},
		{"missing", pairs{Answer: client.Answer{Revision: 9}, single: true}},
		{"range", pairs{Answer: client.Answer{Revision: 9, Count: 5, More: true, KVs: two}}},
		{"range-keys-only", pairs{Answer: client.Answer{Revision: 9, Count: 2, KVs: two}, keysOnly: true}},
		{"range-odd", pairs{Answer: client.Answer{Revision: 9, Count: 3, KVs: odd}}},
		{"range-empty", pairs{Answer: client.Answer{Revision: 9}}},
		{"count", pairs{Answer: client.Answer{Revision: 9, Count: 1234567}, countOnly: true}},
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

func TestParseEndpoints(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a:1", "a:1"},
		{"a:1,b:2", "a:1 b:2"},
		{"# comment\na:1\n\n[::1]:2 # two\n", "a:1 [::1]:2"},
		{"", "!"},
		{"# none", "!"},
		{"a", "!"},
		{":1", "!"},
		{"a:", "!"},
		{"http://a:1", "!"},
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
