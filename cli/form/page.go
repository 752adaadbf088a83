package form

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Lines of text are as wide as the terminal, within bounds; 80 columns without a terminal.
const (
	usualWidth = 80
	narrowest  = 50
	widest     = 110
)

// Page is text for people.
type Page struct {
	io.Writer
	Width   int // of a line of text
	Columns int // of the terminal, which a table may use; 0: there is no terminal, or its width is unknown
}

// PageOn returns a page on a writer. A terminal has the method Columns.
func PageOn(w io.Writer) Page {
	p := Page{Writer: w, Width: usualWidth}
	if terminal, ok := w.(interface{ Columns() int }); ok {
		p.Columns = terminal.Columns()
	}
	if p.Columns > 0 {
		p.Width = min(max(p.Columns, narrowest), widest)
	}
	return p
}

// NoBreakSpace is printed as a space, and no line ends there.
const NoBreakSpace = '\u00a0'

// Wrap prints a text after the beginning of a line; the following lines are indented.
func (p Page) Wrap(line, indent, text string) {
	empty := true
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r != NoBreakSpace && unicode.IsSpace(r) }) {
		word = strings.ReplaceAll(word, string(NoBreakSpace), " ")
		if !empty && ColumnsOf(line)+1+ColumnsOf(word) > p.Width {
			fmt.Fprintln(p, line)
			line, empty = strings.TrimSuffix(indent, " "), true
		}
		if line != "" || indent != "" {
			line += " "
		}
		line, empty = line+word, false
	}
	fmt.Fprintln(p, line)
}

// Text prints a text in lines that fit. A line with two spaces in a row is already laid out and stays unchanged.
func (p Page) Text(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); strings.Contains(line, "  ") || line == "" {
			fmt.Fprintln(p, line)
			continue
		}
		p.Wrap("", "", line)
	}
}
