//go:build linux

package run

// This file is `qkv config`: check a file of settings, and print an example.

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/settings"
	"qkv/node"
)

func configCheck(c *cli.Context) error {
	s, err := readMemberSettings(c, c.Args().First())
	if err == nil {
		var config node.Config
		if config, err = s.member(nil); err == nil {
			err = config.CheckBeginning()
		}
		err = s.placed(err)
	}
	faults, found := errors.AsType[*settings.Faults](err)
	if err != nil && !found {
		return err
	}
	a, all := form.Answer{}, []form.Document{}
	for i := 0; found && i < len(faults.All); i++ {
		one := form.Document{{"line", faults.All[i].Line}, {"text", faults.All[i].Text}}
		if faults.All[i].Line == 0 { // it is not known
			one = one[1:]
		}
		all = append(all, one)
	}
	if a.Document = (form.Document{{"file", s.file}, {"settings", len(s.inFile)}, {"faults", all}}); !found {
		a.Text = fmt.Sprintf("%s: OK, %d settings\n", s.file, len(s.inFile))
	}
	_ = form.WriteAnswer(c, a) // answerWriter keeps the error, and run reports it
	return err
}

// placed gives a refused configuration the line of the first setting of the file that its error names.
func (s *memberSettings) placed(err error) error {
	if err == nil {
		return nil
	}
	fault, first := settings.Fault{Text: err.Error()}, len(err.Error())
	for _, one := range s.inFile {
		if at := strings.Index(err.Error()+" ", "--"+one.Name+" "); at >= 0 && at < first {
			fault.Line, first = one.Line, at
		}
	}
	return form.Usagef("%w", &settings.Faults{File: s.file, All: []settings.Fault{fault}})
}

// ExampleWidth is the width of the lines of the example.
const ExampleWidth = 100

// configExample returns a file with all settings as comments: each has the text of its help, and its default or a placeholder.
func configExample(c *cli.Context) error {
	var text bytes.Buffer
	w := form.Page{Writer: &text, Width: ExampleWidth}
	w.Wrap("#", "# ", "Settings of a member, for `qkv serve --config FILE`. Each flag of `qkv serve` has a line, with its default or with a placeholder. "+
		"Flags and variables have priority over this file. `qkv config check FILE` finds mistakes. SIGHUP makes a running member read "+
		strings.Join(changeable, ", ")+" again.")
	for _, f := range form.Visible(MemberFlags()) {
		fmt.Fprintln(w)
		w.Wrap("#", "# ", strings.ReplaceAll(f.(cli.DocGenerationFlag).GetUsage(), "`", ""))
		fmt.Fprintf(w, "#%s: %s\n", f.Names()[0], exampleValue(f))
	}
	_, err := text.WriteTo(c.App.Writer)
	return err
}

// exampleValue returns a value that the file may have.
func exampleValue(f cli.Flag) string {
	_, placeholder, _ := strings.Cut(f.(cli.DocGenerationFlag).GetUsage(), "`")
	placeholder, _, _ = strings.Cut(placeholder, "`")
	value := form.DefaultText(f)
	switch form.SettingKind(f) {
	case settings.Switch:
		return "false"
	case settings.List:
		return "[" + strings.TrimSuffix(placeholder, ",...") + "]"
	case settings.Size:
		first, _, _ := strings.Cut(value, ",")
		return first
	case settings.Time:
		if _, after, _ := strings.Cut(value, " "); value == "" || after != "" || value == "never" {
			return "0s"
		}
	case settings.Text:
		if value == "" {
			return placeholder
		}
	}
	return value
}
