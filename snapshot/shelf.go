package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync/atomic"

	"qkv/index"
	"qkv/internal/buffers"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// Shelf is the list of a state's part files, and reads single values from them. It implements index.Values. A Shelf is immutable: With
// returns another one. Each read opens the file by its path: a member may have more part files than a process may have open files. An old
// View whose part file was removed reads the value from a later Shelf, if it is not compacted.
type Shelf struct {
	base    []*Volume // the range files of the base, in key order
	extents []*Volume // behind it, in order
	reach   int64     // the last revision that it reads: behind it an extent is missing
	to      int64     // the last revision before a harmed part file
	reads   *reads
}

// reads bounds and counts the reads of all Shelves that were made from one.
type reads struct {
	slots   chan struct{}
	values  atomic.Uint64
	failed  atomic.Uint64
	damaged atomic.Pointer[PartError]
	last    atomic.Pointer[lastChunk] // nil while a reader has it
}

// lastChunk is the chunk that was read last. A reader of many values in the order of a file reads each of its chunks once.
type lastChunk struct {
	path   string
	offset int64
	bytes  []byte
}

// Volume is a part file on a Shelf: its path, and the index of its chunks. It keeps no file open.
type Volume struct {
	Part
	fs     disk.FS
	path   string
	harmed bool
	chunkIndex
}

// InBackup is a file system some of whose files are in a backup. Place returns the name of such a file there, for messages; empty: it is no such file.
type InBackup interface{ Place(path string) string }

// shownPath returns the name of a file for messages: its path, or its name in the backup.
func shownPath(fs disk.FS, path string) string {
	if backup, is := fs.(InBackup); is {
		return cmp.Or(backup.Place(path), path)
	}
	return path
}

func (v *Volume) shownPath() string { return shownPath(v.fs, v.path) }

// chunkIndex says where the chunks of a part file begin.
type chunkIndex struct {
	chunks []chunk
	keys   [][]byte // of a range file: the key of each chunk's first record
	open   bool     // the last chunk is not complete
}

// chunk is some records of one block, which are read together.
type chunk struct {
	mod    int64 // of its first version
	offset int64 // in the file
	sub    uint32
	size   uint32
}

// chunkBytes is about how much of a file is read for one value. The place of each chunk takes 24 bytes of memory, 0.15 percent of the data,
// and finding a version in a chunk takes a few microseconds.
const chunkBytes = 16 << 10

// add adds a record that begins at a byte of the file. key is nil for a change.
func (p *chunkIndex) add(key []byte, first *index.Version, offset int64) {
	if n := len(p.chunks); p.open && offset-p.chunks[n-1].offset < chunkBytes {
		return
	}
	p.end(offset)
	p.chunks = append(p.chunks, chunk{mod: first.Mod, sub: uint32(first.Sub), offset: offset})
	if key != nil {
		p.keys = append(p.keys, bytes.Clone(key))
	}
	p.open = true
}

// end notes that the records of a block, or of a chunk, end at a byte of the file.
func (p *chunkIndex) end(offset int64) {
	if p.open {
		last := &p.chunks[len(p.chunks)-1]
		last.size, p.open = uint32(offset-last.offset), false
	}
}

// find returns the chunk that has a version, if the file has it.
func (p *chunkIndex) find(key []byte, at index.Position) (c chunk, ok bool) {
	i := sort.Search(len(p.chunks), func(i int) bool {
		order := 0
		if p.keys != nil {
			order = bytes.Compare(p.keys[i], key)
		}
		return cmp.Or(order, index.Position{Revision: p.chunks[i].mod, Sub: int64(p.chunks[i].sub)}.Compare(at)) > 0
	})
	if i == 0 {
		return c, false
	}
	return p.chunks[i-1], true
}

// NewShelf returns a Shelf with the range files of a base, in key order.
func NewShelf(base []*Volume) *Shelf {
	return newShelf(&reads{slots: make(chan struct{}, limits.ValueReads)}, base, nil)
}

func newShelf(r *reads, base, extents []*Volume) *Shelf {
	s := &Shelf{base: base, extents: extents, reads: r}
	s.reach = s.Base()
	sound := !slices.ContainsFunc(base, func(one *Volume) bool { return one.harmed })
	if sound {
		s.to = s.reach
	}
	for _, one := range extents {
		if one.From != s.reach+1 {
			break
		}
		s.reach = one.To
		if sound = sound && !one.harmed; sound {
			s.to = s.reach
		}
	}
	return s
}

