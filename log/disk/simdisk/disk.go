package simdisk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
)

// ErrCrashed is the error of every call on a file that was opened before the last crash.
var ErrCrashed = errors.New("the disk has crashed since this file was opened")

// Op is a kind of call.
type Op uint8

// The calls of FS and File, for faults and counts.
const (
	OpAny Op = iota
	OpMkdir
	OpCreate
	OpOpen
	OpRename
	OpLink
	OpRemove
	OpList
	OpSyncDir
	opFree
	OpLock
	OpRead
	OpWrite
	opSize
	OpSync // Datasync and Sync
	OpWriteBack
	OpDropCache
	OpTruncate
	OpReserve
	opCount
)

var opNames = [opCount]string{
	"any", "mkdir", "create", "open", "rename", "link", "remove", "list", "syncdir", "free", "lock",
	"read", "write", "size", "sync", "writeback", "dropcache", "truncate", "reserve",
}

func (o Op) String() string { return opNames[o] }

// changes reports whether a call of this kind changes anything, and so belongs into a trace.
func (o Op) changes() bool {
	switch o {
	case OpOpen, OpList, opFree, OpLock, OpRead, opSize:
		return false
	default:
		return true
	}
}

// Fault makes one call fail.
type Fault struct {
	Call  int64  // which matching call fails; 1 is the next one
	Op    Op     // OpAny, or only calls of this kind
	Name  string // only files whose path contains it
	Err   error  // what the call returns, in a fs.PathError: syscall.EIO, syscall.ENOSPC
	Short bool   // a write first writes a part
	Stays bool   // all later matching calls fail
}

// Disk is a disk in memory that forgets unsynced data; see the package comment. It is for one goroutine, and
// deterministic for the same seed and calls.
//
// Invariants:
//
//  1. Handles read the cache. It differs from the durable state only by the operations in inode.ops and Disk.names,
//     which are in the order of the calls.
//  2. Only a final sync or a crash removes an operation from those lists.
//  3. A page in a table never changes.
type Disk struct {
	random *rand.Rand
	root   *inode
	life   int              // counts Crash and Kill; handles of an earlier life fail
	locks  map[string]*lock // by path

	handles map[*file]struct{} // open in this life

	names   []nameOp // directory changes that are not durable, and directory syncs that are not final
	pending []*inode // files with operations that are not durable
	seq     int64    // of the newest operation
	batch   *Batch   // the owner of the current calls
	open    []*Batch // not finished

	capacity, used int64
	others         int64 // bytes that files of other programs take
	faults         []Fault
	calls          int64
	counts         [opCount]int64
	trace          io.Writer
	hook           func(op Op, name string)

	guarded    string // suffix of the names whose synced pages are guarded
	guardPanic bool
	rewrites   int
}

// New returns an empty disk.
func New(seed uint64) *Disk {
	return &Disk{
		random:   rand.New(rand.NewPCG(seed, 0x6469736b)),
		root:     newDir(),
		locks:    map[string]*lock{},
		handles:  map[*file]struct{}{},
		capacity: 1 << 50,
	}
}

// inode is a file or a directory, without its name.
type inode struct {
	// For a directory: its visible entries and its durable ones. Both are nil for a file.
	names, durable map[string]*inode

	// For a file.
	cache, disk table
	ops         []fileOp // unsynced, in order
	isPending   bool     // it is in Disk.pending
	links       int      // names of the file beyond the first; 0 after a restart
	synced      []bool   // by page: synced with content since the file was made or renamed
	unsynced    []int64  // pages written since the last sync with anything except zeros
	reserved    []bool   // by page: allocated by Reserve, and no write there is durable
}

func newDir() *inode { return &inode{names: map[string]*inode{}, durable: map[string]*inode{}} }

func (i *inode) isDir() bool { return i.names != nil }

// SetTrace writes one line to w for every call that changes anything, including calls that fail.
func (d *Disk) SetTrace(w io.Writer) { d.trace = w }

// SetHook calls f before each call, faults included; f may Clone the disk.
func (d *Disk) SetHook(f func(op Op, name string)) { d.hook = f }

// SetCapacity limits the total bytes of all files; writes beyond it fail with ENOSPC.
func (d *Disk) SetCapacity(bytes int64) { d.capacity = bytes }

