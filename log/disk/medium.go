package disk

import (
	"errors"
	"io/fs"
)

// Medium returns a file system whose opened files are read from the medium, for a reader that must not disturb others: in reads of at
// most so many bytes, a multiple of DirectBytes. It calls before with the size of each read; an error of before is the error of the read.
func Medium(d FS, piece int, before func(bytes int) error) FS { return mediumFS{d, piece, before} }

type mediumFS struct {
	FS
	piece  int
	before func(bytes int) error
}

func (m mediumFS) Open(name string) (File, error) {
	f, err := m.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return mediumFile{f, m}, nil
}

type mediumFile struct {
	File
	of mediumFS
}

// ReadAt implements File.
func (f mediumFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:min(n+f.of.piece, len(p))]
		if err = f.of.before(len(piece)); err != nil {
			return n, err
		}
		got := 0
		got, err = f.File.ReadMedium(piece, off+int64(n))
		n += got
	}
	return n, err
}

// ReadMedium implements File.
func (f mediumFile) ReadMedium(p []byte, off int64) (int, error) { return f.ReadAt(p, off) }

// Prefetch implements File: it would fill the page cache.
func (f mediumFile) Prefetch(int64, int64) {}

// Gone reports whether there is no file of a name.
func Gone(d FS, name string) bool {
	file, err := d.Open(name)
	if err == nil {
		_ = file.Close() // read only: Close loses nothing
	}
	return errors.Is(err, fs.ErrNotExist)
}
