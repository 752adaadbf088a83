//go:build !windows

package wire

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRotationKeepsTheOwner rotates a secret as root: the member, which runs as another user and is in the file's group, still may read it.
func TestRotationKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	const uid, gid, mode = 1234, 2345, 0o640
	name := filepath.Join(t.TempDir(), "secret")
	must(t, WriteSecrets(name, []ClusterSecret{InsecureSecret("old")}, false))
	must(t, os.Chown(name, uid, gid))
	must(t, os.Chmod(name, mode))
	must(t, WriteSecrets(name, []ClusterSecret{InsecureSecret("new"), InsecureSecret("old")}, true))
	info, err := os.Stat(name)
	must(t, err)
	if of := info.Sys().(*syscall.Stat_t); of.Uid != uid || of.Gid != gid || info.Mode().Perm() != mode {
		t.Errorf("owner %d, group %d, mode %#o", of.Uid, of.Gid, info.Mode().Perm())
	}
	if all, err := ReadSecrets(name); err != nil || len(all) != 2 {
		t.Error(len(all), err)
	}
}
