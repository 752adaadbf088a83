package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// table has a setting of each kind.
func table() Table {
	return Table{
		Kinds:   map[string]Kind{"name": Text, "join": List, "found": Switch, "age": Time, "bytes": Size},
		Refused: map[string]string{"secret": "it is a secret; give secret-file"},
		Meant: func(unknown string, known []string) string {
			if slices.Contains(known, strings.ToLower(unknown)) {
				return "did you mean " + strings.ToLower(unknown) + "? "
			}
			return ""
		},
	}
}

// Each kind of value arrives as the command line would have it, and each mistake has its line.
func TestRead(t *testing.T) {
	for _, tt := range []struct{ file, settings, faults string }{
		{"", "", ""},
		{"# nothing but a comment\n---\n", "", ""},
		{"name: n1\nfound: true\n", "1 name=n1; 2 found=true", ""},
		{"\n# a comment\nbytes: 4GiB # here, too\n\nfound: true\nage: 5s\n", "3 bytes=4GiB; 5 found=true; 6 age=5s", ""},
		{"bytes: 4096\nname: '12'\nname2: x\n", "1 bytes=4096; 2 name=12", `3: unknown setting "name2": `},
		{"join: [a:1, 'b:2']\n", "1 join=a:1,b:2", ""},
		{"join:\n- a:1\n- b:2\n", "1 join=a:1,b:2", ""},
		{"join: a:1,b:2\n", "1 join=a:1,b:2", ""},
		{`{"name": "n1", "join": ["a:1"]}`, "1 name=n1; 1 join=a:1", ""},
		{"Name: n1\n", "", `1: unknown setting "Name": did you mean name?`},
		{"name: n1\nname: n2\n", "1 name=n1", `2: "name" is given twice: first in line 1`},
		{"name:\n", "", "1: name has no value: leave the line out for the default"},
		{"name: ''\nage: ~\n", "", "1: name has no value: leave the line out for the default\n2: age has no value: leave the line out for the default"},
		{"name: 7\n", "", `1: name: "7" is a whole number: a text is needed, in quotes if it looks like something else`},
		{"name: 2026-11-25\n", "", `1: name: "2026-11-25" is a date: a text is needed, in quotes if it looks like something else`},
		{"name: [a]\n", "", "1: name: this is a list: a text is needed, in quotes if it looks like something else"},
		{"name: {a: b}\n", "", "1: name: this is a mapping: a text is needed, in quotes if it looks like something else"},
		{"found: 'true'\nage: 5\nbytes: 1.5\n", "", `1: found: "true" is a text: true or false is needed` +
			"\n" + `2: age: "5" is a whole number: a time has a unit, as in 5s or 7d` +
			"\n" + `3: bytes: "1.5" is a number: a size is a number of bytes, or has a unit, as in 512MiB`},
		{"join: [a:1, 2]\n", "", `1: join: the entry "2" is a whole number: a text is needed, in quotes if it looks like something else`},
		{"join: ['a,b']\n", "", `1: join: the entry "a,b" has a comma: write two entries`},
		{"join: []\n", "", "1: join has an empty list: leave the line out for the default"},
		{"join: [a:1, [b:2]]\n", "", "1: join: the entry this is a list: a text is needed, in quotes if it looks like something else"},
		{"secret: x\n", "", "1: secret cannot stand in a file: it is a secret; give secret-file"},
		{"- name\n", "", "1: the file is not a mapping: each line is NAME: VALUE"},
		{"name\n", "", "1: the file is not a mapping: each line is NAME: VALUE"},
		{"? [a]\n: b\n", "", "1: a name is needed before the colon"},
		{"name: n1\n---\nname: n2\n", "1 name=n1", "2: a second document begins here: a file has one"},
		{"name: n1\n  found: true\n", "", "2: this is not YAML: mapping values are not allowed in this context"},
		{"name: \"n1\n", "", "2: this is not YAML: found unexpected end of stream"},
		{"name: \x00\n", "", "0: this is not YAML: control characters are not allowed"},
		{"name: \xff\n", "", "0: this is not YAML: invalid leading UTF-8 octet"},
		{"name: &n n1\njoin: *n\n", "", "1: anchors and aliases (& and *) are not supported: write the value out\n2: anchors and aliases (& and *) are not supported: write the value out"},
		{"&n name: n1\n", "", "1: anchors and aliases (& and *) are not supported: write the value out"},
		{"&all\nname: n1\n", "", "1: anchors and aliases (& and *) are not supported: write the value out"},
		{"join: &l [a:1]\n", "", "1: anchors and aliases (& and *) are not supported: write the value out"},
		{"join: [&e a:1]\n", "", "1: anchors and aliases (& and *) are not supported: write the value out"},
		{"<<: {name: n1}\n", "", `1: unknown setting "<<": `},
		{"name: !!binary bjE=\n", "", `1: name: "bjE=" is of the type "!!binary": a text is needed, in quotes if it looks like something else`},
		{"name: !mine n1\n", "", `1: name: "n1" is of the type "!mine": a text is needed, in quotes if it looks like something else`},
		{"name: !!str 7\n", "1 name=7", ""},
	} {
		all, err := Read("f", strings.NewReader(tt.file), table())
		var got []string
		for _, s := range all {
			got = append(got, fmt.Sprintf("%d %s=%s", s.Line, s.Name, s.Value))
		}
		if settings := strings.Join(got, "; "); settings != tt.settings {
			t.Errorf("%q has the settings %q, not %q", tt.file, settings, tt.settings)
		}
		if faults := faultsOf(t, err); faults != tt.faults {
			t.Errorf("%q has the faults\n%q, not\n%q", tt.file, faults, tt.faults)
		}
	}
}

