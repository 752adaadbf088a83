package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"sync"

	"filippo.io/age"

	"qkv/internal/damage"
	"qkv/log/disk"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// Reader reads a backup. A Writer may write to it meanwhile. The Reader sees the
// backup as it was when it was opened. It is for one goroutine.
type Reader struct {
	Path    string
	Cluster Cluster // as the marker names it; without a name if the marker is damaged
	Bases   []Base  // in order of their index
	Faults  []error // damage that was found so far; a damaged object of the log is found when it is read

	// Background runs a function in another goroutine, which reads a file while the one before is loaded; nil: there is none.
	Background func(func())
	// Memory is the largest size of the live keys of a state that is loaded; 0: there is no bound.
	Memory int64

	ctx   context.Context
	store bounded
	files disk.FS // nil: no parts are kept
	dir   string
	leave bool   // parts are read where they are
	list  string // the name of the list with the bases
	keys  []age.Identity
	log   []span         // in order of their first entry
	bytes map[span]int64 // sizes of these objects
	sizes map[string]int64
	known map[[32]byte]examined // of the bases whose snapshot was read, by the snapshot's ID

	tables sync.Map // where the frames of files begin, as []int64 by the File; readers of a branch use it, too
}

// examined is the content of a base's snapshot.
type examined struct {
	live   int64           // size of the live keys
	listed []snapshot.Part // in their order
	parts  map[string]File // by their published names
}

// Open opens the backup in a store. The context bounds all that the Reader does. The identities decrypt encrypted content. Open
// refuses other content (ErrNone), and the backup of a newer qkv (damage.ErrFormat). Damage is noted in Faults.
func Open(ctx context.Context, s store.Store, keys ...age.Identity) (*Reader, error) {
	from := newBounded(s)
	r := &Reader{Path: s.Path(""), ctx: ctx, store: from, keys: keys, known: map[[32]byte]examined{}}
	err := single(ctx, from, markName, &markFormat, &r.Cluster)
	absent := errors.Is(err, iofs.ErrNotExist)
	switch {
	case absent:
		err = fmt.Errorf("%w: %s: %w", damage.ErrDamaged, s.Path(markName), err)
	case err != nil && !errors.Is(err, damage.ErrDamaged):
		return nil, err
	}
	if err != nil {
		r.Faults = append(r.Faults, err)
	}
	l, newest, faults, err := newestList(ctx, from, r.Cluster.ID, true)
	if err != nil {
		return nil, err
	}
	if absent && newest == 0 {
		return nil, fmt.Errorf("%w: %s has neither the object %s nor a list: give the place of a backup, not a folder above or below it", ErrNone, r.Path, markName)
	}
	if l.Number > 0 {
		r.list = listName(l.Number)
	}
	r.Bases, r.Faults = l.Bases, append(r.Faults, faults...)
	r.Cluster.ID = cmp.Or(r.Cluster.ID, l.Cluster)
	r.sizes, faults, err = listSizes(ctx, s)
	if r.Faults = append(r.Faults, faults...); err == nil {
		r.log, r.bytes, faults, err = listLog(ctx, s)
	}
	_, others, _ := listKnown(ctx, s, "", isTop) // others' names may be too many for a list: nothing needs them
	r.Faults = slices.Concat(r.Faults, faults, others)
	return r, err
}

// KeepParts makes Restore keep the parts of its base in a folder, as a member has them: the values of the history stay there, and not in
// memory. The folder is made if need be. A state that Restore returns reads from it.
func (r *Reader) KeepParts(in disk.FS, dir string) { r.files, r.dir = in, dir }

// LeaveParts makes Restore leave the parts of its base in the backup. A state that Restore returns has the live values in memory, and reads
// those of the history from there, within the Reader's context.
func (r *Reader) LeaveParts() { r.leave = true }

