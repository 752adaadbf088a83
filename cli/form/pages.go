package form

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

//go:embed commands.txt
var commandsText string

// page is the help of a command: what commands.txt says of it.
type page struct {
	number                           int // of its section
	category, arguments, usage, text string
	Examples                         []string
}

// Pages are the sections of commands.txt, by the path of their command.
var Pages = readPages(commandsText)

// pagePath matches the path of a command in a heading; the arguments follow.
var pagePath = regexp.MustCompile(`^[a-z-]+( [a-z-]+( |$))?`)

// readPages reads sections. A heading `## PATH ARGUMENTS` begins one, and `# CATEGORY` a category. The line below a
// heading is the usage, and lines that begin with `$ ` are examples. The rest is text: an empty line ends a paragraph,
// and a line with two spaces in a row is laid out.
func readPages(text string) map[string]page {
	all, path, category, joint := map[string]page{}, "", "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		p := all[path]
		switch laidOut := strings.Contains(line, "  "); {
		case strings.HasPrefix(line, "# "):
			category = line[2:]
		case strings.HasPrefix(line, "## "):
			path = strings.TrimSpace(pagePath.FindString(line[3:]))
			p = page{number: len(all), category: category, arguments: strings.TrimSpace(line[3+len(path):])}
		case strings.HasPrefix(line, "$ "):
			p.Examples = append(p.Examples, line[2:])
		case p.usage == "":
			p.usage = line
		case line == "":
			joint = "\n\n"
		case p.text == "":
			p.text, joint = line, " "
		default:
			if laidOut && joint == " " {
				joint = "\n"
			}
			p.text, joint = p.text+joint+line, " "
			if laidOut {
				joint = "\n"
			}
		}
		all[path] = p
	}
	delete(all, "")
	return all
}

// AddPage adds what commands.txt says to a command; the command's own usage and description come behind that.
func AddPage(c *cli.Command, path string) {
	p := Pages[path]
	c.ArgsUsage, c.Usage, c.Description = p.arguments, p.usage+c.Usage, p.text+c.Description
	if !strings.Contains(path, " ") {
		c.Category = p.category
	}
}

// SortByPages puts commands into the order of commands.txt.
func SortByPages(commands []*cli.Command) {
	slices.SortFunc(commands, func(a, b *cli.Command) int { return Pages[a.Name].number - Pages[b.Name].number })
}
