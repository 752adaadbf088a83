package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"qkv/internal/etcdflags"
)

// TestReadme: every command of the README, and of what else is written for users, is one that this program has, with flags
// that it has.
func TestReadme(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	must(t, err)
	least := map[string]int{"../README.md": 20, "../docs/emergencies.md": 12}
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		must(t, err)
		if n := checkCommands(t, string(text)); n < least[file] {
			t.Errorf("only %d commands were found: the test no longer reads %s as it is written", n, file)
		}
	}
}

// TestEmergencies: docs/monitoring.md sends who sees an alarm to docs/emergencies.md, which has what to do for each.
func TestEmergencies(t *testing.T) {
	_, alarms, _ := strings.Cut(statusCommand().Description, "Alarms: ")
	alarms, _, found := strings.Cut(alarms, "Notices")
	names := regexp.MustCompile("[A-Z]{4,}").FindAllString(alarms, -1)
	if !found || len(names) < 8 {
		t.Fatalf("the help of status lists no alarms any more, but %q", names)
	}
	for _, name := range names {
		if !strings.Contains(string(readFile(t, "../docs/emergencies.md")), "the alarm "+name) {
			t.Errorf("docs/emergencies.md does not say what to do about the alarm %s", name)
		}
	}
}

func checkCommands(t *testing.T, text string) (commands int) {
	t.Helper()
	for _, line := range readmeLines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.TrimPrefix(words[0], "./") != "qkv" {
			continue
		}
		commands++
		_, err := arrange(newApp(), append([]string{"qkv"}, words[1:]...))
		if _, etcds, ok := etcdLine(append([]string{"qkv"}, words[1:]...)); ok {
			_, err = etcdflags.Parse(etcds, nil, func(string) ([]byte, error) { return nil, nil })
		}
		if err != nil {
			t.Errorf("%s\n%v", line, err)
		}
	}
	return commands
}

// TestReadmeClient: a module of its own that does what the README says compiles with the client library in it.
func TestReadmeClient(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "## The client library")
	section, _, _ = strings.Cut(section, "\n## ")
	lines := readmeLines(section)
	if !found || len(lines) == 0 || !strings.Contains(section, `import "qkv/net/client"`) {
		t.Fatalf("the README does not say how to import the client library:\n%s", section)
	}
	here, err := filepath.Abs("..")
	must(t, err)
	folder := t.TempDir()
	mine := filepath.Join(folder, "mine")
	must(t, os.Mkdir(mine, 0o700))
	must(t, os.Symlink(here, filepath.Join(folder, "qkv")))
	must(t, os.WriteFile(filepath.Join(mine, "main.go"), []byte(`package main

import (
	"context"
	"fmt"

	"qkv/net/client"
)

func main() { fmt.Println(client.Open(context.Background(), client.Config{})) }
`), 0o600))
	for _, line := range append([]string{"go mod init example.com/mine"}, lines...) {
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir, cmd.Env = mine, append(os.Environ(), "GOFLAGS=", "GOWORK=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
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
