package keys

// This file is `qkv du`: print how much space keys take, by prefix.

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
)

func du(c *cli.Context) error {
	q := kv.Usage{
		Prefix: []byte(c.Args().First()), Separator: []byte(c.String("separator")), Depth: c.Int("depth"), Serializable: c.Bool("serializable"),
	}
	if err := q.Check(kv.Bounds{Key: limits.KeyBytes}); err != nil {
		return form.Usagef("%s", err.Message)
	}
	return form.Open(c.Context, c, func(s *client.Client) error { // no timeout: the time depends on the number of keys
		all, err := s.Admin().Usage(c.Context, q)
		if err != nil {
			return err
		}
		d := newUsed(&q, &all, c.String("sort"))
		return form.WriteAnswer(c, form.Answer{Document: d.document(), Page: func(p form.Page) { d.writeTable(p, form.IsTerminal(c.App.Writer)) }})
	})
}

// used is the printed usage.
type used struct {
	*kv.UsageResult
	query *kv.Usage
	total kv.UsageRow
}

// newUsed sorts the rows, and adds them up.
func newUsed(q *kv.Usage, all *kv.UsageResult, order string) *used {
	d := &used{UsageResult: all, query: q}
	for i := range all.Rows {
		d.total.Add(&all.Rows[i])
	}
	slices.SortFunc(all.Rows, func(a, b kv.UsageRow) int {
		n := 0
		switch order {
		case "bytes":
			n = cmp.Compare(b.Bytes, a.Bytes)
		case "keys":
			n = cmp.Compare(b.Keys, a.Keys)
		case "history":
			n = cmp.Compare(b.History, a.History)
		case "changes":
			n = cmp.Compare(b.Changes, a.Changes)
		}
		return cmp.Or(n, bytes.Compare(a.Prefix, b.Prefix))
	})
	return d
}

// direct reports whether the keys of a group have fewer separators than --depth.
func (d *used) direct(row *kv.UsageRow) bool {
	return bytes.Count(row.Prefix[len(d.query.Prefix):], d.query.Separator) < d.query.Depth
}

// changed returns a number of changes, or "-" if none were counted.
func (d *used) changed(n int64) string {
	if d.Period == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// number is text that a table aligns to the right.
type number string

// writeTable prints one line for each group, the total, and the revision and the period of the changes. Sizes have units if a person
// reads them.
func (d *used) writeTable(w form.Page, person bool) {
	size := func(n int64) number {
		if person {
			return number(form.BytesText(n))
		}
		return number(strconv.FormatInt(n, 10))
	}
	t := form.Rows{Columns: []string{"PREFIX", "KEYS", "BYTES", "VERSIONS", "HISTORY", "LEASED", "CHANGES"}}
	add := func(name string, r *kv.UsageRow) {
		t.Add(name, r.Keys, size(r.Bytes), r.Versions, size(r.History), r.Leased, number(d.changed(r.Changes)))
	}
	for i := range d.Rows {
		row := &d.Rows[i]
		name := form.Printable(row.Prefix, len(row.Prefix))
		if name == "" {
			name = `""`
		}
		if d.direct(row) {
			name += " (direct)"
		}
		add(name, row)
	}
	add("total", &d.total)
	t.Write(w)
	fmt.Fprintf(w, "revision %d, %s\n", d.Revision, d.period())
}

// period describes the time whose changes were counted.
func (d *used) period() string {
	switch {
	case d.Period == 0:
		return "changes were not counted: the kept history covers no time, or the members' clocks contradict each other"
	case d.Period < time.Minute:
		return fmt.Sprintf("changes of the last %v only, older history is compacted", d.Period.Round(time.Millisecond))
	default:
		return "changes of the last minute"
	}
}

// document returns the usage for JSON; a period of 0 says that changes were not counted.
func (d *used) document() form.Document {
	numbers := func(r *kv.UsageRow) form.Document {
		return form.Document{
			{"keys", r.Keys}, {"bytes", r.Bytes}, {"history_versions", r.Versions}, {"history_bytes", r.History}, {"leased_keys", r.Leased}, {"changes", r.Changes},
		}
	}
	groups := make([]form.Document, 0, len(d.Rows))
	for i := range d.Rows {
		row := &d.Rows[i]
		name := form.Document{{"prefix", form.Bytes(row.Prefix)}, {"direct", d.direct(row)}}
		groups = append(groups, append(name, numbers(row)...))
	}
	return form.Document{{"revision", d.Revision}, {"changes_period_s", d.Period.Seconds()}, {"groups", groups}, {"total", numbers(&d.total)}}
}
