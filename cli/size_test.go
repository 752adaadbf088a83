package cli

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// TestSizeFlags: every flag of a size takes units, on the command line and in a configuration file, and no other kind of flag counts bytes.
func TestSizeFlags(t *testing.T) {
	sizes := map[string]bool{}
	var walk func(path string, all []*cli.Command)
	walk = func(path string, all []*cli.Command) {
		for _, c := range all {
			if c.Name == "etcd" { // etcd's flags have etcd's syntax: whole numbers
				continue
			}
			for _, f := range c.Flags {
				name := path + " " + c.Name + " --" + f.Names()[0]
				generic, is := f.(*cli.GenericFlag)
				if is {
					_, is = generic.Value.(*form.Size)
				}
				if counts := strings.HasSuffix(f.Names()[0], "bytes"); counts != is {
					t.Errorf("%s: it is %v that its name ends with bytes, and %v that it takes a size", name, counts, is)
				}
				if !is {
					continue
				}
				sizes[f.Names()[0]] = true
				var value form.Size
				for text, want := range map[string]form.Size{"1GiB": 1 << 30, "512MiB": 512 << 20, "4096": 4096, "1.5 KiB": 1536} {
					if err := value.Set(text); err != nil || value != want {
						t.Errorf("%s=%s is %d bytes: %v", name, text, value, err)
					}
				}
				if !strings.Contains(generic.Usage, "`SIZE`") {
					t.Errorf("%s: the help does not say `SIZE`: %s", name, generic.Usage)
				}
			}
			walk(path+" "+c.Name, c.Subcommands)
		}
	}
	walk("qkv", newApp().Commands)
	for _, name := range []string{"quota-bytes", "history-bytes", "max-request-bytes", "value-bytes"} {
		if !sizes[name] {
			t.Errorf("no command has --%s", name)
		}
	}
}
