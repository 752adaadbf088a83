package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"

	"qkv/log/disk"
)

// target is where a backup is written: a folder or a single file.
type target interface {
	// create begins a file. It gets its name by publish.
	create(name string) (output, error)
}

// output is a file of a backup that is being written.
type output interface {
	// append writes b at the end. In a folder it is durable when append returns.
	append(b []byte) error
	// publish gives the file its name. More may be appended afterwards.
	publish() error
	// close ends the file. In an archive it is complete then.
	close() error
	// abandon ends a file that is not complete, and removes it.
	abandon() error
}

// written is a file in a folder that is being written.
type written struct {
	folder
	name string
	f    disk.File
	size int64
}

func (f folder) create(name string) (output, error) {
	tmp := f.path(name) + temporary
	if err := f.on.Remove(tmp); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, err
	}
	file, err := f.on.Create(tmp)
	if err != nil {
		return nil, err
	}
	return &written{folder: f, name: name, f: file}, nil
}

func (o *written) append(b []byte) error {
	n, err := o.f.WriteAt(b, o.size)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = o.f.Datasync()
	}
	if err != nil {
		return fmt.Errorf("write %d bytes at byte %d of %s: %w", len(b), o.size, o.path(o.name), err)
	}
	o.size += int64(n)
	return nil
}

func (o *written) publish() error {
	err := o.f.Sync()
	if err == nil {
		err = o.on.Rename(o.path(o.name)+temporary, o.path(o.name))
	}
	if err == nil {
		err = o.on.SyncDir(path.Dir(o.path(o.name)))
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", o.path(o.name), err)
	}
	return nil
}

func (o *written) close() error { return o.f.Close() }

func (o *written) abandon() error {
	return errors.Join(o.f.Close(), o.on.Remove(o.path(o.name)+temporary))
}

// archiving is an archive that is being written. One of its files at a time is open.
type archiving struct {
	on   disk.FS
	name string
	f    disk.File
	size int64
	open string          // name of the file that is being written
	has  map[string]File // those of bases that are complete
}

// archived is a file in it.
type archived struct {
	to   *archiving
	name string
	at   int64 // of its header
}

// tarBlock is the unit of an archive.
const tarBlock = 512

func (a *archiving) write(b []byte, at int64) error {
	n, err := a.f.WriteAt(b, at)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %d bytes at byte %d of %s: %w", len(b), at, a.name, err)
	}
	return nil
}

// create leaves space for the file's header, which holds its size.
func (a *archiving) create(name string) (output, error) {
	if a.open != "" {
		return nil, fmt.Errorf("%s is being written, and %s can only follow it in %s", a.open, name, a.name)
	}
	o := &archived{a, name, a.size}
	a.open = name
	a.size += tarBlock
	return o, nil
}

func (o *archived) append(b []byte) error {
	err := o.to.write(b, o.to.size)
	o.to.size += int64(len(b))
	return err
}

func (o *archived) publish() error { return nil }

// close fills the last block and writes the header.
func (o *archived) close() error {
	size := o.to.size - o.at - tarBlock
	var header bytes.Buffer
	if err := tar.NewWriter(&header).WriteHeader(&tar.Header{Name: o.name, Mode: 0o600, Size: size, Typeflag: tar.TypeReg, Format: tar.FormatGNU}); err != nil {
		return fmt.Errorf("write %s: %w", o.to.name, err)
	}
	if rest := size % tarBlock; rest > 0 {
		if err := o.append(make([]byte, tarBlock-rest)); err != nil {
			return err
		}
	}
	o.to.open = ""
	return o.to.write(header.Bytes(), o.at)
}

func (o *archived) abandon() error {
	o.to.open, o.to.size = "", o.at
	return o.to.f.Truncate(o.at)
}

// finish ends the archive and gives it its name.
func (a *archiving) finish() error {
	err := a.write(make([]byte, 2*tarBlock), a.size)
	if err == nil {
		err = a.f.Sync()
	}
	if err = errors.Join(err, a.f.Close()); err != nil {
		return errors.Join(err, a.on.Remove(a.name+temporary))
	}
	if f, taken := a.on.Open(a.name); taken == nil { // since the backup began
		f.Close()
		return fmt.Errorf("publish %s: %w: the backup is complete in %s: give that another name", a.name, iofs.ErrExist, a.name+temporary)
	}
	if err = a.on.Rename(a.name+temporary, a.name); err == nil {
		err = a.on.SyncDir(path.Dir(a.name))
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", a.name, err)
	}
	return nil
}
