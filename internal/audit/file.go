package audit

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"qkv/internal/logx"
)

const (
	fileQueue = 1024             // lines that wait for the disk
	fileLook  = time.Second      // how often the file's name is looked at
	fileClose = 10 * time.Second // how long the end of the process waits for the disk
)

// File appends lines to a file, which another program may rotate. No caller of Write waits for the disk: the goroutine of Run writes.
type File struct {
	name   string
	logger *logx.Limited
	lines  chan []byte
	quit   chan struct{}
	ended  chan struct{}
	lost   atomic.Int64

	// Of the goroutine.
	open   *os.File // nil: it could not be opened
	looked time.Time
	torn   bool // the last write has failed, perhaps in the middle of a line
}

// OpenFile opens a file, and makes it and its folder if they are missing. An error is one of the configuration: on a full disk OpenFile
// succeeds, and the lines are lost until there is space. Run must then run in a goroutine.
func OpenFile(name string, logger *slog.Logger) (*File, error) {
	f := &File{name: name, logger: logx.NewLimited(logger), lines: make(chan []byte, fileQueue), quit: make(chan struct{}), ended: make(chan struct{})}
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = f.reopen()
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return nil, err
	}
	return f, nil
}

// Write implements io.Writer for a handler, which writes one line at a time.
func (f *File) Write(line []byte) (int, error) {
	select {
	case f.lines <- bytes.Clone(line):
	default:
		f.report(errors.New("the disk does not keep up"))
	}
	return len(line), nil
}

// Run writes the lines, until Close of their Log.
func (f *File) Run() {
	defer close(f.ended)
	for {
		select {
		case line := <-f.lines:
			f.report(f.write(line))
		case <-f.quit:
			for len(f.lines) > 0 {
				f.report(f.write(<-f.lines))
			}
			return
		}
	}
}

// write writes a line to the file that the name leads to.
func (f *File) write(line []byte) error {
	if err := f.reopen(); err != nil {
		return err
	}
	if f.torn {
		line = append([]byte{'\n'}, line...)
	}
	_, err := f.open.Write(line)
	f.torn = err != nil
	return err
}

// reopen opens the file if it is not open, or if its name leads to another one or to none.
func (f *File) reopen() error {
	if f.open != nil && time.Since(f.looked) < fileLook {
		return nil
	}
	f.looked = time.Now()
	if f.open != nil {
		is, err := f.open.Stat()
		at, missing := os.Stat(f.name)
		if err == nil && missing == nil && os.SameFile(is, at) {
			return nil
		}
		_ = f.open.Close() // each line was written by one call, which has returned
		f.open, f.torn = nil, false
	}
	file, err := os.OpenFile(f.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NONBLOCK, 0o600)
	if err == nil {
		f.open = file
	}
	return err
}

// report counts a line that is lost, and logs it.
func (f *File) report(err error) {
	if err != nil {
		f.lost.Add(1)
		f.logger.Warn(f.name, "a line of the audit log is lost: free space on its disk, or correct its folder", "file", f.name, "error", err)
	}
}

// close writes the waiting lines, unless the disk does not answer.
func (f *File) close() {
	close(f.quit)
	select {
	case <-f.ended:
		if f.open != nil {
			_ = f.open.Close()
		}
	case <-time.After(fileClose):
		f.logger.Warn(f.name, "the last lines of the audit log are lost: its disk does not answer", "file", f.name)
	}
}
