package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/etcdflags"
)

// Every command's help, as the program prints it, fits a terminal of 80 columns, and has examples that are command lines of this
// program.
func TestHelp(t *testing.T) {
	var visit func(path string, commands []*cli.Command)
	fits := func(path string) {
		var help, messages bytes.Buffer
		if code := execute(t.Context(), append([]string{"qkv", "help"}, strings.Fields(path)...), strings.NewReader(""), &help, &messages); code != form.ExitOK || help.Len() == 0 {
			t.Errorf("the help of %q: exit code %d, %s", path, code, &messages)
		}
		for line := range strings.Lines(help.String()) {
			if n := form.ColumnsOf(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("the help of %q has a line of %d columns:\n%s", path, n, line)
			}
		}
	}
	visit = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			path := strings.TrimSpace(path + " " + c.Name)
			fits(path)
			if c.Hidden {
				continue
			}
			var help bytes.Buffer
			form.WriteHelp(&help, "qkv "+path, c)
			visit(path, c.Subcommands)
			if says := strings.Contains(strings.Join(strings.Fields(help.String()), " "), "`qkv help connection`"); says != form.Talks(c) {
				t.Errorf("%q talks to a cluster: %v; its help:\n%s", path, form.Talks(c), &help)
			}
			if len(c.Subcommands) == 0 && !strings.Contains(help.String(), "\nexamples\n") {
				t.Errorf("the help of %q has no example: commands.txt has them", path)
			}
		}
	}
	visit("", newApp().Commands)
	for _, line := range []string{"", form.ConnectionTopic, "--all"} {
		fits(line)
	}
	for path, p := range form.Pages {
		for _, line := range docLines("```\n" + strings.Join(p.Examples, "\n") + "\n```") {
			_, line, ours := strings.Cut(line, "qkv ")
			if _, words, ok := run.EtcdLine(strings.Fields("qkv " + line)); ok {
				if _, err := etcdflags.Parse(words, nil, func(string) ([]byte, error) { return nil, nil }); err != nil {
					t.Errorf("the example of %q: %s: %v", path, line, err)
				}
				continue
			}
			a, err := form.Arrange(newApp(), append([]string{"qkv"}, strings.Fields(strings.TrimSuffix(line, ")"))...))
			if !ours || err != nil || !strings.HasPrefix(strings.Join(a.Commands, " ")+" ", path+" ") && !strings.Contains(line, "|") {
				t.Errorf("the example of %q: %s: %v", path, line, err)
			}
		}
	}
}

// The flags that every command has are shown once, with their variables, and all help is one page.
func TestHelpOfTheConnection(t *testing.T) {
	help := func(words ...string) string {
		var out, messages bytes.Buffer
		if code := execute(t.Context(), append([]string{"qkv"}, words...), strings.NewReader(""), &out, &messages); code != form.ExitOK {
			t.Errorf("%v: %d %s", words, code, &messages)
		}
		return out.String()
	}
	if text := help("get", "--help"); !strings.Contains(text, "--serializable ") || strings.Contains(text, "--endpoints ") {
		t.Errorf("%s", text)
	}
	for _, words := range [][]string{{"help", "connection"}, {"help", "--all"}} {
		text := help(words...)
		for _, f := range form.Flags("+" + form.ConnectionTopic) {
			name := form.Dashed(f.Names()[0])
			if n := strings.Count(text, "\n  "+name+" "); n != 1 && words[1] == "connection" || n == 0 {
				t.Errorf("%v has %s %d times:\n%s", words, name, n, text)
			}
		}
	}
	if all := help("help", "--all"); !strings.Contains(all, "\nqkv lease keep-alive: ") || !strings.Contains(all, "\nconnection: ") {
		t.Errorf("%s", all)
	}
	var out, messages bytes.Buffer
	if code := execute(t.Context(), []string{"qkv", "connection"}, strings.NewReader(""), &out, &messages); code != form.ExitUsage {
		t.Errorf("the topic is no command: %d %s", code, &out)
	}
}

// Words of other programs are translated.
func TestForeignWords(t *testing.T) {
	for line, want := range map[string]string{
		"subscribe foo":                    "`qkv watch KEY`",
		"members":                          "`qkv member list`",
		"member rm n4":                     "`qkv member remove NAME`",
		"member add n4 --peer-urls x":      "--peer: it is HOST:PORT",
		"serve --retry-join x":             "--join HOST:PORT",
		"endpoint health --cluster":        "`qkv status` shows all members",
		"get foo --print-value-only":       "--raw without a newline",
		"serve --config-file etcd.yml":     "`qkv etcd --config-file` takes the file of an etcd",
		"get foo --consistency=s":          "--serializable",
		"--cacert ca.crt get foo":          "--certs-dir DIR holds",
		"serve --listen-client-urls x":     "--listen: it is HOST:PORT",
		"kv get foo":                       "without kv",
		"delete foo":                       "`qkv del KEY`",
		"get foo --recurse":                "--prefix",
		"status --endpoint=127.0.0.1:2379": "--endpoints",
	} {
		_, err := form.Arrange(newApp(), append([]string{"qkv"}, strings.Fields(line)...))
		if err == nil || form.ExitCode(err) != form.ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("qkv %s: %v, want %q", line, err, want)
		}
	}
	app := newApp()
	for word := range form.ForeignCommands {
		if a, err := form.Arrange(app, append([]string{"qkv"}, strings.Fields(word)...)); err == nil && strings.Join(a.Commands, " ") == word {
			t.Errorf("%q is a command of this program", word)
		}
	}
}

// A flag without a value shows none, whatever its text quotes.
func TestHelpOfSwitches(t *testing.T) {
	for _, f := range form.FlagsBelow(newApp().Commands) {
		if left, _ := form.FlagHelp(f); !form.HasValue(f) && left != dashedNames(f) {
			t.Errorf("%q", left)
		}
	}
}

func dashedNames(f cli.Flag) string {
	var names []string
	for _, name := range f.Names() {
		names = append(names, form.Dashed(name))
	}
	return strings.Join(names, ", ")
}

// A flag has one default, and none is said where it is nothing.
func TestHelpSaysOneDefault(t *testing.T) {
	for _, f := range form.FlagsBelow(newApp().Commands) {
		left, text := form.FlagHelp(f)
		if strings.Count(text, "(default") > 1 || strings.Contains(text, "(default 0s)") {
			t.Errorf("%s %s", left, text)
		}
	}
}

// The default of a list is its words, without quotes.
func TestHelpOfListsWithADefault(t *testing.T) {
	for _, c := range []struct {
		flag cli.Flag
		want string
	}{
		{&cli.StringSliceFlag{Name: "side", Value: cli.NewStringSlice("etcd", "qkv"), Usage: "`NAME,...` of sides"}, "NAME,... of sides (default etcd, qkv)"},
		{&cli.IntSliceFlag{Name: "members", Value: cli.NewIntSlice(1, 3), Usage: "`N,...` members"}, "N,... members (default 1, 3)"},
		{&cli.StringFlag{Name: "data-dir", Value: ".", Usage: "`DIR` of data"}, "DIR of data (default .)"},
	} {
		if _, text := form.FlagHelp(c.flag); text != c.want {
			t.Errorf("%q, want %q", text, c.want)
		}
	}
}
