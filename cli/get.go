package cli

import (
	"bufio"
	"context"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
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
	q.Revision, q.Limit = c.Int64("rev"), c.Int64("limit")
	q.Serializable, q.KeysOnly, q.CountOnly = c.Bool("serializable"), c.Bool("keys-only"), c.Bool("count-only")
	return within(c, func(ctx context.Context, s *client.Client) error {
		found, err := s.Range(ctx, q)
		if err != nil {
			return err
		}
		answer := pairs{Answer: found, single: q.End == nil, keysOnly: q.KeysOnly, countOnly: q.CountOnly}
		out := bufio.NewWriter(c.App.Writer)
		if err := answer.write(out, c.String("write-out")); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if answer.single && answer.Count == 0 {
			return exitf(exitNotFound, "key %q not found", q.Key)
		}
		return nil
	})
}

// rangeQuery is what KEY, --prefix and --from-key ask for.
func rangeQuery(c *cli.Context) (client.Query, error) {
	if err := arguments(c, 1, 1); err != nil {
		return client.Query{}, err
	}
	prefix, fromKey := c.Bool("prefix"), c.Bool("from-key")
	if prefix && fromKey {
		return client.Query{}, usagef("--prefix and --from-key exclude each other")
	}
	key, err := keyArgument(c, prefix || fromKey)
	if err != nil {
		return client.Query{}, err
	}
	switch {
	case prefix:
		return prefixQuery(key), nil
	case fromKey:
		return client.Query{Key: orLeast(key), End: client.From}, nil
	}
	return client.Query{Key: key}, nil
}

// prefixQuery asks for all keys that begin with prefix; an empty one begins them all.
func prefixQuery(prefix []byte) client.Query {
	return client.Query{Key: orLeast(prefix), End: client.Prefix(prefix)}
}

// orLeast is the least key in place of an empty one, which no key is.
func orLeast(key []byte) []byte {
	if len(key) == 0 {
		return []byte{0}
	}
	return key
}

func notNegative(name string) func(*cli.Context, int64) error {
	return func(_ *cli.Context, n int64) error {
		if n < 0 {
			return usagef("--%s %d must not be below zero", name, n)
		}
		return nil
	}
}
