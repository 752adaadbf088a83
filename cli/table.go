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

// fit leaves out the last columns until the lines are no longer than width.
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

func (t *table) write(w io.Writer) {
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

// columnsOf is how many columns of a terminal a text takes: letters of Chinese, Japanese and Korean, and most pictures,
// take two, marks that go onto the letter before them none.
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

// wide are the letters of two columns: the classes Wide and Fullwidth of Unicode's East Asian Width, in large pieces.
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

// tableValueMost is how many characters of a value a table shows.
const tableValueMost = 64

// printable is bytes as a line shows them: quoted when they would break it, cut when they are more than most
// characters.
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

// shown is a message as a terminal may have it: it may quote what another host has said, and control characters of that, but for the
// ends of lines, are written as Go does.
func shown(message string) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(message, control) {
		return message
	}
	var b strings.Builder
	for _, r := range message {
		if control(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// bytesText is a size for people: 64.0 MiB.
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
