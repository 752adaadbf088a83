// Package formtest helps the tests of commands: it compares what they print with files.
package formtest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Rewrite is the flag -rewrite of a test: write the expected files anew.
var Rewrite = flag.Bool("rewrite", false, "write the expected answers in testdata anew")

// Golden compares a text with the file of a name in testdata/golden of the test's package.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *Rewrite {
		Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		Must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	Must(t, err)
	if got != string(want) {
		t.Errorf("%s differs (go test -rewrite writes it anew):\n--- got\n%s--- want\n%s", file, got, want)
	}
}

// InFormats returns an answer as it is printed in each format of -w.
func InFormats(write func(out *bytes.Buffer, format string) error) string {
	var all bytes.Buffer
	for _, format := range []string{"plain", "json", "table"} {
		fmt.Fprintf(&all, "-- %s --\n", format)
		if err := write(&all, format); err != nil {
			fmt.Fprintf(&all, "error: %v\n", err)
		}
	}
	return all.String()
}

// Must ends the test if there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// File writes a text into a file of a name in a folder of the test's own, and returns its path.
func File(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	Must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
