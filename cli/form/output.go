package form

import (
	"slices"

	"github.com/urfave/cli/v2"
)

// WriteOutFlag is shared by the commands that print an answer.
func WriteOutFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "write-out", Aliases: []string{"w"}, Value: Plain,
		Usage: "`FORMAT` of the answer: plain, json or table",
		Action: func(_ *cli.Context, format string) error {
			switch format {
			case Plain, JSON, Table:
				return nil
			}
			return Usagef("--write-out %q is not a format: plain, json or table", format)
		},
	}
}

// PlainOrJSONFlag is shared by the commands that print several things without a table format.
func PlainOrJSONFlag(things string) cli.Flag {
	return &cli.StringFlag{
		Name: "write-out", Aliases: []string{"w"}, Value: Plain, Usage: "`FORMAT` of the " + things + ": plain or json",
		Action: OneOf("write-out", Plain, JSON),
	}
}

// WriteAnswer prints the answer of a command.
func WriteAnswer(c *cli.Context, a Answer) error {
	return a.Write(c.App.Writer, c.String("write-out"))
}

// WriteOne prints an answer with a single object: in a table its fields are the columns.
func WriteOne(c *cli.Context, text string, d Document) error {
	return WriteAnswer(c, Answer{Document: d, Text: text})
}

// WriteChanged prints what was changed, as in "removed"; text is the plain form, and id may be empty.
func WriteChanged(c *cli.Context, text, name, id, change string) error {
	d := Document{{"name", name}, {"id", id}, {"change", change}}
	if id == "" {
		d = slices.Delete(d, 1, 2)
	}
	return WriteOne(c, text+"\n", d)
}
