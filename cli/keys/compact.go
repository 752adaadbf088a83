package keys

// This file is `qkv compact`: drop the history before a revision.

import (
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/net/client"
)

func compact(c *cli.Context) error {
	revision, err := strconv.ParseInt(c.Args().First(), 10, 64)
	if err != nil || revision < 1 {
		return form.Usagef("%q is no revision: it is a number, as `qkv status -w json` shows the newest one", c.Args().First())
	}
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		if err := s.Admin().Compact(ctx, revision); err != nil {
			return form.OrNothing(form.WriteFailed(err))
		}
		if c.Bool("physical") {
			if err := s.Admin().WaitDropped(ctx, revision); err != nil {
				return fmt.Errorf("revision %d is compacted, but the older history may not be dropped yet: %w", revision, err)
			}
		}
		return form.WriteOne(c, fmt.Sprintf("compacted revision %d\n", revision), form.Document{{"compacted", revision}})
	})
}
