package cli

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"qkv/index"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Category: "cluster", Usage: "print a member's files, without changing them",
		Subcommands: []*cli.Command{
			{
				Name: "wal", Usage: "print the segments and frames of a log", ArgsUsage: "DIR",
				Description: "DIR is DATA/wal. What is damaged is marked CORRUPT, and ends it with exit code 1.",
				Flags: []cli.Flag{&cli.BoolFlag{
					Name: "verbose", Aliases: []string{"v"}, EnvVars: []string{"QKV_INSPECT_VERBOSE"}, Usage: "each entry too, with its commands",
				}},
				Action: inspection(func(c *cli.Context, dir string) error {
					err := log.Dump(disk.OS(), dir, c.App.Writer, c.Bool("verbose"), describeEntry)
					if _, unread := os.ReadDir(dir); unread == nil {
						return err // it is about a file in there
					}
					return notThere(err, "DIR is the folder wal in a member's data folder, which `qkv serve` has as --data-dir")
				}),
			},
			{
				Name: "snapshot", Usage: "print what a snapshot holds", ArgsUsage: "FILE",
				Description: "FILE is DATA/snap/*.snap. What is damaged is marked CORRUPT.",
				Action: inspection(func(c *cli.Context, file string) error {
					err := snapshot.Dump(disk.OS(), file, c.App.Writer)
					return notThere(err, "FILE is one of snap/*.snap in a member's data folder, which `qkv serve` has as --data-dir")
				}),
			},
		},
	}
}

// describeEntry says what the data of a log's entry holds; raft's own entries have none.
func describeEntry(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	return ": " + index.Describe(data)
}

// inspection prints one file or folder. What could be read before an error is printed too.
func inspection(dump func(c *cli.Context, name string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := arguments(c, 1, 1); err != nil {
			return err
		}
		if err := dump(c, c.Args().First()); err != nil {
			return fmt.Errorf("inspect: %w", err)
		}
		return nil
	}
}
