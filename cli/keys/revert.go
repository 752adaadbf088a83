package keys

// This file is `qkv revert`: make keys what they were at a revision or a time.

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/limits"
	"qkv/net/client"
)

func revert(c *cli.Context) error {
	if c.String("to") == "" {
		return form.Usagef("--to is missing: %s", pointUsage)
	}
	if c.Args().First() == "" && !c.Bool("all") && !c.Bool("dry-run") {
		return form.Usagef("an empty PREFIX stands for every key: pass --all to confirm, or --dry-run to see the changes; nothing was changed")
	}
	to, at, err := ParsePoint(c.String("to"), time.Now())
	if err != nil {
		return err
	}
	return form.Open(c.Context, c, func(s *client.Client) error {
		r := &reverter{c: c, client: s, prefix: c.Args().First(), to: to, at: at}
		var err error
		if !at.IsZero() {
			r.to, err = s.RevisionAt(c.Context, at, client.ReadOptions{})
		}
		if err == nil {
			r.now, err = NewestOf(c.Context, s, r.prefix)
		}
		switch {
		case err != nil:
			return form.OrNothing(err)
		case r.to > r.now:
			return fmt.Errorf("revision %d does not exist yet, the newest is %d; nothing was changed", r.to, r.now)
		// a wrong time zone is more likely than a wish to delete every key
		case r.to <= form.BeforeAll && !at.IsZero() && !c.Bool("dry-run"):
			return form.Usagef("--to %s is %s, before the first write: every key would be deleted; pass --to %d to confirm; nothing was changed",
				c.String("to"), at.Format(time.RFC3339), form.BeforeAll)
		}
		if c.Bool("dry-run") {
			return r.show()
		}
		if err := r.ask(); err != nil {
			return err
		}
		return r.run()
	})
}

// reverter restores earlier values of keys.
type reverter struct {
	c       *cli.Context
	client  *client.Client
	prefix  string
	to, now int64     // the revision to restore, and the newest one
	at      time.Time // the requested time; zero if a revision was requested

	batch []difference
	bytes int
	reverted
}

// reverted is the JSON of the result.
type reverted struct {
	Revision int64 `json:"revision"` // the newest that the revert made; 0: none
	Put      int   `json:"put"`
	Deleted  int   `json:"deleted"`
	Leased   int   `json:"leased"`  // left unchanged, because they belong to a lease
	Written  int   `json:"written"` // left unchanged, because another client wrote them meanwhile
}

// all calls f for each key to change; after is the state to restore.
func (r *reverter) all(ctx context.Context, f func(d *difference) error) error {
	for d, err := range differences(ctx, r.client, r.prefix, r.now, r.to) {
		switch {
		case err != nil:
			return err
		case d.leased():
			r.Leased++
			continue
		}
		if err := f(&d); err != nil {
			return err
		}
	}
	return nil
}

// show prints the changes without making them.
func (r *reverter) show() error {
	w := &differenceWriter{out: bufio.NewWriter(r.c.App.Writer), format: r.c.String("write-out")}
	if err := r.all(r.c.Context, w.write); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	r.tellLeased()
	return nil
}

func (r *reverter) tellLeased() {
	if r.Leased > 0 {
		fmt.Fprintf(r.c.App.ErrWriter, "%d keys belong to a lease and are left unchanged\n", r.Leased)
	}
}

// ask asks for confirmation on a terminal.
func (r *reverter) ask() error {
	if !form.ReadsTerminal(r.c.App.Reader) || r.c.Bool("yes") {
		return nil
	}
	puts, deletes := 0, 0
	err := r.all(r.c.Context, func(d *difference) error {
		if d.after != nil {
			puts++
		} else {
			deletes++
		}
		return nil
	})
	if err != nil || puts+deletes == 0 {
		return err
	}
	r.Leased = 0
	fmt.Fprintf(r.c.App.ErrWriter, "%d keys would be put, and %d deleted, to be as they were%s (--dry-run shows them). Go on? [y/N] ", puts, deletes, form.AsOf(r.to, r.at))
	answer, _ := bufio.NewReader(r.c.App.Reader).ReadString('\n')
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return form.Exitf(form.ExitFailed, "nothing was changed")
	}
	return nil
}

