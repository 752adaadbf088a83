package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/net/client"
)

func delCommand() *cli.Command {
	return &cli.Command{
		Name: "del", Category: "keys", Usage: "delete a key, or a range of keys",
		ArgsUsage: "KEY",
		Description: "Prints how many keys were deleted; zero is not an error. An empty KEY with --prefix or --from-key means every key, " +
			"and may come from an unset variable of a script: it needs --all.",
		Flags:  clientFlags(append(delFlags(), writeOutFlag())...),
		Action: del,
	}
}

// delFlags are the flags of a delete, also inside a transaction.
func delFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "prefix", EnvVars: []string{"QKV_DEL_PREFIX"}, Usage: "all keys that begin with KEY"},
		&cli.BoolFlag{Name: "from-key", EnvVars: []string{"QKV_DEL_FROM_KEY"}, Usage: "all keys from KEY on, in byte order"},
		&cli.BoolFlag{Name: "all", EnvVars: []string{"QKV_DEL_ALL"}, Usage: "confirm an empty KEY: delete every key"},
		&cli.BoolFlag{Name: "prev-kv", EnvVars: []string{"QKV_DEL_PREV_KV"}, Usage: "also print the keys as they were before"},
	}
}

func del(c *cli.Context) error {
	d, err := delRequest(c)
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

// delRequest builds the request from delFlags and the arguments. Unlike etcdctl's, the command del takes no END: two words in a shell are
// more likely two keys than a range.
func delRequest(c *cli.Context) (kv.Delete, error) {
	q, err := rangeQuery(c, c.Args().Slice())
	if err != nil {
		return kv.Delete{}, err
	}
	if c.Args().First() == "" && !c.Bool("all") {
		return kv.Delete{}, usagef("an empty KEY stands for every key: pass --all to confirm; nothing was deleted")
	}
	return kv.Delete{Key: q.Key, End: q.End, PrevKV: c.Bool("prev-kv")}, nil
}

// delDocument returns the answer to a delete for JSON.
func delDocument(written client.Written) document {
	d := document{{"revision", written.Revision}, {"deleted", written.Deleted}}
	if all := documentsOf(written.Previous); len(all) > 0 {
		d = append(d, field{"prev_kvs", all})
	}
	return d
}

func writeDel(w io.Writer, format string, written client.Written) error {
	switch format {
	case formatJSON:
		return writeJSON(w, delDocument(written))
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
