package form

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rows is a table with aligned columns: numbers to the right, text to the left.
type Rows struct {
	Columns []string // their headings
	rows    [][]cell
}

type cell struct {
	text   string
	number bool
}

// Add appends a row. Values are text or numbers.
func (t *Rows) Add(values ...any) {
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

// Fit drops the last columns until the lines fit the width.
func (t *Rows) Fit(width int) {
	for {
		all := -2
		for _, n := range t.widths() {
			all += n + 2
		}
		if all <= width || len(t.Columns) < 2 {
			return
		}
		last := len(t.Columns) - 1
		t.Columns = t.Columns[:last]
		for i := range t.rows {
			t.rows[i] = t.rows[i][:last]
		}
	}
}

func (t *Rows) widths() []int {
	widths := make([]int, len(t.Columns))
	for i, h := range t.Columns {
		widths[i] = len(h)
		for _, row := range t.rows {
			widths[i] = max(widths[i], ColumnsOf(row[i].text))
		}
	}
	return widths
}

// shorten cuts the texts of the widest column repeatedly, until a line fits the width. It never cuts a number, nor a column to less
// than its heading.
func (t *Rows) shorten(width int) {
	for {
		widths, all, widest := t.widths(), -2, -1
		for i, n := range widths {
			all += n + 2
			if n > ColumnsOf(t.Columns[i]) && len(t.rows) > 0 && !t.rows[0][i].number && (widest < 0 || n > widths[widest]) {
				widest = i
			}
		}
		if all <= width || widest < 0 {
			return
		}
		most := max(widths[widest]-(all-width), ColumnsOf(t.Columns[widest]))
		for _, row := range t.rows {
			row[widest].text = Cut(row[widest].text, most)
		}
	}
}

// Cut shortens a text to a number of columns. The last column of a cut text is a mark.
func Cut(text string, most int) string {
	if ColumnsOf(text) <= most {
		return text
	}
	columns := 1 // of the mark
	for i, r := range text {
		if columns += ColumnsOf(string(r)); columns > most {
			return text[:i] + "…"
		}
	}
	return text
}

// Printable formats bytes for one line: quoted if they would break it, cut if they have more than most characters.
func Printable(b []byte, most int) string {
	s := string(b)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		s = strconv.Quote(s)
	}
	if len(b) > most && utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// Write prints the table. On a terminal each row fits a line.
func (t *Rows) Write(p Page) {
	if p.Columns > 0 {
		t.shorten(p.Columns)
		t.Fit(p.Columns)
	}
	widths := t.widths()
	right := make([]bool, len(t.Columns))
	for i := range t.Columns {
		for _, row := range t.rows {
			right[i] = right[i] || row[i].number
		}
	}
	line := func(texts func(i int) string) {
		var b strings.Builder
		for i, width := range widths {
			s := texts(i)
			pad := strings.Repeat(" ", width-ColumnsOf(s))
			if right[i] {
				s = pad + s
			} else {
				s += pad
			}
			b.WriteString(s + "  ")
		}
		fmt.Fprintln(p, strings.TrimRight(b.String(), " "))
	}
	line(func(i int) string { return t.Columns[i] })
	for _, row := range t.rows {
		line(func(i int) string { return row[i].text })
	}
}

// ColumnsOf returns how many columns of a terminal a text takes. Letters of Chinese, Japanese and Korean, and most pictures, take
// two; combining marks take none.
func ColumnsOf(s string) (n int) {
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
