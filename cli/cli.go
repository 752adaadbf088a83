package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"qkv/cli/local"
)

// release is the version of the sources. A -dev is not released yet.
const release = "0.3.0-dev"

// Version is the version of qkv: the release, and the commit of the build where it is known, as in 0.3.0-dev+1a2b3c4d5e6f.
var Version = versionOf(commit(debug.ReadBuildInfo()))

func versionOf(commit string) string {
	commit = strings.TrimPrefix(strings.Replace(commit, " with changes", "-dirty", 1), "commit ")
	if commit == "unknown" || !strings.HasSuffix(release, "-dev") {
		return release
	}
	return release + "+" + commit
}

// Run runs one command line and returns its exit code.
func Run(args []string) int {
	if os.Getenv("QKV_ENDPOINTS") == "" {
		// an empty variable counts as unset; as a list it would hold one empty endpoint
		_ = os.Unsetenv("QKV_ENDPOINTS")
	}
	local.Guard()
	prepareProcess(args)
	return run(context.Background(), args, os.Stdin, os.Stdout, os.Stderr)
}

// run is Run with everything that belongs to the process as parameters.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if code, ok := runMemberLine(ctx, args, stdout, stderr); ok {
		return code
	}
	app, out := newApp(), &answerWriter{w: stdout, escape: isTerminal(stdout)}
	app.Reader, app.Writer, app.ErrWriter = stdin, out, stderr
	if len(args) > 1 && args[1] == completeCommand {
		complete(app, args[2:], stdout)
		return exitOK
	}
	if len(args) > 1 && args[1] == manCommand {
		return exitCode(writeMan(app, stdout))
	}
	err := runLine(ctx, app, args)
	if out.err != nil && (err == nil || errors.Is(err, out.err)) {
		err = fmt.Errorf("the command succeeded, but its answer could not be printed: %w", out.err)
	}
	if err != nil && err.Error() != "" {
		fmt.Fprintf(stderr, "qkv: %s\n", shown(notPermitted(err).Error()))
	}
	return exitCode(err)
}

// answerWriter is stdout. It remembers a failed write: an answer that was not printed is not a success. Keys and values come from
// other clients. On a terminal their control characters are escaped, because they could change the screen or feed the shell. A pipe
// or a file gets every byte unchanged.
type answerWriter struct {
	w      io.Writer
	escape bool
	part   []byte // beginning of a character that the next write completes
	err    error
}

