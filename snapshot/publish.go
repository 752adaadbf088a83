package snapshot

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// output is a file that is written once from its beginning to its end. It is synced as it grows, so that the last
// sync is short, and what was received survives. Its first error is final: the caller abandons the file.
type output struct {
	disk.File
	offset int64 // the end of what is written
	synced int64
}

func (o *output) append(b []byte) error {
	n, err := o.WriteAt(b, o.offset)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", len(b), o.offset, err)
	}
	if o.offset += int64(n); o.offset-o.synced < limits.SnapshotSyncBytes {
		return nil
	}
	o.synced = o.offset
	return o.Datasync()
}

// free returns an error that wraps fs.ErrExist when a file of that name is there.
func free(fs disk.FS, path string) error {
	f, err := fs.Open(path)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	f.Close()
	return fmt.Errorf("%s: %w", path, iofs.ErrExist)
}

// publish gives a synced file its name for good: step 3 of doc.go. It closes f. After an error no file of that name is
// there, as far as this process can see, and a crash can bring back only the whole file.
func publish(fs disk.FS, f disk.File, dir, tmp, name string) error {
	if err := f.Close(); err != nil {
		fs.Remove(join(dir, tmp))
		return err
	}
	err := free(fs, join(dir, name))
	if err == nil {
		err = fs.Rename(join(dir, tmp), join(dir, name))
	}
	if err != nil {
		fs.Remove(join(dir, tmp))
		return err
	}
	if err = fs.SyncDir(dir); err != nil {
		fs.Remove(join(dir, name))
	}
	return err
}
