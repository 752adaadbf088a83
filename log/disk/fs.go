package disk

import (
	"errors"
	"io"
	"unsafe"
)

// FS is a file system. Errors satisfy errors.Is with fs.ErrExist and fs.ErrNotExist, and those of a full disk or of a quota that is
// reached with syscall.ENOSPC.
type FS interface {
	// MkdirAll makes a directory and its parents, for the owner only (0700).
	MkdirAll(dir string) error
	// Create makes a file for the owner only (0600), to read and write; fs.ErrExist when the name is taken.
	Create(name string) (File, error)
	// Open opens a file to read it; fs.ErrNotExist when there is none.
	Open(name string) (File, error)
	// OpenWritable opens a file that exists to read and write it.
	OpenWritable(name string) (File, error)
	// Rename gives a file or directory another name, atomically, in place of what had that name.
	Rename(from, to string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// List returns the base names in a directory, sorted; fs.ErrNotExist when there is none.
	List(dir string) ([]string, error)
	// SyncDir makes a directory's entries durable.
	SyncDir(dir string) error
	// Free returns how many bytes may still be written on the file system of a directory.
	Free(dir string) (int64, error)
	// Size returns how many bytes the file system of a directory has, whoever uses them.
	Size(dir string) (int64, error)
	// Lock takes the lock of a file and of its directory until Close or the end of the process; ErrLocked when another one has
	// either, so that it holds when the file is removed. It makes the file when there is none.
	Lock(name string) (io.Closer, error)
}

// File is an open file. A Datasync or Sync that failed is final: nobody may call it again and believe the answer.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Name returns the name that the file was opened by.
	Name() string
	// WritePages is WriteAt of what begins at a page in memory, where offset and length are multiples of DirectBytes: where the
	// file system can, without the page cache, which costs a copy, and pages that nobody reads. It promises no more than
	// WriteAt, and what is not as it wants goes there.
	WritePages(p []byte, off int64) error
	// WriteZeros writes n zeros at an offset, where the file system can without the page cache: what is filled ahead
	// takes no memory, little processor time, and leaves no dirty pages that other files' syncs would wait behind. It
	// promises no more than WriteAt. At most ZerosMost at a time.
	WriteZeros(n int, at int64) error
	Size() (int64, error)
	// Datasync makes the contents durable, and the size if it grew (fdatasync).
	Datasync() error
	// Sync makes contents and all metadata durable (fsync), except the directory entry.
	Sync() error
	// WriteBack begins to write what was written of a range to the medium, or waits until what was begun is there. It promises
	// nothing, and does less than a sync: the file system's journal is not committed, nor the disk's cache flushed. It is for
	// what grows, so that the sync at its end is short. An error is as final as that of a sync.
	WriteBack(off, n int64, wait bool) error
	// DropCache makes later reads of a range, or of all behind off where n is 0, come from the medium, for whole pages that are not
	// waiting to be written. What nobody will read takes no memory then.
	DropCache(off, n int64) error
	// NoReadahead makes each later read bring what it asks for and nothing behind that, as far as the file system can: what nobody has
	// asked for is not read while another file's sync waits.
	NoReadahead()
	// Prefetch begins to read a range into the page cache and does not wait for it, as far as the file system can. Of more than the
	// device takes at once it may leave out the rest.
	Prefetch(off, n int64)
	// ReadMedium is ReadAt of what is on the medium of a file that is synced, whatever the page cache has. Where offset and
	// length are multiples of DirectBytes, and the file system can, it reads past the page cache: that takes no memory and
	// little processor time.
	ReadMedium(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// Reserve makes an empty file so long, of zeros, and sets that much of the disk aside for it without writing it.
	// What is then written there finds room; its first sync also commits the file system's journal.
	// errors.ErrUnsupported where the file system cannot.
	Reserve(size int64) error
}

// Readahead asks the disk for a file that somebody reads front to back, before he does. The zero value is of one that nobody has
// read anything of.
type Readahead struct{ asked int64 }

// Ask asks for what was not asked for before and is between two offsets, in pieces that any disk takes at once.
func (r *Readahead) Ask(f File, from, to int64) {
	r.asked = max(r.asked, from)
	for r.asked < to {
		n := min(prefetchBytes, to-r.asked)
		f.Prefetch(r.asked, n)
		r.asked += n
	}
}

// prefetchBytes is what is asked for at once: Linux leaves out what is beyond a device's largest request, or what it reads ahead by
// itself where that is more.
const prefetchBytes = 1 << 20

// DirectBytes is what offsets and lengths must be multiples of where the page cache is left out, at most.
const DirectBytes = 4096

// ZerosMost is how many zeros are written at a time.
const ZerosMost = 1 << 20

// zeroPages is what they are written from. It begins at a page; a file system that wants still more gets them through the page cache.
// It is no part of the heap, where it would count as what lives, so that the collector leaves as much garbage again.
var (
	zeroRoom  [ZerosMost + DirectBytes]byte
	zeroPages = zeroRoom[-uintptr(unsafe.Pointer(&zeroRoom))%DirectBytes:][:ZerosMost]
)

// ErrNotRegular is the error of Open and OpenWritable when what has the name is no file: a folder, a named pipe, a device.
var ErrNotRegular = errors.New("no file")

// ErrLocked is the error of a lock that another process holds.
var ErrLocked = errors.New("locked by another process")
