//go:build linux

package cli

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

// Help sentences about -w json; the kinds of lines are inserted between them.
const (
	inspectJSON  = "-w json prints one object per line; its kind is "
	inspectZeros = "Fields that are 0 or empty are left out."
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Category: "cluster", Usage: "print a member's files, without changing them",
		Subcommands: []*cli.Command{
			{
				Name: "wal", Usage: "print the segments and frames of a log", ArgsUsage: "DIR",
				Description: "DIR is DATA/wal. Damage is marked CORRUPT, and the exit code is then 1. " + inspectJSON +
					"segment, frame, entry, marker, end, torn, corrupt or unknown. " + inspectZeros,
				Flags: []cli.Flag{&cli.BoolFlag{
					Name: "verbose", Aliases: []string{"v"}, EnvVars: []string{"QKV_INSPECT_VERBOSE"}, Usage: "also each entry, with its commands",
				}, plainOrJSONFlag("lines", "QKV_INSPECT_WRITE_OUT")},
				Action: inspection(func(c *cli.Context, dir string) error {
					err := log.Dump(disk.OS(), dir, c.App.Writer, log.DumpOptions{Entries: c.Bool("verbose"), Describe: describeEntry, JSON: c.String("write-out") == form.JSON})
					if _, unread := os.ReadDir(dir); unread == nil {
						return err // the error concerns a file in that folder
					}
					return notThere(err, "DIR is the folder wal in a member's data folder, the --data-dir of its `qkv serve`")
				}),
			},
			{
				Name: "snapshot", Usage: "print the content of a snapshot, or of one of its parts", ArgsUsage: "FILE",
				Description: "FILE is DATA/snap/*.snap, or DATA/snap/*.part: a part with older changes, which snapshots list (docs/extents.md). " +
					"Damage is marked with an exclamation mark, and the exit code is then 1. So is a part of the snapshot that is missing. " + inspectJSON +
					"snapshot, block, corrupt or sound. " + inspectZeros,
				Flags: []cli.Flag{plainOrJSONFlag("lines", "QKV_INSPECT_WRITE_OUT")},
				Action: inspection(func(c *cli.Context, file string) error {
					err := snapshot.Dump(disk.OS(), file, c.App.Writer, c.String("write-out") == form.JSON)
					return notThere(err, "FILE is one of snap/*.snap or snap/*.part in a member's data folder, the --data-dir of its `qkv serve`")
				}),
			},
		},
	}
}

// describeEntry describes the data of a log entry; raft's own entries have none.
func describeEntry(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	return ": " + index.Describe(data)
}

// inspection prints one file or folder. It also prints the part before an error.
func inspection(dump func(c *cli.Context, name string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := dump(c, c.Args().First()); err != nil {
			return fmt.Errorf("inspect: %w", err)
		}
		return nil
	}
}
