package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"qkv/log/limits"
	"qkv/net/client"
)

func putCommand() *cli.Command {
	return &cli.Command{
		Name: "put", Category: "keys", Usage: "set a key",
		ArgsUsage:   "KEY [VALUE]",
		Description: "Without VALUE the value is read from stdin, byte for byte. Prints OK.",
		Flags:       clientFlags(writeOutFlag()),
		Action:      put,
	}
}

func put(c *cli.Context) error {
	if err := arguments(c, 1, 2); err != nil {
		return err
	}
	key, err := keyArgument(c, false)
	if err != nil {
		return err
	}
	value := []byte(c.Args().Get(1))
	if c.NArg() == 1 {
		if value, err = readValue(c); err != nil {
			return err
		}
	}
	return orNothing(within(c, func(ctx context.Context, s *client.Client) error {
		written, err := s.Put(ctx, key, value)
		if err != nil {
			return writeFailed(err)
		}
		return writePut(c.App.Writer, c.String("write-out"), written.Revision)
	}))
}

func writePut(w io.Writer, format string, revision int64) error {
	switch format {
	case formatJSON:
		return writeJSON(w, struct {
			Revision int64 `json:"revision"`
		}{revision})
	case formatFields:
		writeFields(w, []field{{"Revision", revision}})
	case formatTable:
		t := table{head: []string{"REVISION"}}
		t.add(revision)
		t.write(w)
	default:
		fmt.Fprintln(w, "OK")
	}
	return nil
}

// keyArgument is the first argument; it may be empty only where it begins a range.
func keyArgument(c *cli.Context, ranged bool) ([]byte, error) {
	key := []byte(c.Args().First())
	switch {
	case len(key) == 0 && !ranged:
		return nil, usagef("the key is empty: a key has 1 to %d bytes", limits.KeyBytes)
	case len(key) > limits.KeyBytes:
		return nil, usagef("the key has %d bytes: a key has 1 to %d", len(key), limits.KeyBytes)
	}
	return key, nil
}

// readValue reads the value from stdin to its end, and no more than a value may have.
func readValue(c *cli.Context) ([]byte, error) {
	if f, ok := c.App.Reader.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintln(c.App.ErrWriter, "the value is read from the terminal; Ctrl-D ends it")
	}
	value, err := io.ReadAll(io.LimitReader(c.App.Reader, limits.ValueBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the value from stdin: %w", err)
	}
	if len(value) > limits.ValueBytes {
		return nil, fmt.Errorf("the value on stdin is larger than %d bytes, the limit of a value; split it over several keys",
			limits.ValueBytes)
	}
	return value, nil
}
