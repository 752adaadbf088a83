package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// withoutJSON are the commands that print no JSON, each with the reason. Any other command has -w json.
var withoutJSON = map[string]string{
	"export":            "each line that it prints is JSON",
	"log":               "each line that it prints is JSON",
	"serve":             "runs until it is stopped, and prints its log: --log-format json",
	"etcd":              "runs until it is stopped, and prints its log, as etcd does",
	"demo":              "prints its steps, and runs until it is stopped",
	"branch":            "serves until it is stopped: `qkv backup list -w json` describes the backup",
	"config example":    "prints a file in YAML",
	"completion":        "prints a program for a shell",
	"member replace":    "prints its steps while it waits for the new member: `qkv member list -w json` has the result",
	"migrate from-etcd": "prints its steps while it follows an etcd",
	"restore":           "prints the commands that start the new cluster: `qkv inspect -w json` describes the state",
	"cert ca":           "prints the names of the files that it has made, one a line",
	"cert member":       "prints the names of the files that it has made, one a line",
	"cert client":       "prints the names of the files that it has made, one a line",
	"cert secret":       "prints a secret, or writes it to a file",
	"cert show":         "prints facts for people; `openssl x509` reads the file for programs",
	"cert renew":        "prints the names of the files that it has made, one a line",
}

// Every command that prints an answer prints it as JSON with -w json.
func TestEveryCommandHasJSON(t *testing.T) {
	seen := 0
	var visit func(path string, commands []*cli.Command)
	visit = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			path := strings.TrimSpace(path + " " + c.Name)
			if len(c.Subcommands) > 0 {
				visit(path, c.Subcommands)
				continue
			}
			seen++
			has := slices.ContainsFunc(c.Flags, func(f cli.Flag) bool {
				return slices.Contains(f.Names(), "w") && strings.Contains(f.(cli.DocGenerationFlag).GetUsage(), form.JSON)
			})
			if has == (withoutJSON[path] != "") {
				t.Errorf("%q has -w json: %v, and the reason for none is %q: give it --write-out in commands.txt, or a row in withoutJSON", path, has, withoutJSON[path])
			}
			delete(withoutJSON, path)
		}
	}
	visit("", newApp().Commands)
	for path := range withoutJSON {
		t.Errorf("there is no command %q: take it out of withoutJSON", path)
	}
	if seen < 60 {
		t.Errorf("%d commands were found: the test looks in the wrong place", seen)
	}
}

// A change without any other answer has all formats.
func TestChangesHaveAllFormats(t *testing.T) {
	b := newRig(t, nil)
	b.expect(t, 0, "role reader added\nreader: no permissions\n", "", "role", "add", "reader")
	b.expect(t, 0, `{"name":"reader","change":"deleted"}`+"\n", "", "role", "delete", "reader", "-w", "json")
	b.expect(t, 0, "role reader added\nreader: no permissions\n", "", "role", "add", "reader")
	b.expect(t, 0, "NAME    CHANGE\nreader  deleted\n", "", "role", "delete", "reader", "-w", "table")
	b.expect(t, 0, `{"enabled":false}`+"\n", "", "auth", "disable", "-w", "json")
}
