package cluster

// This file is `qkv member readmit`: let a suspended member take part again.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

// RoleSuspended is the role of a suspended member.
const RoleSuspended = "suspended"

// readmitWatched is how long a member is watched after its suspension was lifted: members that refuse it dial again within some
// seconds.
const readmitWatched = 5 * time.Second

func readmit(c *cli.Context) error {
	name := c.Args().First()
	t, err := form.TargetOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := form.Bounded(c.Context, c.Duration("timeout")+readmitWatched)
	defer cancel()
	t.FailFast, t.Mixed = true, true
	s, err := t.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	endpoint, status, err := find(ctx, s, t, name)
	if err != nil {
		return err
	}
	if status.Role != RoleSuspended {
		return form.Exitf(form.ExitCondition, "%s is not suspended: its role is %s; nothing was changed", name, status.Role)
	}
	why := suspensionOf(&status)
	if !c.Bool("yes") {
		return form.Usagef("%s is suspended: %s\nIf it has forgotten what it acknowledged, acknowledged writes may be lost when it votes again. Pass --yes to confirm; nothing was changed", name, why)
	}
	if err := s.Admin().Readmit(ctx, endpoint, status.ID); err != nil {
		return fmt.Errorf("lift the suspension of %s: %w", name, err)
	}
	for deadline := time.Now().Add(readmitWatched); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		now, err := s.Admin().Status(ctx, endpoint)
		if err != nil {
			return fmt.Errorf("the suspension of %s was lifted, and it does not answer any more: %w", name, err)
		}
		if now.Role == "leader" || now.Leader != 0 && now.Role == "follower" {
			return form.WriteChanged(c, name+" takes part again", now.Name, form.Hex(now.ID), "readmitted")
		}
		status = now
	}
	if status.Role == RoleSuspended {
		return fmt.Errorf("the suspension of %s was lifted, and others have suspended it again: %s", name, suspensionOf(&status))
	}
	return form.WriteChanged(c, name+" takes part again; it has no leader yet", status.Name, form.Hex(status.ID), "readmitted")
}

// suspensionOf returns the reason of a member's suspension, from its own status.
func suspensionOf(s *kv.Status) string {
	for _, name := range []kv.AlarmName{kv.AmnesiaAlarm, kv.CorruptAlarm} {
		for _, a := range s.Alarms {
			if a.Name == name && a.Member == s.ID {
				return a.Text
			}
		}
	}
	return "it does not say why"
}

// find looks for a member by its name or id, at the given endpoints and at the addresses that the members report.
func find(ctx context.Context, s *client.Client, t form.Target, name string) (endpoint string, status kv.Status, err error) {
	first, addresses, err := discover(ctx, t, s)
	if err != nil {
		return "", status, err
	}
	for address, one := range ask(ctx, s, addresses) {
		if one.err == nil && (one.status.Name == name || form.Hex(one.status.ID) == name) {
			return address, one.status, nil
		}
	}
	var names []string
	for _, m := range first.Members {
		names = append(names, m.Name)
		if form.Hex(m.ID) == name {
			name = m.Name
		}
	}
	if !slices.Contains(names, name) {
		return "", status, noMember(name, names)
	}
	return "", status, form.Exitf(form.ExitUnavailable, "%s does not answer at any of %s: is it running? Its own address may be given with --endpoints", name, strings.Join(addresses, ", "))
}