// Bytes returns the size of a base's files as they are stored, which other bases may have, too, and whether one is encrypted. The error says which
// of them are not there as a whole.
func (r *Reader) Bytes(b *Base) (bytes int64, encrypted bool, err error) {
	for _, f := range b.Files {
		err = errors.Join(err, lacks(r.store, r.sizes, f))
		bytes, encrypted = bytes+f.Stored, encrypted || f.Encrypted
	}
	return bytes, encrypted, err
}

// Parts returns the parts of a base, in their order.
func (r *Reader) Parts(b *Base) ([]snapshot.Part, error) {
	m, err := r.head(b)
	return m.Parts, err
}

// head returns the head of the snapshot of a base.
func (r *Reader) head(b *Base) (m snapshot.Meta, err error) {
	of := b.Files[0]
	f, err := r.openClear(of)
	if err != nil {
		return m, err
	}
	e, err := examineFile(r.store.Path(fileName(of)), f)
	return e.Meta, err
}

// examine reads the snapshot of a base.
func (r *Reader) examine(b *Base) (all examined, err error) {
	if all, is := r.known[b.Files[0].ID]; is {
		return all, nil
	}
	m, err := r.head(b)
	if err == nil && len(m.Parts) != len(b.Files)-1 {
		err = damage.At(r.store.Path(r.list), 0, "its base of entry %d lists %d parts, and the snapshot %d", b.Index, len(b.Files)-1, len(m.Parts))
	}
	if err != nil {
		return all, err
	}
	all = examined{m.Live, m.Parts, map[string]File{}}
	for i, p := range m.Parts {
		all.parts[p.Name()] = b.Files[i+1]
	}
	r.known[b.Files[0].ID] = all
	return all, nil
}

// Part passes the bytes of a part, which it finds by its published name and size, on in order, from an offset on. fs.ErrNotExist: no sound
// base lists it.
func (r *Reader) Part(name string, size, from int64, to func(piece []byte) error) error {
	for i := range r.Bases {
		all, err := r.examine(&r.Bases[i])
		if err != nil && !damaged(err) { // the next one could not be read either
			return err
		}
		if of, ok := all.parts[name]; ok {
			f, err := r.openClear(of)
			if err == nil {
				err = f.pass(size, from, to)
			}
			return err
		}
	}
	return fmt.Errorf("%s has no base with %s: %w", r.Path, name, iofs.ErrNotExist)
}

// Reach is how far the log goes behind a base.
type Reach struct {
	Index uint64 // of the newest entry that is behind the base without a gap; the base's own without any
	Wall  int64  // the state's clock there
	Bytes int64  // of the objects with these entries
	Fault error  // damage of the newest object's header; nil: none
}

// Reaches returns how far the log goes behind each base, by the names of its objects. It reads the header of the last one of each.
func (r *Reader) Reaches() (all []Reach, err error) {
	for i := range r.Bases {
		b := &r.Bases[i]
		reach := Reach{Index: b.Index, Wall: b.Wall}
		var last span
		for l := (follower{r: r, index: b.Index}); ; {
			behind := l.following()
			if len(behind) == 0 {
				break
			}
			last = behind[0]
			l.index, reach.Bytes = last.last, reach.Bytes+r.bytes[last]
		}
		if last.last > 0 {
			h, err := r.header(last)
			switch {
			case err == nil:
				reach.Index, reach.Wall = h.Last, max(reach.Wall, h.Wall)
			case damaged(err):
				reach.Fault = err
			default:
				return nil, err
			}
		}
		all = append(all, reach)
	}
	return all, nil
}

// backupHeaderMost bounds the header of such an object.
const backupHeaderMost = 1 << 10

// header reads the header of an object of the log.
func (r *Reader) header(of span) (stretch, error) {
	b, err := get(r.ctx, r.store, of.name(), 0, backupHeaderMost)
	if err != nil {
		return stretch{}, err
	}
	h, _, err := readStretch(r.store.Path(of.name()), of, b)
	return h, err
}
