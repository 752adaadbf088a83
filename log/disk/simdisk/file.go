package simdisk

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"qkv/log/disk"
)

// origin is the time of an operation and its batch.
type origin struct {
	seq   int64
	batch *Batch // nil: final at once
	call  int    // number of the call in the batch
}

// final reports whether a crash can undo the operation only as an unsynced one.
func (o origin) final() bool { return o.batch == nil || o.batch.finished }

// happened reports whether the operation exists after a crash, which cuts each unfinished batch at some call.
func (o origin) happened() bool { return o.final() || o.call <= o.batch.cut }

type opKind uint8

const (
	opWrite opKind = iota
	opResize
	opSync
)

// fileOp is an operation on a file that is not durable yet, or a sync that is not final yet.
type fileOp struct {
	origin
	kind   opKind
	failed bool    // its sync failed: the cache has it, the disk has a part of it, and later syncs skip it
	off    int64   // of a write
	length int64   // of a write
	data   []byte  // of a write; nil: zeros
	size   int64   // of a resize
	pages  []int64 // of a sync: the covered pages with content, for Guard
}

// complete applies an operation to the durable bytes, for good. Its pages are no longer only reserved.
func (i *inode) complete(o *fileOp) {
	o.apply(&i.disk)
	if o.kind == opWrite {
		clear(i.reservedPages(o))
	}
	i.remember(o)
}

// reservedPages returns the part of reserved that a write covers.
func (i *inode) reservedPages(o *fileOp) []bool {
	n := int64(len(i.reserved))
	return i.reserved[min(o.off/pageBytes, n):min((o.off+o.length+pageBytes-1)/pageBytes, n)]
}

func (o *fileOp) apply(t *table) {
	switch o.kind {
	case opWrite:
		t.put(o.off, o.data, o.length)
	case opResize:
		t.resize(o.size)
	case opSync:
	}
}

// add makes an operation visible and records that it is not durable.
func (d *Disk) add(i *inode, o fileOp) {
	o.origin = d.next()
	if o.kind == opResize {
		d.used += o.size - i.cache.size
	}
	o.apply(&i.cache)
	i.ops = append(i.ops, o)
	d.markPending(i)
}

func (d *Disk) markPending(i *inode) {
	if !i.isPending {
		i.isPending = true
		d.pending = append(d.pending, i)
	}
}

// sync makes a file's operations durable, now or when the batch finishes.
func (d *Disk) sync(i *inode) {
	if len(i.ops) == 0 {
		return
	}
	i.ops = append(i.ops, fileOp{origin: d.next(), kind: opSync, pages: i.content()})
	i.unsynced = i.unsynced[:0]
	i.makeDurable()
	d.tidy()
}

// content returns the written pages that still hold anything except zeros. Pages overwritten with zeros hold nothing
// that Guard protects.
func (i *inode) content() (pages []int64) {
	var page [pageBytes]byte
	for _, n := range i.unsynced {
		if got := i.cache.read(page[:], n*pageBytes); !zero(page[:got]) {
			pages = append(pages, n)
		}
	}
	return pages
}

// remember records the pages that a final sync covers, for Guard.
func (i *inode) remember(o *fileOp) {
	for _, page := range o.pages {
		for int64(len(i.synced)) <= page {
			i.synced = append(i.synced, false)
		}
		i.synced[page] = true
	}
}

// isSynced reports whether a page with content is covered by a sync, final or not.
func (i *inode) isSynced(page int64) bool {
	return page < int64(len(i.synced)) && i.synced[page] ||
		slices.ContainsFunc(i.ops, func(o fileOp) bool { return slices.Contains(o.pages, page) })
}

// makeDurable makes durable the operations that final syncs cover. An operation that is not final holds up the later
// ones, to keep the order.
func (i *inode) makeDurable() {
	end := 0
	for k := range i.ops {
		if !i.ops[k].final() {
			break
		}
		if i.ops[k].kind == opSync {
			end = k + 1
		}
	}
	if end == 0 {
		return
	}
	rest := i.ops[:0:0]
	for k := range end {
		if i.ops[k].failed {
			rest = append(rest, i.ops[k])
		} else {
			i.complete(&i.ops[k])
			rest = supersede(rest, &i.ops[k])
		}
	}
	if len(rest) == 0 {
		rest = slices.Delete(i.ops, 0, end)
	} else {
		rest = append(rest, i.ops[end:]...)
	}
	i.ops = rest
}

