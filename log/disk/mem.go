package disk

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
	OpRemove
	OpList
	OpSyncDir
	OpFree
	OpLock
	OpRead
	OpWrite
	OpSize
	OpSync // Datasync and Sync
	OpWriteBack
	OpDropCache
	OpTruncate
	OpReserve
	opCount
)

var opNames = [opCount]string{
	"any", "mkdir", "create", "open", "rename", "remove", "list", "syncdir", "free", "lock",
	"read", "write", "size", "sync", "writeback", "dropcache", "truncate", "reserve",
}

func (o Op) String() string { return opNames[o] }

// changes says whether a call of this kind changes something, so that it belongs into a trace.
func (o Op) changes() bool {
	switch o {
	case OpOpen, OpList, OpFree, OpLock, OpRead, OpSize:
		return false
	default:
		return true
	}
}

// Fault makes one call fail.
type Fault struct {
	Call  int64  // which of the calls that match, counted from 1 for the next one
	Op    Op     // OpAny, or only calls of this kind
	Name  string // only files whose path contains it
	Err   error  // what the call returns, in a fs.PathError: syscall.EIO, syscall.ENOSPC
	Short bool   // a write writes a part first
	Stays bool   // all later calls that match fail, too
}

// Mem is a disk in memory that forgets what was not synced; see the package comment. It is for one goroutine, and
// behaves the same for the same seed and calls.
//
// Invariants:
//
//  1. What a handle reads is the cache; it differs from the durable state only by the operations in inode.ops and
//     Mem.names, which are in the order of the calls.
//  2. An operation leaves those lists only by a sync that is final, or by a crash.
//  3. A page that is in a table never changes.
type Mem struct {
	random *rand.Rand
	root   *inode
	life   int              // one more after each Crash and Kill: handles of an earlier life fail
	locks  map[string]*lock // by path

	handles map[*memFile]struct{} // of this life that are open

	names   []nameOp // directory entries that are not durable, and syncs of directories that are not final
	pending []*inode // files with operations that are not durable
	seq     int64    // of the newest operation
	batch   *Batch   // the calls' owner now
	open    []*Batch // not finished

	capacity, used int64
	faults         []Fault
	calls          int64
	counts         [opCount]int64
	trace          io.Writer
	hook           func(op Op, name string)

	guarded    string // suffix of the names whose synced pages are guarded
	guardPanic bool
	rewrites   int
}

// NewMem returns an empty disk.
func NewMem(seed uint64) *Mem {
	return &Mem{
		random:   rand.New(rand.NewPCG(seed, 0x6469736b)),
		root:     newDir(),
		locks:    map[string]*lock{},
		handles:  map[*memFile]struct{}{},
		capacity: 1 << 50,
	}
}

// inode is a file or a directory, apart from its name.
type inode struct {
	// A directory: its entries as they are seen, and as they are on the disk. Both nil for a file.
	names, durable map[string]*inode

	// A file.
	cache, disk table
	ops         []fileOp // unsynced, in order
	isPending   bool     // stands in Mem.pending
	synced      []bool   // by page: synced with content since the file was made or renamed
	unsynced    []int64  // pages that were written since the last sync, with anything but zeros
}

func newDir() *inode { return &inode{names: map[string]*inode{}, durable: map[string]*inode{}} }

func (i *inode) isDir() bool { return i.names != nil }

// SetTrace writes one line a call to w: of every call that changes something, also when it fails.
func (m *Mem) SetTrace(w io.Writer) { m.trace = w }

// SetHook calls f before each call, faults included; f may Clone the disk.
func (m *Mem) SetHook(f func(op Op, name string)) { m.hook = f }

// SetCapacity limits the bytes of all files together; past it writes fail with ENOSPC.
func (m *Mem) SetCapacity(bytes int64) { m.capacity = bytes }

// Fail arranges for a call to fail.
func (m *Mem) Fail(f Fault) {
	f.Call = max(f.Call, 1)
	if f.Err == nil {
		f.Err = syscall.EIO
	}
	m.faults = append(m.faults, f)
}

// ClearFaults forgets all faults that have not happened.
func (m *Mem) ClearFaults() { m.faults = nil }

// Armed returns how many faults have not happened yet, those that stay included.
func (m *Mem) Armed() int { return len(m.faults) }

// Calls returns how many calls there were.
func (m *Mem) Calls() int64 { return m.calls }

// Count returns how many calls of one kind there were.
func (m *Mem) Count(op Op) int64 { return m.counts[op] }

// Used returns the bytes of all files.
func (m *Mem) Used() int64 { return m.used }

// Guard watches over the rule that a synced page is never written again, for files whose names end with suffix:
// a write into a page of 4 KiB that was synced with anything but zeros is counted, or panics. A file's pages are free
// again when the file gets another name: that is how a recycled segment is told from a live one.
func (m *Mem) Guard(suffix string, panics bool) { m.guarded, m.guardPanic = suffix, panics }

// Rewrites returns how often the guarded rule was broken.
func (m *Mem) Rewrites() int { return m.rewrites }

// Rot inverts one bit of a file, on the medium and in the cache.
func (m *Mem) Rot(name string, offset int64, bit uint) error {
	i, err := m.find("rot", name)
	if err != nil {
		return err
	}
	i.cache.flip(offset, bit)
	i.disk.flip(offset, bit)
	return nil
}

// enter is the beginning of every call: it counts, traces and injects faults. The fault is returned even though
// the caller may have to do a part of its work first.
func (m *Mem) enter(op Op, name, detail string) (*Fault, error) {
	if m.hook != nil {
		m.hook(op, name)
	}
	m.calls++
	m.counts[op]++
	if m.batch != nil {
		m.batch.count(op)
	}
	f := m.injectFault(op, name)
	if m.trace != nil && op.changes() {
		m.write(op, name, detail, f)
	}
	if f == nil {
		return nil, nil
	}
	return f, &fs.PathError{Op: op.String(), Path: name, Err: f.Err}
}

func (m *Mem) write(op Op, name, detail string, f *Fault) {
	if detail != "" {
		detail = " " + detail
	}
	if f != nil {
		detail += " = " + f.Err.Error()
	}
	fmt.Fprintf(m.trace, "%s %s%s\n", op, name, detail)
}

// injectFault returns the fault that a call meets.
func (m *Mem) injectFault(op Op, name string) *Fault {
	for i := range m.faults {
		f := &m.faults[i]
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
			m.faults = append(m.faults[:i], m.faults[i+1:]...)
		}
		return &hit
	}
	return nil
}

// next returns the sequence number and the owner of a new operation.
func (m *Mem) next() origin {
	m.seq++
	o := origin{seq: m.seq, batch: m.batch}
	if m.batch != nil {
		o.call = m.batch.calls
	}
	return o
}

// split cuts a path into its parts; a leading slash means nothing here.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// find returns what a path leads to.
func (m *Mem) find(op, path string) (*inode, error) {
	i := m.root
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
func (m *Mem) parent(op, path string) (*inode, string, error) {
	parts := split(path)
	if len(parts) == 0 {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: fs.ErrInvalid}
	}
	last := len(parts) - 1
	dir, err := m.find(op, strings.Join(parts[:last], "/"))
	if err != nil {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
	}
	if !dir.isDir() {
		return nil, "", &fs.PathError{Op: op, Path: path, Err: errors.New("not a directory")}
	}
	return dir, parts[last], nil
}
