package run

import (
	"os"
	"path/filepath"
	"testing"

	"qkv/cli/form/formtest"
)

// The folder of a branch is never in the backup, by whatever links either is named.
func TestOutsideTheBackup(t *testing.T) {
	root := t.TempDir()
	place, into, to := filepath.Join(root, "backup"), filepath.Join(root, "into"), filepath.Join(root, "to")
	formtest.Must(t, os.MkdirAll(filepath.Join(place, "parts"), 0o700))
	formtest.Must(t, os.Symlink(filepath.Join(place, "parts"), into))
	formtest.Must(t, os.Symlink(place, to))
	for _, c := range []struct {
		dir, place string
		refused    bool
	}{
		{place, place, true},
		{filepath.Join(place, "new", "one"), place, true},
		{filepath.Join(into, "new", "one"), place, true},
		{into, place, true},
		{filepath.Join(place, "new"), to, true},
		{filepath.Join(to, "new"), to, true},
		{place + "2", place, false},
		{filepath.Join(root, "new"), to, false},
		{filepath.Join(place, "new"), "s3://bucket/prefix", false},
	} {
		if err := outside(c.dir, c.place); (err != nil) != c.refused {
			t.Errorf("%s beside the backup %s: %v", c.dir, c.place, err)
		}
	}
}
