package log_test

import (
	"errors"
	"syscall"
	"testing"

	"qkv/internal/damage"
	"qkv/log"
	"qkv/log/disk"
)

// badPage is a disk of which one page of one file cannot be read: what is before it can.
type badPage struct {
	disk.FS
	name string
	at   int64
}

type badPageFile struct {
	disk.File
	at int64
}

func (b badPage) Open(name string) (disk.File, error) {
	f, err := b.FS.Open(name)
	if err == nil && name == b.name {
		return badPageFile{f, b.at}, nil
	}
	return f, err
}

func (f badPageFile) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= f.at || off >= f.at+4096 {
		return f.File.ReadAt(p, off)
	}
	n := max(f.at-off, 0)
	if got, err := f.File.ReadAt(p[:n], off); err != nil {
		return got, err
	}
	return int(n), syscall.EIO
}

// A page that cannot be read is named, and not one before it that was read with it.
func TestUnreadablePageIsNamed(t *testing.T) {
	w := flipLog(t, 3, true)
	for _, p := range livePieces(t, w.m) {
		if p.from < 4096 || p.from == p.to {
			continue
		}
		c := w.after(t, uint64(p.from))
		c.o.FS = badPage{c.m, p.file, p.from}
		_, _, err := log.Open(c.o)
		var corrupt *damage.Error
		if !errors.As(err, &corrupt) || corrupt.File != p.file || corrupt.Offset != p.from {
			t.Errorf("%s at %d: %v", p.file, p.from, err)
		}
	}
}
