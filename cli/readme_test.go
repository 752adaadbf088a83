package cli

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: every command of the README is one that this program has, with flags that it has.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, line := range readmeLines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.TrimPrefix(words[0], "./") != "qkv" {
			continue
		}
		commands++
		if _, err := arrange(newApp(), append([]string{"qkv"}, words[1:]...)); err != nil {
			t.Errorf("%s\n%v", line, err)
		}
	}
	if commands < 15 {
		t.Errorf("only %d commands were found: the test no longer reads the README as it is written", commands)
	}
}

// readmeLines are the lines of the code blocks, continued ones joined, without comments.
func readmeLines(text string) (lines []string) {
	inside, line := false, ""
	for part := range strings.Lines(text) {
		part = strings.TrimSpace(part)
		if strings.HasPrefix(part, "```") {
			inside = !inside
			continue
		}
		part, _, _ = strings.Cut(part, "#")
		rest, goesOn := strings.CutSuffix(strings.TrimSpace(part), "\\")
		line += " " + rest
		if inside && !goesOn {
			lines = append(lines, strings.TrimSpace(line))
		}
		if !inside || !goesOn {
			line = ""
		}
	}
	return lines
}
