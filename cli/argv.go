package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange rewrites a command line to
//
//	qkv COMMAND [SUBCOMMAND] FLAGS -- ARGUMENTS
//
// This is needed because urfave/cli stops looking for flags at the first argument and silently takes later flags for arguments: `qkv
// get KEY --serializable` would be a linearizable read. arrange also finds all errors of the words themselves: unknown commands,
// unknown flags, and flags without their value. `--` ends the flags.
func arrange(app *cli.App, argv []string) (*arranger, error) {
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
	command  *cli.Command // the innermost command named so far; nil at first
	commands []string
	flags    []string
	args     []string
	given    []string // the single-valued flags, each by its first name
	help     bool     // help is requested, by flag or by word
	topic    string   // of which help is requested; empty: of the command
}

// take sorts the first word, and its value if it is a flag with one. It returns how many words it took.
func (a *arranger) take(words []string) (int, error) {
	word := words[0]
	if word == "--" {
		if a.command != nil && strings.Contains(a.command.ArgsUsage, commandMark+" ") {
			a.args = append(a.args, commandMark)
		}
		a.args = append(a.args, words[1:]...)
		return len(words), nil
	}
	if len(word) > 1 && word[0] == '-' {
		return a.takeFlag(words)
	}
	if subs := a.subcommands(); len(subs) > 0 {
		return 1, a.takeCommand(words, subs)
	}
	a.args = append(a.args, word)
	return 1, nil
}

func (a *arranger) takeCommand(words []string, subs []*cli.Command) error {
	word := words[0]
	if word == "help" && a.command == nil {
		a.help = true
		return nil
	}
	if word == connectionTopic && a.help && a.command == nil {
		a.topic = word
		return nil
	}
	for _, c := range subs {
		if c.Name == word {
			a.command = c
			a.commands = append(a.commands, word)
			return nil
		}
	}
	hint := foreignWord(foreignCommands, append(slices.Clone(a.commands), words[:min(2, len(words))]...)...)
	if hint == "" {
		hint = didYouMean(word, names(subs))
	}
	return usagef("unknown command %q: %s`%s` lists the commands", strings.TrimPrefix(a.path(word), a.app.Name+" "), hint, a.path("--help"))
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
		a.help = true
		return 1, nil
	case a.command == nil && name == versionFlag.Name:
		return 1, a.takeCommand([]string{"version"}, a.app.Commands)
	case joined && takesValue && value == "" && !mayBeEmpty(name):
		return 0, a.emptyValue(name)
	case joined || !takesValue:
		a.flags = append(a.flags, words[0])
		return 1, nil
	}
	if len(words) < 2 || a.isFlag(words[1]) {
		return 0, usagef("%s needs a value; `%s` explains it", dashed(name), a.path("--help"))
	}
	if words[1] == "" && !mayBeEmpty(name) {
		return 0, a.emptyValue(name)
	}
	a.flags = append(a.flags, words[0], words[1])
	return 2, nil
}

// takeOnce refuses a second value of a flag that has one value: the last one would win.
func (a *arranger) takeOnce(name string) error {
	all := a.flagsInScope()
	f := all[slices.IndexFunc(all, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })]
	many, _ := f.(cli.DocGenerationSliceFlag)
	if !hasValue(f) || many != nil && many.IsSliceFlag() {
		return nil
	}
	if slices.Contains(a.given, f.Names()[0]) {
		return usagef("%s is given twice, and has one value: leave one of them out; `%s` explains it", dashed(f.Names()[0]), a.path("--help"))
	}
	a.given = append(a.given, f.Names()[0])
	return nil
}

// mayBeEmpty reports whether an empty value of a flag has a meaning: a prefix of every key.
func mayBeEmpty(name string) bool { return name == "prefix" || name == "get" || name == "delete" }

