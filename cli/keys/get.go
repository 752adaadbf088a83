package keys

// This file is `qkv get`: print the value of a key, or keys and values of a range.

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

// getQuery builds the query from getFlags and the arguments.
func getQuery(c *cli.Context) (q kv.Range, err error) {
	if q, err = rangeQuery(c, c.Args().Slice()); err != nil {
		return q, err
	}
	q.Revision, q.Limit = c.Int64("rev"), c.Int64("limit")
	q.Serializable, q.KeysOnly, q.CountOnly = c.Bool("serializable"), c.Bool("keys-only"), c.Bool("count-only")
	return q, nil
}

func get(c *cli.Context) error {
	q, err := getQuery(c)
	if err != nil {
		return err
	}
	raw := c.Bool("raw")
	if raw && (q.End != nil || c.Bool("keys-only") || c.Bool("count-only")) {
		return form.Usagef("--raw prints the value of one key: it goes with no END, --prefix, --from-key, --keys-only and --count-only")
	}
	at, err := form.TimeAsked(c, time.Now())
	if err != nil {
		return err
	}
	format := c.String("write-out")
	if raw {
		format = form.Plain
	}
	to := form.AnswerOf(c, raw)
	answer := Pairs{single: q.End == nil, KeysOnly: q.KeysOnly, countOnly: q.CountOnly, raw: raw, to: to}
	if q.End != nil && !q.CountOnly && q.Limit == 0 && format != form.Table {
		return form.Open(c.Context, c, func(s *client.Client) error { // no timeout: the reader of the output may be slow
			if err := readAt(c.Context, s, &q, at); err != nil {
				return err
			}
			return answer.Stream(to, format, false, s.Pages(c.Context, q))
		})
	}
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		if err := readAt(ctx, s, &q, at); err != nil {
			return err
		}
		if answer.RangeResult, err = s.Range(ctx, q); err != nil {
			return err
		}
		if err := answer.Write(to, format); err != nil {
			return err
		}
		if answer.single && (answer.Count == 0 || len(answer.KVs) == 0 && !q.CountOnly) {
			return form.Exitf(form.ExitNotFound, "key %q not found%s", q.Key, form.AsOf(q.Revision, at))
		}
		return nil
	})
}

// readAt sets the query's revision to that of a time, unless the time is zero.
func readAt(ctx context.Context, s *client.Client, q *kv.Range, at time.Time) (err error) {
	if !at.IsZero() {
		q.Revision, err = s.RevisionAt(ctx, at, client.ReadOptions{Serializable: q.Serializable})
	}
	return err
}

// rangeQuery builds a query from --prefix, --from-key and the arguments KEY [END].
func rangeQuery(c *cli.Context, keys []string) (kv.Range, error) {
	prefix, fromKey := c.Bool("prefix"), c.Bool("from-key")
	switch {
	case prefix && fromKey:
		return kv.Range{}, form.Usagef("--prefix and --from-key exclude each other")
	case len(keys) == 2 && (prefix || fromKey):
		return kv.Range{}, form.Usagef("--prefix and --from-key say where the range ends: END %q goes without them", keys[1])
	}
	key, err := keyArgument(c, prefix || fromKey)
	if err != nil {
		return kv.Range{}, err
	}
	switch {
	case prefix:
		return PrefixQuery(key), nil
	case fromKey:
		return kv.Range{Key: orLeast(key), End: client.From}, nil
	case len(keys) == 2 && keys[1] != "":
		return kv.Range{Key: key, End: []byte(keys[1])}, nil
	}
	return kv.Range{Key: key}, nil
}

// PrefixQuery returns the query for all keys that begin with prefix; an empty prefix matches every key.
func PrefixQuery(prefix []byte) kv.Range {
	return kv.Range{Key: orLeast(prefix), End: client.Prefix(prefix)}
}

// orLeast replaces an empty key, which cannot exist, by the smallest key.
func orLeast(key []byte) []byte {
	if len(key) == 0 {
		return []byte{0}
	}
	return key
}
