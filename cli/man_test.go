package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// TestManualPage: the manual page has every command and every flag that the help shows.
func TestManualPage(t *testing.T) {
	var out, messages strings.Builder
	if code := execute(t.Context(), []string{"qkv", manCommand}, strings.NewReader(""), &out, &messages); code != form.ExitOK {
		t.Fatalf("exit code %d: %s", code, &messages)
	}
	page := strings.ReplaceAll(out.String(), `\-`, "-")
	if !strings.Contains(page, ".TH qkv 1") {
		t.Errorf("it begins with %.60q", page)
	}
	count := 0
	var look func(commands []*cli.Command)
	look = func(commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden {
				continue
			}
			if !slices.ContainsFunc([]string{".SH ", ".SS "}, func(heading string) bool { return strings.Contains(page, "\n"+heading+c.Name+"\n") }) {
				t.Errorf("the page has no section %q", c.Name)
			}
			for _, f := range c.Flags {
				if d, ok := f.(cli.VisibleFlag); ok && d.IsVisible() && !strings.Contains(page, `\fB--`+f.Names()[0]) {
					t.Errorf("the page lacks --%s of %s", f.Names()[0], c.Name)
				}
				count++
			}
			look(c.Subcommands)
		}
	}
	look(newApp().Commands)
	if count < 100 {
		t.Errorf("only %d flags were looked for", count)
	}
}
