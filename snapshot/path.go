package snapshot

import "path"

// Paths are joined with slashes and otherwise kept as given.

func join(dir, name string) string { return dir + "/" + name }

func fileName(p string) string { return path.Base(p) }

func parent(p string) string { return path.Dir(p) }
