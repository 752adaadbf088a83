package simdisk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"

	"qkv/log/disk"
)

// edit sets one entry of a directory; a nil inode removes it.
type edit struct {
	dir  *inode
	name string
	to   *inode
}

// nameOp is the sync of a directory, or an unsynced atomic change of directory entries.
type nameOp struct {
	origin
	edits []edit
	sync  *inode
}

// change makes edits visible and records that they are not durable.
func (d *Disk) change(edits ...edit) {
	for _, e := range edits {
		e.apply(e.dir.names)
	}
	d.names = append(d.names, nameOp{origin: d.next(), edits: edits})
}

func (e edit) apply(names map[string]*inode) {
	if e.to == nil {
		delete(names, e.name)
	} else {
		names[e.name] = e.to
	}
}

// MkdirAll implements FS.
func (d *Disk) MkdirAll(dir string) error {
	if _, err := d.enter(OpMkdir, dir, ""); err != nil {
		return err
	}
	at := d.root
	for _, part := range split(dir) {
		next := at.names[part]
		switch {
		case part == ".":
			continue
		case next == nil:
			next = newDir()
			d.change(edit{at, part, next})
		case !next.isDir():
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return nil
}

// Create implements FS.
func (d *Disk) Create(name string) (disk.File, error) {
	if _, err := d.enter(OpCreate, name, ""); err != nil {
		return nil, err
	}
	dir, base, err := d.parent("create", name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	i := &inode{}
	d.change(edit{dir, base, i})
	return d.handle(i, name, true), nil
}

// Open implements FS.
func (d *Disk) Open(name string) (disk.File, error) { return d.openFile(name, false) }

// OpenWritable implements FS.
func (d *Disk) OpenWritable(name string) (disk.File, error) { return d.openFile(name, true) }

func (d *Disk) openFile(name string, writable bool) (disk.File, error) {
	if _, err := d.enter(OpOpen, name, ""); err != nil {
		return nil, err
	}
	i, err := d.find("open", name)
	if err != nil {
		return nil, err
	}
	if i.isDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: disk.ErrNotRegular}
	}
	return d.handle(i, name, writable), nil
}

// Rename implements FS.
func (d *Disk) Rename(from, to string) error {
	if _, err := d.enter(OpRename, from, to); err != nil {
		return err
	}
	fromDir, fromBase, err := d.parent("rename", from)
	if err != nil {
		return err
	}
	i := fromDir.names[fromBase]
	if i == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	toDir, toBase, err := d.parent("rename", to)
	if err != nil {
		return err
	}
	old := toDir.names[toBase]
	if old != nil && old.isDir() && old != i { // os.Rename refuses an empty one, too
		return &fs.PathError{Op: "rename", Path: to, Err: syscall.EEXIST}
	}
	if old == i {
		return nil
	}
	d.forget(old)
	i.synced, i.unsynced = nil, nil // under a new name its pages may be written again
	for k := range i.ops {          // including pages of syncs that are not final
		i.ops[k].pages = nil
	}
	d.change(edit{fromDir, fromBase, nil}, edit{toDir, toBase, i})
	return nil
}

// Link implements FS.
func (d *Disk) Link(from, to string) error {
	if _, err := d.enter(OpLink, from, to); err != nil {
		return err
	}
	i, err := d.find("link", from)
	if err != nil {
		return err
	}
	dir, base, err := d.parent("link", to)
	if err != nil {
		return err
	}
	if dir.names[base] != nil {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	i.links++
	d.change(edit{dir, base, i})
	return nil
}

// forget frees the space of a file that lost its last name.
func (d *Disk) forget(i *inode) {
	switch {
	case i == nil || i.isDir():
	case i.links > 0:
		i.links--
	default:
		d.used -= i.cache.size
	}
}

// Remove implements FS.
func (d *Disk) Remove(name string) error {
	if _, err := d.enter(OpRemove, name, ""); err != nil {
		return err
	}
	dir, base, err := d.parent("remove", name)
	if err != nil {
		return err
	}
	i := dir.names[base]
	if i == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if i.isDir() && len(i.names) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	d.forget(i)
	d.change(edit{dir, base, nil})
	return nil
}

// List implements FS.
func (d *Disk) List(dir string) ([]string, error) {
	if _, err := d.enter(OpList, dir, ""); err != nil {
		return nil, err
	}
	i, err := d.find("list", dir)
	if err != nil {
		return nil, err
	}
	if !i.isDir() {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: syscall.ENOTDIR}
	}
	return slices.Sorted(maps.Keys(i.names)), nil
}

// SyncDir implements FS.
func (d *Disk) SyncDir(dir string) error {
	if _, err := d.enter(OpSyncDir, dir, ""); err != nil {
		return err
	}
	i, err := d.find("syncdir", dir)
	if err != nil {
		return err
	}
	d.names = append(d.names, nameOp{origin: d.next(), sync: i})
	d.names = makeNamesDurable(d.names)
	return nil
}

// makeNamesDurable makes durable the changes that final directory syncs cover, and returns the rest.
func makeNamesDurable(ops []nameOp) []nameOp {
	var rest []nameOp
	for _, o := range ops {
		if o.sync == nil || !o.final() {
			rest = append(rest, o)
			continue
		}
		kept := rest[:0]
		for i := range rest {
			if rest[i].sync == nil && rest[i].final() && rest[i].touches(o.sync) {
				rest[i].harden(kept)
			} else {
				kept = append(kept, rest[i])
			}
		}
		rest = kept
	}
	return rest
}

func (o *nameOp) touches(dir *inode) bool {
	return slices.ContainsFunc(o.edits, func(e edit) bool { return e.dir == dir })
}

// harden applies the edits to the durable entries. Earlier pending operations lose their edits of the same entries:
// they would otherwise be applied later.
func (o *nameOp) harden(earlier []nameOp) {
	for _, e := range o.edits {
		for i := range earlier {
			earlier[i].edits = slices.DeleteFunc(slices.Clone(earlier[i].edits), func(old edit) bool {
				return old.dir == e.dir && old.name == e.name
			})
		}
		e.apply(e.dir.durable)
	}
}

// Free implements FS.
func (d *Disk) Free(dir string) (int64, error) {
	if _, err := d.enter(opFree, dir, ""); err != nil {
		return 0, err
	}
	if _, err := d.find("free", dir); err != nil {
		return 0, err
	}
	return d.left(), nil
}

// Size implements FS.
func (d *Disk) Size(dir string) (int64, error) {
	if _, err := d.enter(opFree, dir, ""); err != nil {
		return 0, err
	}
	_, err := d.find("size", dir)
	return d.capacity, err
}

type lock struct {
	d    *Disk
	name string
}

// Lock implements FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	if _, err := d.enter(OpLock, name, ""); err != nil {
		return nil, err
	}
	if d.locks[name] != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: disk.ErrLocked}
	}
	dir, base, err := d.parent("lock", name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] == nil {
		d.change(edit{dir, base, &inode{}})
	}
	l := &lock{d: d, name: name}
	d.locks[name] = l
	return l, nil
}

// Close releases the lock; after a crash the lock is no longer held.
func (l *lock) Close() error {
	if l.d.locks[l.name] != l {
		return errors.New("the lock is not held")
	}
	delete(l.d.locks, l.name)
	return nil
}
