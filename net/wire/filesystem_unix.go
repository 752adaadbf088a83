//go:build !windows

package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// inodeOf returns the number of a file's inode; 0 if it is not known.
func inodeOf(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

// ownerOf returns the id of a file's owner, if it is known.
func ownerOf(info fs.FileInfo) (uid int, known bool) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if known {
		uid = int(stat.Uid)
	}
	return uid, known
}

// accessOfOthers returns the permissions that users other than the owner have.
func accessOfOthers(info fs.FileInfo) fs.FileMode { return info.Mode().Perm() & 0o077 }

// closedTo removes the access of a group to this user's file or folder, which a volume's fsGroup in Kubernetes gives at each start. It
// returns the access that others have then. Access of all users stays, and is refused: it may have been used.
func closedTo(name string, info fs.FileInfo) fs.FileMode {
	mode := accessOfOthers(info)
	if owner, known := ownerOf(info); mode != 0 && mode&0o007 == 0 && known && owner == os.Geteuid() && os.Chmod(name, info.Mode().Perm()&0o700) == nil {
		return 0
	}
	return mode
}

// keepAccess gives a file the owner, the group and the mode of the file that it will replace: its readers may run as another user.
func keepAccess(file, replaced string) error {
	info, err := os.Stat(replaced)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if of, known := info.Sys().(*syscall.Stat_t); known && (int(of.Uid) != os.Geteuid() || mode&0o070 != 0) {
		if err := os.Chown(file, int(of.Uid), int(of.Gid)); err != nil {
			return fmt.Errorf("keep its owner: %w", err)
		}
	}
	if mode == keyMode { // it has that mode, and a sandbox or a file system may refuse to set one
		return nil
	}
	return os.Chmod(file, mode)
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the folder %s: %w", dir, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync the folder %s: %w", dir, err)
	}
	return nil
}
