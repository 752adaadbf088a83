//go:build linux

package run

// This file is `qkv branch`: serve a copy of a backup's data, as of any moment, until Ctrl-C.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/data"
	"qkv/cli/form"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/node"
	"qkv/snapshot/backup"
)

// branch restores a moment, and serves it until the context or the command ends.
func branch(ctx context.Context, c *cli.Context) (err error) {
	if err := cmp.Or(data.CheckRevision(c), checkPort(c.Int("port"), 2)); err != nil {
		return err
	}
	words, command, err := form.CutCommand(c)
	if err != nil {
		return err
	}
	if len(words) != 1 || words[0] == "" {
		return form.Usagef("usage: %s [flags] %s; a command comes after `--`", c.Command.HelpName, c.Command.ArgsUsage)
	}
	say := c.App.Writer
	if command != nil { // which has the output for itself
		say = c.App.ErrWriter
	}
	dir, certs := c.String("data-dir"), c.String("certs-dir")
	home, err := form.HomeDir(c)
	if err != nil && certs == "" {
		return err
	}
	config := node.Config{
		Name: "n1", Home: home, CertsDir: certs, Native: certs == "", Logger: form.NewLogger(c.App.ErrWriter, "text", slog.LevelWarn, "n1"), Version: form.Version,
		Listen: Loopback(c.Int("port")), ListenPeer: Loopback(c.Int("port") + 1), InitialClusterToken: "branch",
		HeartbeatInterval: heartbeatInterval, ElectionTimeout: electionTimeout, MaxRequestBytes: limits.RequestBytesWritten,
	}
	if err := portsFree(config.Listen, config.ListenPeer); err != nil {
		return err
	}
	m := data.Moment{Context: c, Place: words[0]}
	fill := m.Keeping(ctx)
	var parts func() disk.FS
	config.DataDir = dir
	if err := outside(cmp.Or(dir, "qkv-data"), words[0]); err != nil {
		return err
	}
	if dir == "" {
		if err = os.MkdirAll("qkv-data", 0o700); err == nil {
			dir, err = os.MkdirTemp("qkv-data", "branch-")
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		fill = func(disk.FS, string) (*index.State, error) { return m.Fill(ctx, (*backup.Reader).LeaveParts) }
		parts = func() disk.FS { return m.Got.Parts }
		config.DataDir = filepath.Join(dir, config.Name)
	}
	n, err := node.Branch(ctx, config, fill, parts)
	if err != nil {
		return data.ServeError(err)
	}
	fmt.Fprint(say, m.Text)
	serving, end := context.WithCancel(ctx) // until the member ends
	defer end()
	go func() {
		select {
		case <-n.Done():
			end()
		case <-serving.Done():
		}
	}()
	if err = n.Ready(serving); err == nil && command != nil {
		err = runBeside(serving, c, &config, command)
	} else if err == nil {
		if certs != "" {
			certs = " --certs-dir " + form.ShellWord(certs)
		}
		fmt.Fprintf(say, "it is served until Ctrl-C, from %s: qkv get --endpoints %s%s KEY\n", config.DataDir, config.Listen, certs)
		<-serving.Done()
		err = ctx.Err()
	}
	if failed := n.Err(); failed != nil {
		return data.ServeError(failed)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return errors.Join(err, n.Stop(within))
}

// outside refuses a folder that is the backup's, or in it: nothing is written there.
func outside(dir, place string) error {
	of, err := filepath.EvalSymlinks(place)
	if err == nil {
		of, err = filepath.Abs(of)
	}
	if err != nil { // it is no folder
		return nil
	}
	real, err := filepath.Abs(dir)
	for at := real; err == nil; at = filepath.Dir(at) {
		if there, missing := filepath.EvalSymlinks(at); missing == nil { // the deepest folder that exists
			real = there + real[len(at):]
			break
		}
	}
	if err == nil && strings.HasPrefix(real+"/", of+"/") {
		err = form.Usagef("%s lies in the backup %s, where nothing is written: give another --data-dir, or run the command in another folder", dir, place)
	}
	return err
}

// runBeside runs a command whose member is this one.
func runBeside(ctx context.Context, c *cli.Context, m *node.Config, words []string) error {
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Stdin, command.Stdout, command.Stderr = c.App.Reader, form.OutputOf(c.App.Writer), c.App.ErrWriter
	command.Env = append(os.Environ(), "QKV_ENDPOINTS="+m.Listen, "QKV_HOME="+m.Home, "QKV_CERTS_DIR="+m.CertsDir)
	if m.CertsDir == "" {
		command.Env = append(command.Env, "QKV_CLIENT=") // the certificate is the local CA's
	}
	command.Cancel, command.WaitDelay = func() error { return command.Process.Signal(syscall.SIGTERM) }, time.Second
	err := command.Run()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return form.Exitf(form.CommandCode(ended), "")
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("run the command: %w", err)
	}
	return ctx.Err()
}
