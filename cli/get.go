package cli

import (
	"bufio"
	"bytes"
	"context"

	"github.com/urfave/cli/v2"
)

func getCommand() *cli.Command {
	return &cli.Command{
		Name: "get", Category: "keys", Usage: "print the value of a key, or keys and values of a range",
		ArgsUsage: "KEY",
		Description: "A single key's value is printed with a newline; a key that does not exist ends with exit code 3.\n" +
			"Of a range (--prefix, --from-key) keys and values are printed a line each, in turn.",
		Flags: clientFlags(writeOutFlag(),
			&cli.BoolFlag{Name: "prefix", EnvVars: []string{"QKV_GET_PREFIX"}, Usage: "all keys that begin with KEY"},
			&cli.BoolFlag{Name: "from-key", EnvVars: []string{"QKV_GET_FROM_KEY"}, Usage: "all keys from KEY on, by bytes"},
			&cli.Int64Flag{Name: "limit", EnvVars: []string{"QKV_GET_LIMIT"}, Usage: "at most `N` keys; 0 is all", Action: notNegative("limit")},
			&cli.Int64Flag{Name: "rev", EnvVars: []string{"QKV_GET_REV"}, Usage: "as of revision `N`; 0 is now", Action: notNegative("rev")},
			&cli.BoolFlag{Name: "keys-only", EnvVars: []string{"QKV_GET_KEYS_ONLY"}, Usage: "keys without values"},
			&cli.BoolFlag{Name: "count-only", EnvVars: []string{"QKV_GET_COUNT_ONLY"}, Usage: "only how many keys there are"},
			&cli.BoolFlag{Name: "serializable", EnvVars: []string{"QKV_GET_SERIALIZABLE"}, Usage: "what one member has, without asking the quorum: it may be old"},
		),
		Action: get,
	}
}

func get(c *cli.Context) error {
	q, err := rangeQuery(c)
	if err != nil {
		return err
	}
	q.revision, q.limit = c.Int64("rev"), c.Int64("limit")
	q.serializable, q.keysOnly, q.countOnly = c.Bool("serializable"), c.Bool("keys-only"), c.Bool("count-only")
	return within(c, func(ctx context.Context, s store) error {
		answer, err := s.get(ctx, q)
		if err != nil {
			return err
		}
		answer.single, answer.keysOnly, answer.onlyNum = q.end == nil, q.keysOnly, q.countOnly
		out := bufio.NewWriter(c.App.Writer)
		if err := answer.write(out, c.String("write-out")); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if answer.single && answer.count == 0 {
			return exitf(exitNotFound, "key %q not found", q.key)
		}
		return nil
	})
}

// rangeQuery is what KEY, --prefix and --from-key ask for.
func rangeQuery(c *cli.Context) (query, error) {
	if err := arguments(c, 1, 1); err != nil {
		return query{}, err
	}
	prefix, fromKey := c.Bool("prefix"), c.Bool("from-key")
	if prefix && fromKey {
		return query{}, usagef("--prefix and --from-key exclude each other")
	}
	key, err := keyArgument(c, prefix || fromKey)
	if err != nil {
		return query{}, err
	}
	q := query{key: key}
	switch {
	case prefix:
		q.end = prefixEnd(key)
	case fromKey:
		q.end = []byte{0}
	}
	if len(key) == 0 {
		q.key = []byte{0} // the least key: all of them
	}
	return q, nil
}

// prefixEnd is the first key behind all that begin with prefix; a zero byte, for "to the end", when there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return []byte{0}
}

func notNegative(name string) func(*cli.Context, int64) error {
	return func(_ *cli.Context, n int64) error {
		if n < 0 {
			return usagef("--%s %d must not be below zero", name, n)
		}
		return nil
	}
}
