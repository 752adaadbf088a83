package form

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// declaration is a flag as a line of commands.txt declares it, or a group of flags.
type declaration struct {
	group string // the path of its section; empty: this is a flag

	name, kind, usage  string // a switch has no kind
	aliases, variables []string
	value              string // the default; empty: none
	shown              string // what the help shows in place of the default
	hidden             bool
}

// flagLine matches the line of a flag: --NAME, -ALIAS KIND default VALUE (DEFAULT IN THE HELP) $VARIABLE hidden: USAGE
var flagLine = regexp.MustCompile(
	`^--([a-z-]+)(?:, --?([a-z]+))?(?: ([a-z][^ :]*))?(?: default ([^ ]+))?(?: \(([^)]+)\))?(?: \$(\w+))?( hidden)?: (.+)$`)

// readFlags reads a line with a flag, or with groups, as in `+answer +connection`.
func readFlags(line string) (all []declaration) {
	if strings.HasPrefix(line, "+") {
		for group := range strings.FieldsSeq(line) {
			all = append(all, declaration{group: group})
		}
		return all
	}
	m := flagLine.FindStringSubmatch(line)
	if m == nil {
		panic("commands.txt: this line declares no flag: " + line)
	}
	return []declaration{{
		name: m[1], aliases: strings.Fields(m[2]), kind: m[3], value: m[4], shown: m[5], variables: strings.Fields(m[6]),
		hidden: m[7] != "", usage: m[8],
	}}
}

// Flags returns new flags of a command or a group, as commands.txt declares them. words are pairs: a word in braces of
// that text, and what stands in its place.
func Flags(path string, words ...string) (flags []cli.Flag) {
	for _, d := range Pages[path].flags {
		if d.group != "" {
			flags = append(flags, Flags(d.group, words...)...)
			continue
		}
		d.value, d.usage = filled(d.value, words), filled(d.usage, words)
		flags = append(flags, d.flag())
	}
	return flags
}

// filled replaces the words in braces of a text.
func filled(text string, words []string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return strings.NewReplacer(words...).Replace(text)
}

func (d *declaration) flag() cli.Flag {
	switch kind, _, _ := strings.Cut(d.kind, ">"); kind {
	case "":
		return &cli.BoolFlag{Name: d.name, Aliases: d.aliases, EnvVars: d.variables, Usage: d.usage}
	case "list":
		return &cli.StringSliceFlag{Name: d.name, EnvVars: d.variables, Usage: d.usage}
	case "number":
		value := int64(read(d.value, strconv.Atoi))
		return &cli.Int64Flag{Name: d.name, Aliases: d.aliases, Value: value, Usage: d.usage, Action: inBounds[int64](d)}
	case "numbers":
		var value []int
		for word := range strings.SplitSeq(d.value, ",") {
			value = append(value, read(word, strconv.Atoi))
		}
		return &cli.IntSliceFlag{Name: d.name, Value: cli.NewIntSlice(value...), Usage: d.usage}
	case "fraction":
		return &cli.Float64Flag{Name: d.name, Value: float64(read(d.value, strconv.Atoi)), Usage: d.usage}
	case "size":
		value := Size(read(d.value, ParseSize))
		return &cli.GenericFlag{Name: d.name, EnvVars: d.variables, Value: &value, DefaultText: d.shown, Usage: d.usage, Hidden: d.hidden}
	case "time":
		return &daysFlag{&cli.DurationFlag{
			Name: d.name, EnvVars: d.variables, Value: read(d.value, ParseDuration), DefaultText: d.shown, Usage: d.usage, Hidden: d.hidden,
			Action: inBounds[time.Duration](d),
		}}
	}
	text := &cli.StringFlag{Name: d.name, Aliases: d.aliases, EnvVars: d.variables, Value: d.value, Usage: d.usage}
	switch {
	case d.kind == "format":
		text.Action = d.isFormat
	case strings.Contains(d.kind, "|"):
		text.Action = OneOf(d.name, strings.Split(d.kind, "|")...)
	case d.kind != "text":
		panic(fmt.Sprintf("commands.txt: --%s has the unknown kind %s", d.name, d.kind))
	}
	return text
}

// read returns a default; zero if there is none.
func read[T any](text string, parse func(string) (T, error)) (value T) {
	if text == "" {
		return value
	}
	value, err := parse(text)
	if err != nil {
		panic(fmt.Sprintf("commands.txt: the default %s: %v", text, err))
	}
	return value
}

// bounds are the kinds of numbers and times that have a least value, in nanoseconds for times.
var bounds = map[string]struct {
	least int64
	fault string
}{
	"number>0":  {1, "must be above zero"},
	"number>=0": {0, "must not be below zero"},
	"time>0":    {1, "must be above zero, as in 5s"},
	"time>=0":   {0, "must not be below zero"},
	"time>=1s":  {int64(time.Second), "must be at least 1s"},
}

// inBounds returns the check of a flag's value; nil if every value is allowed.
func inBounds[T int64 | time.Duration](d *declaration) func(*cli.Context, T) error {
	b, bounded := bounds[d.kind]
	if !bounded {
		return nil
	}
	return func(_ *cli.Context, value T) error {
		if int64(value) < b.least {
			return Usagef("--%s %v %s", d.name, value, b.fault)
		}
		return nil
	}
}

// isFormat refuses a format that the flag's usage does not list.
func (d *declaration) isFormat(_ *cli.Context, format string) error {
	list, formats := formatsIn(d.usage)
	if !slices.Contains(formats, format) {
		return Usagef("--%s %q is not a format: %s", d.name, format, list)
	}
	return nil
}

// formatsIn returns the formats that a flag's usage lists behind a colon.
func formatsIn(usage string) (list string, formats []string) {
	_, list, _ = strings.Cut(usage, ": ")
	return list, strings.FieldsFunc(strings.ReplaceAll(list, " or ", " "), func(r rune) bool { return r == ',' || r == ' ' })
}

// OneOf checks a flag's value. It accepts capital letters, as etcdctl's help has them, and converts them to lower case.
func OneOf(name string, allowed ...string) func(*cli.Context, string) error {
	return func(c *cli.Context, value string) error {
		if small := strings.ToLower(value); slices.Contains(allowed, small) {
			return c.Set(name, small)
		}
		return Usagef("--%s %q is not one of %s", name, value, strings.Join(allowed, ", "))
	}
}
