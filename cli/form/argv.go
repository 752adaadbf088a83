package form

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// Arrange rewrites a command line to
//
//	qkv COMMAND [SUBCOMMAND] FLAGS -- ARGUMENTS
//
// This is needed because urfave/cli stops looking for flags at the first argument and silently takes later flags for arguments: `qkv
// get KEY --serializable` would be a linearizable read. arrange also finds all errors of the words themselves: unknown commands,
// unknown flags, and flags without their value. `--` ends the flags.
func Arrange(app *cli.App, argv []string) (*arranger, error) {
	a := &arranger{app: app}
	for i := 1; i < len(argv); {
		used, err := a.take(argv[i:])
		if err != nil {
			return a, err
		}
		i += used
	}
	return a, a.check()
}

// commandMark separates a command to run from the arguments; arrange leaves it in place for the commands that run another one.
const commandMark = "--"

// arranger sorts the words of one command line.
type arranger struct {
	app      *cli.App
	Command  *cli.Command // the innermost command named so far; nil at first
	Commands []string
	Flags    []string
	Args     []string
	given    []string // the single-valued flags, each by its first name
	Help     bool     // help is requested, by flag or by word
	Topic    string   // of which help is requested; empty: of the command
}

// take sorts the first word, and its value if it is a flag with one. It returns how many words it took.
func (a *arranger) take(words []string) (int, error) {
	word := words[0]
	if word == "--" {
		if a.Command != nil && strings.Contains(a.Command.ArgsUsage, commandMark+" ") {
			a.Args = append(a.Args, commandMark)
		}
		a.Args = append(a.Args, words[1:]...)
		return len(words), nil
	}
	if len(word) > 1 && word[0] == '-' {
		return a.takeFlag(words)
	}
	if subs := a.subcommands(); len(subs) > 0 {
		return 1, a.takeCommand(words, subs)
	}
	a.Args = append(a.Args, word)
	return 1, nil
}

func (a *arranger) takeCommand(words []string, subs []*cli.Command) error {
	word := words[0]
	if word == "help" && a.Command == nil {
		a.Help = true
		return nil
	}
	if word == ConnectionTopic && a.Help && a.Command == nil {
		a.Topic = word
		return nil
	}
	for _, c := range subs {
		if c.Name == word {
			a.Command = c
			a.Commands = append(a.Commands, word)
			return nil
		}
	}
	hint := foreignWord(ForeignCommands, append(slices.Clone(a.Commands), words[:min(2, len(words))]...)...)
	if hint == "" {
		hint = DidYouMean(word, Names(subs))
	}
	return Usagef("unknown command %q: %s`%s` lists the commands", strings.TrimPrefix(a.Path(word), a.app.Name+" "), hint, a.Path("--help"))
}

func (a *arranger) takeFlag(words []string) (int, error) {
	name, value, joined := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
	takesValue, err := a.takesValue(name, words[0])
	if err != nil {
		return 0, err
	}
	if err := a.takeOnce(name); err != nil {
		return 0, err
	}
	switch {
	case slices.Contains(helpFlag.Names(), name):
		a.Help = true
		return 1, nil
	case a.Command == nil && name == versionFlag.Name:
		return 1, a.takeCommand([]string{"version"}, a.app.Commands)
	case joined && takesValue && value == "" && !mayBeEmpty(name):
		return 0, a.emptyValue(name)
	case joined || !takesValue:
		a.Flags = append(a.Flags, words[0])
		return 1, nil
	}
	if len(words) < 2 || a.isFlag(words[1]) {
		return 0, Usagef("%s needs a value; `%s` explains it", Dashed(name), a.Path("--help"))
	}
	if words[1] == "" && !mayBeEmpty(name) {
		return 0, a.emptyValue(name)
	}
	a.Flags = append(a.Flags, words[0], words[1])
	return 2, nil
}

// takeOnce refuses a second value of a flag that has one value: the last one would win.
func (a *arranger) takeOnce(name string) error {
	all := a.flagsInScope()
	f := all[slices.IndexFunc(all, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })]
	many, _ := f.(cli.DocGenerationSliceFlag)
	if !HasValue(f) || many != nil && many.IsSliceFlag() {
		return nil
	}
	if slices.Contains(a.given, f.Names()[0]) {
		return Usagef("%s is given twice, and has one value: leave one of them out; `%s` explains it", Dashed(f.Names()[0]), a.Path("--help"))
	}
	a.given = append(a.given, f.Names()[0])
	return nil
}

// mayBeEmpty reports whether an empty value of a flag has a meaning: a prefix of every key.
func mayBeEmpty(name string) bool { return name == "prefix" || name == "get" || name == "delete" }

// emptyValue refuses an empty value. Most often a variable of a script is not set: the member would found a cluster of one where
// --initial-cluster was meant, or use another folder than --data-dir.
func (a *arranger) emptyValue(name string) error {
	return Usagef("%s has an empty value: leave the flag out, or check that the variable in its place is set; `%s` explains it",
		Dashed(name), a.Path("--help"))
}

