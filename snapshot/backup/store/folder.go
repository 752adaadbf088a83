package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// temporary ends the name of a file that becomes an object.
const temporary = ".tmp"

// Folder is a Store in a folder of a file system. An object is a file of its name.
type Folder struct {
	on  disk.FS
	dir string
	own string // ends the names of its temporary files: others may write beside it
}

// OpenFolder returns the Store of a folder.
func OpenFolder(on disk.FS, dir string) *Folder {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return &Folder{on, path.Clean(dir), fmt.Sprintf(".%x%s", b, temporary)}
}

// Path implements Store.
func (f *Folder) Path(name string) string { return path.Join(f.dir, name) }

// Prepare implements Store: after a kill -9 between a rename and the sync of its folder, a name is visible, and is lost when the power fails.
// A call of another process whose file it removes fails, and is made again.
func (f *Folder) Prepare() error {
	err := f.makeDurable()
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("make the names in %s durable: %w", f.dir, err)
	}
	return nil
}

func (f *Folder) makeDurable() error {
	names, err := f.on.List(f.dir)
	if err != nil {
		return err
	}
	for _, dir := range append(names, ".") {
		files, err := f.on.List(f.Path(dir))
		if err != nil {
			continue // no folder
		}
		for _, name := range files {
			if strings.HasSuffix(name, temporary) {
				if err := f.on.Remove(f.Path(dir + "/" + name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
					return err
				}
			}
		}
		if err := f.on.SyncDir(f.Path(dir)); err != nil {
			return err
		}
	}
	return nil
}

// Put implements Store.
func (f *Folder) Put(ctx context.Context, name string, content []byte) error {
	if there, err := f.size(name); err == nil && there == int64(len(content)) && f.has(ctx, name, content) {
		return nil
	}
	return f.store(ctx, name, content, f.on.Rename)
}

// Create implements Store: a link(2) never replaces a name. A network's file system may do it, and say that the name was there.
func (f *Folder) Create(ctx context.Context, name string, content []byte) error {
	err := error(nil)
	if name == Marker {
		err = f.make(f.dir)
	}
	if err == nil {
		err = f.store(ctx, name, content, f.on.Link)
	}
	switch {
	case errors.Is(err, iofs.ErrExist):
		if f.has(ctx, name, content) {
			err = f.on.SyncDir(path.Dir(f.Path(name)))
		}
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		err = fmt.Errorf("%w: %s has no hard links: %w", ErrUnfenced, f.dir, err)
	}
	return err
}

// has reports whether an object has these bytes.
func (f *Folder) has(ctx context.Context, name string, content []byte) bool {
	got, err := f.Get(ctx, name, 0, int64(len(content))+1)
	return err == nil && bytes.Equal(got, content)
}

// store stores an object with one call for its name. Without the Marker, the folder is another one: its disk was unmounted.
func (f *Folder) store(ctx context.Context, name string, content []byte, publish func(from, to string) error) error {
	err := f.put(name, content, publish)
	if errors.Is(err, iofs.ErrNotExist) {
		switch _, gone := f.size(Marker); {
		case gone == nil: // the first object of its folder
			if err = f.make(path.Dir(f.Path(name))); err == nil {
				err = f.put(name, content, publish)
			}
		case !errors.Is(gone, iofs.ErrNotExist): // unknown
			err = gone
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Path(name), err)
	}
	return ctx.Err()
}

func (f *Folder) make(dir string) error {
	if err := f.on.MkdirAll(dir); err != nil {
		return err
	}
	return errors.Join(f.on.SyncDir(dir), disk.SyncAbove(f.on, dir))
}

func (f *Folder) put(name string, content []byte, publish func(from, to string) error) (err error) {
	at := f.Path(name)
	tmp := at + f.own
	if err := f.on.Remove(tmp); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	file, err := f.on.Create(tmp)
	if err != nil {
		return err
	}
	err = turns(content, func(piece []byte, at int64) error {
		n, err := file.WriteAt(piece, at)
		if err == nil && n < len(piece) {
			err = io.ErrShortWrite
		}
		if err == nil {
			err = file.Datasync()
		}
		return err
	})
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = readBack(file, content)
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = publish(tmp, at)
	}
	_ = f.on.Remove(tmp) // the first error counts, and a renamed file is gone
	if err == nil {
		err = f.on.SyncDir(path.Dir(at))
	}
	return err
}

// turns does something with a content in pieces. The log of a member may be on the same disk, and its syncs wait for everything that the disk
// was given before. So a piece is small, and behind it the disk rests for as long as it took.
func turns(content []byte, do func(piece []byte, at int64) error) error {
	for at := 0; at < len(content); {
		begun := time.Now()
		piece := content[at:min(at+limits.BackupPieceBytes, len(content))]
		if err := do(piece, int64(at)); err != nil {
			return err
		}
		if at += len(piece); at < len(content) {
			time.Sleep(time.Since(begun))
		}
	}
	return nil
}

// readBack compares the bytes on the medium with the content.
func readBack(file disk.File, content []byte) error {
	if err := file.DropCache(0, 0); err != nil {
		return err
	}
	got := make([]byte, min(limits.BackupPieceBytes, len(content)))
	return turns(content, func(want []byte, at int64) error {
		if n, err := file.ReadMedium(got[:len(want)], at); n < len(want) {
			return fmt.Errorf("read back: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		if !bytes.Equal(got[:len(want)], want) {
			return fmt.Errorf("the medium has other bytes than were written, from byte %d on", at)
		}
		return nil
	})
}

func (f *Folder) size(name string) (int64, error) {
	file, err := f.on.Open(f.Path(name))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return file.Size()
}

// Get implements Store.
func (f *Folder) Get(ctx context.Context, name string, offset, most int64) ([]byte, error) {
	file, err := f.on.Open(f.Path(name))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", f.Path(name), err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", f.Path(name), err)
	}
	b := make([]byte, max(0, min(most, size-offset)))
	if n, err := file.ReadAt(b, offset); n < len(b) {
		return nil, fmt.Errorf("read %s at byte %d: %w", f.Path(name), offset+int64(n), errors.Join(err, io.ErrUnexpectedEOF))
	}
	return b, ctx.Err()
}

// List implements Store.
func (f *Folder) List(ctx context.Context, folder string) (all []Info, err error) {
	names, err := f.on.List(f.Path(folder))
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	for _, name := range names {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			break
		}
		bytes, failed := f.size(path.Join(folder, name))
		switch {
		// it was removed
		case strings.HasSuffix(name, temporary) || errors.Is(failed, iofs.ErrNotExist):
		case errors.Is(failed, disk.ErrNotRegular):
			all = append(all, Info{Name: name + "/"})
		case failed != nil:
			err = failed
		default:
			all = append(all, Info{name, bytes})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f.Path(folder), err)
	}
	return all, nil
}

// Delete implements Store.
func (f *Folder) Delete(ctx context.Context, names ...string) error {
	dirs := map[string]bool{}
	for _, name := range names {
		err := f.on.Remove(f.Path(name))
		if errors.Is(err, iofs.ErrNotExist) {
			continue
		}
		if err == nil {
			dirs[path.Dir(f.Path(name))] = true
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w", f.Path(name), err)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := f.on.SyncDir(dir); err != nil {
			return fmt.Errorf("remove objects from %s: %w", dir, err)
		}
	}
	return nil
}

// Free implements Store.
func (f *Folder) Free() (bytes int64, known bool) {
	bytes, err := f.on.Free(f.dir)
	return bytes, err == nil
}
