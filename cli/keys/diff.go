package keys

// This file is `qkv diff`: print how keys differ between two times.

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func diff(c *cli.Context) error {
	if c.String("from") == "" {
		return form.Usagef("--from is missing: %s", pointUsage)
	}
	for _, name := range []string{"from", "to"} {
		if _, _, err := ParsePoint(c.String(name), time.Now()); err != nil {
			return err
		}
	}
	return form.Open(c.Context, c, func(s *client.Client) error {
		from, err := pointAsked(c.Context, s, c.String("from"))
		if err != nil {
			return err
		}
		to, err := pointAsked(c.Context, s, c.String("to"))
		if err == nil && to == 0 {
			to, err = NewestOf(c.Context, s, c.Args().First())
		}
		if err != nil {
			return err
		}
		w := &differenceWriter{out: bufio.NewWriter(c.App.Writer), format: c.String("write-out"), keysOnly: c.Bool("keys-only"), authors: !c.Bool("keys-only")}
		for d, err := range differences(c.Context, s, c.Args().First(), from, to) {
			if err == nil {
				err = w.add(c.Context, s, d)
			}
			if err != nil {
				return err
			}
		}
		return cmp.Or(w.flush(c.Context, s), w.out.Flush())
	})
}

// NewestOf returns the newest revision. It asks for a prefix that the user may read: others may be refused.
func NewestOf(ctx context.Context, s *client.Client, prefix string) (int64, error) {
	found, err := s.Range(ctx, kv.Range{Key: orLeast([]byte(prefix)), KeysOnly: true})
	return found.Revision, err
}

// difference is a key that differs between two revisions; nil where the key does not exist.
type difference struct {
	key    []byte
	before *kv.KeyValue
	after  *kv.KeyValue
	// The authors of both; empty where none is known.
	beforeBy, afterBy string
}

func (d *difference) kind() (mark, name string) {
	switch {
	case d.before == nil:
		return "+", "created"
	case d.after == nil:
		return "-", "deleted"
	default:
		return "~", "changed"
	}
}

// leased reports whether the key belonged to a lease, before or after.
func (d *difference) leased() bool {
	return d.before != nil && d.before.Lease != 0 || d.after != nil && d.after.Lease != 0
}

// differences yields the keys below a prefix that differ between two revisions, in key order. An error ends the sequence.
func differences(ctx context.Context, s *client.Client, prefix string, from, to int64) iter.Seq2[difference, error] {
	return func(yield func(difference, error) bool) {
		at := func(revision int64) (next func() (kv.KeyValue, error, bool), stop func()) {
			q := PrefixQuery([]byte(prefix))
			q.Revision = revision
			return iter.Pull2(eachPair(ctx, s, q))
		}
		nextBefore, stopBefore := at(from)
		defer stopBefore()
		nextAfter, stopAfter := at(to)
		defer stopAfter()
		before, failed, isBefore := nextBefore()
		after, err, isAfter := nextAfter()
		for isBefore || isAfter {
			if failed == nil {
				failed = err
			}
			if failed != nil {
				yield(difference{}, failed)
				return
			}
			order := bytes.Compare(before.Key, after.Key)
			var d difference
			if isBefore && (!isAfter || order <= 0) {
				one := before
				d.key, d.before = one.Key, &one
				before, failed, isBefore = nextBefore()
			}
			if isAfter && (d.before == nil || order == 0) {
				one := after
				d.key, d.after = one.Key, &one
				after, err, isAfter = nextAfter()
			}
			if !d.same() && !yield(d, nil) {
				return
			}
		}
	}
}

func (d *difference) same() bool {
	return d.before != nil && d.after != nil && d.before.Lease == d.after.Lease && bytes.Equal(d.before.Value, d.after.Value)
}

// eachPair yields the pairs of a range one by one.
func eachPair(ctx context.Context, s *client.Client, q kv.Range) iter.Seq2[kv.KeyValue, error] {
	return func(yield func(kv.KeyValue, error) bool) {
		for page, err := range s.Pages(ctx, q) {
			if err != nil {
				yield(kv.KeyValue{}, err)
				return
			}
			for _, pair := range page.KVs {
				if !yield(pair, nil) {
					return
				}
			}
		}
	}
}

// differenceWriter prints differences.
type differenceWriter struct {
	out      *bufio.Writer
	format   string
	keysOnly bool
	authors  bool         // print the authors
	waiting  []difference // for their authors
}

// add prints a difference, together with others: their authors are asked for together.
func (w *differenceWriter) add(ctx context.Context, s *client.Client, d difference) error {
	if !w.authors {
		return w.write(&d)
	}
	if w.waiting = append(w.waiting, d); len(w.waiting) < versionsTogether {
		return nil
	}
	return w.flush(ctx, s)
}

// flush prints the differences that wait for their authors.
func (w *differenceWriter) flush(ctx context.Context, s *client.Client) error {
	var changes []kv.Change
	var names []*string // for the authors of changes
	for i := range w.waiting {
		d := &w.waiting[i]
		for _, side := range []struct {
			pair *kv.KeyValue
			name *string
		}{{d.before, &d.beforeBy}, {d.after, &d.afterBy}} {
			if side.pair != nil {
				changes = append(changes, kv.Change{Key: d.key, Revision: side.pair.ModRevision})
				names = append(names, side.name)
			}
		}
	}
	found, err := authorsOf(ctx, s, changes)
	if err != nil {
		return err
	}
	for i := range found {
		*names[i] = found[i]
	}
	for i := range w.waiting {
		if err := w.write(&w.waiting[i]); err != nil {
			return err
		}
	}
	w.waiting = w.waiting[:0]
	return nil
}

func (w *differenceWriter) write(d *difference) error {
	mark, kind := d.kind()
	document := form.Document{{"type", kind}, {"key", form.Bytes(d.key)}}
	if !w.keysOnly {
		document = append(document, sideOf("before", d.before, d.beforeBy), sideOf("after", d.after, d.afterBy))
	}
	return form.Answer{Document: document, Page: func(p form.Page) {
		line := mark + " " + form.Printable(d.key, len(d.key))
		if w.authors {
			line += "\t" + shownAuthor(d.afterBy)
		}
		fmt.Fprintln(p, line)
		if w.keysOnly {
			return
		}
		for _, side := range []struct {
			mark string
			pair *kv.KeyValue
		}{{"-", d.before}, {"+", d.after}} {
			if side.pair != nil {
				writeLines(p, "  "+side.mark+" ", side.pair.Value)
			}
		}
	}}.Write(w.out, w.format)
}

// writeLines prints the lines of a value, each after a prefix.
func writeLines(w io.Writer, prefix string, value []byte) {
	for line := range strings.SplitSeq(strings.TrimSuffix(string(value), "\n"), "\n") {
		_, _ = fmt.Fprintf(w, "%s%s\n", prefix, form.Printable([]byte(line), len(line)))
	}
}

// sideOf returns the field of a side, with its author; no value if the key does not exist.
func sideOf(name string, pair *kv.KeyValue, who string) form.Field {
	if pair == nil {
		return form.Field{name, nil}
	}
	return form.Field{name, append(stateOf(pair), form.Field{"who", form.Some(who)})}
}
