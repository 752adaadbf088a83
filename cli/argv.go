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
// because urfave/cli stops looking for flags at the first argument and then takes them for arguments without a word:
// `qkv get KEY --serializable` would be a linearizable read. Everything that is wrong with the words themselves is
// found here: unknown commands and flags, and flags without their value. `--` ends the flags.
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

// commandMark stays among the arguments of commands that run another one: what stands behind it is that one.
const commandMark = "--"

// arranger sorts the words of one command line.
type arranger struct {
	app      *cli.App
	command  *cli.Command // the innermost command named so far; nil at first
	commands []string
	flags    []string
	args     []string
	help     bool // asked for, in whatever way
}

// take sorts the first word, with its value when it is a flag that has one, and says how many words that were.
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
	switch {
	case slices.Contains(helpFlag.Names(), name):
		a.help = true
		return 1, nil
	case a.command == nil && name == versionFlag.Name:
		return 1, a.takeCommand([]string{"version"}, a.app.Commands)
	case joined && takesValue && value == "" && name != "prefix":
		return 0, a.emptyValue(name)
	case joined || !takesValue:
		a.flags = append(a.flags, words[0])
		return 1, nil
	}
	if len(words) < 2 || a.isFlag(words[1]) {
		return 0, usagef("%s needs a value; `%s` explains it", dashed(name), a.path("--help"))
	}
	if words[1] == "" && name != "prefix" {
		return 0, a.emptyValue(name)
	}
	a.flags = append(a.flags, words[0], words[1])
	return 2, nil
}

// emptyValue refuses a value that is empty: it is rather a script's variable that is not set, and would found a cluster
// of one member where --initial-cluster was meant, or use another folder than --data-dir says. Only an empty prefix means
// something: every key.
func (a *arranger) emptyValue(name string) error {
	return usagef("%s has an empty value: leave the flag out, or is a variable not set that should stand there? `%s` explains it",
		dashed(name), a.path("--help"))
}

// takesValue says whether a flag has a value. Before the command is named, any command's flag may come, as long as
// all commands that have it agree.
func (a *arranger) takesValue(name, word string) (bool, error) {
	var found, value bool
	for _, f := range a.flagsInScope() {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		if found && value != hasValue(f) {
			return false, usagef("%s means different things to different commands: put it after the command", word)
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
	if source := "--source-" + name; a.command != nil && slices.Contains(known, source) { // of two sides that have certificates
		hint = fmt.Sprintf("it is %s for the etcd that is followed, and --to-%s for members at https:// URLs; ", source, name)
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

// isFlag says whether a word that stands where a value is due is rather the next flag, the value forgotten.
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

// flagsInScope are the flags of the command that was named, or of all that may still be named.
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

// hasValue: only booleans stand alone.
func hasValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// path is what the user would type to get at a word below the command named so far.
func (a *arranger) path(word string) string {
	return strings.Join(append(append([]string{a.app.Name}, a.commands...), word), " ")
}

// check refuses what only the whole line shows.
func (a *arranger) check() error {
	subs := a.subcommands()
	switch {
	case a.help || len(subs) == 0:
		return nil
	case a.command == nil && len(a.flags)+len(a.args) == 0:
		a.help = true // nothing at all was asked for
		return nil
	}
	return usagef("%s needs a command: %s", strings.TrimSpace(a.path("")), strings.Join(names(subs), ", "))
}

// line is the rearranged command line.
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
