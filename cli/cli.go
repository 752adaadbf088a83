package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/keys"
	"qkv/cli/local"
)

// Run runs one command line and returns its exit code.
func Run(args []string) int {
	if os.Getenv("QKV_ENDPOINTS") == "" {
		// an empty variable counts as unset; as a list it would hold one empty endpoint
		_ = os.Unsetenv("QKV_ENDPOINTS")
	}
	local.Guard()
	prepareProcess(args)
	return execute(context.Background(), args, os.Stdin, os.Stdout, os.Stderr)
}

// execute is Run with everything that belongs to the process as parameters.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if code, ok := runMemberLine(ctx, args, stdout, stderr); ok {
		return code
	}
	app, out := newApp(), &form.AnswerWriter{W: stdout, Escape: form.IsTerminal(stdout)}
	app.Reader, app.Writer, app.ErrWriter = stdin, out, stderr
	if len(args) > 1 && args[1] == form.CompleteCommand {
		form.Complete(app, args[2:], stdout)
		return form.ExitOK
	}
	if len(args) > 1 && args[1] == manCommand {
		return form.ExitCode(writeMan(app, stdout))
	}
	err := runLine(ctx, app, args)
	if out.Err != nil && (err == nil || errors.Is(err, out.Err)) {
		err = fmt.Errorf("the command succeeded, but its answer could not be printed: %w", out.Err)
	}
	if err != nil && err.Error() != "" {
		fmt.Fprintf(stderr, "qkv: %s\n", form.Shown(form.NotPermitted(err).Error()))
	}
	return form.ExitCode(err)
}

// runLine executes one command line.
func runLine(ctx context.Context, app *cli.App, args []string) error {
	a, err := form.Arrange(app, args)
	switch {
	case err != nil:
		return err
	case a.Topic != "":
		form.WriteConnectionHelp(app.Writer)
		return nil
	case a.Help && a.Command == nil && slices.Contains(a.Flags, "--all"):
		form.WriteAllHelp(app.Writer, app)
		return nil
	case a.Help && a.Command == nil:
		form.WriteAppHelp(app.Writer, app)
		return nil
	case a.Help:
		form.WriteHelp(app.Writer, strings.TrimSpace(a.Path("")), a.Command)
		return nil
	}
	warning, err := checkEnvironment(app, os.Environ())
	if err != nil {
		return err
	}
	if warning != "" {
		fmt.Fprintln(app.ErrWriter, warning)
	}
	app.Metadata = map[string]any{form.GivenFlags: a.Flags}
	return app.RunContext(ctx, a.Line())
}

// newApp returns the table of commands, in the order of their pages.
func newApp() *cli.App {
	app := &cli.App{
		Name:      "qkv",
		Usage:     "a distributed, revisioned key-value store",
		UsageText: "qkv COMMAND [flags] [arguments]",
		Description: "Flags work before and after arguments; `--` ends them. `qkv help connection` shows the flags and " +
			"variables by which commands reach a cluster; `qkv help --all` shows everything. Exit codes: 0 ok, 1 failed, 2 usage or refused configuration, 3 key, lease or member not found, 4 a " +
			"condition failed, 5 unavailable, 6 not allowed, 7 outcome unknown, 8 the disk failed; 130 after Ctrl-C, 143 " +
			"after SIGTERM, which `qkv serve` ends with 0.",
		HideHelp: true, HideVersion: true,
		ExitErrHandler: func(*cli.Context, error) {},
		Commands:       slices.Concat(keys.Commands(), cluster.Commands(), memberCommands(), form.Commands(form.Calls{"completion": form.Completion, "version": version})),
	}
	form.SortByPages(app.Commands)
	return app
}
