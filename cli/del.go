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
		Flags:  clientFlags(append(delFlags(), writeOutFlag())...),
		Action: del,
	}
}

// delFlags are the flags of a delete that a transaction may have, too.
func delFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "prefix", EnvVars: []string{"QKV_DEL_PREFIX"}, Usage: "all keys that begin with KEY"},
		&cli.BoolFlag{Name: "from-key", EnvVars: []string{"QKV_DEL_FROM_KEY"}, Usage: "all keys from KEY on, by bytes"},
		&cli.BoolFlag{Name: "all", EnvVars: []string{"QKV_DEL_ALL"}, Usage: "an empty KEY is meant: delete every key"},
		&cli.BoolFlag{Name: "prev-kv", EnvVars: []string{"QKV_DEL_PREV_KV"}, Usage: "print the keys as they were before, too"},
	}
}

func del(c *cli.Context) error {
	d, err := delRequest(c, 1)
	if err != nil {
		return err
	}
	return orNothing(within(c, func(ctx context.Context, s *client.Client) error {
		written, err := s.DeleteWith(ctx, d)
		if err != nil {
			return writeFailed(err)
		}
		return writeDel(c.App.Writer, c.String("write-out"), written)
	}))
}

// delRequest is what up to most arguments and delFlags ask for.
func delRequest(c *cli.Context, most int) (client.Delete, error) {
	q, err := rangeQuery(c, most)
	if err != nil {
		return client.Delete{}, err
	}
	if c.Args().First() == "" && !c.Bool("all") {
		return client.Delete{}, usagef("an empty KEY stands for every key: --all says that this is meant; nothing was deleted")
	}
	return client.Delete{Key: q.Key, End: q.End, PrevKV: c.Bool("prev-kv")}, nil
}

// delDocument is the JSON of a delete's answer.
type delDocument struct {
	Revision int64          `json:"revision"`
	Deleted  int64          `json:"deleted"`
	Previous []pairDocument `json:"prev_kvs,omitempty"`
}

func delDocumentOf(written client.Written) delDocument {
	return delDocument{written.Revision, written.Deleted, documentsOf(written.Previous)}
}

func writeDel(w io.Writer, format string, written client.Written) error {
	switch format {
	case formatJSON:
		return writeJSON(w, delDocumentOf(written))
	case formatFields:
		writeFields(w, []field{{"Revision", written.Revision}, {"Deleted", written.Deleted}})
		writePairs(w, written.Previous, false)
	case formatTable:
		t := table{head: []string{"REVISION", "DELETED"}}
		t.add(written.Revision, written.Deleted)
		t.write(w)
		writePrevious(w, format, written.Previous)
	default:
		fmt.Fprintln(w, written.Deleted)
		writePrevious(w, format, written.Previous)
	}
	return nil
}
