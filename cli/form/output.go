package form

import "github.com/urfave/cli/v2"

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
	return WriteOne(c, text+"\n", Document{{"name", name}, {"id", Some(id)}, {"change", change}})
}
