package form

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"qkv/internal/limits"
)

// TestAnswer: each format prints its own part of an answer, or what it makes of the document.
func TestAnswer(t *testing.T) {
	d := Document{{"name", "n1"}, {"key_count", 7}, {"key", Bytes{0xff}}, {"none", Some("")}, {"peers", []string{"a", "b"}}}
	d = append(d, Field{"links", []Document{{{"to", "n2"}}}})
	page := func(p Page) { _, _ = p.Write([]byte("for people\n")) }
	const jsonText = `{"name":"n1","key_count":7,"key_base64":"/w==","peers":["a","b"],"links":[{"to":"n2"}]}` + "\n"
	for name, tt := range map[string]struct {
		answer             Answer
		plain, json, table string
	}{
		"one object": {Answer{Document: d[:2], Text: "text\n"}, "text\n", `{"name":"n1","key_count":7}` + "\n", "NAME  KEY_COUNT\nn1            7\n"},
		"all kinds":  {Answer{Document: d}, "", jsonText, "NAME  KEY_COUNT  KEY     PEERS\nn1            7  \"\\xff\"  a,b\nTO\nn2\n"},
		"a list": {
			Answer{Document: Document{{"all", []Document{{{"a", 1}, {"b", nil}}, {{"a", "two\nlines"}, {"c", Bytes("x")}}}}}},
			"",
			`{"all":[{"a":1},{"a":"two\nlines","c":"x"}]}` + "\n", "           A  C\n           1  -\n\"two\\nlines\"  x\n",
		},
		"nothing": {Answer{Document: Document{}}, "", "{}\n", ""},
		"a page":  {Answer{Document: d, Page: page}, "for people\n", jsonText, "for people\n"},
	} {
		for format, want := range map[string]string{Plain: tt.plain, JSON: tt.json, Table: tt.table} {
			var out bytes.Buffer
			if err := tt.answer.Write(&out, format); err != nil || out.String() != want {
				t.Errorf("%s as %s: %v\n%swant\n%s", name, format, err, &out, want)
			}
		}
	}
}

// terminal is a writer with a width, which takes nothing if it is broken.
type terminal struct {
	bytes.Buffer
	broken error
}

func (t *terminal) Columns() int { return 60 }

func (t *terminal) Write(b []byte) (int, error) {
	if t.broken != nil {
		return 0, t.broken
	}
	return t.Buffer.Write(b)
}

// TestTerminal: a table fits the terminal, and a writer's error is the answer's.
func TestTerminal(t *testing.T) {
	for _, format := range []string{Plain, JSON, Table} {
		long := Answer{Document: Document{{"key", strings.Repeat("k", 99)}}, Text: "k"}
		broken := errors.New("no space left on device")
		if err := long.Write(&terminal{broken: broken}, format); !errors.Is(err, broken) {
			t.Errorf("%s: %v", format, err)
		}
		var to terminal
		if err := long.Write(&to, format); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(to.String()) {
			if n := ColumnsOf(strings.TrimSuffix(line, "\n")); format == Table && n > 60 {
				t.Errorf("a line of %d columns: %s", n, line)
			}
		}
	}
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "größe": 5, "鍵と値": 6, "key鍵": 5, "한국어": 6, "e\u0301": 1, "😀": 2, "１": 2, "…": 1} {
		if got := ColumnsOf(text); got != want {
			t.Errorf("%q takes %d columns, not %d", text, got, want)
		}
	}
	var out bytes.Buffer
	table := Rows{Columns: []string{"KEY", "VALUE"}}
	table.Add("鍵", "1")
	table.Add("key", "2")
	table.Write(PageOn(&out))
	if want := "KEY  VALUE\n鍵   1\nkey  2\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

// A text is cut by columns, and at a cost that grows with the columns: keys have up to 32 KiB.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"abcd", 1, "…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"e\u0301e\u0301e", 2, "e\u0301…"},
	} {
		if got := Cut(c.text, c.most); got != c.want {
			t.Errorf("%q in %d columns is %q, not %q", c.text, c.most, got, c.want)
		}
	}
	long := strings.Repeat("k", limits.KeyBytes)
	if n := testing.AllocsPerRun(100, func() { _ = Cut(long, 80) }); n > 1 {
		t.Errorf("to cut a key takes %.0f allocations", n)
	}
}

// Text that a no-break space joins stays on one line, also where the line becomes too long, and is printed with a plain space.
func TestNoBreakSpaceIsNoEndOfALine(t *testing.T) {
	var out bytes.Buffer
	Page{Writer: &out, Width: 18}.Wrap("links", "     ", "n1–n2\u00a00.25\u00a0ms, n1–n3\u00a00.31\u00a0ms")
	if want := "links n1–n2 0.25 ms,\n     n1–n3 0.31 ms\n"; out.String() != want {
		t.Errorf("%q, %q is wanted", &out, want)
	}
}
