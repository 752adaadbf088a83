package cli

import (
	"bufio"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
)

func inspectCommand() *cli.Command {
	verbose := func() cli.Flag {
		return &cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, EnvVars: []string{"QKV_INSPECT_VERBOSE"}, Usage: "entries and commands too"}
	}
	return &cli.Command{
		Name: "inspect", Category: "cluster", Usage: "print a member's files, without changing them",
		Subcommands: []*cli.Command{
			{
				Name: "wal", Usage: "print the segments and frames of a log", ArgsUsage: "DIR",
				Description: "DIR is DATA/wal. A damaged file is named with the position, and the exit code is 1.",
				Flags:       []cli.Flag{verbose()},
				Action:      inspection(dumpLog),
			},
			{
				Name: "snapshot", Usage: "print what a snapshot holds", ArgsUsage: "FILE",
				Description: "FILE is DATA/snap/*.snap. A damaged file is named with the position, and the exit code is 1.",
				Flags:       []cli.Flag{verbose()},
				Action:      inspection(dumpSnapshot),
			},
		},
	}
}

// inspection prints one file or folder. What could be read before an error is printed too.
func inspection(dump func(name string, w io.Writer, verbose bool) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := arguments(c, 1, 1); err != nil {
			return err
		}
		out := bufio.NewWriter(c.App.Writer)
		err := dump(c.Args().First(), out, c.Bool("verbose"))
		if flushed := out.Flush(); err == nil {
			err = flushed
		}
		if err != nil {
			return fmt.Errorf("inspect: %w", err)
		}
		return nil
	}
}
