package form

import (
	"testing"
)

// What another host has said does not command the terminal.
func TestShown(t *testing.T) {
	for message, want := range map[string]string{
		"no member can be reached":      "no member can be reached",
		"two\n\tlines, ünd 日本":          "two\n\tlines, ünd 日本",
		"go \x1b[31maway\r\x07\u009b2J": `go \x1b[31maway\r\a\u009b2J`,
	} {
		if got := Shown(message); got != want {
			t.Errorf("%q is shown as %q", message, got)
		}
	}
}

// Members whose long names differ at the end alone are told apart.
func TestTableNames(t *testing.T) {
	for name, want := range map[string]string{
		"n1":                    "n1",
		"twenty-characters-20":  "twenty-characters-20",
		"member-of-frankfurt-1": "member-of-…ankfurt-1",
		"member-of-frankfurt-2": "member-of-…ankfurt-2",
	} {
		if got := TableName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