// takesValue reports whether a flag has a value. Before the command is named, the flag of any command is accepted if all commands
// with that flag agree.
func (a *arranger) takesValue(name, word string) (bool, error) {
	var found, value bool
	for _, f := range a.flagsInScope() {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		if found && value != HasValue(f) {
			return false, Usagef("%s has another meaning in each command: put it after the command", word)
		}
		found, value = true, HasValue(f)
	}
	if !found {
		return false, a.unknownFlag(name, word)
	}
	return value, nil
}

func (a *arranger) unknownFlag(name, word string) error {
	hint := foreignWord(ForeignFlags, name)
	known := FlagNames(a.flagsInScope())
	// the certificates of the other side
	if source := "--source-" + name; a.Command != nil && slices.Contains(known, source) {
		hint = fmt.Sprintf("it is %s for the etcd or members at https:// URLs; ", source)
	}
	if name == "password" && slices.Contains(known, "--password-file") {
		hint = "the new password comes from --password-file FILE, or from stdin; "
	}
	if hint == "" {
		hint = DidYouMean("--"+name, known)
	}
	if a.Command != nil && len(a.subcommands()) == 0 {
		return Usagef("unknown flag %s: %s`%s` lists the flags; an argument that begins with a dash goes after `--`",
			word, hint, a.Path("--help"))
	}
	return Usagef("unknown flag %s: %s`%s` lists the commands", word, hint, a.Path("--help"))
}

// isFlag reports whether a word in the place of a value is more likely the next flag, the value forgotten.
func (a *arranger) isFlag(word string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	return strings.HasPrefix(word, "--") && (word == "--" || slices.ContainsFunc(a.flagsInScope(), func(f cli.Flag) bool {
		return slices.Contains(f.Names(), name)
	}))
}

func (a *arranger) subcommands() []*cli.Command {
	if a.Command == nil {
		return a.app.Commands
	}
	return a.Command.Subcommands
}

// flagsInScope returns the flags of the named command; before a command is named, those of all commands.
func (a *arranger) flagsInScope() []cli.Flag {
	if a.Command == nil {
		return append(FlagsBelow(a.app.Commands), helpFlag, versionFlag)
	}
	return append(FlagsBelow([]*cli.Command{a.Command}), helpFlag)
}

func FlagsBelow(commands []*cli.Command) (flags []cli.Flag) {
	for _, c := range commands {
		flags = append(append(flags, c.Flags...), FlagsBelow(c.Subcommands)...)
	}
	return flags
}

// HasValue reports whether a flag takes a value: all but booleans do.
func HasValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// Path returns the words that a user types to reach a word below the command named so far.
func (a *arranger) Path(word string) string {
	return strings.Join(append(append([]string{a.app.Name}, a.Commands...), word), " ")
}

// check refuses errors that only the whole line shows.
func (a *arranger) check() error {
	subs := a.subcommands()
	switch {
	case a.Help || len(subs) == 0:
		return nil
	case a.Command == nil && len(a.Flags)+len(a.Args) == 0:
		a.Help = true // the line is empty
		return nil
	}
	return Usagef("%s needs a command: %s", strings.TrimSpace(a.Path("")), strings.Join(Names(subs), ", "))
}

// Line returns the rearranged command line.
func (a *arranger) Line() []string {
	words := append([]string{a.app.Name}, a.Commands...)
	words = append(words, a.Flags...)
	return append(append(words, "--"), a.Args...)
}

func Names(commands []*cli.Command) (all []string) {
	for _, c := range commands {
		if !c.Hidden {
			all = append(all, c.Name)
		}
	}
	return all
}

func FlagNames(flags []cli.Flag) (names []string) {
	for _, f := range flags {
		for _, name := range f.Names() {
			if len(name) > 1 {
				names = append(names, Dashed(name))
			}
		}
	}
	return names
}

func Dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// GivenFlags is the key in the app's metadata of the flags on the command line, in order.
const GivenFlags = "given flags"

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
		text = fmt.Sprintf("invalid value %s for --%s: %s", m[1], m[2], Wanted(c.Command, m[2], err))
	}
	if m := badVariable.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("%s=%s is no value of --%s: %s", m[3], m[1], m[4], Wanted(c.Command, m[4], err))
	}
	return Usagef("%s: %s; `%s --help` explains it", c.Command.Name, text, c.Command.HelpName)
}

// Wanted describes the valid values of a flag.
func Wanted(c *cli.Command, name string, err error) string {
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
		return Usagef("usage: %s [flags] %s; a name is empty", c.Command.HelpName, c.Command.ArgsUsage)
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
		return Usagef("usage: %s [flags] %s; %s", c.Command.HelpName, wants, got)
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
