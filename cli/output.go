package cli

import (
	"slices"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// writeOutFlag is shared by the commands that print an answer.
func writeOutFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "write-out", Aliases: []string{"w"}, Value: form.Plain,
		Usage: "`FORMAT` of the answer: plain, json or table",
		Action: func(_ *cli.Context, format string) error {
			switch format {
			case form.Plain, form.JSON, form.Table:
				return nil
			}
			return usagef("--write-out %q is not a format: plain, json or table", format)
		},
	}
}

// plainOrJSONFlag is shared by the commands that print several things without a table format.
func plainOrJSONFlag(things string) cli.Flag {
	return &cli.StringFlag{
		Name: "write-out", Aliases: []string{"w"}, Value: form.Plain, Usage: "`FORMAT` of the " + things + ": plain or json",
		Action: oneOf("write-out", form.Plain, form.JSON),
	}
}

// writeAnswer prints the answer of a command.
func writeAnswer(c *cli.Context, a form.Answer) error {
	return a.Write(c.App.Writer, c.String("write-out"))
}

// writeOne prints an answer with a single object: in a table its fields are the columns.
func writeOne(c *cli.Context, text string, d form.Document) error {
	return writeAnswer(c, form.Answer{Document: d, Text: text})
}

// writeChanged prints what was changed, as in "removed"; text is the plain form, and id may be empty.
func writeChanged(c *cli.Context, text, name, id, change string) error {
	d := form.Document{{"name", name}, {"id", id}, {"change", change}}
	if id == "" {
		d = slices.Delete(d, 1, 2)
	}
	return writeOne(c, text+"\n", d)
}
