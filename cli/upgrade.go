package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index"
	"qkv/internal/checks"
	"qkv/internal/figures"
)

func upgradeCommand() *cli.Command {
	return &cli.Command{
		Name: "upgrade", Category: "cluster", Usage: "check whether the next member can be upgraded",
		Subcommands: []*cli.Command{{
			Name: "check", Usage: "print the versions, reasons to wait, and the next member to restart",
			Description: "LEVEL is the highest feature level that a member's program supports. A member that is down, an alarm, a member that " +
				"lags, or too few voters stop an upgrade; the exit code is then 1. It is 5 without a quorum, and 0 if the named " +
				"member can be restarted, or if all members run the newest program: the newest of the members' and this one, by version, pre-release and level. The line `way back` says whether members can go back to their old program. docs/upgrading.md explains " +
				"the steps.",
			Flags:  clientFlags(writeOutFlag()),
			Action: upgradeCheck,
		}},
	}
}

func upgradeCheck(c *cli.Context) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(c.Context, c.Duration("timeout"), noAnswer(c.Duration("timeout")))
	defer cancel()
	members, err := t.status(ctx)
	if err != nil {
		return err
	}
	facts := factsOf(members)
	plan := checks.UpgradeOf(facts, checks.Program{Version: Version, Level: index.MaxLevel})
	if err := writeUpgrade(c, members, plan); err != nil {
		return err
	}
	switch {
	case !checks.Judge(facts).Serves():
		return &exitError{exitUnavailable, errors.New("")} // the reason is printed
	case len(plan.Stops) > 0:
		return &exitError{exitFailed, errors.New("")}
	}
	return nil
}

func writeUpgrade(c *cli.Context, members []memberStatus, plan checks.Upgrade) error {
	all := make([]form.Document, 0, len(members))
	tab := &form.Rows{Columns: []string{"MEMBER", "VERSION", "ROLE", "LEVEL"}}
	level := uint64(0)
	for i := range members {
		m := &members[i]
		level = max(level, m.Count(figures.Level))
		all = append(all, form.Document{{"name", m.Name}, {"version", m.Version}, {"role", m.State}, {"feature_level_most", m.Count(figures.LevelMost)}})
		tab.Add(tableName(m.Name), m.Version, m.State, m.Count(figures.LevelMost))
	}
	plan.Stops = append([]string{}, plan.Stops...) // no null in JSON
	return writeAnswer(c, form.Answer{
		Document: struct {
			Members []form.Document `json:"members"`
			Level   uint64          `json:"feature_level"`
			checks.Upgrade
		}{all, level, plan},
		Fields: []form.Field{{"FeatureLevel", level}, {"Stops", strings.Join(plan.Stops, "; ")}, {"Next", plan.Next}, {"Done", plan.Done}, {"How", plan.How}, {"Back", plan.Back}},
		List:   all,
		Page: func(w form.Page) {
			tab.Fit(w.Width)
			tab.Write(w)
			writeUpgradePlan(w, level, plan)
		},
	})
}

// writeUpgradePlan prints the state of an upgrade, and the next steps.
func writeUpgradePlan(w form.Page, level uint64, plan checks.Upgrade) {
	fmt.Fprintf(w, "feature level %d\n", level)
	for _, s := range plan.Stops {
		w.Wrap("stop:", "   ", s)
	}
	if plan.Next != "" {
		w.Wrap("next:", "   ", plan.Next)
	}
	if plan.Done != "" {
		w.Wrap("done:", "   ", plan.Done)
	}
	w.Wrap("how:", "   ", plan.How)
	w.Wrap("way back:", "   ", plan.Back)
}
