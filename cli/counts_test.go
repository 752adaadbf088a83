package cli

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// Commands, flags and variables pay rent: a new one names the one that goes. Flags of the connection, which `qkv help connection` shows
// once, -w, and hidden flags are not counted.
func TestCounts(t *testing.T) {
	const commandsMost, flagsMost, variablesMost = 38, 210, 60
	commands, flags := 0, 0
	variables := map[string]bool{form.SecretVariable: true}
	var perCommand []string
	var visit func(path string, all []*cli.Command)
	visit = func(path string, all []*cli.Command) {
		for _, c := range all {
			if c.Hidden {
				continue
			}
			own := 0
			for _, f := range form.OwnFlags(c) {
				if v, ok := f.(cli.VisibleFlag); (!ok || v.IsVisible()) && f.Names()[0] != "write-out" {
					own++
				}
			}
			flags += own
			perCommand = append(perCommand, path+c.Name+":", strings.Repeat("|", own))
			for _, f := range c.Flags {
				if d, ok := f.(cli.DocGenerationFlag); ok {
					for _, name := range d.GetEnvVars() {
						variables[name] = true
					}
				}
			}
			visit(path+c.Name+" ", c.Subcommands)
		}
	}
	app := newApp()
	visit("", app.Commands)
	for _, c := range app.Commands {
		if !c.Hidden {
			commands++
		}
	}
	if commands > commandsMost || flags > flagsMost || len(variables) > variablesMost {
		t.Errorf("%d commands of %d, %d own flags of %d, %d variables of %d; flags by command: %s",
			commands, commandsMost, flags, flagsMost, len(variables), variablesMost, strings.Join(perCommand, " "))
	}
}
