package cluster

// This file is `qkv status`: show the state of each member.

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/checks"
)

func status(c *cli.Context) error {
	t, err := form.TargetOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := form.Bounded(c.Context, c.Duration("timeout"))
	defer cancel()
	members, err := AskMembers(ctx, t)
	if len(members) > 0 {
		if err := writeStatus(c.App.Writer, c.String("write-out"), members); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := check(members); c.Bool("check") || form.ExitCode(err) == form.ExitUnavailable {
		return err
	}
	return nil
}

// check returns an error if the cluster cannot serve or needs attention.
func check(members []MemberStatus) error {
	facts := FactsOf(members)
	switch v := checks.Judge(facts); {
	case !v.Serves():
		return form.Exitf(form.ExitUnavailable, "%s: %s", strings.ToLower(v.Word), v.Why)
	case v.Word != checks.Healthy:
		return fmt.Errorf("not healthy: %s", strings.Join(checks.Problems(facts), "; "))
	}
	return nil
}
