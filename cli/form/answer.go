package form

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
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

// Answer is what a command prints. The Document is for json and, as tables, for table; only plain is the command's own
// text.
type Answer struct {
	Document any        // for json and table
	Text     string     // for plain
	Page     func(Page) // for both plain and table, in place of Text and the tables of the Document
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
		d, _ := a.Document.(Document)
		d.writeTables(page)
	default:
		_, err = out.WriteString(a.Text)
	}
	if shared {
		return err
	}
	return cmp.Or(err, out.Flush())
}

// writeTables prints the fields of a document as a table of one row, and below it a table for each field that is a
// list of documents.
func (d Document) writeTables(p Page) {
	var fields Document
	var lists [][]Document
	for _, f := range d {
		switch v := f.Value.(type) {
		case Document:
			lists = append(lists, []Document{v})
		case []Document:
			lists = append(lists, v)
		default:
			fields = append(fields, f)
		}
	}
	for _, list := range append([][]Document{{fields}}, lists...) {
		if t := tableOf(list); len(t.Columns) > 0 {
			t.Write(p)
		}
	}
}

// tableOf has a row for each document, and a column for each field that one of them has.
func tableOf(list []Document) *Rows {
	t, columns := &Rows{}, map[string]int{}
	for _, d := range list {
		for _, f := range d {
			if _, known := columns[f.Name]; !known && f.Value != nil {
				columns[f.Name] = len(t.Columns)
				t.Columns = append(t.Columns, strings.ToUpper(f.Name))
			}
		}
	}
	for _, d := range list {
		row := slices.Repeat([]any{"-"}, len(t.Columns))
		for _, f := range d {
			if f.Value != nil {
				row[columns[f.Name]] = cellOf(f)
			}
		}
		t.Add(row...)
	}
	return t
}

// ValueMost limits the characters of a value in a table.
const ValueMost = 64

// cellOf returns a field's value for a table: a number, or text for one line.
func cellOf(f Field) any {
	switch v := f.Value.(type) {
	case string:
		return Printable([]byte(v), len(v))
	case Bytes:
		if f.Name == "value" { // a table is as wide as its longest value
			return Printable(v, ValueMost)
		}
		return Printable(v, len(v))
	}
	list := reflect.ValueOf(f.Value)
	if list.Kind() != reflect.Slice {
		return f.Value
	}
	texts := make([]string, list.Len())
	for i := range texts {
		texts[i] = fmt.Sprint(list.Index(i).Interface())
	}
	return cmp.Or(strings.Join(texts, ","), "-")
}

// Field is a name with its value; nil is left out. A string is quoted; a number or boolean is not.
type Field = struct {
	Name  string
	Value any
}

// Bytes are a key or a value. JSON has bytes that are not UTF-8 in base64, below the field's name with the ending
// _base64.
type Bytes []byte

// Some returns the value of a field that is left out if it is zero.
func Some[T comparable](value T) any {
	if value == *new(T) {
		return nil
	}
	return value
}

// Document is an answer that is one object. Names and order are a promise.
type Document []Field

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) {
	var to bytes.Buffer
	between := byte('{')
	for _, f := range d {
		if f.Value == nil {
			continue
		}
		if b, ok := f.Value.(Bytes); ok {
			if f.Value = string(b); !utf8.Valid(b) {
				f.Name, f.Value = f.Name+"_base64", []byte(b)
			}
		}
		to.WriteByte(between)
		to.WriteString(strconv.Quote(f.Name) + ":")
		if err := WriteJSON(&to, f.Value); err != nil {
			return nil, err
		}
		to.Truncate(to.Len() - 1) // the line's end
		between = ','
	}
	if between == '{' {
		to.WriteByte('{')
	}
	to.WriteByte('}')
	return to.Bytes(), nil
}

// WriteJSON prints one compact line, without HTML escapes.
func WriteJSON(w io.Writer, v any) error {
	if d, ok := v.(Document); ok {
		line, err := d.MarshalJSON()
		if err == nil {
			_, err = w.Write(append(line, '\n'))
		}
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