// revertBytes limits the keys and values of one transaction with several keys.
const revertBytes = 1 << 20

func (r *reverter) run() error {
	err := r.all(r.c.Context, func(d *difference) error {
		size := len(d.key)
		if d.after != nil {
			size += len(d.after.Value)
		}
		if len(r.batch) == limits.TxnOperations || len(r.batch) > 0 && r.bytes+size > revertBytes {
			if err := r.flush(); err != nil {
				return err
			}
		}
		r.batch, r.bytes = append(r.batch, *d), r.bytes+size
		return nil
	})
	if err == nil {
		err = r.flush()
	}
	if err != nil {
		if r.Put+r.Deleted > 0 {
			return fmt.Errorf("%d keys were reverted, and then: %w", r.Put+r.Deleted, err)
		}
		return form.OrNothing(err)
	}
	return r.tell()
}

// flush changes the keys of the batch in one transaction, which requires that no key has changed since it was read.
func (r *reverter) flush() error {
	for len(r.batch) > 0 {
		outcome, err := r.client.Txn(r.c.Context, r.txn())
		if err != nil {
			return form.WriteFailed(err)
		}
		if outcome.Succeeded {
			r.count(outcome.Revision)
			break
		}
		var still []difference
		for i, d := range r.batch {
			mod := int64(0)
			if found := outcome.Answers[i].Range.KVs; len(found) > 0 {
				mod = found[0].ModRevision
			}
			if mod == d.readAt() {
				still = append(still, d)
				continue
			}
			r.Written++
			fmt.Fprintf(r.c.App.ErrWriter, "left unchanged, written meanwhile by another client: %s\n", form.Printable(d.key, len(d.key)))
		}
		if len(still) == len(r.batch) {
			return fmt.Errorf("a transaction was refused, and none of its %d keys was changed since it was read", len(still))
		}
		r.batch = still
	}
	r.batch, r.bytes = nil, 0
	return nil
}

// readAt returns the revision of the key's last change when it was read; 0 if it did not exist.
func (d *difference) readAt() int64 {
	if d.before == nil {
		return 0
	}
	return d.before.ModRevision
}

func (r *reverter) txn() (t kv.Txn) {
	for i := range r.batch {
		d := &r.batch[i]
		t.Compares = append(t.Compares, kv.Compare{Key: d.key, Target: kv.CompareMod, Number: d.readAt()})
		t.Failure = append(t.Failure, kv.Op{Range: &kv.Range{Key: d.key, KeysOnly: true}})
		if d.after != nil {
			t.Success = append(t.Success, kv.Op{Put: &kv.Put{Key: d.key, Value: d.after.Value}})
		} else {
			t.Success = append(t.Success, kv.Op{Delete: &kv.Delete{Key: d.key}})
		}
	}
	return t
}

func (r *reverter) count(revision int64) {
	r.Revision = revision
	for i := range r.batch {
		if r.batch[i].after != nil {
			r.Put++
		} else {
			r.Deleted++
		}
	}
}

// tell prints the result.
func (r *reverter) tell() error {
	r.tellLeased()
	text := fmt.Sprintf("%s at revision %d: %d put, %d deleted\n", checks.Plural(r.Put+r.Deleted, "key is as it was", "keys are as they were"), r.to, r.Put, r.Deleted)
	if err := form.WriteAnswer(r.c, form.Answer{Document: r.reverted, Text: text}); err != nil {
		return err
	}
	if r.Written > 0 {
		return form.Exitf(form.ExitCondition, "%d keys were written meanwhile by other clients and are left unchanged", r.Written)
	}
	return nil
}
