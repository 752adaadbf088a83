package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/log/disk"
)

// TestEmulatedFolders: a member on an emulated disk takes no folder that somebody else has written, and no other member
// takes what it has written.
func TestEmulatedFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 { // a new one, and its own
		if err := markEmulated(dir); err != nil {
			t.Fatal(err)
		}
	}
	var refused *UsageError
	if _, err := Start(t.Context(), Config{DataDir: dir}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "its data was never synced") {
		t.Errorf("Start of an emulated folder: %v", err)
	}
	real := t.TempDir()
	if err := os.WriteFile(filepath.Join(real, "identity"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := StartEmulated(t.Context(), Config{DataDir: real}, disk.OS()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("StartEmulated of a member's folder: %v", err)
	}
	if _, err := os.Stat(filepath.Join(real, emulatedMark)); err == nil {
		t.Error("it was marked all the same")
	}
}
