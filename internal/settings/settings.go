package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Kind is the type of a setting's value.
type Kind int

// The kinds of values.
const (
	Text   Kind = iota // a text
	List               // a list of texts without commas, or one text with commas
	Switch             // true or false
	Time               // a text with a unit, as in 5s
	Size               // a whole number of bytes, or a text with a unit, as in 512MiB
)

// wants says what a value of each kind looks like.
var wants = [...]string{
	Text: "a text is needed, in quotes if it looks like something else", List: "a text or a list of texts is needed", Switch: "true or false is needed",
	Time: "a time has a unit, as in 5s or 7d", Size: "a size is a number of bytes, or has a unit, as in 512MiB",
}

// Setting is one value of a file, as the command line would have it.
type Setting struct {
	Name, Value string
	Line        int // in the file, from 1
}

// Table describes the settings that a file may have.
type Table struct {
	Kinds map[string]Kind
	// Refused holds flags that cannot stand in a file, each with the reason.
	Refused map[string]string
	// Meant suggests a known name in place of an unknown one, as in "did you mean listen? "; empty: none is near.
	Meant func(unknown string, known []string) string
}

// Fault is one mistake in a file.
type Fault struct {
	Line int // from 1; 0: not known
	Text string
}

// Faults are all mistakes that were found in a file, in the order of their lines.
type Faults struct {
	File string
	All  []Fault
}

