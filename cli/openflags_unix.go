//go:build !windows

package cli

import "syscall"

const (
	// noFollow refuses a symbolic link in the place of the opened file.
	noFollow = syscall.O_NOFOLLOW
	// folderOnly refuses everything but a folder.
	folderOnly = syscall.O_DIRECTORY
)
