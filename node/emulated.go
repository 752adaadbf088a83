package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// emulatedMark is a file in the data folder of a member on an emulated disk.
const emulatedMark = "EMULATED"

// StartEmulated starts a member on an emulated disk, for benchmarks: package bench/emulate. Its acknowledged writes are not durable. It
// therefore accepts only a data folder that is empty or was its own, and marks it, and Start refuses a marked folder. So it never
// overwrites a real member's data, and its own data is never taken for a real member's.
func StartEmulated(ctx context.Context, c Config, on disk.FS) (*Node, error) {
	if err := markEmulated(c.DataDir); err != nil {
		return nil, err
	}
	return start(ctx, c, on, limits.Defaults(), nil)
}

func markEmulated(dir string) error {
	mark := filepath.Join(dir, emulatedMark)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if len(entries) > 0 {
		return usagef("the data folder %s is not empty: a member on an emulated disk syncs nothing, and accepts no existing data", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	return os.WriteFile(mark, []byte("A benchmark's member on an emulated disk has written this folder, and synced nothing of it.\n"), 0o600)
}

// refuseEmulated refuses the data folder of a member on an emulated disk.
func refuseEmulated(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, emulatedMark)); err == nil {
		return usagef("the data folder %s belongs to a benchmark's member on an emulated disk: its data was never synced; remove it, or give another --data-dir", dir)
	}
	return nil
}