// Error returns one line for each fault: FILE:LINE: TEXT.
func (f *Faults) Error() string {
	lines := make([]string, len(f.All))
	for i, one := range f.All {
		lines[i] = f.File + ": " + one.Text
		if one.Line > 0 {
			lines[i] = fmt.Sprintf("%s:%d: %s", f.File, one.Line, one.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// reader collects the faults of one file.
type reader struct {
	Table
	faults []Fault
}

func (r *reader) fault(n *yaml.Node, format string, args ...any) {
	r.faults = append(r.faults, Fault{n.Line, fmt.Sprintf(format, args...)})
}

// end returns the faults as one error; nil if there are none.
func (r *reader) end(file string) error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b Fault) int { return a.Line - b.Line })
	return &Faults{file, r.faults}
}

// Read reads a file of settings, which is at most settingsBytes long. Its error is a *Faults, or that of from. The order of the
// settings is that of the file.
func Read(file string, from io.Reader, t Table) ([]Setting, error) {
	r := &reader{Table: t}
	root, err := r.parse(from)
	if err != nil {
		return nil, err
	}
	all := r.mapping(root, "the file")
	return all, r.end(file)
}

const (
	// settingsBytes bounds a configuration file. All flags with their comments take a fifth of it; a larger file is a mistake, and parsing
	// it would take memory many times its size.
	settingsBytes = 64 << 10
	// settingShown is how many bytes of a refused value an error shows: the length of a line.
	settingShown = 64
)

// parse returns the root of a file; nil for an empty file and for one with faults.
func (r *reader) parse(from io.Reader) (*yaml.Node, error) {
	text, err := io.ReadAll(io.LimitReader(from, settingsBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > settingsBytes {
		r.faults = append(r.faults, Fault{0, fmt.Sprintf("the file has more than %d bytes: it is no file of settings", settingsBytes)})
		return nil, nil
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	switch err := d.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		r.faults = append(r.faults, syntaxFault(err))
		return nil, nil
	}
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.faults = append(r.faults, syntaxFault(err))
	default:
		r.fault(&second, "a second document begins here: a file has one")
	}
	return root.Content[0], nil
}

// syntaxLine matches the place in an error of the YAML library.
var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): `)

func syntaxFault(err error) Fault {
	text, line := err.Error(), 0
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.TrimPrefix(text, m[0])
	}
	return Fault{line, "this is not YAML: " + strings.TrimPrefix(text, "yaml: ")}
}

// entries returns the names and values of a mapping, without repeated names.
func (r *reader) entries(n *yaml.Node, what string) (entries []entry) {
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Anchor == "" {
		return nil
	}
	if r.anchored(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s is not a mapping: each line is NAME: VALUE", what)
		return nil
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if r.anchored(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			r.fault(key, "a name is needed before the colon")
			continue
		}
		if first := lines[key.Value]; first > 0 {
			r.fault(key, "%s is given twice: first in line %d", shortened(key.Value), first)
			continue
		}
		lines[key.Value] = key.Line
		entries = append(entries, entry{key, value})
	}
	return entries
}

type entry struct{ key, value *yaml.Node }

// anchored refuses the parts of YAML by which one text stands for another one.
func (r *reader) anchored(n *yaml.Node) bool {
	if n.Kind != yaml.AliasNode && n.Anchor == "" {
		return false
	}
	r.fault(n, "anchors and aliases (& and *) are not supported: write the value out")
	return true
}

// mapping reads the settings of one mapping.
func (r *reader) mapping(n *yaml.Node, what string) (all []Setting) {
	known := slices.Sorted(maps.Keys(r.Kinds))
	for _, e := range r.entries(n, what) {
		name := e.key.Value
		kind, ok := r.Kinds[name]
		switch why, refused := r.Refused[name]; {
		case refused:
			r.fault(e.key, "%s cannot stand in a file: %s", name, why)
		case !ok:
			r.fault(e.key, "unknown setting %s: %s", shortened(name), strings.TrimSpace(r.Meant(name, known)))
		default:
			if text, ok := r.value(name, kind, e.value); ok {
				all = append(all, Setting{name, text, e.key.Line})
			}
		}
	}
	return all
}

// value returns a value as the command line has it.
func (r *reader) value(name string, kind Kind, n *yaml.Node) (text string, ok bool) {
	if r.anchored(n) {
		return "", false
	}
	tag := n.ShortTag()
	switch {
	case n.Kind == yaml.ScalarNode && (tag == "!!null" || n.Value == ""):
		r.fault(n, "%s has no value: leave the line out for the default", name)
		return "", false
	case n.Kind == yaml.SequenceNode && kind == List:
		return r.list(name, n)
	case n.Kind != yaml.ScalarNode, !slices.Contains(tagsOf[kind], tag):
		r.fault(n, "%s: %s is %s: %s", name, shown(n), kindName(n), wants[kind])
		return "", false
	}
	return n.Value, true
}

// tagsOf are YAML's types that are accepted for each kind.
var tagsOf = [...][]string{Text: {"!!str"}, List: {"!!str"}, Switch: {"!!bool"}, Time: {"!!str"}, Size: {"!!int", "!!str"}}

// kindName returns the type of a value in words.
func kindName(n *yaml.Node) string {
	switch tag := n.ShortTag(); tag {
	case "!!str":
		return "a text"
	case "!!int":
		return "a whole number"
	case "!!float":
		return "a number"
	case "!!bool":
		return "a switch"
	case "!!map":
		return "a mapping"
	case "!!seq":
		return "a list"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "empty"
	default:
		return "of the type " + shortened(tag)
	}
}

// list returns a sequence of texts as one text with commas.
func (r *reader) list(name string, n *yaml.Node) (text string, ok bool) {
	var words []string
	for _, one := range n.Content {
		switch {
		case r.anchored(one):
		case one.Kind != yaml.ScalarNode || one.ShortTag() != "!!str" || one.Value == "":
			r.fault(one, "%s: the entry %s is %s: a text is needed, in quotes if it looks like something else", name, shown(one), kindName(one))
		case strings.Contains(one.Value, ","):
			r.fault(one, "%s: the entry %s has a comma: write two entries", name, shown(one))
		default:
			words = append(words, one.Value)
		}
	}
	switch {
	case len(n.Content) == 0:
		r.fault(n, "%s has an empty list: leave the line out for the default", name)
	case len(words) == len(n.Content):
		return strings.Join(words, ","), true
	}
	return "", false
}

// shown is a value in an error.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return "this"
	}
	return shortened(n.Value)
}

// shortened quotes a text of a file, and cuts it.
func shortened(text string) string {
	if len(text) > settingShown {
		return fmt.Sprintf("%q...", text[:settingShown])
	}
	return strconv.Quote(text)
}