// supersede removes from operations with a failed sync the parts that a later, durable operation has overwritten: these
// parts stay, whatever the fate of the failed operations.
func supersede(failed []fileOp, by *fileOp) []fileOp {
	if len(failed) == 0 || by.kind == opSync {
		return failed
	}
	var rest []fileOp
	for _, o := range failed {
		switch {
		case o.kind != by.kind:
			rest = append(rest, o)
		case o.kind == opWrite:
			rest = o.part(rest, o.off, by.off)
			rest = o.part(rest, by.off+by.length, o.off+o.length)
		}
	}
	return rest
}

// part appends the part of a write between two offsets.
func (o *fileOp) part(ops []fileOp, from, to int64) []fileOp {
	from, to = max(from, o.off), min(to, o.off+o.length)
	if from >= to {
		return ops
	}
	p := *o
	p.off, p.length = from, to-from
	if o.data != nil {
		p.data = o.data[from-o.off : to-o.off]
	}
	return append(ops, p)
}

// tidy removes files without pending operations from the pending list.
func (d *Disk) tidy() {
	d.pending = slices.DeleteFunc(d.pending, func(i *inode) bool {
		i.isPending = len(i.ops) > 0
		return !i.isPending
	})
}

// failSync is the effect of a failed sync. The pages count as clean: a later sync succeeds without writing them, and
// the cache shows them until it is dropped. Operations covered by an earlier sync of an unfinished batch are not
// changed.
func (d *Disk) failSync(i *inode) {
	for k := len(i.ops) - 1; k >= 0 && i.ops[k].kind != opSync; k-- {
		i.ops[k].failed = true
	}
}

// dropCache makes the cache equal to the disk, except for operations that still wait to be written.
func (d *Disk) dropCache(i *inode) {
	if !slices.ContainsFunc(i.ops, func(o fileOp) bool { return o.failed }) {
		return
	}
	rest := i.ops[:0:0]
	for k := range i.ops {
		if i.ops[k].failed {
			d.dropHalf(&i.ops[k], &i.disk)
		} else {
			rest = append(rest, i.ops[k])
		}
	}
	i.ops = rest
	d.used -= i.cache.size
	i.refresh()
	d.used += i.cache.size
	d.tidy()
}

// refresh rebuilds the cache from the disk and the pending operations.
func (i *inode) refresh() {
	i.cache = i.disk.clone()
	for k := range i.ops {
		i.ops[k].apply(&i.cache)
	}
}

// file is an open file of a Disk.
type file struct {
	d        *Disk
	inode    *inode
	name     string
	life     int
	writable bool
	closed   bool
}

func (d *Disk) handle(i *inode, name string, writable bool) disk.File {
	f := &file{d: d, inode: i, name: name, life: d.life, writable: writable}
	d.handles[f] = struct{}{}
	return f
}

