package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/internal/figures"
)

// The formats of --write-out: plain for people and pipes, json and fields for programs, table for reading.
const (
	formatPlain  = "plain"
	formatJSON   = "json"
	formatFields = "fields"
	formatTable  = "table"
)

// writeOutFlag is shared by the commands that print an answer.
func writeOutFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "write-out", Aliases: []string{"w"}, Value: formatPlain, EnvVars: []string{"QKV_WRITE_OUT"},
		Usage: "`FORMAT` of the answer: plain, json, fields or table",
		Action: func(_ *cli.Context, format string) error {
			switch format {
			case formatPlain, formatJSON, formatFields, formatTable:
				return nil
			}
			return usagef("--write-out %q is not a format: plain, json, fields or table", format)
		},
	}
}

// plainOrJSONFlag is shared by the commands that print several things without a table format. variable is its environment variable.
func plainOrJSONFlag(things, variable string) cli.Flag {
	return &cli.StringFlag{
		Name: "write-out", Aliases: []string{"w"}, Value: formatPlain, EnvVars: []string{variable}, Usage: "`FORMAT` of the " + things + ": plain or json",
		Action: oneOf("write-out", formatPlain, formatJSON),
	}
}

// field is one line of the fields format, and one column of a table's row.
type field struct {
	name  string
	value any // a string is quoted, a number or boolean is not
}

// document is an answer that is one object. Names and order are a promise. `-w fields` and a table have the same names as the JSON, as in
// FeatureLevel for feature_level.
type document []field

