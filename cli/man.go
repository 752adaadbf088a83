package cli

import (
	"io"

	"github.com/urfave/cli/v2"
)

// manCommand prints the manual page, in roff: the packages contain it.
const manCommand = "__man"

// writeMan writes the manual page of all commands.
func writeMan(app *cli.App, to io.Writer) error {
	page, err := app.ToManWithSection(1)
	if err == nil {
		_, err = io.WriteString(to, page)
	}
	return err
}
