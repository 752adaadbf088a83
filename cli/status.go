package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/internal/checks"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Category: "cluster", Usage: "show the state of each member",
		Description: "Begins with a verdict and the next command: HEALTHY; DEGRADED, a quorum serves, but a member does not take part or " +
			"raises an alarm; NO SPACE, no put is accepted; NO LEADER; NO QUORUM. Asks the members at --endpoints, and all members that these know. The role of a " +
			"member that does not answer is unknown; a suspended member may not vote. The exit code is " +
			"5 without a quorum, a leader or space, and 0 otherwise. With --check it is also 1 when the cluster is degraded. " +
			"SYNC is the 99th percentile of the sync times of the last minute. Equal digests at an equal applied index mean equal " +
			"states; `-w json` shows full digests, and more. `qkv doctor` checks more than these facts.\n\n" +
			"QUOTA is the used share of the quota; the line `history` shows the oldest readable revision. The line `feature level` shows the " +
			"cluster's level, and the highest one that each program supports if that is another one.\n\n" +
			"Alarms: " + checks.AlarmsHelp("alarm") + ". Notices, which --check ignores: " + checks.AlarmsHelp("notice") + ".",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "check", Usage: "exit also with 1 if a member is down or raises an alarm"},
			writeOutFlag(),
		),
		Action: status,
	}
}

func status(c *cli.Context) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	timeout := c.Duration("timeout")
	ctx, cancel := context.WithTimeoutCause(c.Context, timeout, noAnswer(timeout))
	defer cancel()
	members, err := t.status(ctx)
	if len(members) > 0 {
		if err := writeStatus(c.App.Writer, c.String("write-out"), members); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := check(members); c.Bool("check") || exitCode(err) == exitUnavailable {
		return err
	}
	return nil
}

// check returns an error if the cluster cannot serve or needs attention.
func check(members []memberStatus) error {
	facts := factsOf(members)
	switch v := checks.Judge(facts); {
	case !v.Serves():
		return exitf(exitUnavailable, "%s: %s", strings.ToLower(v.Word), v.Why)
	case v.Word != checks.Healthy:
		return fmt.Errorf("not healthy: %s", strings.Join(checks.Problems(facts), "; "))
	}
	return nil
}