// Occupy sets how much of the capacity the files of other programs use.
func (d *Disk) Occupy(bytes int64) { d.others = bytes }

// left is how many more bytes may be written.
func (d *Disk) left() int64 { return max(d.capacity-d.others-d.used, 0) }

// Fail arranges that a call fails.
func (d *Disk) Fail(f Fault) {
	f.Call = max(f.Call, 1)
	if f.Err == nil {
		f.Err = syscall.EIO
	}
	d.faults = append(d.faults, f)
}

// ClearFaults drops all pending faults.
func (d *Disk) ClearFaults() { d.faults = nil }

// Armed returns the number of pending faults, including those with Stays.
func (d *Disk) Armed() int { return len(d.faults) }

// Calls returns the number of calls.
func (d *Disk) Calls() int64 { return d.calls }

// Count returns the number of calls of one kind.
func (d *Disk) Count(op Op) int64 { return d.counts[op] }

// Used returns the total bytes of all files.
func (d *Disk) Used() int64 { return d.used }

// Guard enforces, for files whose names end with suffix, that a synced page is never written again. A write into a 4
// KiB page that was synced with anything except zeros is counted, or panics. Renaming a file frees its pages: a
// recycled segment gets another name, a live one does not.
func (d *Disk) Guard(suffix string, panics bool) { d.guarded, d.guardPanic = suffix, panics }

// Rewrites returns how many writes broke the guarded rule.
func (d *Disk) Rewrites() int { return d.rewrites }

// Rot inverts one bit of a file, on the medium and in the cache.
func (d *Disk) Rot(name string, offset int64, bit uint) error {
	i, err := d.find("rot", name)
	if err != nil {
		return err
	}
	i.cache.flip(offset, bit)
	i.disk.flip(offset, bit)
	return nil
}

// enter begins every call: it counts, traces and injects faults. It returns the fault in addition to its error, because
// some callers must first do a part of their work.
func (d *Disk) enter(op Op, name, detail string) (*Fault, error) {
	if d.hook != nil {
		d.hook(op, name)
	}
	d.calls++
	d.counts[op]++
	if d.batch != nil {
		d.batch.count(op)
	}
	f := d.injectFault(op, name)
	if d.trace != nil && op.changes() {
		d.write(op, name, detail, f)
	}
	if f == nil {
		return nil, nil
	}
	return f, &fs.PathError{Op: op.String(), Path: name, Err: f.Err}
}

func (d *Disk) write(op Op, name, detail string, f *Fault) {
	if detail != "" {
		detail = " " + detail
	}
	if f != nil {
		detail += " = " + f.Err.Error()
	}
	fmt.Fprintf(d.trace, "%s %s%s\n", op, name, detail)
}

// injectFault returns the fault for a call, nil if there is none.
func (d *Disk) injectFault(op Op, name string) *Fault {
	for i := range d.faults {
		f := &d.faults[i]
		if f.Op != OpAny && f.Op != op || !strings.Contains(name, f.Name) {
			continue
		}
		if f.Call--; f.Call > 0 {
			continue
		}
		hit := *f
		if f.Stays {
			f.Call = 1
		} else {
			d.faults = append(d.faults[:i], d.faults[i+1:]...)
		}
		return &hit
	}
	return nil
}

// next returns the sequence number and the owner of a new operation.
func (d *Disk) next() origin {
	d.seq++
	o := origin{seq: d.seq, batch: d.batch}
	if d.batch != nil {
		o.call = d.batch.calls
	}
	return o
}

// split cuts a path into its parts; a leading slash is ignored.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// find returns the inode of a path.
func (d *Disk) find(op, path string) (*inode, error) {
	i := d.root
	for _, part := range split(path) {
		if part == "." {
			continue
		}
		if i = i.names[part]; i == nil {
			return nil, &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
		}
	}
	return i, nil
}

// parent returns the directory of a path, and the last part of the path.
func (d *Disk) parent(op, path string) (*inode, string, error) {
	parts := split(path)
	if len(parts) == 0 {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: fs.ErrInvalid}
	}
	last := len(parts) - 1
	dir, err := d.find(op, strings.Join(parts[:last], "/"))
	if err != nil {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
	}
	if !dir.isDir() {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: errors.New("not a directory")}
	}
	return dir, parts[last], nil
}
