//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/node/backuprun"
)

// The defaults of a backup that follows a cluster.
const (
	backupEvery = time.Hour
	backupKeep  = 7 * day
)

func backupRunCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "back a running cluster up all the time",
		Description: "Makes a base, and then copies every change as soon as it is committed, usually within a second. Any moment can be restored " +
			"from it. It runs until a signal, and then exits with 0. If a member or the store fails, it says so, and goes on with " +
			"another member, or when the store is back. A folder that was there and is gone is not created again: its disk may not be " +
			"mounted. One process writes a folder at a time; another one waits for its lock.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "to", EnvVars: []string{"QKV_BACKUP_TO"}, Usage: "`PLACE` of the backup: s3://BUCKET/PREFIX, or a folder on another disk than the members' (required)"},
			&cli.DurationFlag{Name: "every", EnvVars: []string{"QKV_BACKUP_EVERY"}, Value: backupEvery, Usage: "`TIME` between bases; a restore applies the changes since the base before it", Action: positive("every")},
			&cli.DurationFlag{Name: "keep", EnvVars: []string{"QKV_BACKUP_KEEP"}, Value: backupKeep, Usage: "`TIME` for which every moment can be restored, as in 7d; older data is removed with each new base", Action: positive("keep")},
			&cli.StringFlag{Name: "metrics-file", EnvVars: []string{"QKV_BACKUP_METRICS_FILE"}, Usage: "`FILE` for the textfile collector of Prometheus' node exporter, with the time of the last success"},
			recipientFlag(),
		),
		Action: backupRun,
	}
}

func backupRun(c *cli.Context) error {
	place, err := openStore("--to", c.String("to"))
	if err != nil {
		return err
	}
	to, err := recipients(c, "recipient")
	if err != nil {
		return err
	}
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	ctx, forget := withSignals(c.Context, true)
	defer forget()
	say := func(text string) { fmt.Fprintf(c.App.ErrWriter, "%s %s\n", time.Now().Format(time.RFC3339), text) }
	members := &backupMembers{target: t, known: t.endpoints}
	err = backuprun.Run(ctx, backuprun.Config{
		Target: backuprun.Target{Store: place, To: to, Every: c.Duration("every"), Keep: c.Duration("keep")}, Open: members.open,
		Final: func(err error) bool { return exitCode(err) == exitUsage }, Say: say,
		Complete: func(time.Duration) { // the member was current before it answered
			if err := writeBackupMetrics(c.String("metrics-file"), members.member.current); err != nil {
				say(fmt.Sprintf("the metrics file cannot be written: %v", err))
			}
		},
	})
	if err == nil {
		say(fmt.Sprintf("backup stopped: %v", context.Cause(ctx)))
	}
	return backupError(err)
}

// backupMembers are the members that a backup reads in turn.
type backupMembers struct {
	target target
	known  []string
	member *backupMember // that was opened last
}

// open connects to the next member, and notes the addresses of the others.
func (b *backupMembers) open(ctx context.Context, turn int) (backuprun.Source, int, error) {
	opening, cancel := context.WithTimeout(ctx, b.target.timeout)
	defer cancel()
	m, err := b.target.openMember(opening, b.known[turn%len(b.known)])
	if err != nil {
		return nil, 0, err
	}
	for _, other := range m.others() {
		if !b.target.given && !slices.Contains(b.known, other) {
			b.known = append(b.known, other)
		}
	}
	b.member = m
	return m, len(b.known), nil
}

// writeBackupMetrics notes in a file for Prometheus when the backup had everything; zero: that is not known of its member.
func writeBackupMetrics(file string, at time.Time) error {
	if file == "" || at.IsZero() {
		return nil
	}
	text := fmt.Sprintf("# HELP qkv_backup_last_success_timestamp_seconds When the backup last had every acknowledged change.\n"+
		"# TYPE qkv_backup_last_success_timestamp_seconds gauge\nqkv_backup_last_success_timestamp_seconds %d\n", at.Unix())
	temporary := file + ".tmp"
	return errors.Join(os.WriteFile(temporary, []byte(text), 0o644), os.Rename(temporary, file))
}
