package disk

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"unsafe"
)

// FS is a file system. Its errors wrap fs.ErrExist and fs.ErrNotExist. Errors of a full disk or an exhausted quota wrap
// syscall.ENOSPC.
type FS interface {
	// MkdirAll makes a directory and its parents, for the owner only (0700).
	MkdirAll(dir string) error
	// Create makes a file for the owner only (0600), to read and write; fs.ErrExist if the name is taken.
	Create(name string) (File, error)
	// Open opens a file for reading; fs.ErrNotExist if there is none.
	Open(name string) (File, error)
	// OpenWritable opens an existing file for reading and writing.
	OpenWritable(name string) (File, error)
	// Rename atomically gives a file or directory another name, and replaces a file that had that name.
	Rename(from, to string) error
	// Link gives a file a second name; fs.ErrExist if that is taken.
	Link(from, to string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// List returns the sorted base names in a directory; fs.ErrNotExist if there is none.
	List(dir string) ([]string, error)
	// SyncDir makes a directory's entries durable.
	SyncDir(dir string) error
	// Free returns how many more bytes may be written on the directory's file system.
	Free(dir string) (int64, error)
	// Size returns how many bytes the files of all programs may take on the directory's file system: the used and the
	// free bytes. Blocks that the file system reserves for root or for itself do not count.
	Size(dir string) (int64, error)
	// Lock locks a file and its directory until Close or the end of the process; ErrLocked if another process holds
	// either lock. The directory's lock still holds if the file is removed. Lock makes the file if there is none.
	Lock(name string) (io.Closer, error)
}

// SyncAbove makes the names of a directory and of all directories above it durable; any of them may be new. Without its
// name, a directory's synced contents would be lost. Directories that this process may not read are skipped: this
// process did not make them.
func SyncAbove(on FS, dir string) error {
	for dir = path.Clean(dir); dir != "." && dir != "/"; {
		dir = path.Dir(dir)
		if err := on.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// File is an open file. A failed Datasync or Sync is final: no caller may call it again and rely on the answer.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Name returns the name that was used to open the file.
	Name() string
	// WritePages writes data that is aligned to pages in memory, with offset and length multiples of DirectBytes. Where
	// the file system can, it bypasses the page cache, which would cost a copy and hold pages that are never read. It
	// promises no more than WriteAt, and falls back to WriteAt for unaligned data.
	WritePages(p []byte, off int64) error
	// WriteZeros writes n zeros at an offset, at most ZerosMost. Where the file system can, it bypasses the page cache:
	// files filled ahead then take no memory and little CPU time, and leave no dirty pages that would delay syncs of
	// other files. It promises no more than WriteAt.
	WriteZeros(n int, at int64) error
	Size() (int64, error)
	// Datasync makes the contents durable, and the size if it grew (fdatasync).
	Datasync() error
	// Sync makes contents and all metadata durable (fsync), except the directory entry.
	Sync() error
	// WriteBack starts writing a range's dirty pages to the medium, or waits until a started write is done. It makes
	// nothing durable and does less than a sync: it neither commits the file system's journal nor flushes the disk's
	// cache. It is for growing files, to keep the final sync short. An error is as final as an error of a sync.
	WriteBack(off, n int64, wait bool) error
	// DropCache drops whole clean pages of a range from the page cache (with n 0: of everything behind off). Later
	// reads of these pages come from the medium. It also frees memory of pages that are not read again.
	DropCache(off, n int64) error
	// NoReadahead turns off readahead for later reads, as far as the file system can. Reads of unrequested data would
	// otherwise delay other files' syncs.
	NoReadahead()
	// Prefetch starts reading a range into the page cache and does not wait, as far as the file system can. It may skip
	// the part of the range that exceeds the device's largest request.
	Prefetch(off, n int64)
	// ReadMedium is ReadAt from the medium, for a synced file, whatever the page cache holds. With offset and length
	// multiples of DirectBytes, and where the file system can, it bypasses the page cache, which takes no memory and
	// little CPU time.
	ReadMedium(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// Reserve gives an empty file this size, reads as zeros, and allocates its blocks without writing them. Writes into
	// them then find space; the first sync of each also commits the file system's journal. errors.ErrUnsupported where
	// the file system cannot.
	Reserve(size int64) error
}

// Readahead prefetches a file that is read from front to back. The zero value is for an unread file.
type Readahead struct{ asked int64 }

// Ask prefetches the range between two offsets, except parts already requested, in pieces that any disk accepts at
// once.
func (r *Readahead) Ask(f File, from, to int64) {
	r.asked = max(r.asked, from)
	for r.asked < to {
		n := min(prefetchBytes, to-r.asked)
		f.Prefetch(r.asked, n)
		r.asked += n
	}
}

// prefetchBytes is the size of one request. Linux skips the part beyond a device's largest request, or beyond its own
// readahead if that is larger.
const prefetchBytes = 1 << 20

// DirectBytes is the alignment that bypassing the page cache needs at most, for offsets and lengths.
const DirectBytes = 4096

// ZerosMost is the largest number of zeros in one write.
const ZerosMost = 1 << 20

// zeroPages is the source of these zeros, aligned to a page; a file system that needs more alignment gets them through
// the page cache. It is not on the heap, where the collector would count it as live and allow as much more garbage.
var (
	zeroRoom  [ZerosMost + DirectBytes]byte
	zeroPages = zeroRoom[-uintptr(unsafe.Pointer(&zeroRoom))%DirectBytes:][:ZerosMost]
)

// ErrNotRegular is the error of Open and OpenWritable for a name that is not a regular file: a folder, a named pipe, a
// device.
var ErrNotRegular = errors.New("not a regular file")

// ErrLocked is the error of a lock that another process holds.
var ErrLocked = errors.New("locked by another process")
