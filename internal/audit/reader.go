package audit

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// lineReader reads the lines of a file, from the offset at on.
type lineReader struct {
	file disk.File
	at   int64 // offset of the next line

	buffer []byte
	held   []byte // the part of buffer from at on
}

// next returns the next line with its newline; at the end of the file, the bytes without one. A longer line comes in pieces of
// limits.AuditLineBytes. The error is io.EOF behind the last byte. The line is valid until the next call.
func (r *lineReader) next() ([]byte, error) {
	n := bytes.IndexByte(r.held, '\n') + 1
	if n == 0 && len(r.held) < limits.AuditLineBytes {
		if err := r.fill(); err != nil {
			return nil, err
		}
		n = bytes.IndexByte(r.held, '\n') + 1
	}
	if n == 0 || n > limits.AuditLineBytes {
		n = min(len(r.held), limits.AuditLineBytes)
	}
	if n == 0 {
		return nil, io.EOF
	}
	line := r.held[:n]
	r.held = r.held[n:]
	r.at += int64(n)
	return line, nil
}

// fill reads until the buffer is full, or the file ends.
func (r *lineReader) fill() error {
	if r.buffer == nil {
		r.buffer = make([]byte, 4*limits.AuditLineBytes)
	}
	held := copy(r.buffer, r.held)
	n, err := r.file.ReadAt(r.buffer[held:], r.at+int64(held))
	r.held = r.buffer[:held+n]
	if err == io.EOF {
		return nil
	}
	return err
}

// Reader reads the lines of all files of an audit log in order, while a member writes them. It is for one goroutine.
type Reader struct {
	fs   disk.FS
	name string

	number int  // of the open file: FILE.number after its rotation
	over   bool // it has been rotated: it does not change any more
	open   disk.File
	lines  lineReader
	line   int64
}

// NewReader returns a reader of the audit log FILE. It opens a file when Next is called.
func NewReader(on disk.FS, file string) *Reader { return &Reader{fs: on, name: file} }

// Next returns the next line with its newline, valid until the next call. The error is io.EOF if there is no whole line now: a later call
// may return one. The end of a rotated file may have no newline. Files that the rotation removes before they are read are skipped.
func (r *Reader) Next() ([]byte, error) {
	for {
		if r.open == nil {
			if err := r.advance(); err != nil {
				return nil, err
			}
		}
		raw, err := r.lines.next()
		if err != nil && err != io.EOF {
			return nil, err
		}
		whole := err == nil && (raw[len(raw)-1] == '\n' || len(raw) == limits.AuditLineBytes)
		switch {
		case whole, r.over && err == nil:
			r.line++
			return raw, nil
		case r.over:
			if err := r.Close(); err != nil {
				return nil, err
			}
			continue
		}
		r.lines.at -= int64(len(raw)) // the member is writing this line
		r.lines.held = nil
		numbers, err := rotated(r.fs, r.name)
		if err != nil {
			return nil, err
		}
		if r.over = len(numbers) > 0 && numbers[len(numbers)-1] >= r.number; !r.over {
			return nil, io.EOF
		}
	}
}

// rest returns the bytes behind the last whole line of the open file.
func (r *Reader) rest() []byte {
	if r.open == nil {
		return nil
	}
	raw, _ := r.lines.next() // after an error there are none
	r.lines.at -= int64(len(raw))
	r.lines.held = nil
	return raw
}

// File returns the name of the file of the last line, without its folder.
func (r *Reader) File() string {
	if r.over {
		return path.Base(numbered(r.name, r.number))
	}
	return path.Base(r.name)
}

// Line returns the number of the last line in its file, from 1 on.
func (r *Reader) Line() int64 { return r.line }

// Close closes the open file. A later Next continues with the file after it.
func (r *Reader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

// advance opens the file after the last one: the oldest at first.
func (r *Reader) advance() error {
	for {
		before, err := rotated(r.fs, r.name)
		if err != nil {
			return err
		}
		next, number := r.name, 1
		if len(before) > 0 {
			number = before[len(before)-1] + 1
		}
		if i := slices.IndexFunc(before, func(n int) bool { return n > r.number }); i >= 0 {
			next, number = numbered(r.name, before[i]), before[i]
		}
		file, err := r.fs.Open(next)
		if errors.Is(err, fs.ErrNotExist) && len(before) > 0 && next == r.name { // between two files
			return io.EOF
		}
		if err != nil {
			return err
		}
		after, err := rotated(r.fs, r.name)
		if err == nil && slices.Equal(before, after) {
			r.open, r.number, r.over, r.line = file, number, next != r.name, 0
			r.lines = lineReader{file: file, buffer: r.lines.buffer}
			return nil
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
}
