package form

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The formats of --write-out: plain for people and pipes, json for programs, table for reading.
const (
	Plain = "plain"
	JSON  = "json"
	Table = "table"
)

// Answer is what a command prints. A command fills in what its formats need.
type Answer struct {
	Document any        // for json
	Text     string     // for plain
	Table    *Rows      // for table; if it is nil, the fields of the Document are the columns
	Below    *Rows      // for table, below Table
	Page     func(Page) // for both plain and table, in place of Text and Table
}

// Write prints the answer in a format.
func (a Answer) Write(w io.Writer, format string) error {
	page := PageOn(w)
	out, shared := w.(*bufio.Writer)
	if !shared {
		out = bufio.NewWriterSize(w, 64<<10)
		page.Writer = out
	}
	var err error
	switch {
	case format == JSON:
		err = WriteJSON(out, a.Document)
	case a.Page != nil:
		a.Page(page)
	case format == Table:
		a.table().Write(page)
		if a.Below != nil {
			a.Below.Write(page)
		}
	default:
		_, err = out.WriteString(a.Text)
	}
	if shared {
		return err
	}
	return cmp.Or(err, out.Flush())
}

func (a Answer) table() *Rows {
	if a.Table != nil {
		return a.Table
	}
	d, _ := a.Document.(Document)
	t, row := &Rows{}, make([]any, 0, len(d))
	for _, f := range d {
		value := f.Value
		switch v := value.(type) {
		case Document, []Document:
			continue // one line has no place for it
		case []string:
			value = strings.Join(v, ",")
		case encoded:
			value = string(v)
		}
		t.Columns, row = append(t.Columns, strings.ToUpper(f.Name)), append(row, value)
	}
	t.Add(row...)
	return t
}

// Field is a name with its value. A string is quoted; a number or boolean is not.
type Field = struct {
	Name  string
	Value any
}

// Document is an answer that is one object. Names and order are a promise.
type Document []Field

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) {
	var to bytes.Buffer
	between := byte('{')
	for _, f := range d {
		to.WriteByte(between)
		to.WriteString(strconv.Quote(f.Name) + ":")
		if err := WriteJSON(&to, f.Value); err != nil {
			return nil, err
		}
		to.Truncate(to.Len() - 1) // the line's end
		between = ','
	}
	to.WriteByte('}')
	return to.Bytes(), nil
}

// encoded are bytes that are no text: JSON has them in base64.
type encoded []byte

// TextField returns the field of a key or value.
func TextField(name string, b []byte) Field {
	if utf8.Valid(b) {
		return Field{name, string(b)}
	}
	return Field{name + "_base64", encoded(b)}
}

// WriteJSON prints one compact line, without HTML escapes.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
