package form

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpWriter writes help in lines that fit.
type helpWriter struct{ Page }

// helpFlag is accepted everywhere. It never reaches urfave/cli: arrange handles it, and this file prints the help.
var helpFlag = &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "print this"}

// versionFlag is accepted before a command.
var versionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version of this program"}

// WriteAppHelp prints `qkv --help`.
func WriteAppHelp(to io.Writer, app *cli.App) {
	w := helpWriter{PageOn(to)}
	fmt.Fprintf(w, "%s: %s\n\nusage: %s\n", app.Name, app.Usage, app.UsageText)
	category := ""
	for _, c := range app.Commands {
		if c.Category != category {
			category = c.Category
			fmt.Fprintf(w, "\n%s\n", category)
		}
		w.columns(c.Name, 14, c.Usage)
	}
	fmt.Fprintln(w)
	w.Text(app.Description)
}

// WriteHelp prints the help of one command: its own flags come before shared ones.
func WriteHelp(to io.Writer, path string, c *cli.Command) {
	w := helpWriter{PageOn(to)}
	w.Text(path + ": " + c.Usage)
	fmt.Fprintln(w)
	switch {
	case len(c.Subcommands) > 0:
		fmt.Fprintf(w, "usage: %s COMMAND [flags]\n\n", path)
		for _, sub := range c.VisibleCommands() {
			w.columns(sub.Name, 14, sub.Usage)
		}
	default:
		fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("usage: %s [flags] %s", path, c.ArgsUsage)))
	}
	if c.Description != "" {
		fmt.Fprintln(w)
		w.Text(c.Description)
	}
	if lines := Pages[strings.TrimPrefix(path, "qkv ")].Examples; len(lines) > 0 {
		fmt.Fprintf(w, "\nexamples\n  %s\n", strings.Join(lines, "\n  "))
	}
	own := OwnFlags(c)
	w.flags(own)
	if len(own) < len(c.Flags) {
		fmt.Fprintln(w)
		w.Text("It talks to a cluster: `qkv help connection` shows the flags and variables for that.")
	}
}

// OwnFlags returns the flags of a command without those that every command has which talks to a cluster.
func OwnFlags(c *cli.Command) []cli.Flag {
	shared := FlagNames(Flags("+" + ConnectionTopic))
	return slices.DeleteFunc(slices.Clone(c.Flags), func(f cli.Flag) bool {
		d, ok := f.(cli.DocGenerationFlag) // one without a variable has a meaning of its own
		return Talks(c) && ok && len(d.GetEnvVars()) > 0 && slices.Contains(shared, Dashed(f.Names()[0]))
	})
}

// ConnectionTopic is the topic of `qkv help connection`.
const ConnectionTopic = "connection"

// WriteConnectionHelp prints the flags of every command that talks to a cluster.
func WriteConnectionHelp(to io.Writer) {
	w := helpWriter{PageOn(to)}
	w.Text("connection: the flags of every command that talks to a cluster\n\nA flag has priority over its variable, and a variable over a profile.")
	w.flags(Flags("+" + ConnectionTopic))
}

// WriteAllHelp prints the help of all commands in one page.
func WriteAllHelp(to io.Writer, app *cli.App) {
	WriteAppHelp(to, app)
	fmt.Fprintln(to)
	WriteConnectionHelp(to)
	var visit func(path string, commands []*cli.Command)
	visit = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			if !c.Hidden {
				fmt.Fprintln(to)
				WriteHelp(to, path+" "+c.Name, c)
				visit(path+" "+c.Name, c.Subcommands)
			}
		}
	}
	visit(app.Name, app.Commands)
}

// Visible returns the flags without those that are for tests.
func Visible(flags []cli.Flag) []cli.Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f cli.Flag) bool {
		v, ok := f.(cli.VisibleFlag)
		return ok && !v.IsVisible()
	})
}

func (w helpWriter) flags(flags []cli.Flag) {
	if flags = Visible(flags); len(flags) > 0 {
		fmt.Fprint(w, "\nflags\n")
	}
	for _, f := range flags {
		left, text := FlagHelp(f)
		w.columns(left, 26, text)
	}
}

// FlagHelp returns a flag's name with its value, and its description with default and variable.
func FlagHelp(f cli.Flag) (left, text string) {
	d := f.(cli.DocGenerationFlag)
	var names []string
	for _, name := range f.Names() {
		names = append(names, Dashed(name))
	}
	left = strings.Join(names, ", ")
	text = d.GetUsage()
	if before, rest, ok := strings.Cut(text, "`"); ok && d.TakesValue() {
		value, after, _ := strings.Cut(rest, "`")
		left += " " + value
		text = before + value + after
	} else if d.TakesValue() {
		left += " VALUE"
	}
	if standard := DefaultText(f); d.TakesValue() && standard != "" && standard != "0" && standard != "0s" {
		text += " (default " + standard + ")"
	}
	if variables := d.GetEnvVars(); len(variables) > 0 {
		text += " [" + variables[0] + "]"
	}
	return left, text
}

// DefaultText returns a flag's default without the quotes, which urfave/cli writes around each word.
func DefaultText(f cli.Flag) string {
	return strings.ReplaceAll(f.(cli.DocGenerationFlag).GetDefaultText(), `"`, "")
}

// columns prints two columns. The right one begins on its own line if the left is too wide, and is wrapped.
func (w helpWriter) columns(left string, width int, text string) {
	line := fmt.Sprintf("  %-*s", width, left)
	if ColumnsOf(line) > width+2 {
		fmt.Fprintln(w, line)
		line = strings.Repeat(" ", width+2)
	}
	w.Wrap(line, strings.Repeat(" ", width+3), text)
}
