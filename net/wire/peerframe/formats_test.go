package peerframe

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestFormatsPage: docs/formats.md has a row for each kind of frame, with its class.
func TestFormatsPage(t *testing.T) {
	b, err := os.ReadFile("../../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(b), "## Between members")
	page, _, _ = strings.Cut(page, "## With clients")
	rows := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) [a-z]+ \| ([a-z, ]+) \|`).FindAllStringSubmatch(page, -1) {
		rows[row[1]] = row[2]
	}
	classes := [Classes]string{Urgent: "urgent", Append: "appends", Bulk: "bulk"}
	for _, x := range messages {
		kind, class := x.message.frame()
		if !strings.Contains(rows[fmt.Sprint(kind)], classes[class]) {
			t.Errorf("kind %d, as in %q, is not there as one of the class %s: %q", kind, x.name, classes[class], rows[fmt.Sprint(kind)])
		}
	}
	for kind := 1; kind < len(elements); kind++ {
		if rows[fmt.Sprint(kind)] == "" {
			t.Errorf("docs/formats.md has no row for frames of kind %d", kind)
		}
	}
	if len(rows) != len(elements)-1 {
		t.Errorf("docs/formats.md has %d kinds of frames, and there are %d", len(rows), len(elements)-1)
	}
}
