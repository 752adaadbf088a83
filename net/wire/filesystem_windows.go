package wire

import "io/fs"

// inodeOf returns 0: a changed file is detected by its size and time alone.
func inodeOf(fs.FileInfo) uint64 { return 0 }

// ownerOf returns that the owner is not known.
func ownerOf(fs.FileInfo) (uid int, known bool) { return 0, false }

// accessOfOthers returns none: the mode of a file says nothing about its access control list. In a user's own folder, other users have no
// access.
func accessOfOthers(fs.FileInfo) fs.FileMode { return 0 }

func closedTo(string, fs.FileInfo) fs.FileMode { return 0 }

// keepAccess does nothing: a file inherits the access of its folder.
func keepAccess(string, string) error { return nil }

// syncFolder does nothing: Windows syncs no folders.
func syncFolder(string) error { return nil }
