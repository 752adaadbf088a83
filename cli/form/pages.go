package form

import (
	_ "embed"
	"regexp"
	"strings"
)

//go:embed commands.txt
var commandsText string

// page is a section of commands.txt: a command, or a group of flags.
type page struct {
	number                           int // of its section
	category, arguments, usage, text string
	Examples                         []string
	declared                         []string // the lines of flags
	flags                            []declaration
}

// Pages are the sections of commands.txt, by the path of their command; the path of a group of flags begins with +.
var Pages = readPages(commandsText)

// pagePath matches the path in a heading; the arguments follow.
var pagePath = regexp.MustCompile(`^(\+[a-z]+|[a-z-]+( [a-z-]+( |$))?)`)

// readPages reads sections. A heading `## PATH ARGUMENTS` begins one, and `# CATEGORY` a category. The line below a
// heading is the usage, and lines that begin with `$ ` are examples. Below the line `flags` each line declares a flag, or
// names groups; two spaces continue a line. The rest is text: an empty line ends a paragraph, and a line with two spaces
// in a row is laid out.
func readPages(text string) map[string]page {
	all, path, category, joint, declares := map[string]page{}, "", "", "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		p := all[path]
		switch laidOut := strings.Contains(line, "  "); {
		case strings.HasPrefix(line, "# "):
			category = line[2:]
		case strings.HasPrefix(line, "## "):
			path = strings.TrimSpace(pagePath.FindString(line[3:]))
			p = page{number: len(all), category: category, arguments: strings.TrimSpace(line[3+len(path):])}
			declares = strings.HasPrefix(path, "+")
		case strings.HasPrefix(line, "$ "):
			p.Examples = append(p.Examples, line[2:])
		case line == "flags":
			declares = true
		case declares && strings.HasPrefix(line, "  "):
			p.declared[len(p.declared)-1] += line[1:]
		case declares && line != "":
			p.declared = append(p.declared, line)
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
	for path, p := range all {
		for _, line := range p.declared {
			p.flags = append(p.flags, readFlags(line)...)
		}
		all[path] = p
	}
	return all
}
