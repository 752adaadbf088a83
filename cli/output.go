package cli

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
)

// The formats of --write-out. Plain is for people and pipes, json and fields for programs, table for eyes.
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

// field is one line of the fields format, and one column of a table's row.
type field struct {
	name  string
	value any // a string is quoted, a number or boolean is not
}

// writeFields prints one `"Name" : value` a line, as etcdctl does.
func writeFields(w io.Writer, fields []field) {
	for _, f := range fields {
		if s, ok := f.value.(string); ok {
			fmt.Fprintf(w, "%q : %q\n", f.name, s)
		} else {
			fmt.Fprintf(w, "%q : %v\n", f.name, f.value)
		}
	}
}

// writeOne prints an answer that is one thing: a table has its fields as columns.
func writeOne(c *cli.Context, text string, fields []field, document any) {
	w := c.App.Writer
	switch c.String("write-out") {
	case formatJSON:
		_ = writeJSON(w, document) // run says that it is done, and could not be printed
	case formatFields:
		writeFields(w, fields)
	case formatTable:
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

// writeJSON prints one compact line. Text stays as it is: no HTML is made of it.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// pairs is the answer to a query, as it is printed.
type pairs struct {
	client.RangeResult
	single    bool // one key was asked for, not a range
	keysOnly  bool
	countOnly bool
	raw       bool // no newline behind a value
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

// stream prints all pages of an answer as they come, as write prints it when it is there as a whole. It is for a range
// without a limit, and for no table.
func (p *pairs) stream(w io.Writer, format string, pages iter.Seq2[client.RangeResult, error]) error {
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

// streamJSON prints a page's pairs, and returns what stands before the next one.
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

// writePlain prints a single key's value; of a range keys and values, a line each in turn; or the count.
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
func writePairs(w io.Writer, all []client.KeyValue, keysOnly bool) {
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

// rangeDocument is the JSON of an answer; the names and their order are a promise.
type rangeDocument struct {
	Revision int64          `json:"revision"`
	Count    int64          `json:"count"`
	More     bool           `json:"more"`
	KVs      []pairDocument `json:"kvs"`
}

// pairDocument has a key or value as text, or in base64 when it is not UTF-8: a replacement character would be a lie.
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

// leaseNumbers is the help's sentence about it.
const leaseNumbers = "In -w json lease is a number, as etcdctl prints it, of which JavaScript and jq lose digits; lease_hex is the id as " +
	"`qkv lease` takes it, and not there without a lease."

// leaseDigits is a lease as JSON has it in keys and changes.
type leaseDigits struct {
	Lease int64  `json:"lease"`
	Hex   string `json:"lease_hex,omitempty"`
}

func leaseDigitsOf(id int64) leaseDigits { return leaseDigits{id, leaseHex(id)} }

// leaseHex is empty for none.
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

func documentOf(pair *client.KeyValue, keysOnly bool) pairDocument {
	one := pairDocument{Create: pair.CreateRevision, Mod: pair.ModRevision, Version: pair.Version, leaseDigits: leaseDigitsOf(pair.Lease)}
	one.Key, one.KeyBase64 = textOrBase64(pair.Key)
	if !keysOnly {
		one.Value, one.ValueBase64 = textOrBase64(pair.Value)
	}
	return one
}

// documentsOf is nil for none, which JSON leaves out.
func documentsOf(all []client.KeyValue) (documents []pairDocument) {
	for i := range all {
		documents = append(documents, documentOf(&all[i], false))
	}
	return documents
}

func textOrBase64(b []byte) (text, encoded *string) {
	if utf8.Valid(b) {
		s := string(b)
		return &s, nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	return nil, &s
}
