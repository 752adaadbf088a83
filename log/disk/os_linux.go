package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OS returns the real file system.
func OS() FS { return osFS{} }

type osFS struct{}

// osFile adds to os.File the calls that it lacks. It stores the descriptor, because os.File returns it only as uintptr.
// The descriptor is valid while the os.File is open, and the struct keeps the os.File alive.
type osFile struct {
	*os.File
	fd int

	// past is a second descriptor of the file, which bypasses the page cache (O_DIRECT). Readers by fd do not align to
	// DirectBytes, so the flag cannot be set there. The first WritePages opens it.
	past past
}

// past is a descriptor that may be missing.
type past struct {
	fd     int
	opened bool
	cannot bool // the file system, or this file, does not support such writes
	wrote  bool // it has written since its last sync
	fdToo  bool // fd has written since the last sync
}

// open opens a regular file, and nothing else. Opening a named pipe waits for its other end: a member whose folder
// holds a pipe in place of a file would hang silently.
func open(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags|unix.O_NONBLOCK, 0o600)
	switch {
	case errors.Is(err, unix.ENXIO):
		return nil, notRegular(name, fs.ModeSocket)
	case errors.Is(err, unix.EISDIR):
		return nil, notRegular(name, fs.ModeDir)
	case err != nil:
		return nil, noRoom(err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		if err == nil {
			err = notRegular(name, info.Mode())
		}
		return nil, errors.Join(err, f.Close())
	}
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil { // no effect on local files; other file systems may differ
		return nil, errors.Join(err, f.Close())
	}
	return &osFile{File: f, fd: fd}, nil
}

// notRegular is the error for a name that is not a regular file.
func notRegular(name string, mode fs.FileMode) error {
	what := "a device"
	switch {
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: %s", ErrNotRegular, what)}
}

func (osFS) MkdirAll(dir string) error              { return noRoom(os.MkdirAll(dir, 0o700)) }
func (osFS) Create(name string) (File, error)       { return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL) }
func (osFS) Open(name string) (File, error)         { return open(name, os.O_RDONLY) }
func (osFS) OpenWritable(name string) (File, error) { return open(name, os.O_RDWR) }
func (osFS) Rename(from, to string) error           { return noRoom(os.Rename(from, to)) }
func (osFS) Link(from, to string) error             { return noRoom(os.Link(from, to)) }
func (osFS) Remove(name string) error               { return os.Remove(name) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// openDir opens a directory and nothing else, as open does for files.
func openDir(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

func (osFS) SyncDir(dir string) error {
	d, err := openDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := again(func() error { return unix.Statfs(dir, &s) }); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * unitOf(&s), nil
}

func (osFS) Size(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := again(func() error { return unix.Statfs(dir, &s) }); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Blocks-(s.Bfree-s.Bavail)) * unitOf(&s), nil
}

// unitOf is the unit of a file system's block counts. Some network and userspace file systems return the best transfer
// size in Bsize.
func unitOf(s *unix.Statfs_t) int64 {
	if s.Frsize > 0 {
		return s.Frsize
	}
	return s.Bsize
}

// Lock locks the file and the directory. An operator may remove the file as a leftover, and another process would then
// make and lock a new one.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EISDIR) {
		return nil, notRegular(name, fs.ModeDir)
	}
	if err != nil {
		return nil, noRoom(err)
	}
	l := &folderLock{file: f}
	if err = flock(f); err == nil {
		err = l.lockDir(path.Dir(name))
	}
	if err == nil {
		return l, nil
	}
	_ = l.Close() // nothing was written
	return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
}

// folderLock is the lock of a file and of its directory.
type folderLock struct {
	file, dir *os.File // dir is nil if the directory cannot be locked
}

// lockDir locks a directory if the file system can: NFS locks only writable files.
func (l *folderLock) lockDir(name string) error {
	dir, err := openDir(name)
	if err != nil {
		return err
	}
	switch err = flock(dir); {
	case err == nil:
		l.dir = dir
		return nil
	case errors.Is(err, ErrLocked):
		return errors.Join(err, dir.Close())
	}
	return dir.Close()
}

