package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func alarmCommand() *cli.Command {
	return &cli.Command{
		Name: "alarm", Category: "cluster", Usage: "list the alarms of the cluster's state, and disarm them",
		Description: "NOSPACE: the quota is reached (`qkv serve --quota-bytes`), or the disks of a quorum are full. The members then refuse " +
			"puts, leases and transactions with a put; everything else goes on. The alarm ends by itself once there is space. " +
			"CORRUPT: the state of a member differs from that of the others. That member is isolated, and the others go on. The " +
			"alarm ends when that member has been rebuilt, compared again, and found equal. `qkv status` shows the reasons, and " +
			"the alarms that concern one member only.",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the alarms that are raised",
				Flags: clientFlags(
					&cli.BoolFlag{Name: "serializable", EnvVars: []string{"QKV_ALARM_LIST_SERIALIZABLE"}, Usage: "the alarms that one member knows, also without a quorum"},
					writeOutFlag(),
				),
				Action: asking(alarmList),
			},
			{
				Name: "disarm", Usage: "disarm all alarms, and list them",
				Description: "An alarm whose cause persists is raised again at once.",
				Flags:       clientFlags(writeOutFlag()), Action: asking(alarmDisarm),
			},
		},
	}
}

func alarmList(ctx context.Context, c *cli.Context, s *client.Client) error {
	raised, of, err := raisedAlarms(ctx, s, c.Bool("serializable"))
	if err != nil {
		return err
	}
	return writeAlarms(c.App.Writer, c.String("write-out"), raised, of)
}

func alarmDisarm(ctx context.Context, c *cli.Context, s *client.Client) error {
	raised, of, err := raisedAlarms(ctx, s, false)
	if err != nil {
		return orNothing(err)
	}
	for i, a := range raised {
		switch err := writeFailed(s.Admin().ChangeAlarm(ctx, kv.AlarmChange{Member: a.Member, Name: a.Name})); {
		case err != nil && i == 0:
			return orNothing(err)
		case err != nil:
			return fmt.Errorf("%s of %s: %w; %d of %d alarms were disarmed before", a.Name, of[i], err, i, len(raised))
		}
	}
	return writeAlarms(c.App.Writer, c.String("write-out"), raised, of)
}

// raisedAlarms returns the alarms of the state, and the name of each one's member, or its id where it has none.
func raisedAlarms(ctx context.Context, s *client.Client, serializable bool) (alarms []kv.Alarm, of []string, err error) {
	if alarms, err = s.Admin().Alarms(ctx, client.ReadOptions{Serializable: serializable}); err != nil || len(alarms) == 0 {
		return nil, nil, err
	}
	members, err := s.Members(ctx, client.ReadOptions{Serializable: serializable})
	if err != nil {
		return nil, nil, err
	}
	for _, a := range alarms {
		name := hex(a.Member)
		if i := slices.IndexFunc(members, func(m kv.Member) bool { return m.ID == a.Member }); i >= 0 {
			name = members[i].Name
		}
		of = append(of, name)
	}
	return alarms, of, nil
}

func writeAlarms(w io.Writer, format string, alarms []kv.Alarm, of []string) error {
	all, t, text := []form.Document{}, &form.Rows{Columns: []string{"ALARM", "MEMBER", "ID"}}, ""
	for i, a := range alarms {
		all = append(all, form.Document{{"name", string(a.Name)}, {"id", hex(a.Member)}, {"member", of[i]}})
		t.Add(string(a.Name), of[i], hex(a.Member))
		text += fmt.Sprintf("%s of %s\n", a.Name, of[i])
	}
	return form.Answer{Document: form.Document{{"alarms", all}}, List: all, Table: t, Text: text}.Write(w, format)
}
