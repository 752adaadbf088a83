package node

import (
	"qkv/internal/limits"
	"qkv/log/disk"
)

// readingAhead is a file system whose files are read ahead in a background goroutine. Its reader need not wait for the disk, nor copy out
// of the page cache: a fifth of the cost of loading a snapshot.
type readingAhead struct {
	disk.FS
	background func(func())
}

// Open implements disk.FS.
func (r readingAhead) Open(name string) (disk.File, error) {
	f, err := r.FS.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		size = 0 // its reader asks again
	}
	return &aheadFile{File: f, background: r.background, size: size, piece: make(chan []byte, 1)}, nil
}

// aheadFile is an open file that one goroutine reads from its beginning to its end, with disk requests further ahead.
type aheadFile struct {
	disk.File
	background func(func())
	size       int64

	at      int64       // the expected offset of the next read
	rest    []byte      // the rest of the last piece, from there on
	under   bool        // a piece is being read, into buffers[fill]; it begins behind rest
	piece   chan []byte // that piece, empty if it could not be read
	buffers [2][]byte
	fill    int // the buffer that rest does not use
	ahead   disk.Readahead
}

// ReadAt reads as io.ReaderAt does. A piece that could not be read ahead is read again, and the caller gets its error.
func (f *aheadFile) ReadAt(p []byte, off int64) (n int, err error) {
	if off != f.at {
		f.wait()
		f.at, f.rest = off, nil
	}
	for n < len(p) && f.more() {
		moved := copy(p[n:], f.rest)
		n, f.rest, f.at = n+moved, f.rest[moved:], f.at+int64(moved)
	}
	if n < len(p) {
		var direct int
		direct, err = f.File.ReadAt(p[n:], f.at)
		n, f.at = n+direct, f.at+int64(direct)
	}
	if err == nil {
		f.begin()
	}
	return n, err
}

// more reports whether read-ahead data is available.
func (f *aheadFile) more() bool {
	if len(f.rest) == 0 {
		if f.rest = f.wait(); len(f.rest) > 0 {
			f.begin()
		}
	}
	return len(f.rest) > 0
}

// readAhead is how much of a snapshot is read ahead while it is loaded: the size of one request.
const readAhead = 1 << 20

// begin begins to read the next piece, unless a piece is being read.
func (f *aheadFile) begin() {
	at := f.at + int64(len(f.rest))
	n := min(f.size-at, readAhead)
	if f.under || n <= 0 {
		return
	}
	into := &f.buffers[f.fill]
	if *into == nil {
		*into = make([]byte, readAhead)
	}
	piece := (*into)[:n]
	f.under = true
	f.ahead.Ask(f.File, at, min(at+n+limits.PrefetchBytes, f.size))
	f.background(func() {
		if _, err := f.File.ReadAt(piece, at); err != nil {
			piece = nil
		}
		f.piece <- piece
	})
}

// wait returns the piece being read, if there is one.
func (f *aheadFile) wait() []byte {
	if !f.under {
		return nil
	}
	f.under, f.fill = false, 1-f.fill
	return <-f.piece
}

// Close closes the file when it is no longer read.
func (f *aheadFile) Close() error {
	f.wait()
	return f.File.Close()
}
