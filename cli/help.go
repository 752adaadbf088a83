package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpWidth is how long a line of help may be.
const helpWidth = 110

// helpFlag is known everywhere. It never reaches urfave/cli: arrange sees it, and help is printed here.
var helpFlag = &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "print this"}

// versionFlag is known where no command is named.
var versionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version of this program"}

// writeAppHelp is `qkv --help`.
func writeAppHelp(w io.Writer, app *cli.App) {
	fmt.Fprintf(w, "%s: %s\n\nusage: %s\n", app.Name, app.Usage, app.UsageText)
	category := ""
	for _, c := range app.Commands {
		if c.Category != category {
			category = c.Category
			fmt.Fprintf(w, "\n%s\n", category)
		}
		writeHelpLine(w, c.Name, 14, c.Usage)
	}
	fmt.Fprintf(w, "\n%s\n", app.Description)
}

// writeHelp is the help of one command.
func writeHelp(w io.Writer, path string, c *cli.Command) {
	fmt.Fprintf(w, "%s: %s\n\n", path, c.Usage)
	switch {
	case len(c.Subcommands) > 0:
		fmt.Fprintf(w, "usage: %s COMMAND [flags]\n\n", path)
		for _, sub := range c.Subcommands {
			writeHelpLine(w, sub.Name, 14, sub.Usage)
		}
	default:
		fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("usage: %s [flags] %s", path, c.ArgsUsage)))
	}
	if c.Description != "" {
		fmt.Fprintf(w, "\n%s\n", c.Description)
	}
	if len(c.Flags) > 0 {
		fmt.Fprintln(w, "\nflags")
	}
	for _, f := range c.Flags {
		left, text := flagHelp(f)
		writeHelpLine(w, left, 28, text)
	}
}

// flagHelp is a flag's name with its value's, and what it does, with its default and its variable.
func flagHelp(f cli.Flag) (left, text string) {
	d := f.(cli.DocGenerationFlag)
	var names []string
	for _, name := range f.Names() {
		names = append(names, dashed(name))
	}
	left = strings.Join(names, ", ")
	text = d.GetUsage()
	if before, rest, ok := strings.Cut(text, "`"); ok {
		value, after, _ := strings.Cut(rest, "`")
		left += " " + value
		text = before + value + after
	} else if d.TakesValue() {
		left += " VALUE"
	}
	if standard := strings.Trim(d.GetDefaultText(), `"`); d.TakesValue() && standard != "" && standard != "0" {
		text += " (default " + standard + ")"
	}
	if variables := d.GetEnvVars(); len(variables) > 0 {
		text += " [" + variables[0] + "]"
	}
	return left, text
}

// writeHelpLine prints two columns. The right one begins on its own line where the left is too wide, and is wrapped.
func writeHelpLine(w io.Writer, left string, width int, text string) {
	line := fmt.Sprintf("  %-*s", width, left)
	if len(line) > width+2 {
		fmt.Fprintln(w, line)
		line = strings.Repeat(" ", width+2)
	}
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && len(line)+1+len(word) > helpWidth {
			fmt.Fprintln(w, line)
			line, empty = strings.Repeat(" ", width+2), true
		}
		line, empty = line+" "+word, false
	}
	fmt.Fprintln(w, line)
}