// emptyValue refuses an empty value. Most often a variable of a script is not set: the member would found a cluster of one where
// --initial-cluster was meant, or use another folder than --data-dir.
func (a *arranger) emptyValue(name string) error {
	return usagef("%s has an empty value: leave the flag out, or check that the variable in its place is set; `%s` explains it",
		dashed(name), a.path("--help"))
}

// takesValue reports whether a flag has a value. Before the command is named, the flag of any command is accepted if all commands
// with that flag agree.
func (a *arranger) takesValue(name, word string) (bool, error) {
	var found, value bool
	for _, f := range a.flagsInScope() {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		if found && value != hasValue(f) {
			return false, usagef("%s has another meaning in each command: put it after the command", word)
		}
		found, value = true, hasValue(f)
	}
	if !found {
		return false, a.unknownFlag(name, word)
	}
	return value, nil
}

func (a *arranger) unknownFlag(name, word string) error {
	hint := foreignWord(foreignFlags, name)
	known := flagNames(a.flagsInScope())
	// the certificates of the other side
	if source := "--source-" + name; a.command != nil && slices.Contains(known, source) {
		hint = fmt.Sprintf("it is %s for the etcd or members at https:// URLs; ", source)
	}
	if name == "password" && slices.Contains(known, "--password-file") {
		hint = "the new password comes from --password-file FILE, or from stdin; "
	}
	if hint == "" {
		hint = didYouMean("--"+name, known)
	}
	if a.command != nil && len(a.subcommands()) == 0 {
		return usagef("unknown flag %s: %s`%s` lists the flags; an argument that begins with a dash goes after `--`",
			word, hint, a.path("--help"))
	}
	return usagef("unknown flag %s: %s`%s` lists the commands", word, hint, a.path("--help"))
}

// isFlag reports whether a word in the place of a value is more likely the next flag, the value forgotten.
func (a *arranger) isFlag(word string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	return strings.HasPrefix(word, "--") && (word == "--" || slices.ContainsFunc(a.flagsInScope(), func(f cli.Flag) bool {
		return slices.Contains(f.Names(), name)
	}))
}

func (a *arranger) subcommands() []*cli.Command {
	if a.command == nil {
		return a.app.Commands
	}
	return a.command.Subcommands
}

// flagsInScope returns the flags of the named command; before a command is named, those of all commands.
func (a *arranger) flagsInScope() []cli.Flag {
	if a.command == nil {
		return append(flagsBelow(a.app.Commands), helpFlag, versionFlag)
	}
	return append(flagsBelow([]*cli.Command{a.command}), helpFlag)
}

func flagsBelow(commands []*cli.Command) (flags []cli.Flag) {
	for _, c := range commands {
		flags = append(append(flags, c.Flags...), flagsBelow(c.Subcommands)...)
	}
	return flags
}

// hasValue reports whether a flag takes a value: all but booleans do.
func hasValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// path returns the words that a user types to reach a word below the command named so far.
func (a *arranger) path(word string) string {
	return strings.Join(append(append([]string{a.app.Name}, a.commands...), word), " ")
}

// check refuses errors that only the whole line shows.
func (a *arranger) check() error {
	subs := a.subcommands()
	switch {
	case a.help || len(subs) == 0:
		return nil
	case a.command == nil && len(a.flags)+len(a.args) == 0:
		a.help = true // the line is empty
		return nil
	}
	return usagef("%s needs a command: %s", strings.TrimSpace(a.path("")), strings.Join(names(subs), ", "))
}

// line returns the rearranged command line.
func (a *arranger) line() []string {
	words := append([]string{a.app.Name}, a.commands...)
	words = append(words, a.flags...)
	return append(append(words, "--"), a.args...)
}

func names(commands []*cli.Command) (all []string) {
	for _, c := range commands {
		if !c.Hidden {
			all = append(all, c.Name)
		}
	}
	return all
}

func flagNames(flags []cli.Flag) (names []string) {
	for _, f := range flags {
		for _, name := range f.Names() {
			if len(name) > 1 {
				names = append(names, dashed(name))
			}
		}
	}
	return names
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