func (a *answerWriter) Write(b []byte) (int, error) {
	text := b
	if a.escape {
		text = append(a.part, b...)
		whole := len(text) - partOf(text)
		a.part = bytes.Clone(text[whole:])
		text = []byte(shown(string(text[:whole])))
	}
	_, err := a.w.Write(text)
	if a.err == nil {
		a.err = err
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// keyLine is a key for a line of its own: on a terminal, a line end in the key does not end the line.
func keyLine(to io.Writer, key []byte) string {
	if a, ok := to.(*answerWriter); ok && a.escape {
		return escapeExcept(string(key), "") + "\n"
	}
	return string(key) + "\n"
}

// Columns returns the width of the terminal; 0 if there is none, or its width is unknown.
func (a *answerWriter) Columns() int {
	f, ok := a.w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// partOf returns how many bytes at the end of a text begin an incomplete character.
func partOf(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// answerOf returns the writer for a command's answer. With raw, a terminal gets no escapes.
func answerOf(c *cli.Context, raw bool) io.Writer {
	if raw {
		return outputOf(c.App.Writer)
	}
	return c.App.Writer
}

// isTerminal reports whether a writer is a terminal.
func isTerminal(w io.Writer) bool {
	if a, ok := w.(*answerWriter); ok {
		w = a.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// runLine executes one command line.
func runLine(ctx context.Context, app *cli.App, args []string) error {
	a, err := arrange(app, args)
	switch {
	case err != nil:
		return err
	case a.topic != "":
		writeConnectionHelp(app.Writer)
		return nil
	case a.help && a.command == nil && slices.Contains(a.flags, "--all"):
		writeAllHelp(app.Writer, app)
		return nil
	case a.help && a.command == nil:
		writeAppHelp(app.Writer, app)
		return nil
	case a.help:
		writeHelp(app.Writer, strings.TrimSpace(a.path("")), a.command)
		return nil
	}
	warning, err := checkEnvironment(app, os.Environ())
	if err != nil {
		return err
	}
	if warning != "" {
		fmt.Fprintln(app.ErrWriter, warning)
	}
	app.Metadata = map[string]any{givenFlags: a.flags}
	return app.RunContext(ctx, a.line())
}

// givenFlags is the key in the app's metadata of the flags on the command line, in order.
const givenFlags = "given flags"

// newApp returns the table of commands; each has a file of its name.
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
		Commands: []*cli.Command{
			putCommand(), getCommand(), delCommand(), txnCommand(), watchCommand(), leaseCommand(), lockCommand(), electCommand(), compactCommand(), importCommand(), exportCommand(), duCommand(), historyCommand(), diffCommand(), revertCommand(), logCommand(),
			statusCommand(), doctorCommand(), serveCommand(), configCommand(), etcdCommand(), demoCommand(), memberCommand(), recoverCommand(), backupCommand(), restoreCommand(), branchCommand(), migrateCommand(), inspectCommand(),
			userCommand(), roleCommand(), authCommand(), whoamiCommand(), certCommand(),
			benchCommand(), completionCommand(), versionCommand(),
		},
	}
	for _, c := range app.Commands {
		prepare(c, c.Name)
	}
	return app
}

// prepare sets the common options of a command and its subcommands, and their help.
func prepare(c *cli.Command, path string) {
	addPage(c, path)
	c.OnUsageError = refuse
	c.Flags = withDays(c.Flags)
	if talks(c) {
		c.Before = useProfile
	}
	c.Action = withArguments(c.ArgsUsage, c.Action)
	c.HideHelp = true
	for _, sub := range c.Subcommands {
		prepare(sub, path+" "+sub.Name)
	}
}

// Patterns of urfave/cli's errors. badValue: a flag's value and the flag; badVariable: an environment variable's value, type,
// variable and flag.
var (
	badValue    = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([\w-]+): `)
	badVariable = regexp.MustCompile(`^could not parse ("(?:[^"\\]|\\.)*") as ([\w ]+) value from environment variable "(\w+)" for flag ([\w-]+)`)
)

// refuse puts urfave/cli's error about a flag's value into one line.
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

// wanted describes the valid values of a flag.
func wanted(c *cli.Command, name string, err error) string {
	if strings.HasSuffix(err.Error(), strconv.ErrRange.Error()) {
		return strconv.ErrRange.Error()
	}
	for _, f := range c.Flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *daysFlag:
			return "a time has a unit, as in 5s or 7d"
		case *cli.BoolFlag:
			return "true or false is needed"
		case *cli.GenericFlag:
			return sizeWanted
		case *cli.Float64Flag:
			return "a number is needed"
		}
	}
	return "a whole number is needed"
}

// withArguments checks the arguments of a command before it runs, by its ArgsUsage: KEY [END] are one or two. A command that runs another
// one cuts that off first, and checks its arguments itself.
func withArguments(usage string, then cli.ActionFunc) cli.ActionFunc {
	if then == nil || strings.Contains(usage, commandMark+" ") {
		return then
	}
	needed, _, _ := strings.Cut(usage, "[")
	least := len(strings.Fields(needed))
	most := least + strings.Count(usage, "[")
	if strings.Contains(usage, "...") {
		most = math.MaxInt
	}
	return func(c *cli.Context) error {
		if err := arguments(c, least, most); err != nil {
			return err
		}
		return then(c)
	}
}

// arguments checks the number of arguments, and that a name is not empty; its error names the expected ones.
func arguments(c *cli.Context, least, most int) error {
	if slices.Contains(c.Args().Slice(), "") && nameUsage.MatchString(c.Command.ArgsUsage) {
		return usagef("usage: %s [flags] %s; a name is empty", c.Command.HelpName, c.Command.ArgsUsage)
	}
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

// nameUsage matches the arguments of commands for members, users and roles.
var nameUsage = regexp.MustCompile(`^\[?(NAME|USER|ROLE)\]?( ROLE)?$`)

func quoted(words []string) []string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return q
}

// shellWord returns a word in the syntax of a POSIX shell, quoted if necessary.
func shellWord(s string) string {
	safe := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-@+:/,%", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !safe(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shellBytes is shellWord for any bytes. Bytes that are no text have the escapes of bash and zsh.
func shellBytes(b []byte) string {
	if s := string(b); utf8.ValidString(s) && shown(s) == s {
		return shellWord(s)
	}
	var word strings.Builder
	for _, c := range b {
		if c >= ' ' && c < 0x7f && c != '\'' && c != '\\' {
			word.WriteByte(c)
		} else {
			fmt.Fprintf(&word, `\x%02x`, c)
		}
	}
	return "$'" + word.String() + "'"
}