// OpenFiles returns the names of the open files, sorted; the name is the one used to open the file. A test finds leaked
// files by it: files still open after their owner ended.
func (d *Disk) OpenFiles() []string {
	var names []string
	for f := range d.handles {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

func (f *file) enter(op Op, detail string) (*Fault, error) {
	fault, err := f.d.enter(op, f.name, detail)
	switch {
	case f.life != f.d.life:
		return nil, &fs.PathError{Op: op.String(), Path: f.name, Err: ErrCrashed}
	case f.closed:
		return nil, &fs.PathError{Op: op.String(), Path: f.name, Err: fs.ErrClosed}
	case !f.writable && (op == OpWrite || op == OpTruncate || op == OpReserve):
		return nil, &fs.PathError{Op: op.String(), Path: f.name, Err: syscall.EBADF}
	default:
		return fault, err
	}
}

// detail formats a call's details for the trace, if there is a trace.
func (f *file) detail(format string, args ...any) string {
	if f.d.trace == nil {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func (f *file) Name() string { return f.name }

func (f *file) Close() error {
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	delete(f.d.handles, f)
	return nil
}

func (f *file) Size() (int64, error) {
	if _, err := f.enter(opSize, ""); err != nil {
		return 0, err
	}
	return f.inode.cache.size, nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if _, err := f.enter(OpRead, ""); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	n := f.inode.cache.read(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) ReadMedium(p []byte, off int64) (int, error) {
	if err := f.DropCache(0, 0); err != nil {
		return 0, err
	}
	return f.ReadAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	fault, err := f.enter(OpWrite, f.detail("%d+%d", off, len(p)))
	if err != nil && (fault == nil || !fault.Short) {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrInvalid}
	}
	if fault != nil {
		p = p[:f.d.random.IntN(len(p)+1)]
	}
	n := f.write(p, off)
	switch {
	case err != nil:
		return n, err
	case n < len(p):
		return n, &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	default:
		return n, nil
	}
}

func (f *file) WritePages(p []byte, off int64) error {
	_, err := f.WriteAt(p, off)
	return err
}

func (f *file) WriteZeros(n int, at int64) error {
	_, err := f.WriteAt(zeros[:n], at)
	return err
}

// write writes as much of p as there is space for, and returns how much.
func (f *file) write(p []byte, off int64) int {
	d, size := f.d, f.inode.cache.size
	if growth := off + int64(len(p)) - size; growth > 0 {
		if lack := growth - d.left(); lack > 0 {
			p = p[:max(int64(len(p))-lack, 0)]
		}
	}
	if len(p) == 0 {
		return 0
	}
	o := fileOp{kind: opWrite, off: off, length: int64(len(p))}
	if !zero(p) {
		o.data = slices.Clone(p)
	}
	f.guard(&o)
	if d.batch != nil {
		d.batch.bytes += o.length
	}
	d.add(f.inode, o)
	if end := off + o.length; end > size {
		d.add(f.inode, fileOp{kind: opResize, size: end})
	}
	return len(p)
}

// guard checks a write against the rule that a synced page is never written again.
func (f *file) guard(o *fileOp) {
	i := f.inode
	for page := o.off / pageBytes; page <= (o.off+o.length-1)/pageBytes; page++ {
		if f.d.guarded != "" && strings.HasSuffix(f.name, f.d.guarded) && i.isSynced(page) {
			if f.d.guardPanic {
				panic(fmt.Sprintf("page %d of %s was synced and is written again: %d+%d", page, f.name, o.off, o.length))
			}
			f.d.rewrites++
		}
		if o.data != nil {
			i.unsynced = append(i.unsynced, page)
		}
	}
}

func (f *file) Datasync() error { return f.sync("data") }

func (f *file) Sync() error { return f.sync("all") }

func (f *file) sync(what string) error {
	fault, err := f.enter(OpSync, what)
	if fault != nil {
		f.d.failSync(f.inode)
	}
	if err != nil {
		return err
	}
	f.d.sync(f.inode)
	return nil
}

func (f *file) WriteBack(off, n int64, wait bool) error {
	if off < 0 || n <= 0 {
		return &fs.PathError{Op: OpWriteBack.String(), Path: f.name, Err: fs.ErrInvalid}
	}
	what := "begin"
	if wait {
		what = "wait"
	}
	fault, err := f.enter(OpWriteBack, f.detail("%s %d+%d", what, off, n))
	if fault != nil {
		f.d.failSync(f.inode)
	}
	return err // a crash decides which of it is on the medium
}

// DropCache drops all clean pages: the kernel may evict a page at any time.
func (f *file) DropCache(off, n int64) error {
	what := ""
	if n > 0 {
		what = f.detail("%d+%d", off, n)
	}
	if _, err := f.enter(OpDropCache, what); err != nil {
		return err
	}
	f.d.dropCache(f.inode)
	return nil
}

// NoReadahead does nothing: reads are exact.
func (f *file) NoReadahead() {}

// Prefetch does nothing: everything is in memory.
func (f *file) Prefetch(_, _ int64) {}

func (f *file) Truncate(size int64) error { return f.resize(OpTruncate, size) }

// Reserve gives the file its size. A crash may lose a later unsynced write into its pages as a whole, whatever else it
// keeps: the write then reached the medium, and the metadata that marks the pages as written did not.
func (f *file) Reserve(size int64) error {
	err := f.resize(OpReserve, size)
	if err == nil {
		f.inode.reserved = slices.Repeat([]bool{true}, int((size+pageBytes-1)/pageBytes))
	}
	return err
}

func (f *file) resize(op Op, size int64) error {
	if _, err := f.enter(op, f.detail("%d", size)); err != nil {
		return err
	}
	if size < 0 {
		return &fs.PathError{Op: op.String(), Path: f.name, Err: fs.ErrInvalid}
	}
	if size-f.inode.cache.size > f.d.left() {
		return &fs.PathError{Op: op.String(), Path: f.name, Err: syscall.ENOSPC}
	}
	if size != f.inode.cache.size {
		f.d.add(f.inode, fileOp{kind: opResize, size: size})
	}
	return nil
}
