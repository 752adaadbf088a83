package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

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
				Action: alarmList,
			},
			{
				Name: "disarm", Usage: "disarm all alarms, and list them",
				Description: "An alarm whose cause persists is raised again at once.",
				Flags:       clientFlags(writeOutFlag()), Action: alarmDisarm,
			},
		},
	}
}

func alarmList(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		raised, err := raisedAlarms(ctx, s, c.Bool("serializable"))
		if err != nil {
			return err
		}
		return writeAlarms(c.App.Writer, c.String("write-out"), raised)
	})
}

func alarmDisarm(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		raised, err := raisedAlarms(ctx, s, false)
		if err != nil {
			return orNothing(err)
		}
		for i, a := range raised {
			switch err := writeFailed(s.ChangeAlarm(ctx, client.AlarmChange{Member: a.Member, Name: a.Alarm.Name})); {
			case err != nil && i == 0:
				return orNothing(err)
			case err != nil:
				return fmt.Errorf("%s of %s: %w; %d of %d alarms were disarmed before", a.Name, a.Of, err, i, len(raised))
			}
		}
		return writeAlarms(c.App.Writer, c.String("write-out"), raised)
	})
}

// raisedAlarm is an alarm of the state as `alarm list` prints it. Names and order are a promise.
type raisedAlarm struct {
	client.Alarm `json:"-"`

	Name     string `json:"name"`
	MemberID string `json:"id"`
	Of       string `json:"member"`
}

func raisedAlarms(ctx context.Context, s *client.Client, serializable bool) ([]raisedAlarm, error) {
	alarms, err := s.Alarms(ctx, serializable)
	if err != nil || len(alarms) == 0 {
		return nil, err
	}
	members, err := s.Members(ctx, serializable)
	if err != nil {
		return nil, err
	}
	all := make([]raisedAlarm, 0, len(alarms))
	for _, a := range alarms {
		one := raisedAlarm{Alarm: a, Name: string(a.Name), MemberID: hex(a.Member), Of: hex(a.Member)}
		if i := slices.IndexFunc(members, func(m client.Member) bool { return m.ID == a.Member }); i >= 0 {
			one.Of = members[i].Name
		}
		all = append(all, one)
	}
	return all, nil
}

func writeAlarms(w io.Writer, format string, all []raisedAlarm) error {
	switch format {
	case formatJSON:
		return writeJSON(w, struct {
			Alarms []raisedAlarm `json:"alarms"`
		}{append([]raisedAlarm{}, all...)})
	case formatFields:
		for _, a := range all {
			writeFields(w, []field{{"Name", a.Name}, {"ID", a.MemberID}, {"Member", a.Of}})
			fmt.Fprintln(w)
		}
	case formatTable:
		t := table{head: []string{"ALARM", "MEMBER", "ID"}}
		for _, a := range all {
			t.add(a.Name, a.Of, a.MemberID)
		}
		t.write(w)
	default:
		for _, a := range all {
			fmt.Fprintf(w, "%s of %s\n", a.Name, a.Of)
		}
	}
	return nil
}
