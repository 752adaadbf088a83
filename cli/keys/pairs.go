package keys

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"

	"qkv/cli/form"
	"qkv/index/kv"
)

// Pairs is the printed answer to a query. It is no form.Answer: there may be more keys than fit into memory.
type Pairs struct {
	kv.RangeResult
	single    bool // the query is for one key, not a range
	KeysOnly  bool
	countOnly bool
	raw       bool // no newline after a value
	to        io.Writer
}

// Write prints the answer in a format.
func (p *Pairs) Write(w io.Writer, format string) error {
	if format == form.Table {
		return form.Answer{Document: p.document()}.Write(w, format)
	}
	return p.Stream(w, format, p.More, func(yield func(kv.RangeResult, error) bool) { yield(p.RangeResult, nil) })
}

// Stream prints the pages of an answer as they arrive, but not as a table. more says whether the range has keys after those.
func (p *Pairs) Stream(w io.Writer, format string, more bool, pages iter.Seq2[kv.RangeResult, error]) error {
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
func (p *Pairs) streamJSON(w io.Writer, between string) (string, error) {
	var one bytes.Buffer
	for i := range p.KVs {
		one.Reset()
		if err := form.WriteJSON(&one, documentOf(&p.KVs[i], p.KeysOnly)); err != nil {
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
func (p *Pairs) writePlain(w io.Writer) {
	if p.countOnly {
		fmt.Fprintln(w, p.Count)
		return
	}
	for _, pair := range p.KVs {
		if !p.single || p.KeysOnly {
			_, _ = io.WriteString(w, form.KeyLine(p.to, pair.Key))
		}
		if !p.KeysOnly {
			_, _ = w.Write(pair.Value)
			if !p.raw {
				_, _ = w.Write([]byte{'\n'})
			}
		}
	}
}

// document is the answer for a table.
func (p *Pairs) document() form.Document {
	if p.countOnly {
		return form.Document{{"revision", p.Revision}, {"count", p.Count}}
	}
	return form.Document{{"kvs", documentsOf(p.KVs, p.KeysOnly)}}
}

// plainOf returns the previous state of keys, below the answer to a write.
func plainOf(all []kv.KeyValue) string {
	p, text := Pairs{RangeResult: kv.RangeResult{KVs: all}}, bytes.Buffer{}
	p.writePlain(&text)
	return text.String()
}

// leaseHex returns the id in hexadecimal digits; empty for no lease.
func leaseHex(id int64) string {
	if id == 0 {
		return ""
	}
	return form.Hex(uint64(id))
}

// documentOf returns a key, with its state.
func documentOf(pair *kv.KeyValue, keysOnly bool) form.Document {
	d := stateOf(pair)
	if keysOnly {
		d = d[1:]
	}
	return append(form.Document{{"key", form.Bytes(pair.Key)}}, d...)
}

// stateOf returns a key's state: its value, its revisions and its lease.
func stateOf(pair *kv.KeyValue) form.Document {
	return form.Document{
		{"value", form.Bytes(pair.Value)},
		{"create_revision", pair.CreateRevision},
		{"mod_revision", pair.ModRevision},
		{"version", pair.Version},
		{"lease", pair.Lease},
		{"lease_hex", form.Some(leaseHex(pair.Lease))},
	}
}

func documentsOf(all []kv.KeyValue, keysOnly bool) (documents []form.Document) {
	for i := range all {
		documents = append(documents, documentOf(&all[i], keysOnly))
	}
	return documents
}
