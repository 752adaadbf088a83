package keys

// This file is `qkv put`: set a key.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
)

func put(c *cli.Context) error {
	p, err := putRequest(c, valueArgument)
	if err != nil {
		return err
	}
	ttl := c.Duration("ttl")
	if ttl > 0 && p.Lease != 0 {
		return form.Usagef("--ttl attaches the key to a new lease: it goes without --lease")
	}
	return form.OrNothing(form.Within(c, func(ctx context.Context, s *client.Client) error {
		var lease client.Lease
		if ttl > 0 {
			if lease, err = s.Grant(ctx, ttl, client.GrantOptions{}); err != nil {
				return form.WriteFailed(err)
			}
			p.Lease = lease.ID
		}
		written, err := s.PutWith(ctx, p)
		if err != nil {
			return form.WriteFailed(withoutLease(ctx, s, lease, err))
		}
		return form.WriteAnswer(c, putAnswer(written, lease))
	}))
}

// withoutLease revokes the lease of a put that was certainly not done, and returns the put's error. If the revocation fails, the lease
// expires.
func withoutLease(ctx context.Context, s *client.Client, lease client.Lease, err error) error {
	if answer, ok := errors.AsType[*kv.Error](err); ok && answer.Certain() && lease.ID != 0 {
		_, _ = s.Revoke(ctx, lease.ID)
	}
	return err
}

// putRequest builds the request from KEY, VALUE and putFlags. value reads the value.
func putRequest(c *cli.Context, value func(*cli.Context) ([]byte, error)) (p kv.Put, err error) {
	p.PrevKV = c.Bool("prev-kv")
	if p.Key, err = keyArgument(c, false); err != nil {
		return p, err
	}
	if word := c.String("lease"); word != "" {
		if p.Lease, err = leaseID(word); err != nil {
			return p, err
		}
	}
	p.Value, err = value(c)
	return p, err
}

// putAnswer returns the answer to a put; lease is that of --ttl, or zero.
func putAnswer(written client.Written, lease client.Lease) form.Answer {
	d, text := form.Document{{"revision", written.Revision}}, "OK\n"
	if all := documentsOf(written.Previous, false); len(all) > 0 {
		d = append(d, form.Field{"prev_kv", all[0]})
	}
	if lease.ID != 0 {
		id, ttl := leaseHex(lease.ID), inSeconds(lease.TTL)
		d = append(d, form.Field{"lease_hex", id}, form.Field{"ttl", ttl})
		text += fmt.Sprintf("lease %s granted with TTL(%ds)\n", id, ttl)
	}
	return form.Answer{Document: d, Text: text + plainOf(written.Previous)}
}

// keyArgument returns the first argument; it may be empty only if it begins a range.
func keyArgument(c *cli.Context, ranged bool) ([]byte, error) {
	key := []byte(c.Args().First())
	switch {
	case len(key) == 0 && !ranged:
		return nil, form.Usagef("the key is empty: a key has 1 to %d bytes", limits.KeyBytes)
	case len(key) > limits.KeyBytes:
		return nil, form.Usagef("the key has %d bytes: a key has 1 to %d", len(key), limits.KeyBytes)
	}
	return key, nil
}

// valueArgument returns the value of the second argument, read from stdin or a file where it says so.
func valueArgument(c *cli.Context) ([]byte, error) {
	text := c.Args().Get(1)
	switch {
	case c.NArg() == 1, text == "-":
		return stdinValue(c)
	case strings.HasPrefix(text, "@"):
		return fileValue(c, text[1:])
	}
	return []byte(text), nil
}

// stdinValue reads the value from stdin. An empty stdin is refused: more likely the command before the pipe failed, or the script
// has no stdin.
func stdinValue(c *cli.Context) ([]byte, error) {
	if form.ReadsTerminal(c.App.Reader) {
		fmt.Fprintln(c.App.ErrWriter, "the value is read from the terminal; Ctrl-D ends it")
	}
	value, err := readValue(c.App.Reader, "stdin")
	if err == nil && len(value) == 0 {
		return nil, form.Usagef("stdin is empty; nothing was written: `qkv put KEY ''` stores an empty value")
	}
	return value, err
}

// fileValue reads the value from a file, and says so on stderr, for users who meant the text itself.
func fileValue(c *cli.Context, name string) ([]byte, error) {
	const literally = "`printf %%s '@...' | qkv put KEY` stores a text that begins with @"
	if name == "" {
		return nil, form.Usagef("the value @ names no file: give @FILE; " + literally)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, form.Usagef("the value is in a file, since it begins with @: %w; "+literally, err)
	}
	defer func() { _ = f.Close() }()
	value, err := readValue(f, name)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c.App.ErrWriter, "the value is the content of %s, %d bytes\n", name, len(value))
	return value, nil
}

// readValue reads a value to its end, up to the size limit of values.
func readValue(from io.Reader, name string) ([]byte, error) {
	value, err := io.ReadAll(io.LimitReader(from, limits.ValueBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the value from %s: %w", name, err)
	}
	if len(value) > limits.ValueBytes {
		return nil, fmt.Errorf("the value in %s is larger than %d bytes, the limit of a value; split it over several keys",
			name, limits.ValueBytes)
	}
	return value, nil
}
