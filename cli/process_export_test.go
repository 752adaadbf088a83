package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProcessExportSyncs: each file of an export is on the disk before it gets its key's name, and each folder after names came to it,
// those too that an export before gave, which may have been killed before it synced the folder. The folders above are synced, too: the
// export makes those that are missing.
func TestProcessExportSyncs(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace here to see what is synced")
	}
	c := startProcesses(t, 1)
	for i := range 5 {
		c.qkv("put", fmt.Sprintf("folder/%d", i), "value").exits(t, 0)
	}
	into := filepath.Join(t.TempDir(), "new", "out")
	exportSyncing(t, c, into, 5)
	c.qkv("put", "folder/5", "value").exits(t, 0)
	exportSyncing(t, c, into, 1)
	exportSyncing(t, c, into, 0)
}

// exportSyncing exports, and sees so many files get their names, and what is synced.
func exportSyncing(t *testing.T, c *clusterProcess, into string, names int) {
	t.Helper()
	calls := filepath.Join(t.TempDir(), "calls")
	ctx, cancel := context.WithTimeout(context.Background(), 2*processWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "strace", "-f", "-q", "-y", "-o", calls, "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "qkv", "export", into)
	cmd.Env = append(withoutSettings(os.Environ()), c.environment()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	synced, renamed, unsynced := map[string]bool{}, 0, map[string]bool{
		filepath.Join(into, "folder"): true, filepath.Dir(into): true, filepath.Dir(filepath.Dir(into)): true,
	}
	sync := regexp.MustCompile(`f(?:data)?sync\(\d+<(.*?)>`)
	rename := regexp.MustCompile(`renameat2?\(\d+<(.*?)>, "(.*?)", \d+<(.*?)>, "(.*?)"`)
	for line := range strings.Lines(string(readFile(t, calls))) {
		if m := sync.FindStringSubmatch(line); m != nil {
			synced[m[1]] = true
			delete(unsynced, m[1])
		} else if m := rename.FindStringSubmatch(line); m != nil {
			renamed++
			if !synced[filepath.Join(m[1], m[2])] {
				t.Errorf("a file gets its name before it was synced: %s", line)
			}
			unsynced[filepath.Dir(filepath.Join(m[3], m[4]))] = true
		}
	}
	if renamed != names || len(unsynced) > 0 {
		t.Errorf("%d files got their names, and folders that were not synced after that are %v:\n%s", renamed, unsynced, readFile(t, calls))
	}
}
