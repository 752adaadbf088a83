package form

import (
	"testing"
)

// Sections of commands.txt: lines of a paragraph are joined, and a line with two spaces in a row stays one.
func TestReadPages(t *testing.T) {
	all := readPages("# keys\n\n## put KEY [VALUE]\nset a key\n\none\ntwo\n\n  a  b\n  c  d\n\nthree\n\n$ qkv put k v\n\n" +
		"## lease list\nlist\n\n$ qkv lease list\n$ qkv lease list -w json\n\n## completion bash|zsh\nprint\n\nflags\n+all\n--long: a text that\n  goes on\n\n" +
		"# flags\n\n## +all\n--one text: first\n--two text: second\n")
	put := all["put"]
	if want := "one two\n\n  a  b\n  c  d\n\nthree"; put.text != want || put.arguments != "KEY [VALUE]" || put.usage != "set a key" {
		t.Errorf("%+v, the text is to be %q", put, want)
	}
	if list := all["lease list"]; list.category != "keys" || list.arguments != "" || list.text != "" || len(list.Examples) != 2 {
		t.Errorf("%+v", list)
	}
	if len(all) != 4 || all["completion"].arguments != "bash|zsh" {
		t.Errorf("%+v", all)
	}
	if flags := all["completion"].flags; len(flags) != 2 || flags[0].group != "+all" || flags[1].usage != "a text that goes on" || len(all["+all"].flags) != 2 {
		t.Errorf("%+v", all)
	}
}