// MarshalJSON implements json.Marshaler.
func (d document) MarshalJSON() ([]byte, error) {
	var to bytes.Buffer
	between := byte('{')
	for _, f := range d {
		to.WriteByte(between)
		to.WriteString(strconv.Quote(f.name) + ":")
		if err := writeJSON(&to, f.value); err != nil {
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
func (d document) fields() (all []field) {
	for _, f := range d {
		title, list := figures.Title(f.name), reflect.ValueOf(f.value)
		switch value := f.value.(type) {
		case []string:
			all = append(all, field{title, strings.Join(value, ",")})
		case []document:
			for _, one := range value {
				all = append(all, one.fields()...)
			}
		case document:
			for _, one := range value.fields() {
				all = append(all, field{title + one.name, one.value})
			}
		case encoded:
			all = append(all, field{strings.TrimSuffix(title, "Base64"), string(value)})
		default:
			if list.Kind() != reflect.Slice {
				all = append(all, field{title, value})
				continue
			}
			for i := range list.Len() {
				all = append(all, field{strings.TrimSuffix(title, "s"), fmt.Sprint(list.Index(i).Interface())})
			}
		}
	}
	return all
}

// encoded are bytes that are no text: JSON has them in base64.
type encoded []byte

// textField returns the field of a key or value.
func textField(name string, b []byte) field {
	if utf8.Valid(b) {
		return field{name, string(b)}
	}
	return field{name + "_base64", encoded(b)}
}

// writeFields prints one `"Name" : value` per line, as etcdctl does.
func writeFields(w io.Writer, fields []field) {
	for _, f := range fields {
		if s, ok := f.value.(string); ok {
			fmt.Fprintf(w, "%q : %q\n", f.name, s)
		} else {
			fmt.Fprintf(w, "%q : %v\n", f.name, f.value)
		}
	}
}

// writeOne prints an answer with a single object: in a table its fields are the columns.
func writeOne(c *cli.Context, text string, d document) {
	w := c.App.Writer
	switch c.String("write-out") {
	case formatJSON:
		_ = writeJSON(w, d) // answerWriter keeps the error, and run reports it
	case formatFields:
		writeFields(w, d.fields())
	case formatTable:
		fields := d.fields()
		var t table
		row := make([]any, len(fields))
		for i, f := range fields {
			t.head, row[i] = append(t.head, strings.ToUpper(f.name)), f.value
		}
		t.add(row...)
		t.write(w)
	default:
		fmt.Fprint(w, text)
	}
}

// writeList prints a list of objects: as JSON below its name, as fields, or as rest prints it.
func writeList(w io.Writer, format, name string, all []document, rest func(w helpWriter)) error {
	switch format {
	case formatJSON:
		return writeJSON(w, document{{name, all}})
	case formatFields:
		for _, d := range all {
			writeFields(w, d.fields())
			fmt.Fprintln(w)
		}
	default:
		rest(helpWriter{w, widthOf(w)})
	}
	return nil
}

// writeChanged prints what was changed, as in "removed"; text is the plain form, and id may be empty.
func writeChanged(c *cli.Context, text, name, id, change string) {
	d := document{{"name", name}, {"id", id}, {"change", change}}
	if id == "" {
		d = slices.Delete(d, 1, 2)
	}
	writeOne(c, text+"\n", d)
}

// writeJSON prints one compact line, without HTML escapes.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// unbufferedTable returns out; for a table it returns stdout itself, which knows the width of the terminal.
func unbufferedTable(c *cli.Context, format string, out *bufio.Writer) io.Writer {
	if format == formatTable {
		return c.App.Writer
	}
	return out
}

// pairs is the printed answer to a query.
type pairs struct {
	kv.RangeResult
	single    bool // the query is for one key, not a range
	keysOnly  bool
	countOnly bool
	raw       bool // no newline after a value
}

// write prints the answer in a format.
func (p *pairs) write(w io.Writer, format string) error {
	switch format {
	case formatJSON:
		return writeJSON(w, p.document())
	case formatFields:
		p.writeFields(w)
	case formatTable:
		p.writeTable(w)
	default:
		p.writePlain(w)
	}
	return nil
}

// stream prints the pages of an answer as they arrive, in the same form as write prints a complete answer. It is for ranges without
// a limit, and not for tables.
func (p *pairs) stream(w io.Writer, format string, pages iter.Seq2[kv.RangeResult, error]) error {
	begun, between := false, ""
	for page, err := range pages {
		if err != nil {
			return err
		}
		p.Revision, p.Count, p.KVs = page.Revision, page.Count, page.KVs
		if !begun {
			begun = true
			switch format {
			case formatJSON:
				fmt.Fprintf(w, `{"revision":%d,"count":%d,"more":false,"kvs":[`, p.Revision, p.Count)
			case formatFields:
				writeFields(w, []field{{"Revision", p.Revision}})
			}
		}
		switch format {
		case formatJSON:
			if between, err = p.streamJSON(w, between); err != nil {
				return err
			}
		case formatFields:
			writePairs(w, p.KVs, p.keysOnly)
		default:
			p.writePlain(w)
		}
	}
	switch format {
	case formatJSON:
		_, err := io.WriteString(w, "]}\n")
		return err
	case formatFields:
		writeFields(w, []field{{"More", false}, {"Count", p.Count}})
	}
	return nil
}

// streamJSON prints the pairs of a page, and returns the separator before the next one.
func (p *pairs) streamJSON(w io.Writer, between string) (string, error) {
	var one bytes.Buffer
	for i := range p.KVs {
		one.Reset()
		if err := writeJSON(&one, documentOf(&p.KVs[i], p.keysOnly)); err != nil {
			return "", err
		}
		if _, err := fmt.Fprintf(w, "%s%s", between, bytes.TrimSuffix(one.Bytes(), []byte{'\n'})); err != nil {
			return "", err
		}
		between = ","
	}
	return between, nil
}

// writePlain prints the value of a single key; for a range each key and value on lines of their own; or the count.
func (p *pairs) writePlain(w io.Writer) {
	if p.countOnly {
		fmt.Fprintln(w, p.Count)
		return
	}
	for _, pair := range p.KVs {
		if !p.single || p.keysOnly {
			_, _ = w.Write(append(bytes.Clone(pair.Key), '\n'))
		}
		if !p.keysOnly {
			_, _ = w.Write(pair.Value)
			if !p.raw {
				_, _ = w.Write([]byte{'\n'})
			}
		}
	}
}

func (p *pairs) writeFields(w io.Writer) {
	writeFields(w, []field{{"Revision", p.Revision}})
	writePairs(w, p.KVs, p.keysOnly)
	writeFields(w, []field{{"More", p.More}, {"Count", p.Count}})
}

// writePairs prints the fields of pairs.
func writePairs(w io.Writer, all []kv.KeyValue, keysOnly bool) {
	for _, pair := range all {
		fields := []field{
			{"Key", string(pair.Key)}, {"CreateRevision", pair.CreateRevision}, {"ModRevision", pair.ModRevision}, {"Version", pair.Version},
		}
		if !keysOnly {
			fields = append(fields, field{"Value", string(pair.Value)})
		}
		writeFields(w, append(fields, field{"Lease", pair.Lease}))
	}
}

func (p *pairs) writeTable(w io.Writer) {
	if p.countOnly {
		t := table{head: []string{"REVISION", "COUNT"}}
		t.add(p.Revision, p.Count)
		t.write(w)
		return
	}
	t := table{head: []string{"KEY", "VALUE", "CREATED", "MODIFIED", "VERSION", "LEASE"}}
	for _, pair := range p.KVs {
		value := printable(pair.Value, tableValueMost)
		if p.keysOnly {
			value = "-"
		}
		t.add(printable(pair.Key, len(pair.Key)), value, pair.CreateRevision, pair.ModRevision, pair.Version, cmp.Or(leaseHex(pair.Lease), "-"))
	}
	t.write(w)
}

// rangeDocument is the JSON of an answer; names and order are a promise.
type rangeDocument struct {
	Revision int64          `json:"revision"`
	Count    int64          `json:"count"`
	More     bool           `json:"more"`
	KVs      []pairDocument `json:"kvs"`
}

// pairDocument has a key or value as text, or in base64 if it is not UTF-8: a replacement character would be wrong data.
type pairDocument struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   *string `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 *string `json:"value_base64,omitempty"`
	Create      int64   `json:"create_revision"`
	Mod         int64   `json:"mod_revision"`
	Version     int64   `json:"version"`
	leaseDigits
}

// leaseNumbers is the help's sentence about lease ids in JSON.
const leaseNumbers = "In -w json, lease is the id as a number, as etcdctl prints it; JavaScript and jq round it. lease_hex is the id in " +
	"the form that `qkv lease` reads; it is left out without a lease."

// leaseDigits is a lease in the JSON of keys and changes.
type leaseDigits struct {
	Lease int64  `json:"lease"`
	Hex   string `json:"lease_hex,omitempty"`
}

func leaseDigitsOf(id int64) leaseDigits { return leaseDigits{id, leaseHex(id)} }

// leaseHex returns the id in hexadecimal digits; empty for no lease.
func leaseHex(id int64) string {
	if id == 0 {
		return ""
	}
	return hex(uint64(id))
}

func (p *pairs) document() rangeDocument {
	d := rangeDocument{Revision: p.Revision, Count: p.Count, More: p.More, KVs: make([]pairDocument, 0, len(p.KVs))}
	for i := range p.KVs {
		d.KVs = append(d.KVs, documentOf(&p.KVs[i], p.keysOnly))
	}
	return d
}

func documentOf(pair *kv.KeyValue, keysOnly bool) pairDocument {
	one := pairDocument{Create: pair.CreateRevision, Mod: pair.ModRevision, Version: pair.Version, leaseDigits: leaseDigitsOf(pair.Lease)}
	one.Key, one.KeyBase64 = textOrBase64(pair.Key)
	if !keysOnly {
		one.Value, one.ValueBase64 = textOrBase64(pair.Value)
	}
	return one
}

// documentsOf returns nil for no pairs, which JSON leaves out.
func documentsOf(all []kv.KeyValue) (documents []pairDocument) {
	for i := range all {
		documents = append(documents, documentOf(&all[i], false))
	}
	return documents
}

func textOrBase64(b []byte) (text, encoded *string) {
	if utf8.Valid(b) {
		return new(string(b)), nil
	}
	return nil, new(base64.StdEncoding.EncodeToString(b))
}
