package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// terminal is an output that several writers share line by line, each line after its writer's name.
type terminal struct {
	mu      sync.Mutex
	w       io.Writer
	colours bool
	names   int
	broken  func(error) // called when a line cannot be written; may be nil
}

func newTerminal(w io.Writer) *terminal {
	colours := isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &terminal{w: outputOf(w), colours: colours}
}

// prefixed writes whole lines with a name before each.
type prefixed struct {
	terminal *terminal
	prefix   string
	rest     []byte // beginning of an unfinished line
}

// longestLine is the length at which a line without an end is split.
const longestLine = 64 << 10

// prefix returns a writer with its own name and colour; only one goroutine may write to it at a time.
func (t *terminal) prefix(name string) *prefixed {
	prefix := fmt.Sprintf("%-4s | ", name)
	if t.colours {
		palette := []int{1, 36, 33, 35, 32, 34} // bold first: the demo's own lines
		prefix = fmt.Sprintf("\x1b[%dm%s\x1b[0m", palette[t.names%len(palette)], prefix)
	}
	t.names++
	return &prefixed{terminal: t, prefix: prefix}
}

// Write passes complete lines on and keeps the rest.
func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		end := bytes.IndexByte(p.rest, '\n')
		if end < 0 && len(p.rest) < longestLine {
			return len(b), nil
		}
		if end < 0 {
			end = len(p.rest)
		}
		p.line(p.rest[:end])
		p.rest = p.rest[min(end+1, len(p.rest)):]
	}
}

func (p *prefixed) linef(format string, values ...any) {
	p.line(fmt.Appendf(nil, format, values...))
}

func (p *prefixed) line(text []byte) {
	p.terminal.mu.Lock()
	defer p.terminal.mu.Unlock()
	if _, err := fmt.Fprintf(p.terminal.w, "%s%s\n", p.prefix, text); err != nil && p.terminal.broken != nil {
		p.terminal.broken(err)
	}
}
