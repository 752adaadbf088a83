package cli

import "qkv/log/disk"

// syncAbove makes the names of a folder and of all folders above it durable.
func syncAbove(dir string) error { return disk.SyncAbove(disk.OS(), dir) }
