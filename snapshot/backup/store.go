package backup

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// store is where a backup is read from: a folder or a single file.
type store interface {
	// list returns the sorted names in a folder of the backup; none if it does not exist.
	list(dir string) ([]string, error)
	// open opens a file of the backup; fs.ErrNotExist if there is none.
	open(name string) (file, error)
	// path returns a file's path for messages.
	path(name string) string
	// final returns whether the backup was completed before it got its name, so that a torn end is damage, and the damage
	// that hides files of it, if there is any.
	final() (bool, error)
	close() error
}

// openStore opens a folder or a single file.
func openStore(on disk.FS, at string) (store, error) {
	f, err := on.Open(at)
	if errors.Is(err, disk.ErrNotRegular) {
		return folder{on, at}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	a, err := openArchive(at, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// folder is a backup in a folder.
type folder struct {
	on  disk.FS
	dir string
}

func (f folder) path(name string) string { return f.dir + "/" + name }

func (f folder) close() error { return nil }

func (f folder) final() (bool, error) { return false, nil }

func (f folder) open(name string) (file, error) { return f.on.Open(f.path(name)) }

func (f folder) list(dir string) ([]string, error) {
	names, err := f.on.List(f.path(dir))
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f.path(dir), err)
	}
	return names, nil
}

// archive is a backup in a single file.
type archive struct {
	name  string
	f     disk.File
	parts map[string]part
	fault error // damage that hides files; nil: none
}

// part is the place of a file in an archive.
type part struct{ at, size int64 }

// openArchive reads the headers of an archive. An archive that was cut has the files before the cut, and the beginning
// of the file in which it is. A damaged header hides its file and all that follow.
func openArchive(name string, f disk.File) (*archive, error) {
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", name, err)
	}
	a := &archive{name: name, f: f, parts: map[string]part{}}
	whole := io.NewSectionReader(f, 0, size)
	end := int64(0) // of the newest file
	for t := tar.NewReader(whole); ; {
		h, err := t.Next()
		switch {
		case err != nil && len(a.parts) == 0:
			return nil, fmt.Errorf("%w: %s is neither the folder of a backup nor a single file of one: %w", ErrNone, name, err)
		case errors.Is(err, io.EOF) && size-end >= 2*tarBlock:
			return a, nil
		case err != nil:
			a.fault = damage.At(name, end, "the archive has no further file here, and no end: it was cut, or a header is damaged")
			return a, nil
		}
		at, err := whole.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if end = at + (h.Size+tarBlock-1)/tarBlock*tarBlock; h.Typeflag == tar.TypeReg {
			a.parts[h.Name] = part{at, max(0, min(h.Size, size-at))}
		}
	}
}

func (a *archive) path(name string) string { return a.name + ":" + name }

func (a *archive) close() error { return a.f.Close() }

func (a *archive) final() (bool, error) { return true, a.fault }

func (a *archive) list(dir string) (names []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.parts)) {
		if strings.HasPrefix(name, dir+"/") && path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

func (a *archive) open(name string) (file, error) {
	p, ok := a.parts[name]
	if !ok {
		return nil, &iofs.PathError{Op: "open", Path: a.path(name), Err: iofs.ErrNotExist}
	}
	return section{io.NewSectionReader(a.f, p.at, p.size)}, nil
}

// section is a file in an archive.
type section struct{ *io.SectionReader }

func (s section) Size() (int64, error) { return s.SectionReader.Size(), nil }

func (section) Close() error { return nil }
