package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown escapes a message for a terminal: it may quote text of another host. Control characters, except line ends, and characters that
// change the direction of text are written as Go escapes.
func shown(message string) string { return escapeExcept(message, "\n\t") }

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