func faultsOf(t *testing.T, err error) string {
	t.Helper()
	var faults *Faults
	if err != nil && !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var lines []string
	for i := 0; faults != nil && i < len(faults.All); i++ {
		lines = append(lines, fmt.Sprintf("%d: %s", faults.All[i].Line, faults.All[i].Text))
	}
	return strings.Join(lines, "\n")
}

// Hostile files are refused in little time: huge ones, bombs of anchors, and deep nesting.
func TestHostileFiles(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	for name, tt := range map[string]struct{ file, want string }{
		"10 MB":   {strings.Repeat("#0123456789abcd\n", 10<<20/16), fmt.Sprintf("the file has more than %d bytes", settingsBytes)},
		"bomb":    {bomb, "unknown setting"},
		"of it":   {"name: n1\nx: &x [a]\njoin: [*x, *x]\n", "anchors and aliases"},
		"lists":   {"join: " + strings.Repeat("[", 30000), "this is not YAML"},
		"nested":  {"join: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "is a list"},
		"indents": {strings.Repeat("- ", 30000), "this is not YAML"},
		"shown":   {"found: " + strings.Repeat("a", 5000) + "\n" + strings.Repeat("b", 1000) + ": 1\n", "bbb\"..."},
	} {
		begun := time.Now()
		_, err := Read("f", strings.NewReader(tt.file), table())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %.200v", name, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if err != nil && len(err.Error()) > 8<<10 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	if _, err := Read("f", strings.NewReader(strings.Repeat("#", settingsBytes)), table()); err != nil {
		t.Errorf("a file of the largest size: %v", err)
	}
}

// Profiles are settings by name, and the default is one of them.
func TestReadProfiles(t *testing.T) {
	for _, tt := range []struct{ file, first, profiles, faults string }{
		{"", "", "", ""},
		{"default: b\nprofiles:\n  a: {name: n1}\n  b:\n    join: [x:1, y:1]\n    found: true\n  c:\n", "b", "a: name=n1; b: join=x:1,y:1 found=true; c:", ""},
		{"default: d\nprofiles:\n  a: {name: n1}\n  b: {}\n", "d", "a: name=n1; b:", `1: the default "d" is none of the profiles: a, b`},
		{"default: d\nprofiles:\n  a: {name: 1}\n", "d", "a:", `1: the default "d" is none of the profiles: a` + "\n" + `3: name: "1" is a whole number: a text is needed, in quotes if it looks like something else`},
		{"profiles:\n  a: {name: n1}\n  a: {name: n2}\n", "", "a: name=n1", `3: "a" is given twice: first in line 2`},
		{"profiles:\n  a: {name: 1, nome: x}\n", "", "a:", `2: name: "1" is a whole number: a text is needed, in quotes if it looks like something else` + "\n" + `2: unknown setting "nome": `},
		{"profiles:\n  - a\n", "", "", "2: profiles is not a mapping: each line is NAME: VALUE"},
		{"profiles:\n  a: x\n", "", "a:", `2: the profile "a" is not a mapping: each line is NAME: VALUE`},
		{"name: n1\n", "", "", "1: unknown key \"name\": a file of profiles has `default` and `profiles`"},
		{"profiles: &p {a: {name: n1}}\ndefault: 5\n", "", "", `1: anchors and aliases (& and *) are not supported: write the value out` + "\n" + `2: default: "5" is a whole number: a text is needed, in quotes if it looks like something else`},
	} {
		p, err := ReadProfiles("f", strings.NewReader(tt.file), table())
		if p.Default != tt.first || profilesText(p) != tt.profiles {
			t.Errorf("%q: the default is %q, the profiles are %q", tt.file, p.Default, profilesText(p))
		}
		if faults := faultsOf(t, err); faults != tt.faults {
			t.Errorf("%q has the faults\n%q, not\n%q", tt.file, faults, tt.faults)
		}
	}
}

func profilesText(p Profiles) string {
	var all []string
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range p.All {
			if !yield(name) {
				return
			}
		}
	}) {
		text := name + ":"
		for _, s := range p.All[name] {
			text += " " + s.Name + "=" + s.Value
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// A file that cannot be read is no file with faults.
func TestReadFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Read("f", failing{broken}, table()); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := ReadProfiles("f", failing{broken}, table()); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Faults are printed in the form that editors jump to.
func TestFaults(t *testing.T) {
	err := &Faults{"dir/f.yaml", []Fault{{0, "too large"}, {7, "unknown"}}}
	if want := "dir/f.yaml: too large\ndir/f.yaml:7: unknown"; err.Error() != want {
		t.Errorf("%q", err.Error())
	}
}
