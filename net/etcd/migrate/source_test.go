package migrate

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qkv/net/server/servertest"
)

// Two processes that save to one path never write the same file: the second one is refused, and the first one's snapshot is whole.
// What a killed process left is overwritten, and nothing is left beside the snapshot.
func TestSavesToOnePath(t *testing.T) {
	g := serve(t, servertest.NewMember(), 0xa)
	dir := t.TempDir()
	path := filepath.Join(dir, "all.db")
	if err := os.WriteFile(path+".part", []byte(strings.Repeat("left by a killed process", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var second error
	err := g.Save(t.Context(), path, func(int64, int64) {
		if second == nil {
			second = g.Save(t.Context(), path, nil)
		}
	})
	if err != nil || second == nil || !strings.Contains(second.Error(), "another process is writing "+path+".part") {
		t.Fatalf("the first: %v; the second: %v", err, second)
	}
	file, err := OpenFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, path)
	if err := g.Save(t.Context(), path, nil); !errors.Is(err, os.ErrExist) || !slices.Equal(contents(t, path), before) {
		t.Errorf("over a snapshot: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("beside the snapshot: %v, %v", names, err)
	}
}

// The lock is of a file, and the file may have got its final name before the lock was taken: it must not be emptied then.
func TestPartThatHasItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "all.db")
	part, err := openPart(path + ".part")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.WriteString("whole"); err != nil {
		t.Fatal(err)
	}
	late, err := os.OpenFile(path+".part", os.O_WRONLY, 0) // by another process, which gets the lock later
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(path+".part", path), part.Close()); err != nil {
		t.Fatal(err)
	}
	if err := lockPart(late, path+".part"); err == nil || !strings.Contains(err.Error(), "another process is writing") {
		t.Error(err)
	}
	if got := contents(t, path); string(got) != "whole" {
		t.Errorf("the snapshot is %q", got)
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
