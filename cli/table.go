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

func (t *table) write(w io.Writer) {
	widths := make([]int, len(t.head))
	right := make([]bool, len(t.head))
	for i, h := range t.head {
		widths[i] = len(h)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
			right[i] = right[i] || row[i].number
		}
	}
	line := func(texts func(i int) string) {
		var b strings.Builder
		for i, width := range widths {
			s := texts(i)
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(s))
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
