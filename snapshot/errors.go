package snapshot

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is wrapped by every error that reports damaged bytes. The text names the file and the position. The
	// file is useful only for an investigation: see SetAside.
	ErrCorrupt = errors.New("corrupt snapshot")

	// ErrFormat is wrapped by every error that reports an intact file of a format that this qkv cannot read. Leave it
	// in place and start the version that wrote it, or a newer one.
	ErrFormat = errors.New("unknown snapshot format")
)

// corruptAt returns an error that wraps ErrCorrupt, with the file and the position in it.
func corruptAt(path string, at int64, format string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d: %s", ErrCorrupt, path, at, fmt.Sprintf(format, args...))
}

// formatOf returns an error that wraps ErrFormat.
func formatOf(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s; use the qkv that wrote it, or a newer one", ErrFormat, path, fmt.Sprintf(format, args...))
}
