package cli

import (
	"strings"
	"testing"

	"qkv/cli/form/formtest"

	"github.com/urfave/cli/v2"
)

// A size is a whole number of bytes, or a number with a unit; nothing else, and nothing that is no whole number of bytes.
func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1073741824": 1 << 30, "-7": -7, "12B": 12, "1GiB": 1 << 30, "1.5 MiB": 3 << 19, "64mib": 64 << 20, "2Gi": 2 << 30, "3KB": 3000, "2 TiB": 2 << 40,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "GiB", "1.5", "many", "1XiB", "1 G B", "1e3", "NaNGiB", "InfGiB", "9223372036854775808", "8388608TiB", "0.3KiB", "1GiB1"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is read as %d bytes", text, got)
		}
	}
}

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
					_, is = generic.Value.(*size)
				}
				if counts := strings.HasSuffix(f.Names()[0], "bytes"); counts != is {
					t.Errorf("%s: it is %v that its name ends with bytes, and %v that it takes a size", name, counts, is)
				}
				if !is {
					continue
				}
				sizes[f.Names()[0]] = true
				var value size
				for text, want := range map[string]size{"1GiB": 1 << 30, "512MiB": 512 << 20, "4096": 4096, "1.5 KiB": 1536} {
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

// A size in a file has units, too.
func TestSizesInAFile(t *testing.T) {
	for _, f := range memberFlags() {
		name := f.Names()[0]
		if generic, is := f.(*cli.GenericFlag); !is {
			continue
		} else if _, is := generic.Value.(*size); !is {
			continue
		}
		if got := settingsOf(t, formtest.File(t, "qkv.yaml", name+": 8MiB\n")).value(name); got != "8388608" {
			t.Errorf("%s: 8MiB in a file: %s", name, got)
		}
	}
}