// Harmed returns a Shelf with a part file that is damaged, or is sound again. Sound values of a damaged file are still read. But no further
// value may be evicted that is in it, or that a change in it or behind it supersedes.
func (s *Shelf) Harmed(p Part, harmed bool) *Shelf {
	return s.changed(func(one *Volume) {
		if one.SHA == p.SHA {
			one.harmed = harmed
		}
	})
}

// Moved returns a Shelf of the same files in another folder.
func (s *Shelf) Moved(dir string) *Shelf {
	return s.changed(func(one *Volume) { one.path = join(dir, one.Name()) })
}

// changed returns a Shelf with copies of the parts, which change has changed.
func (s *Shelf) changed(change func(one *Volume)) *Shelf {
	each := func(all []*Volume) []*Volume {
		all = slices.Clone(all)
		for i, one := range all {
			another := *one
			change(&another)
			all[i] = &another
		}
		return all
	}
	return newShelf(s.reads, each(s.base), each(s.extents))
}

// Base returns the revision of the base.
func (s *Shelf) Base() int64 {
	if len(s.base) == 0 {
		return index.EmptyBase
	}
	return s.base[0].To
}

// Last returns the last revision of the extents, or that of the base.
func (s *Shelf) Last() int64 {
	if n := len(s.extents); n > 0 {
		return s.extents[n-1].To
	}
	return s.Base()
}

// Reach returns the last revision before the first gap: a snapshot that lists these parts has all changes up to there.
func (s *Shelf) Reach() int64 { return s.reach }

// Sizes returns how many range files and extents there are, and their bytes.
func (s *Shelf) Sizes() (ranges uint64, ofBase int64, extents uint64, ofExtents int64) {
	for _, one := range s.base {
		ofBase += one.Bytes
	}
	for _, one := range s.extents {
		ofExtents += one.Bytes
	}
	return uint64(len(s.base)), ofBase, uint64(len(s.extents)), ofExtents
}

// RangeFrom returns the first key of a range file; nil: the range is the first one.
func (s *Shelf) RangeFrom(p Part) (key []byte, is bool) {
	i := slices.IndexFunc(s.base, func(one *Volume) bool { return one.SHA == p.SHA })
	if i > 0 {
		key = s.base[i].keys[0]
	}
	return key, i >= 0
}

// Parts returns all part files, in the order in which a snapshot lists them.
func (s *Shelf) Parts() (all []Part) {
	for _, one := range slices.Concat(s.base, s.extents) {
		all = append(all, one.Part)
	}
	return all
}

// Attach tells a state what is in these parts, and has it read values from them.
func (s *Shelf) Attach(to *index.State) { to.Stored(s.Base(), s.Last(), s) }

// ShelfOf returns the Shelf of the values of a state, or of a View; nil: there is none.
func ShelfOf(s interface{ Values() index.Values }) *Shelf {
	shelf, _ := s.Values().(*Shelf)
	return shelf
}

// With returns a Shelf that also has an extent behind its others. It reads from the extents behind the base up to the first gap: the others wait
// for a newer base.
func (s *Shelf) With(extent *Volume) *Shelf {
	if extent.To <= s.Last() {
		return s
	}
	return newShelf(s.reads, s.base, append(slices.Clip(s.extents), extent))
}

// Rebased returns a Shelf with another base, and with the extents behind that.
func (s *Shelf) Rebased(base []*Volume) *Shelf {
	behind := slices.IndexFunc(s.extents, func(one *Volume) bool { return one.To > base[0].To })
	if behind < 0 {
		behind = len(s.extents)
	}
	return newShelf(s.reads, base, s.extents[behind:])
}

// To implements index.Values.
func (s *Shelf) To() int64 { return s.to }

// volume returns the part file that may have a version.
func (s *Shelf) volume(key []byte, at index.Position) *Volume {
	switch base := s.Base(); {
	case at.Revision > s.reach, at.Revision <= base && len(s.base) == 0:
		return nil
	case at.Revision > base:
		i, _ := slices.BinarySearchFunc(s.extents, at.Revision, func(one *Volume, revision int64) int { return cmp.Compare(one.To, revision) })
		return s.extents[i]
	}
	i := sort.Search(len(s.base), func(i int) bool { return len(s.base[i].keys) > 0 && bytes.Compare(s.base[i].keys[0], key) > 0 })
	return s.base[max(i-1, 0)]
}

