package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// Version is the version of qkv.
const Version = "0.1.0"

// Run runs one command line and returns its exit code.
func Run(args []string) int {
	if os.Getenv("QKV_ENDPOINTS") == "" {
		_ = os.Unsetenv("QKV_ENDPOINTS") // a variable without a value is none; a list of them would be one of nothing
	}
	return run(context.Background(), args, os.Stdin, os.Stdout, os.Stderr)
}

// run is Run with everything that belongs to the process handed in.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if program, words, ok := etcdLine(args); ok {
		return runEtcd(ctx, program, words, stdout, stderr)
	}
	app, out := newApp(), &answerWriter{w: stdout}
	app.Reader, app.Writer, app.ErrWriter = stdin, out, stderr
	if len(args) > 1 && args[1] == completeCommand {
		complete(app, args[2:], stdout)
		return exitOK
	}
	err := runLine(ctx, app, args)
	if err == nil && out.err != nil {
		err = fmt.Errorf("it is done, but the answer could not be printed: %w", out.err)
	}
	if err != nil && err.Error() != "" {
		fmt.Fprintf(stderr, "qkv: %s\n", shown(notPermitted(err).Error()))
	}
	return exitCode(err)
}

// answerWriter is stdout. It remembers that a write failed: an answer that nobody got is no success.
type answerWriter struct {
	w   io.Writer
	err error
}

func (a *answerWriter) Write(b []byte) (int, error) {
	n, err := a.w.Write(b)
	if a.err == nil {
		a.err = err
	}
	return n, err
}

// isTerminal says whether what is written there is read by a person as it appears.
func isTerminal(w io.Writer) bool {
	if a, ok := w.(*answerWriter); ok {
		w = a.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// runLine does what one command line asks for.
func runLine(ctx context.Context, app *cli.App, args []string) error {
	a, err := arrange(app, args)
	switch {
	case err != nil:
		return err
	case a.help && a.command == nil:
		writeAppHelp(app.Writer, app)
		return nil
	case a.help:
		writeHelp(app.Writer, strings.TrimSpace(a.path("")), a.command)
		return nil
	}
	if err := checkEnvironment(app, os.Environ()); err != nil {
		return err
	}
	return app.RunContext(ctx, a.line())
}

// newApp is the table of commands; each has a file of its name.
func newApp() *cli.App {
	app := &cli.App{
		Name:      "qkv",
		Usage:     "a distributed, revisioned key-value store",
		UsageText: "qkv COMMAND [flags] [arguments]",
		Description: "Flags work before and after arguments; `--` ends them. Every flag has an environment variable: `qkv COMMAND " +
			"--help` names it. Exit codes: 0 ok, 1 failed, 2 usage or refused configuration, 3 key or member not found, 4 a " +
			"condition failed, 5 unavailable, 6 not allowed, 7 outcome unknown, 8 the disk failed; 130 after Ctrl-C, 143 " +
			"after SIGTERM, which `qkv serve` ends with 0.",
		HideHelp: true, HideVersion: true,
		ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{
			putCommand(), getCommand(), delCommand(), txnCommand(), watchCommand(), leaseCommand(), lockCommand(), electCommand(), compactCommand(), importCommand(), exportCommand(), historyCommand(), diffCommand(), revertCommand(), logCommand(),
			statusCommand(), alarmCommand(), serveCommand(), etcdCommand(), demoCommand(), memberCommand(), moveLeaderCommand(), recoverCommand(), migrateCommand(), certCommand(), inspectCommand(),
			benchCommand(), completionCommand(), versionCommand(),
		},
	}
	for _, c := range app.Commands {
		prepare(c)
	}
	return app
}

// prepare gives a command, and those below it, what all have in common.
func prepare(c *cli.Command) {
	c.OnUsageError = refuse
	c.HideHelp = true
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
}

// What urfave/cli says of a flag's value: value and flag; and of an environment variable: value, type, variable and flag.
var (
	badValue    = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([\w-]+): `)
	badVariable = regexp.MustCompile(`^could not parse ("(?:[^"\\]|\\.)*") as ([\w ]+) value from environment variable "(\w+)" for flag ([\w-]+)`)
)

// refuse says what urfave/cli found wrong with a flag's value, in one line.
func refuse(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	if m := badValue.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("invalid value %s for --%s: %s", m[1], m[2], wanted(c.Command, m[2], err))
	}
	if m := badVariable.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("%s=%s is no value of --%s: %s", m[3], m[1], m[4], wanted(c.Command, m[4], err))
	}
	return usagef("%s: %s; `%s --help` explains it", c.Command.Name, text, c.Command.HelpName)
}

// wanted says what the values of a flag are, one of which could not be read.
func wanted(c *cli.Command, name string, err error) string {
	if strings.HasSuffix(err.Error(), strconv.ErrRange.Error()) {
		return strconv.ErrRange.Error()
	}
	for _, f := range c.Flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.DurationFlag:
			return "a time has a unit, as in 5s"
		case *cli.BoolFlag:
			return "true or false is needed"
		case *cli.Float64Flag:
			return "a number is needed"
		}
	}
	return "a whole number is needed"
}

// arguments checks how many arguments a command was given, and says what they are when it was another number.
func arguments(c *cli.Context, least, most int) error {
	if n := c.NArg(); n < least || n > most {
		got := "none was given"
		switch {
		case n == 1:
			got = fmt.Sprintf("%q was given", c.Args().First())
		case n > 1:
			got = fmt.Sprintf("%d were given: %s", n, strings.Join(quoted(c.Args().Slice()), " "))
		}
		wants := c.Command.ArgsUsage
		if wants == "" {
			wants = "(and no arguments)"
		}
		return usagef("usage: %s [flags] %s; %s", c.Command.HelpName, wants, got)
	}
	return nil
}

func quoted(words []string) []string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return q
}
