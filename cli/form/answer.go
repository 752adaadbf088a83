package form

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"qkv/internal/figures"
)

// The formats of --write-out: plain for people and pipes, json and fields for programs, table for reading.
const (
	Plain  = "plain"
	JSON   = "json"
	Fields = "fields"
	Table  = "table"
)

// Answer is what a command prints. A command fills in what its formats need.
type Answer struct {
	Document any        // for json
	Fields   []Field    // for fields; if it and List are nil, the fields are those of the Document
	List     []Document // for fields, after Fields: the fields of each, with an empty line after them
	Text     string     // for plain
	Table    *Rows      // for table; if it is nil, the fields are the columns
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
	case format == Fields:
		a.writeFields(out)
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

func (a Answer) fields() []Field {
	if d, ok := a.Document.(Document); ok && a.Fields == nil && a.List == nil {
		return d.fields()
	}
	return a.Fields
}

// writeFields prints one `"Name" : value` per line, as etcdctl does.
func (a Answer) writeFields(w io.Writer) {
	groups := [][]Field{a.fields()}
	for _, d := range a.List {
		groups = append(groups, d.fields())
	}
	for _, group := range groups {
		for _, f := range group {
			if s, ok := f.Value.(string); ok {
				fmt.Fprintf(w, "%q : %q\n", f.Name, s)
			} else {
				fmt.Fprintf(w, "%q : %v\n", f.Name, f.Value)
			}
		}
		if a.List != nil && group != nil {
			fmt.Fprintln(w)
		}
	}
}

func (a Answer) table() *Rows {
	if a.Table != nil {
		return a.Table
	}
	fields := a.fields()
	t, row := &Rows{}, make([]any, len(fields))
	for i, f := range fields {
		t.Columns, row[i] = append(t.Columns, strings.ToUpper(f.Name)), f.Value
	}
	t.Add(row...)
	return t
}

// Field is a name with its value. A string is quoted; a number or boolean is not.
type Field = struct {
	Name  string
	Value any
}

// Document is an answer that is one object. Names and order are a promise. `-w fields` and a table have the same names as the JSON, as in
// FeatureLevel for feature_level.
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

// fields returns the document for `-w fields`: words with commas between; of a list of objects, the fields of each; or a field for each, as
// in Grant for grants. The fields of an object in it begin with its name.
func (d Document) fields() (all []Field) {
	for _, f := range d {
		title, list := figures.Title(f.Name), reflect.ValueOf(f.Value)
		switch value := f.Value.(type) {
		case []string:
			all = append(all, Field{title, strings.Join(value, ",")})
		case []Document:
			for _, one := range value {
				all = append(all, one.fields()...)
			}
		case Document:
			for _, one := range value.fields() {
				all = append(all, Field{title + one.Name, one.Value})
			}
		case encoded:
			all = append(all, Field{strings.TrimSuffix(title, "Base64"), string(value)})
		default:
			if list.Kind() != reflect.Slice {
				all = append(all, Field{title, value})
				continue
			}
			for i := range list.Len() {
				all = append(all, Field{strings.TrimSuffix(title, "s"), fmt.Sprint(list.Index(i).Interface())})
			}
		}
	}
	return all
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