// Value implements index.Values. It waits while limits.ValueReads others read.
func (s *Shelf) Value(key []byte, at index.Position, sound func(value []byte) bool) (value []byte, err error) {
	v := s.volume(key, at)
	if v == nil {
		return nil, index.ErrElsewhere
	}
	c, ok := v.find(key, at)
	if !ok {
		return nil, index.ErrElsewhere
	}
	s.reads.slots <- struct{}{}
	value, found, err := s.reads.read(v, c, key, at, sound)
	<-s.reads.slots
	switch {
	case err == nil && !found && at.Revision <= s.Base(): // an older base may have it
		return nil, index.ErrElsewhere
	case err == nil && !found:
		err = damage.At(v.shownPath(), c.offset, "the version %d.%d is not among the records", at.Revision, at.Sub)
	}
	if err == nil && !sound(value) {
		err = damage.At(v.shownPath(), c.offset, "the version %d.%d has another checksum in memory", at.Revision, at.Sub)
	}
	if err != nil {
		s.reads.failed.Add(1)
		if v.shownPath() != v.path {
			err = fmt.Errorf("%w: %w", index.ErrInBackup, err)
		}
		if !errors.Is(err, context.Canceled) { // the reader ends, which proves nothing about the part
			s.reads.damaged.CompareAndSwap(nil, &PartError{v.Part, err})
		}
		return nil, err
	}
	s.reads.values.Add(1)
	return value, nil
}

// read looks for a version in a chunk: in the last one, if that is the same and the value is sound, and otherwise in the file.
func (r *reads) read(v *Volume, c chunk, key []byte, at index.Position, sound func([]byte) bool) (value []byte, found bool, err error) {
	last := r.last.Swap(nil)
	if last != nil && last.path == v.path && last.offset == c.offset {
		if value, found, err = v.search(last.bytes, c, key, at); err == nil && found && sound(value) {
			r.keep(last)
			return value, true, nil
		}
	}
	r.keep(last)
	one := &lastChunk{v.path, c.offset, buffers.Get(int(c.size))[:c.size]}
	if err = v.readAt(one.bytes, c.offset); err != nil {
		buffers.Put(one.bytes)
		return nil, false, err
	}
	value, found, err = v.search(one.bytes, c, key, at)
	r.keep(one)
	return value, found, err
}

// keep keeps a chunk for the next reader.
func (r *reads) keep(one *lastChunk) {
	if before := r.last.Swap(one); before != nil {
		buffers.Put(before.bytes)
	}
}

func (v *Volume) readAt(b []byte, offset int64) error {
	f, err := v.fs.Open(v.path)
	if err != nil {
		return fmt.Errorf("read a value: %w", missingIsDamage(v.shownPath(), err))
	}
	defer f.Close()
	if n, err := f.ReadAt(b, offset); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = damage.At(v.shownPath(), offset+int64(n), "the file ends here")
		}
		return fmt.Errorf("read a value: %w", err)
	}
	return nil
}

// search looks for a version among the records of a chunk.
func (v *Volume) search(b []byte, c chunk, key []byte, at index.Position) (value []byte, found bool, err error) {
	r := pack.NewExactReader(b)
	var one index.Version
	for len(r.Rest()) > 0 && r.Err() == nil {
		s := r.Struct(recordFields)
		same := bytes.Equal(r.Bytes(), key)
		for range r.Array() {
			if readVersion(&r, &one); same && one.Mod == at.Revision && one.Sub == at.Sub && r.Err() == nil {
				return bytes.Clone(one.Value), true, nil
			}
		}
		r.End(s)
	}
	if r.Err() != nil { // also of what looks newer: this program has written the part, or loaded it
		return nil, false, damage.At(v.shownPath(), c.offset, "the records: %v", r.Err())
	}
	return nil, false, nil
}

// Reads returns how many values were read from files since the first Shelf was made, and how many could not be read.
func (s *Shelf) Reads() (values, failed uint64) {
	return s.reads.values.Load(), s.reads.failed.Load()
}

// Damaged returns the first part since the last call of which a value could not be read; nil: there is none. The disk may have failed, or the
// part may have been removed.
func (s *Shelf) Damaged() *PartError { return s.reads.damaged.Swap(nil) }
