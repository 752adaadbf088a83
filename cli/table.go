package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table prints rows in aligned columns: numbers to the right, text to the left.
type table struct {
	head []string
	rows [][]cell
}

type cell struct {
	text   string
	number bool
}

// add appends a row. Values are text or numbers.
func (t *table) add(values ...any) {
	row := make([]cell, len(values))
	for i, v := range values {
		s, isText := v.(string)
		if !isText {
			s = fmt.Sprint(v)
		}
		row[i] = cell{s, !isText}
	}
	t.rows = append(t.rows, row)
}

// or returns a function that prints the table in its format, and a text in the others.
func (t *table) or(format, text string) func(w helpWriter) {
	return func(w helpWriter) {
		if format == formatTable {
			t.write(w)
			return
		}
		_, _ = io.WriteString(w, text)
	}
}

// fit drops the last columns until the lines fit the width.
func (t *table) fit(width int) {
	for {
		all := -2
		for _, n := range t.widths() {
			all += n + 2
		}
		if all <= width || len(t.head) < 2 {
			return
		}
		last := len(t.head) - 1
		t.head = t.head[:last]
		for i := range t.rows {
			t.rows[i] = t.rows[i][:last]
		}
	}
}

func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		widths[i] = len(h)
		for _, row := range t.rows {
			widths[i] = max(widths[i], columnsOf(row[i].text))
		}
	}
	return widths
}

// shorten cuts the texts of the widest column repeatedly, until a line fits the width. It never cuts a number, nor a column to less
// than its heading.
func (t *table) shorten(width int) {
	for {
		widths, all, widest := t.widths(), -2, -1
		for i, n := range widths {
			all += n + 2
			if n > columnsOf(t.head[i]) && len(t.rows) > 0 && !t.rows[0][i].number && (widest < 0 || n > widths[widest]) {
				widest = i
			}
		}
		if all <= width || widest < 0 {
			return
		}
		most := max(widths[widest]-(all-width), columnsOf(t.head[widest]))
		for _, row := range t.rows {
			row[widest].text = cut(row[widest].text, most)
		}
	}
}

// cut shortens a text to a number of columns. The last column of a cut text is a mark.
func cut(text string, most int) string {
	if columnsOf(text) <= most {
		return text
	}
	columns := 1 // of the mark
	for i, r := range text {
		if columns += columnsOf(string(r)); columns > most {
			return text[:i] + "…"
		}
	}
	return text
}

// write prints the table. On a terminal each row fits a line.
func (t *table) write(w io.Writer) {
	if columns := columnsAt(w); columns > 0 {
		t.shorten(columns)
	}
	widths := t.widths()
	right := make([]bool, len(t.head))
	for i := range t.head {
		for _, row := range t.rows {
			right[i] = right[i] || row[i].number
		}
	}
	line := func(texts func(i int) string) {
		var b strings.Builder
		for i, width := range widths {
			s := texts(i)
			pad := strings.Repeat(" ", width-columnsOf(s))
			if right[i] {
				s = pad + s
			} else {
				s += pad
			}
			b.WriteString(s + "  ")
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	line(func(i int) string { return t.head[i] })
	for _, row := range t.rows {
		line(func(i int) string { return row[i].text })
	}
}

// columnsOf returns how many columns of a terminal a text takes. Letters of Chinese, Japanese and Korean, and most pictures, take
// two; combining marks take none.
func columnsOf(s string) (n int) {
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case unicode.Is(wide, r):
			n += 2
		default:
			n++
		}
	}
	return n
}

// wide are the letters of two columns: the classes Wide and Fullwidth of Unicode's East Asian Width, in large ranges.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1},
		{0x2e80, 0x303e, 1},
		{0x3041, 0xa4cf, 1},
		{0xa960, 0xa97c, 1},
		{0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1},
		{0xfe30, 0xfe6f, 1},
		{0xff01, 0xff60, 1},
		{0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{{0x1b000, 0x1b2ff, 1}, {0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f900, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
}

// tableValueMost limits the characters of a value in a table.
const tableValueMost = 64

// printable formats bytes for one line: quoted if they would break it, cut if they have more than most characters.
func printable(b []byte, most int) string {
	s := string(b)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		s = strconv.Quote(s)
	}
	if len(b) > most && utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// shown escapes a message for a terminal: it may quote text of another host. Control characters, except line ends, are written as Go
// escapes.
func shown(message string) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if utf8.ValidString(message) && !strings.ContainsFunc(message, control) {
		return message
	}
	var b strings.Builder
	for len(message) > 0 {
		r, n := utf8.DecodeRuneInString(message)
		if control(r) || r == utf8.RuneError && n == 1 { // a terminal may take a lone byte for a control character
			quoted := strconv.Quote(message[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(message[:n])
		}
		message = message[n:]
	}
	return b.String()
}

// bytesText formats a size for people: 64.0 MiB.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/unit, []string{"KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; value >= unit && i < len(units)-1; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
