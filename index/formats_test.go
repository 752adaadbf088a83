package index

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"qkv/index/kv"
)

// TestFormatsPage: docs/formats.md has a row for each kind of command, with its feature level and the number of its fields, and one for each
// section of the state.
func TestFormatsPage(t *testing.T) {
	b, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	between := func(from, to string) string {
		_, page, _ := strings.Cut(string(b), from)
		page, _, _ = strings.Cut(page, to)
		return page
	}
	commands := between("### Envelopes and commands", "## A backup")
	rows := 0
	for number := range kinds {
		if !declared(uint64(number)) {
			continue
		}
		rows++
		k := &kinds[number]
		row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| %d %s \\| `\\[(.*)\\]` \\| (.+) \\|$", number, k.name)).FindStringSubmatch(commands)
		if row == nil {
			t.Errorf("docs/formats.md has no row for commands of kind %d, %s", number, k.name)
			continue
		}
		fields := fieldsOf(row[1])
		want := len(k.fields)
		if number == kindAnnounce { // its field is a member, whose fields the page has
			want = int(kv.AppendMember(nil, &kv.Member{})[0] & 0xf)
		}
		if fields != want {
			t.Errorf("docs/formats.md has %d fields of a %s, and there are %d", fields, k.name, want)
		}
		if row[2] != fmt.Sprint(k.level) {
			t.Errorf("docs/formats.md says %s on the feature level of a %s, which is %d", row[2], k.name, k.level)
		}
		for i, level := range k.fields {
			if level != k.level {
				t.Errorf("field %d of a %s is of feature level %d: docs/formats.md must say so, and this test must read it", i+1, k.name, level)
			}
		}
	}
	if all := len(regexp.MustCompile(`(?m)^\| \d+ `).FindAllString(commands, -1)); all != rows {
		t.Errorf("docs/formats.md has %d kinds of commands, and there are %d", all, rows)
	}
	state := between("### Snapshots and parts", "### Envelopes and commands")
	for section := 1; section < sections; section++ {
		if !regexp.MustCompile(fmt.Sprintf("(?m)^\\| %d \\| `", section)).MatchString(state) {
			t.Errorf("docs/formats.md has no row for section %d of the state", section)
		}
	}
}

// fieldsOf counts the fields of a drawn array.
func fieldsOf(text string) (n int) {
	depth := 0
	for _, c := range text {
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		case ',':
			if depth == 0 {
				n++
			}
		}
	}
	if text != "" {
		n++
	}
	return n
}
