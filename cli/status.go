package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
)

// roleUnknown is the role of a member that did not answer.
const roleUnknown = "unknown"

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Category: "cluster", Usage: "show the state of each member",
		Description: "Asks the members at --endpoints, and all members that these know. The role of a member that does not answer is " +
			"unknown; the role of a quarantined member, which may not vote, is refused. The exit code is 0 if at least one member " +
			"answers. With --check it is 5 when no leader is known, 1 when a member does not answer or raises an alarm, and 0 " +
			"otherwise. SYNC is the 99th percentile of the sync times of the last minute. Equal digests at an equal applied index " +
			"mean equal states; `-w json` and `-w fields` show full digests, and more.\n\n" +
			"QUOTA is the used share of the quota; the line `history` shows the oldest readable revision.\n\n" +
			"Alarms: NOSPACE the quota is reached or the disk is full, CORRUPT damage, AMNESIA a member lost votes or writes that " +
			"it had acknowledged, SLOWDISK slow syncs, CERT a certificate expires soon, SNAPSHOT a snapshot cannot be saved or " +
			"moved, RETENTION no quorum has disks and memory for the history that the flags keep, AUDIT the audit log cannot be written, REFUSED members " +
			"refuse each other, FAILED a member ends. Notices, which --check ignores: TORN the end of a log was cut off at the start, QUOTA " +
			"four fifths of the quota are used, HISTORY it reaches back for less than five minutes, MEMORY a member's memory is " +
			"small for keys and history, CLOCK a member's clock differs by a minute or more, JOIN a member asks to join but was " +
			"not added or has to wait, FOUNDING a founder of a new cluster waits for the others, FOLLOWS it follows an etcd and " +
			"refuses writes.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "check", EnvVars: []string{"QKV_STATUS_CHECK"}, Usage: "exit with 5 without a leader, with 1 if a member is down or raises an alarm"},
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
	if err == nil && c.Bool("check") {
		return check(members)
	}
	return err
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
	switch {
	case !leader:
		return exitf(exitUnavailable, "no leader: %s", strings.Join(append([]string{"no member that answers knows one"}, wrong...), ", "))
	case len(wrong) > 0:
		return fmt.Errorf("not healthy: %s", strings.Join(slices.Compact(wrong), ", "))
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
