package audit

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Reader reads the lines of all files of an audit log in order, while a member writes them. It is for one goroutine.
type Reader struct {
	name  string
	open  *os.File // nil: none was opened yet
	lines *bufio.Reader
	part  []byte // of a line that is being written
	over  bool   // the file has been rotated: it does not grow any more
}

// NewReader returns a reader of the audit log FILE. It opens a file when Next is called.
func NewReader(file string) *Reader {
	return &Reader{name: file, lines: bufio.NewReaderSize(nil, auditLineBytes)}
}

// Next returns the next line with its newline, valid until the next call. The error is io.EOF if there is no whole line now: a later call
// may return one. A text that is longer than a line comes in pieces. Files that the rotation removes before they are read are skipped.
func (r *Reader) Next() ([]byte, error) {
	for {
		if r.open == nil {
			if err := r.advance(); err != nil {
				return nil, err
			}
		}
		text, err := r.lines.ReadSlice('\n')
		if len(r.part) > 0 {
			r.part = append(r.part, text...)
			text = r.part
		}
		switch {
		case err == nil || errors.Is(err, bufio.ErrBufferFull) || err == io.EOF && r.over && len(text) > 0:
			r.part = r.part[:0]
			return text, nil
		case err != io.EOF:
			return nil, err
		case r.over:
			if err := r.advance(); err != nil {
				return nil, err
			}
			continue
		}
		if len(r.part) == 0 {
			r.part = append(r.part, text...)
		}
		switch next, err := r.after(); {
		case err != nil:
			return nil, err
		case next == "":
			return nil, io.EOF
		}
		r.over = true // after its last line, which may have come since
	}
}

// advance opens the file after the open one, or the oldest one.
func (r *Reader) advance() error {
	next, err := r.after()
	if err != nil {
		return err
	}
	if next == "" { // between two files
		return io.EOF
	}
	file, err := os.Open(next)
	if err != nil {
		return err
	}
	if r.open != nil {
		_ = r.open.Close() // read only: Close loses nothing
	}
	r.open, r.over = file, false
	r.lines.Reset(file)
	return nil
}

// after returns the path of the file after the open one; empty if the open one is the newest.
func (r *Reader) after() (string, error) {
	dir, base := filepath.Split(r.name)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return "", err
	}
	var all []string // oldest first: the time of a rotation is in the name
	begin, end := strings.TrimSuffix(base, filepath.Ext(base))+"-", filepath.Ext(base)
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, begin) && strings.HasSuffix(name, end) {
			all = append(all, dir+name)
		}
	}
	all = append(all, r.name)
	if r.open == nil {
		return all[0], nil
	}
	is, err := r.open.Stat()
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(name string) bool {
		one, err := os.Stat(name)
		return err == nil && os.SameFile(is, one)
	})
	switch _, err := os.Stat(r.name); {
	case at == len(all)-1, at == len(all)-2 && errors.Is(err, fs.ErrNotExist):
		return "", nil
	default:
		return all[at+1], nil // a removed file was older than all others
	}
}

// Close closes the open file.
func (r *Reader) Close() error {
	if r.open == nil {
		return nil
	}
	return r.open.Close()
}
