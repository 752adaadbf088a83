package damage

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Dump writes what files hold, line by line as JSON or as text, and keeps the first damage.
type Dump struct {
	out   *bufio.Writer // keeps the first error of a write
	json  *json.Encoder // nil: text
	First error
}

// NewDump returns a Dump.
func NewDump(to io.Writer, asJSON bool) *Dump {
	d := &Dump{out: bufio.NewWriter(to)}
	if asJSON {
		d.json = json.NewEncoder(d.out)
		d.json.SetEscapeHTML(false)
	}
	return d
}

// Line writes a line: fields as JSON, or the text.
func (d *Dump) Line(fields any, format string, args ...any) {
	if d.json != nil {
		_ = d.json.Encode(fields)
		return
	}
	fmt.Fprintf(d.out, format, args...)
}

// Found notes damage, and writes it as a line.
func (d *Dump) Found(err error, fields any, format string, args ...any) {
	d.Line(fields, format, args...)
	if d.First == nil {
		d.First = err
	}
}

// End writes what is left, and returns the first failure of a write, or the first damage.
func (d *Dump) End() error {
	if err := d.out.Flush(); err != nil {
		return fmt.Errorf("write the dump: %w", err)
	}
	return d.First
}
