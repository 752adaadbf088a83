package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"

	"qkv/cli/form"
	"qkv/index/kv"
)

// pairs is the printed answer to a query. It is no form.Answer: there may be more keys than fit into memory.
type pairs struct {
	kv.RangeResult
	single    bool // the query is for one key, not a range
	keysOnly  bool
	countOnly bool
	raw       bool // no newline after a value
	to        io.Writer
}

// write prints the answer in a format.
func (p *pairs) write(w io.Writer, format string) error {
	if format == form.Table {
		return form.Answer{Table: p.table()}.Write(w, format)
	}
	return p.stream(w, format, p.More, func(yield func(kv.RangeResult, error) bool) { yield(p.RangeResult, nil) })
}

// stream prints the pages of an answer as they arrive, but not as a table. more says whether the range has keys after those.
func (p *pairs) stream(w io.Writer, format string, more bool, pages iter.Seq2[kv.RangeResult, error]) error {
	out := bufio.NewWriterSize(w, 64<<10)
	begun, between := false, ""
	for page, err := range pages {
		if err != nil {
			return err
		}
		p.RangeResult = page
		if format != form.JSON {
			p.writePlain(out)
			continue
		}
		if !begun {
			fmt.Fprintf(out, `{"revision":%d,"count":%d,"more":%t,"kvs":[`, p.Revision, p.Count, more)
		}
		begun = true
		if between, err = p.streamJSON(out, between); err != nil {
			return err
		}
	}
	if format == form.JSON {
		_, _ = out.WriteString("]}\n")
	}
	return out.Flush()
}

// streamJSON prints the pairs of a page, and returns the separator before the next one.
func (p *pairs) streamJSON(w io.Writer, between string) (string, error) {
	var one bytes.Buffer
	for i := range p.KVs {
		one.Reset()
		if err := form.WriteJSON(&one, documentOf(&p.KVs[i], p.keysOnly)); err != nil {
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
			_, _ = io.WriteString(w, keyLine(p.to, pair.Key))
		}
		if !p.keysOnly {
			_, _ = w.Write(pair.Value)
			if !p.raw {
				_, _ = w.Write([]byte{'\n'})
			}
		}
	}
}

func (p *pairs) table() *form.Rows {
	if p.countOnly {
		t := &form.Rows{Columns: []string{"REVISION", "COUNT"}}
		t.Add(p.Revision, p.Count)
		return t
	}
	t := &form.Rows{Columns: []string{"KEY", "VALUE", "CREATED", "MODIFIED", "VERSION", "LEASE"}}
	for _, pair := range p.KVs {
		value := printable(pair.Value, tableValueMost)
		if p.keysOnly {
			value = "-"
		}
		t.Add(printable(pair.Key, len(pair.Key)), value, pair.CreateRevision, pair.ModRevision, pair.Version, cmp.Or(leaseHex(pair.Lease), "-"))
	}
	return t
}

// withPrevious adds the previous state of keys to the answer to a write.
func withPrevious(a form.Answer, all []kv.KeyValue) form.Answer {
	if len(all) == 0 {
		return a
	}
	p, text := pairs{RangeResult: kv.RangeResult{KVs: all}}, bytes.Buffer{}
	p.writePlain(&text)
	a.Text, a.Below = a.Text+text.String(), p.table()
	return a
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
