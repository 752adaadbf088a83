package cli

import (
	"slices"
	"strings"
	"testing"

	"qkv/cli/form"
)

// FuzzArrange: whatever the words, they are refused or every one of them is kept, arguments in their order.
func FuzzArrange(f *testing.F) {
	for _, line := range []string{
		"get key --serializable", "put -- -a -b", "cert member n1 --hosts h", "--endpoints a:1 get k -w json", "get --limit=3 k",
		"help get", "__complete x", "get -- --", "-w -w", "--=x get", "- get -", "get --prefix=false k",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Fields(line)
		a, err := form.Arrange(newApp(), append([]string{"qkv"}, words...))
		if err != nil || a.Help {
			return
		}
		kept := len(a.Commands) + len(a.Flags) + len(a.Args)
		if i := slices.Index(words, "--"); i >= 0 {
			kept++ // the one that ends the flags
		}
		if kept != len(words) && !slices.Contains(words, "--version") && !slices.Contains(words, "-version") {
			t.Errorf("%q: commands %q, flags %q, arguments %q", words, a.Commands, a.Flags, a.Args)
		}
		at := 0
		for _, argument := range a.Args {
			i := slices.Index(words[at:], argument)
			if i < 0 {
				t.Fatalf("%q: the argument %q is out of order in %q", words, argument, a.Args)
			}
			at += i + 1
		}
	})
}
