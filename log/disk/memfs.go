package disk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"
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
func (m *Mem) change(edits ...edit) {
	for _, e := range edits {
		e.apply(e.dir.names)
	}
	m.names = append(m.names, nameOp{origin: m.next(), edits: edits})
}

func (e edit) apply(names map[string]*inode) {
	if e.to == nil {
		delete(names, e.name)
	} else {
		names[e.name] = e.to
	}
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	if _, err := m.enter(OpMkdir, dir, ""); err != nil {
		return err
	}
	at := m.root
	for _, part := range split(dir) {
		next := at.names[part]
		switch {
		case part == ".":
			continue
		case next == nil:
			next = newDir()
			m.change(edit{at, part, next})
		case !next.isDir():
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	if _, err := m.enter(OpCreate, name, ""); err != nil {
		return nil, err
	}
	dir, base, err := m.parent("create", name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	i := &inode{}
	m.change(edit{dir, base, i})
	return m.handle(i, name, true), nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.openFile(name, false) }

// OpenWritable implements FS.
func (m *Mem) OpenWritable(name string) (File, error) { return m.openFile(name, true) }

func (m *Mem) openFile(name string, writable bool) (File, error) {
	if _, err := m.enter(OpOpen, name, ""); err != nil {
		return nil, err
	}
	i, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	if i.isDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	return m.handle(i, name, writable), nil
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	if _, err := m.enter(OpRename, from, to); err != nil {
		return err
	}
	fromDir, fromBase, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	i := fromDir.names[fromBase]
	if i == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	toDir, toBase, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	old := toDir.names[toBase]
	if old != nil && old.isDir() && len(old.names) > 0 {
		return &fs.PathError{Op: "rename", Path: to, Err: syscall.ENOTEMPTY}
	}
	if old == i {
		return nil
	}
	m.forget(old)
	i.synced, i.unsynced = nil, nil // under a new name its pages may be written again
	for k := range i.ops {          // including pages of syncs that are not final
		i.ops[k].pages = nil
	}
	m.change(edit{fromDir, fromBase, nil}, edit{toDir, toBase, i})
	return nil
}

// forget frees the space of a file that lost its name.
func (m *Mem) forget(i *inode) {
	if i != nil && !i.isDir() {
		m.used -= i.cache.size
	}
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	if _, err := m.enter(OpRemove, name, ""); err != nil {
		return err
	}
	dir, base, err := m.parent("remove", name)
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
	m.forget(i)
	m.change(edit{dir, base, nil})
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	if _, err := m.enter(OpList, dir, ""); err != nil {
		return nil, err
	}
	i, err := m.find("list", dir)
	if err != nil {
		return nil, err
	}
	if !i.isDir() {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: syscall.ENOTDIR}
	}
	return slices.Sorted(maps.Keys(i.names)), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	if _, err := m.enter(OpSyncDir, dir, ""); err != nil {
		return err
	}
	i, err := m.find("syncdir", dir)
	if err != nil {
		return err
	}
	m.names = append(m.names, nameOp{origin: m.next(), sync: i})
	m.names = makeNamesDurable(m.names)
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
func (m *Mem) Free(dir string) (int64, error) {
	if _, err := m.enter(OpFree, dir, ""); err != nil {
		return 0, err
	}
	if _, err := m.find("free", dir); err != nil {
		return 0, err
	}
	return m.left(), nil
}

// Size implements FS.
func (m *Mem) Size(dir string) (int64, error) {
	if _, err := m.enter(OpFree, dir, ""); err != nil {
		return 0, err
	}
	_, err := m.find("size", dir)
	return m.capacity, err
}

type lock struct {
	m    *Mem
	name string
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	if _, err := m.enter(OpLock, name, ""); err != nil {
		return nil, err
	}
	if m.locks[name] != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	dir, base, err := m.parent("lock", name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] == nil {
		m.change(edit{dir, base, &inode{}})
	}
	l := &lock{m: m, name: name}
	m.locks[name] = l
	return l, nil
}

// Close releases the lock; after a crash the lock is no longer held.
func (l *lock) Close() error {
	if l.m.locks[l.name] != l {
		return errors.New("the lock is not held")
	}
	delete(l.m.locks, l.name)
	return nil
}
