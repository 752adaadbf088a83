package form

import (
	"bytes"
	"io"
	"os"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// AnswerWriter is stdout. It remembers a failed write: an answer that was not printed is not a success. Keys and values come from
// other clients. On a terminal their control characters are escaped, because they could change the screen or feed the shell. A pipe
// or a file gets every byte unchanged.
type AnswerWriter struct {
	W      io.Writer
	Escape bool
	part   []byte // beginning of a character that the next write completes
	Err    error
}

func (a *AnswerWriter) Write(b []byte) (int, error) {
	text := b
	if a.Escape {
		text = append(a.part, b...)
		whole := len(text) - partOf(text)
		a.part = bytes.Clone(text[whole:])
		text = []byte(Shown(string(text[:whole])))
	}
	_, err := a.W.Write(text)
	if a.Err == nil {
		a.Err = err
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Columns returns the width of the terminal; 0 if there is none, or its width is unknown.
func (a *AnswerWriter) Columns() int {
	f, ok := a.W.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// partOf returns how many bytes at the end of a text begin an incomplete character.
func partOf(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// AnswerOf returns the writer for a command's answer. With raw, a terminal gets no escapes.
func AnswerOf(c *cli.Context, raw bool) io.Writer {
	if raw {
		return OutputOf(c.App.Writer)
	}
	return c.App.Writer
}

// IsTerminal reports whether a writer is a terminal.
func IsTerminal(w io.Writer) bool {
	if a, ok := w.(*AnswerWriter); ok {
		w = a.W
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
