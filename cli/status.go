package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/internal/checks"
)

// roleUnknown is the role of a member that did not answer.
const roleUnknown = "unknown"

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Category: "cluster", Usage: "show the state of each member",
		Description: "Begins with a verdict and the next command: HEALTHY; DEGRADED, a quorum serves, but a member does not take part or " +
			"raises an alarm; NO LEADER; NO QUORUM. Asks the members at --endpoints, and all members that these know. The role of a " +
			"member that does not answer is unknown; the role of a quarantined member, which may not vote, is refused. The exit code is " +
			"5 without a quorum or a leader, and 0 otherwise. With --check it is also 1 when the cluster is degraded. " +
			"SYNC is the 99th percentile of the sync times of the last minute. Equal digests at an equal applied index mean equal " +
			"states; `-w json` and `-w fields` show full digests, and more. `qkv doctor` checks more than these facts.\n\n" +
			"QUOTA is the used share of the quota; the line `history` shows the oldest readable revision. The line `feature level` shows the " +
			"cluster's level, and the highest one that each program supports if that is another one.\n\n" +
			"Alarms: " + checks.AlarmsHelp("alarm") + ". Notices, which --check ignores: " + checks.AlarmsHelp("notice") + ".",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "check", EnvVars: []string{"QKV_STATUS_CHECK"}, Usage: "exit also with 1 if a member is down or raises an alarm"},
			writeOutFlag(),
		),
		Action: status,
	}
}

func status(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
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
	if c.Bool("check") {
		return check(members)
	}
	if v := checks.Judge(factsOf(members)); !v.Serves() {
		return exitf(exitUnavailable, "%s: %s", strings.ToLower(v.Word), v.Why)
	}
	return nil
}

// check returns an error if the cluster cannot serve or needs attention.
func check(members []memberStatus) error {
	var wrong []string
	leader := false
	for _, m := range members {
		leader = leader || m.Leader != ""
		switch {
		case m.Role == roleUnknown && m.hint != "":
			wrong = append(wrong, fmt.Sprintf("%s does not answer (%s)", m.Name, m.hint))
		case m.Role == roleUnknown:
			wrong = append(wrong, m.Name+" does not answer")
		}
	}
	for _, a := range alarmsIn(members) {
		if kv.AlarmName(a.Name).Severity() == "alarm" {
			wrong = append(wrong, a.Name+" of "+a.Member)
		}
	}
	for _, m := range members {
		if len(wrong) > 0 && m.Role != roleUnknown && m.hint != "" {
			wrong = append(wrong, m.Name+" "+m.hint)
		}
	}
	switch v := checks.Judge(factsOf(members)); {
	case !leader:
		return exitf(exitUnavailable, "no leader: %s", strings.Join(append([]string{"no member that answers knows one"}, wrong...), ", "))
	case !v.Serves():
		return exitf(exitUnavailable, "%s: %s", strings.ToLower(v.Word), v.Why)
	case len(wrong) > 0:
		return fmt.Errorf("not healthy: %s", strings.Join(slices.Compact(wrong), ", "))
	case v.Word != checks.Healthy:
		return fmt.Errorf("not healthy: %s", v.Why)
	}
	return nil
}

// alarmsIn returns the alarms of all members, each once. If a member itself reports NOSPACE, the reports of others about it are left
// out: its own says more.
func alarmsIn(members []memberStatus) (all []alarm) {
	full := map[string]bool{}
	for _, m := range members {
		full[m.Name] = slices.ContainsFunc(m.Alarms, func(a alarm) bool { return a.Name == alarmNoSpace && a.Member == m.Name })
	}
	for _, m := range members {
		for _, a := range m.Alarms {
			said := a.Name == alarmNoSpace && a.Member != m.Name && full[a.Member]
			if !said && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b alarm) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Member, b.Member))
	})
	return all
}
