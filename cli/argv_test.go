package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// TestArrange: wherever the flags stand, urfave/cli sees them before the arguments.
func TestArrange(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"get key", "get -- key"},
		{"get key --serializable", "get --serializable -- key"},
		{"get --serializable key", "get --serializable -- key"},
		{"--serializable get key", "get --serializable -- key"},
		{"get key -w json --limit 3", "get -w json --limit 3 -- key"},
		{"get key -w=json", "get -w=json -- key"},
		{"--endpoints a:1 get key", "get --endpoints a:1 -- key"},
		{"get --limit -1 key", "get --limit -1 -- key"},
		{"put -- -key -value", "put -- -key -value"},
		{"put key -", "put -- key -"},
		{"put key -- --prefix", "put -- key --prefix"},
		{"cert member n1 --hosts h --certs-dir d", "cert member --hosts h --certs-dir d -- n1"},
		{"cert --certs-dir d member n1", "cert member --certs-dir d -- n1"},
		{"--help", "? "},
		{"get --help key", "? get"},
		{"cert -h", "? cert"},
		{"help cert member", "? cert member"},
		{"", "? "},
		{"--version", "version --"},
		{"nosuch", "! unknown command"},
		{"cert", "! needs a command: ca, member, client, secret, renew, show"},
		{"cert nosuch", "! unknown command"},
		{"get key --serialisable", "! did you mean --serializable?"},
		{"gte key", "! did you mean get?"},
		{"zzzzzz", "! unknown command \"zzzzzz\": `qkv --help`"},
		{"get key -5", "! goes after `--`"},
		{"get key --limit", "! --limit needs a value"},
		{"get key --write-out --limit 3", "! --write-out needs a value"},
		{"serve --initial-cluster=", "! --initial-cluster has an empty value"},
		{"role grant r --prefix= --read", "role grant --prefix= --read -- r"},
		{"get --endpoints a:1 key --endpoints b:1", "get --endpoints a:1 --endpoints b:1 -- key"},
		{"get key -w json -w plain", "! --write-out is given twice, and has one value: leave one of them out; `qkv get --help`"},
		{"-w json get key --write-out=plain", "! --write-out is given twice"},
		{"get key --prefix --prefix", "get --prefix --prefix -- key"},
		{"user add u --password x", "! --password-file FILE, or from stdin"},
		{"get key --password x", "! --user-password-file"},
		{"--prefix get key", "! put it after the command"},
	} {
		app := newApp()
		a, err := form.Arrange(app, append([]string{"qkv"}, strings.Fields(tt.line)...))
		got := strings.Join(a.Line()[1:], " ")
		if a.Help {
			got = "? " + strings.Join(a.Commands, " ")
		}
		if err != nil {
			got = "! " + err.Error()
			if code := form.ExitCode(err); code != form.ExitUsage {
				t.Errorf("%q ends with %d, want %d", tt.line, code, form.ExitUsage)
			}
		}
		want := tt.want
		if text, refused := strings.CutPrefix(tt.want, "! "); refused {
			if !strings.HasPrefix(got, "! ") || !strings.Contains(got, text) {
				t.Errorf("%q:\n got %s\nwant an error with %s", tt.line, got, text)
			}
		} else if got != want {
			t.Errorf("%q:\n got %s\nwant %s", tt.line, got, want)
		}
	}
}

// TestFlags: each flag has a sentence of help, at most one variable, and no two commands that share a variable mean different things by
// it.
func TestFlags(t *testing.T) {
	usages := map[string]string{}
	var visit func(commands []*cli.Command)
	visit = func(commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden { // no user starts it
				continue
			}
			for _, f := range c.Flags {
				d := f.(cli.DocGenerationFlag)
				variables := d.GetEnvVars()
				if (c.Name == "quick" || c.Name == "failover") && f.Names()[0] == "endpoints" {
					if len(variables) > 0 {
						t.Error("a variable makes bench load a cluster that nobody named")
					}
					continue
				}
				if d.GetUsage() == "" {
					t.Errorf("%s --%s has no help", c.Name, f.Names()[0])
				}
				if len(variables) == 0 {
					continue
				}
				if len(variables) > 1 || !strings.HasPrefix(variables[0], "QKV_") {
					t.Errorf("%s --%s: it has the variables %v", c.Name, f.Names()[0], variables)
				}
				flag := strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))
				if !strings.HasSuffix(variables[0], "_"+flag) {
					t.Errorf("%s --%s: %s does not end with the flag's name", c.Name, f.Names()[0], variables[0])
				}
				kind := flag + map[bool]string{true: " with a value", false: " alone"}[d.TakesValue()]
				if before, ok := usages[variables[0]]; ok && before != kind {
					t.Errorf("%s is %s for one command and %s for another", variables[0], before, kind)
				}
				usages[variables[0]] = kind
			}
			visit(c.Subcommands)
		}
	}
	visit(newApp().Commands)
}

func TestDidYouMean(t *testing.T) {
	for _, tt := range []struct{ word, want string }{
		{"gte", "get"}, {"staus", "status"}, {"exprot", "export"}, {"imoprt", "import"}, {"delete", ""}, {"x", ""}, {"", ""},
	} {
		got := form.DidYouMean(tt.word, form.Names(newApp().Commands))
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"ex"}, "export"},
		{[]string{"cert", ""}, "ca member client secret renew show"},
		{[]string{"get", "--pre"}, "--prefix"},
		{[]string{"get", "key", "-w", ""}, "plain json table"},
		{[]string{"get", "key", "--write-out", "j"}, "json"},
		{[]string{"config", "check", "-w", ""}, "plain json"},
		{[]string{"watch", "key", "-w", ""}, "plain json"},
		{[]string{"bench", "report", "a.json", "-w", "rat"}, "ratios"},
		{[]string{"serve", "--log-level", "w"}, "warn"},
		{[]string{"completion", ""}, "bash zsh fish pwsh"},
		{[]string{"import", "/e"}, ""},
		{[]string{"nosuch", "x"}, ""},
		{[]string{"--vers"}, "--version"},
	} {
		app := newApp()
		var out bytes.Buffer
		form.Complete(app, tt.words, &out)
		var got []string
		for line := range strings.Lines(out.String()) {
			word, _, _ := strings.Cut(line, "\t")
			got = append(got, strings.TrimSpace(word))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q: got %q, want %q", tt.words, got, tt.want)
		}
	}
}
