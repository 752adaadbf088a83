//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/node"
)

func branchCommand() *cli.Command {
	return &cli.Command{
		Name: "branch", Category: "cluster", Usage: "serve a copy of a backup's data, as of any moment, until Ctrl-C", ArgsUsage: "PLACE [-- COMMAND ...]",
		Description: "Restores a moment of a backup into a folder, as qkv restore does, and serves it on loopback with one member: to look at " +
			"yesterday's data, to try a change on a copy, or to test a restore. It is a cluster of its own: nothing is written to the " +
			"backup, and no member of the cluster that was backed up is asked. The folder is removed at the end, unless --data-dir names " +
			"it. Users, roles and leases are those of the moment; leases expire if nobody keeps them alive. With a command, such as " +
			"`-- qkv history KEY`, the member serves while that runs, with QKV_ENDPOINTS in its environment, and the exit code is the " +
			"command's. PLACE is a folder, or s3://BUCKET/PREFIX.",
		Flags: []cli.Flag{
			atFlag("QKV_BRANCH_AT"), revisionFlag("QKV_BRANCH_REVISION"),
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QKV_BRANCH_DATA_DIR"}, Usage: "`DIR` to create, which stays (default: a new folder in ./qkv-data, removed at the end)"},
			portFlag("QKV_BRANCH_PORT", 2479, 2), identityFlag(), lossFlag("QKV_BRANCH_ACCEPT_LOSS"), homeFlag(),
		},
		Action: func(c *cli.Context) error {
			return interruptible(c, func(ctx context.Context) error { return branch(ctx, c) })
		},
	}
}

// branch restores a moment, and serves it until the context or the command ends.
func branch(ctx context.Context, c *cli.Context) (err error) {
	words, command, err := cutCommand(c)
	if err != nil {
		return err
	}
	if len(words) != 1 || words[0] == "" {
		return usagef("usage: %s [flags] %s; a command comes after `--`", c.Command.HelpName, c.Command.ArgsUsage)
	}
	say := c.App.Writer
	if command != nil { // which has the output for itself
		say = c.App.ErrWriter
	}
	home, err := homeDir(c)
	if err != nil {
		return err
	}
	dir := c.String("data-dir")
	if dir == "" {
		if err = os.MkdirAll("qkv-data", 0o700); err == nil {
			dir, err = os.MkdirTemp("qkv-data", "branch-")
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	l, err := newLocalCluster(1, c.Int("port"), dir, home, newTerminal(c.App.ErrWriter))
	if err != nil {
		return err
	}
	member := l.members[0]
	member.command = []string{"serve", "--log-level", "warn"}
	if err := member.portsFree(); err != nil {
		return err
	}
	_, err = restoreMoment(ctx, c, words[0], node.RestoreConfig{
		DataDir: member.dataDir, Name: member.name, Version: Version, Logger: newLogger(io.Discard, "text", slog.LevelError, ""),
	}, say)
	if err != nil {
		return err
	}
	defer l.stop()
	if err := l.start(); err != nil {
		return err
	}
	if _, err := l.healthy(ctx); err != nil {
		return err
	}
	if command != nil {
		return runBeside(ctx, c, member, command)
	}
	fmt.Fprintf(say, "it is served until Ctrl-C, from %s: qkv get --endpoints %s KEY\n", member.dataDir, member.listen)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-member.ended:
		return l.ended()
	}
}

// runBeside runs a command whose member is this one.
func runBeside(ctx context.Context, c *cli.Context, m *process, words []string) error {
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Stdin, command.Stdout, command.Stderr = c.App.Reader, outputOf(c.App.Writer), c.App.ErrWriter
	command.Env = append(os.Environ(), "QKV_ENDPOINTS="+m.listen, "QKV_HOME="+m.home, "QKV_CERTS_DIR=") // the certificates of the local CA
	command.Cancel, command.WaitDelay = func() error { return command.Process.Signal(syscall.SIGTERM) }, time.Second
	err := command.Run()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return &exitError{commandCode(ended), errors.New("")}
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("run the command: %w", err)
	}
	return ctx.Err()
}
