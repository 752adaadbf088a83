package form

import (
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Calls are what commands do, by their path, as in "user add".
type Calls map[string]cli.ActionFunc

// Commands returns the commands with these calls, as commands.txt declares them, below those that only hold others.
// words are those of [Flags].
func Commands(calls Calls, words ...string) (all []*cli.Command) {
	for _, path := range slices.SortedFunc(maps.Keys(calls), byPage) {
		above, _, below := strings.Cut(path, " ")
		if len(all) == 0 || all[len(all)-1].Name != above {
			all = append(all, command(above, calls[above], words))
		}
		if top := all[len(all)-1]; below {
			top.Subcommands = append(top.Subcommands, command(path, calls[path], words))
		}
	}
	return all
}

// command returns one command, without those below it. The name of an operation of a transaction has a + before it.
func command(path string, call cli.ActionFunc, words []string) *cli.Command {
	p := Pages[path]
	c := &cli.Command{
		Name: path[strings.LastIndexAny(path, " +")+1:], ArgsUsage: p.arguments, Usage: p.usage, Description: filled(p.text, words),
		Flags: Flags(path, words...), Action: withArguments(p.arguments, call), OnUsageError: refuse, HideHelp: true,
	}
	if !strings.Contains(path, " ") {
		c.Category = p.category
	}
	if Talks(c) {
		c.Before = useProfile
	}
	return c
}

// byPage compares two paths by the order of commands.txt.
func byPage(a, b string) int { return Pages[a].number - Pages[b].number }

// SortByPages puts commands into the order of commands.txt.
func SortByPages(commands []*cli.Command) {
	slices.SortFunc(commands, func(a, b *cli.Command) int { return byPage(a.Name, b.Name) })
}
