package form

// This file is `qkv completion`: print a shell's completion script.

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// CompleteCommand is the command of the completion scripts: its arguments are the words so far, with the word to complete last.
const CompleteCommand = "__complete"

var (
	//go:embed completion/qkv.bash
	bashCompletion string
	//go:embed completion/qkv.zsh
	zshCompletion string
	//go:embed completion/qkv.fish
	fishCompletion string
	//go:embed completion/qkv.ps1
	pwshCompletion string
)

// Completion prints the script of a shell.
func Completion(c *cli.Context) error {
	scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion, "pwsh": pwshCompletion}
	shell := c.Args().First()
	script, ok := scripts[shell]
	if !ok {
		return Usagef("no completion for the shell %q: bash, zsh, fish or pwsh", shell)
	}
	_, err := io.WriteString(c.App.Writer, script)
	return err
}

// Complete prints the candidates for the last word, one per line: the word, a tab, its description. It prints nothing in the place
// of a file name or a key.
func Complete(app *cli.App, words []string, w io.Writer) {
	last := ""
	if n := len(words); n > 0 {
		last, words = words[n-1], words[:n-1]
	}
	a := arranger{app: app}
	for i := 0; i < len(words); {
		used, err := a.take(words[i:])
		if err != nil {
			a.completeValue(words[i:], last, w)
			return
		}
		i += used
	}
	switch {
	case strings.HasPrefix(last, "-"):
		a.completeFlag(last, w)
	case len(a.subcommands()) > 0:
		for _, c := range a.subcommands() {
			if strings.HasPrefix(c.Name, last) {
				fmt.Fprintf(w, "%s\t%s\n", c.Name, c.Usage)
			}
		}
	case a.Command.Name == "completion" && len(a.Args) == 0:
		candidates(w, last, "bash", "zsh", "fish", "pwsh")
	}
}

// completeFlag offers the flags of the command. Before a command is named there are too many.
func (a *arranger) completeFlag(last string, w io.Writer) {
	flags := []cli.Flag{helpFlag, versionFlag}
	if a.Command != nil {
		flags = a.flagsInScope()
	}
	for _, f := range Visible(flags) {
		d, ok := f.(cli.DocGenerationFlag)
		for _, name := range f.Names() {
			if ok && strings.HasPrefix(Dashed(name), last) && len(name) > 1 {
				fmt.Fprintf(w, "%s\t%s\n", Dashed(name), strings.ReplaceAll(d.GetUsage(), "`", ""))
			}
		}
	}
}

// completeValue offers the values of a flag with a fixed list.
func (a *arranger) completeValue(words []string, last string, w io.Writer) {
	if len(words) != 1 {
		return
	}
	switch name := strings.TrimLeft(words[0], "-"); name {
	case "write-out", "w":
		candidates(w, last, a.formats(name)...)
	case "log-format":
		candidates(w, last, "auto", "text", "json")
	case "log-level":
		candidates(w, last, "debug", "info", "warn", "error")
	}
}

// formats returns the formats of a flag, as its help lists them.
func (a *arranger) formats(flag string) []string {
	for _, f := range a.flagsInScope() {
		if d, ok := f.(cli.DocGenerationFlag); ok && slices.Contains(f.Names(), flag) {
			_, all := formatsIn(d.GetUsage())
			return all
		}
	}
	return nil
}

func candidates(w io.Writer, last string, words ...string) {
	for _, word := range words {
		if strings.HasPrefix(word, last) {
			fmt.Fprintf(w, "%s\t\n", word)
		}
	}
}
