package form

import (
	"testing"
)

// A development version names its commit, so that members of two builds differ.
func TestVersionOfABuild(t *testing.T) {
	for commit, want := range map[string]string{
		"commit unknown":                   release,
		"commit 1a2b3c4d5e6f":              release + "+1a2b3c4d5e6f",
		"commit 1a2b3c4d5e6f with changes": release + "+1a2b3c4d5e6f-dirty",
	} {
		if got := versionOf(commit); got != want {
			t.Errorf("the version of %q is %s, want %s", commit, got, want)
		}
	}
}
