package keys

// This file is `qkv del`: delete a key, or a range of keys.

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func del(c *cli.Context) error {
	d, err := delRequest(c)
	if err != nil {
		return err
	}
	return form.OrNothing(form.Within(c, func(ctx context.Context, s *client.Client) error {
		written, err := s.DeleteWith(ctx, d)
		if err != nil {
			return form.WriteFailed(err)
		}
		return form.WriteAnswer(c, delAnswer(written))
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
		return kv.Delete{}, form.Usagef("an empty KEY stands for every key: pass --all to confirm; nothing was deleted")
	}
	return kv.Delete{Key: q.Key, End: q.End, PrevKV: c.Bool("prev-kv")}, nil
}

// delAnswer returns the answer to a delete.
func delAnswer(written client.Written) form.Answer {
	d := form.Document{{"revision", written.Revision}, {"deleted", written.Deleted}}
	if all := documentsOf(written.Previous, false); len(all) > 0 {
		d = append(d, form.Field{"prev_kvs", all})
	}
	return form.Answer{Document: d, Text: fmt.Sprintln(written.Deleted) + plainOf(written.Previous)}
}