func flock(f *os.File) error {
	err := again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

func (l *folderLock) Close() (err error) {
	if l.dir != nil {
		err = l.dir.Close()
	}
	return errors.Join(err, l.file.Close())
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) WritePages(p []byte, off int64) error {
	if len(p) == 0 || len(p)%DirectBytes != 0 || off%DirectBytes != 0 || uintptr(unsafe.Pointer(&p[0]))%DirectBytes != 0 || !f.openPast() {
		_, err := f.WriteAt(p, off)
		return err
	}
	f.past.wrote = true
	n, err := writeAll(f.past.fd, p, off)
	if errors.Is(err, unix.EINVAL) {
		f.past.cannot = true
		_, err = f.WriteAt(p[n:], off+int64(n))
		return err
	}
	return f.named("write", err)
}

// openPast reports whether there is a descriptor that bypasses the page cache. It opens it through the existing
// descriptor, since the file may have been renamed.
func (f *osFile) openPast() bool {
	if f.past.cannot || f.past.opened {
		return !f.past.cannot
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(f.fd), unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	f.past = past{fd: fd, opened: err == nil, cannot: err != nil, fdToo: f.past.fdToo}
	return err == nil
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	f.past.fdToo = true
	n, err := f.File.WriteAt(p, off)
	return n, noRoom(err)
}

// syncPast syncs the second descriptor if it has written, and reports whether the first one must be synced as well.
// Most file systems treat the two as one. A network or userspace file system may keep their writes apart.
func (f *osFile) syncPast() (fdToo bool, err error) {
	if !f.past.wrote {
		return true, nil
	}
	if err := again(func() error { return unix.Fdatasync(f.past.fd) }); err != nil {
		return true, err
	}
	fdToo = f.past.fdToo
	f.past.wrote, f.past.fdToo = false, false
	return fdToo, nil
}

func (f *osFile) Close() error {
	if f.past.opened {
		f.past.opened, f.past.cannot = false, true
		_ = unix.Close(f.past.fd) // past holds no unwritten data; fd's Close returns any error
	}
	return f.File.Close()
}

func (f *osFile) WriteZeros(n int, at int64) error {
	f.past.fdToo = true
	if n%DirectBytes == 0 && at%DirectBytes == 0 {
		err := f.direct(func() error {
			_, err := writeAll(f.fd, zeroPages[:n], at)
			return err
		})
		if !errors.Is(err, unix.EINVAL) {
			return f.named("write", err)
		}
	}
	_, err := f.WriteAt(zeroPages[:n], at)
	return err
}

func (f *osFile) ReadMedium(p []byte, off int64) (n int, err error) {
	if len(p)%DirectBytes == 0 && off%DirectBytes == 0 {
		err := f.direct(func() (err error) {
			n, err = f.File.ReadAt(p, off)
			return err
		})
		if !errors.Is(err, unix.EINVAL) {
			return n, err
		}
	}
	if err := f.DropCache(0, 0); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// direct calls do with O_DIRECT set on fd. EINVAL means that the file system does not support it, or not for this
// range.
func (f *osFile) direct(do func() error) error {
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err != nil {
		return unix.EINVAL
	}
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags|unix.O_DIRECT); err != nil {
		return unix.EINVAL
	}
	err = do()
	_, restored := unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags)
	if restored != nil {
		return errors.Join(err, restored)
	}
	return err
}

// writeAll writes all of b, or returns how much it wrote.
func writeAll(fd int, b []byte, at int64) (written int, err error) {
	for written < len(b) {
		var n int
		err := again(func() (err error) {
			n, err = unix.Pwrite(fd, b[written:], at+int64(written))
			return err
		})
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

func (f *osFile) Truncate(size int64) error {
	f.past.fdToo = true
	return noRoom(f.File.Truncate(size))
}

func (f *osFile) Reserve(size int64) error {
	f.past.fdToo = true
	err := again(func() error { return unix.Fallocate(f.fd, 0, 0, size) })
	if refused(err) {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return f.named("fallocate", err)
}

func (f *osFile) Datasync() error {
	if fdToo, err := f.syncPast(); err != nil || !fdToo {
		return f.named("fdatasync", err)
	}
	return f.named("fdatasync", again(func() error { return unix.Fdatasync(f.fd) }))
}

func (f *osFile) WriteBack(off, n int64, wait bool) error {
	flags := unix.SYNC_FILE_RANGE_WRITE
	if wait {
		flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE
	}
	err := again(func() error { return unix.SyncFileRange(f.fd, off, n, flags) })
	if refused(err) || errors.Is(err, unix.ESPIPE) { // the final sync does the whole work
		return nil
	}
	return f.named("sync_file_range", err)
}

// DropCache returns no error if a sandbox or the file system refuses the advice: reads then come from the cache.
func (f *osFile) DropCache(off, n int64) error {
	err := again(func() error { return unix.Fadvise(f.fd, off, n, unix.FADV_DONTNEED) })
	if refused(err) {
		return nil
	}
	return f.named("fadvise", err)
}

// refused reports whether a sandbox (seccomp) or a file system does not offer a system call. The call had no effect.
func refused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}

// NoReadahead returns no error: a file system that ignores the advice reads ahead.
func (f *osFile) NoReadahead() {
	_ = again(func() error { return unix.Fadvise(f.fd, 0, 0, unix.FADV_RANDOM) })
}

// Prefetch returns no error: data that was not prefetched is read on demand.
func (f *osFile) Prefetch(off, n int64) {
	_ = again(func() error { return unix.Fadvise(f.fd, off, n, unix.FADV_WILLNEED) })
}

func (f *osFile) Sync() error {
	if _, err := f.syncPast(); err != nil {
		return f.named("fdatasync", err)
	}
	return f.File.Sync()
}

func (f *osFile) named(op string, err error) error {
	if err == nil {
		return nil
	}
	return noRoom(&fs.PathError{Op: op, Path: f.Name(), Err: err})
}

// noRoom makes errors.Is(err, syscall.ENOSPC) true for an exhausted quota.
func noRoom(err error) error {
	if !errors.Is(err, unix.EDQUOT) {
		return err
	}
	return fmt.Errorf("%w: %w", err, unix.ENOSPC)
}

// again repeats a call that a signal interrupted, as package os does: an interrupted call has no effect.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
