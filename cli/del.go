package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
)

func delCommand() *cli.Command {
	return &cli.Command{
		Name: "del", Category: "keys", Usage: "delete a key, or a range of keys",
		ArgsUsage: "KEY",
		Description: "Prints how many keys were deleted; none is not an error. An empty KEY begins every key, and may be a variable of a " +
			"script that is not set: with --prefix or --from-key it needs --all.",
		Flags: clientFlags(writeOutFlag(),
			&cli.BoolFlag{Name: "prefix", EnvVars: []string{"QKV_DEL_PREFIX"}, Usage: "all keys that begin with KEY"},
			&cli.BoolFlag{Name: "from-key", EnvVars: []string{"QKV_DEL_FROM_KEY"}, Usage: "all keys from KEY on, by bytes"},
			&cli.BoolFlag{Name: "all", EnvVars: []string{"QKV_DEL_ALL"}, Usage: "an empty KEY is meant: delete every key"},
		),
		Action: del,
	}
}

func del(c *cli.Context) error {
	q, err := rangeQuery(c)
	if err != nil {
		return err
	}
	if c.Args().First() == "" && !c.Bool("all") {
		return usagef("an empty KEY stands for every key: --all says that this is meant; nothing was deleted")
	}
	return orNothing(within(c, func(ctx context.Context, s *client.Client) error {
		written, err := s.DeleteRange(ctx, q.Key, q.End)
		if err != nil {
			return writeFailed(err)
		}
		return writeDel(c.App.Writer, c.String("write-out"), written.Deleted, written.Revision)
	}))
}

func writeDel(w io.Writer, format string, deleted, revision int64) error {
	switch format {
	case formatJSON:
		return writeJSON(w, struct {
			Revision int64 `json:"revision"`
			Deleted  int64 `json:"deleted"`
		}{revision, deleted})
	case formatFields:
		writeFields(w, []field{{"Revision", revision}, {"Deleted", deleted}})
	case formatTable:
		t := table{head: []string{"REVISION", "DELETED"}}
		t.add(revision, deleted)
		t.write(w)
	default:
		fmt.Fprintln(w, deleted)
	}
	return nil
}
