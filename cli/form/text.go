package form

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"qkv/internal/checks"
)

// Shown escapes a message for a terminal: it may quote text of another host. Control characters, except line ends, and characters that
// change the direction of text are written as Go escapes.
func Shown(message string) string { return escapeExcept(message, "\n\t") }

// steers reports whether a character steers what a reader sees: a control character, or one that changes the direction of text.
func steers(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

func escapeExcept(message, kept string) string {
	control := func(r rune) bool { return steers(r) && !strings.ContainsRune(kept, r) }
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

// BytesText formats a size for people: 64.0 MiB.
func BytesText(n int64) string {
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

// KeyLine is a key for a line of its own: on a terminal, a line end in the key does not end the line.
func KeyLine(to io.Writer, key []byte) string {
	if a, ok := to.(*AnswerWriter); ok && a.Escape {
		return escapeExcept(string(key), "") + "\n"
	}
	return string(key) + "\n"
}

// ShellWord returns a word in the syntax of a POSIX shell, quoted if necessary.
func ShellWord(s string) string {
	safe := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-@+:/,%", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !safe(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ShellBytes is shellWord for any bytes. Bytes that are no text have the escapes of bash and zsh.
func ShellBytes(b []byte) string {
	if s := string(b); utf8.ValidString(s) && Shown(s) == s {
		return ShellWord(s)
	}
	var word strings.Builder
	for _, c := range b {
		if c >= ' ' && c < 0x7f && c != '\'' && c != '\\' {
			word.WriteByte(c)
		} else {
			fmt.Fprintf(&word, `\x%02x`, c)
		}
	}
	return "$'" + word.String() + "'"
}

// tableNameMost limits the characters of a member's name in a table.
const tableNameMost = 20

func OneLine(text string) string { return checks.OneLine(text) }

// TableName shortens a member's name for a table. It cuts in the middle: names of one cluster differ at their ends.
func TableName(name string) string {
	if r := []rune(name); len(r) > tableNameMost && Printable([]byte(name), len(name)) == name {
		return string(r[:tableNameMost/2]) + "…" + string(r[len(r)-tableNameMost/2+1:])
	}
	return Printable([]byte(name), tableNameMost)
}

func Hex(n uint64) string { return fmt.Sprintf("%016x", n) }
