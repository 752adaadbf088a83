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
	"strings"
	"sync/atomic"

	"qkv/index"
	"qkv/internal/buffers"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// Shelf is the list of a state's part files, and reads single values from them. It implements index.Values. A Shelf is immutable: With
// returns another one. Each read opens files by their paths: a member may have more part files than a process may have open files. An old
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

// chunkBytes and changeChunkBytes are about how much of a range file and of an extent is read for one value. The place of each chunk takes
// 24 bytes of memory, at most 0.15 and 1.2 percent of the data. The values of neighboring keys lie together in a range file, but anywhere in
// the extents.
const (
	chunkBytes       = 16 << 10
	changeChunkBytes = 2 << 10
)

// add adds a record that begins at a byte of the file. key is nil for a change.
func (p *chunkIndex) add(key []byte, first *index.Version, offset int64) {
	least := int64(chunkBytes)
	if key == nil {
		least = changeChunkBytes
	}
	if n := len(p.chunks); p.open && offset-p.chunks[n-1].offset < least {
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

// wanted is a value that is read from a file: its version, and the chunk that has it if the file does.
type wanted struct {
	volume *Volume
	chunk  chunk
	key    []byte
	at     index.Position
	offer  func(value []byte) // is called with the value, which is part of a buffer
}

// locate returns where a value is; false: in none of the files.
func (s *Shelf) locate(key []byte, at index.Position, offer func(value []byte)) (w wanted, ok bool) {
	w = wanted{volume: s.volume(key, at), key: key, at: at, offer: offer}
	if w.volume != nil {
		w.chunk, ok = w.volume.find(key, at)
	}
	return w, ok
}

// order orders values by their file, the chunk there, and the position of the version.
func (w wanted) order(other wanted) int {
	switch {
	case w.volume != other.volume:
		return strings.Compare(w.volume.path, other.volume.path)
	case w.chunk.offset != other.chunk.offset:
		return cmp.Compare(w.chunk.offset, other.chunk.offset)
	}
	return w.at.Compare(other.at)
}

// Value implements index.Values. It waits while limits.ValueReads others read.
func (s *Shelf) Value(key []byte, at index.Position, sound func(value []byte) bool) (value []byte, err error) {
	found, right := false, false
	w, ok := s.locate(key, at, func(b []byte) {
		if found, right = true, sound(b); right {
			value = bytes.Clone(b)
		}
	})
	if !ok {
		return nil, index.ErrElsewhere
	}
	v := w.volume
	err = s.reads.read(v, []wanted{w})
	switch {
	case found: // whatever follows in the chunk
		if err = nil; !right {
			err = damage.At(v.shownPath(), w.chunk.offset, "the version %d.%d has another checksum in memory", at.Revision, at.Sub)
		}
	case err == nil && at.Revision <= s.Base(): // an older base may have it
		return nil, index.ErrElsewhere
	case err == nil:
		err = damage.At(v.shownPath(), w.chunk.offset, "the version %d.%d is not among the records", at.Revision, at.Sub)
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

// ReadTogether implements index.Values. It waits as Value does.
func (s *Shelf) ReadTogether(all []*index.Unread) {
	places := make([]wanted, 0, len(all))
	for _, one := range all {
		if w, ok := s.locate(one.Key(), one.Position(), one.Offer); ok {
			places = append(places, w)
		}
	}
	slices.SortFunc(places, wanted.order)
	for len(places) > 0 {
		v, n := places[0].volume, 1
		for n < len(places) && places[n].volume == v {
			n++
		}
		if s.reads.read(v, places[:n]) != nil {
			return
		}
		s.reads.values.Add(uint64(n))
		places = places[n:]
	}
}

// read reads values of one file, which are in their order, and offers them. It ends with the first call that fails.
func (r *reads) read(v *Volume, all []wanted) error {
	r.slots <- struct{}{}
	defer func() { <-r.slots }()
	f, err := v.fs.Open(v.path)
	if err != nil {
		return fmt.Errorf("read a value: %w", missingIsDamage(v.shownPath(), err))
	}
	defer f.Close()
	for n, size := adjacent(all); n > 0 && err == nil; {
		rest := all[n:]
		following, itsSize := adjacent(rest)
		if following > 0 {
			f.Prefetch(rest[0].chunk.offset, itsSize)
		}
		err = v.readChunks(f, all[:n], size)
		all, n, size = rest, following, itsSize
	}
	return err
}

// adjacentBytes is about how much of a file is read with one call: it stays in the processor's cache until its values are copied.
const adjacentBytes = 256 << 10

// adjacent returns how many of the values are read with one call, and the bytes of that call: those of the first chunk, and of chunks that
// follow without a gap but a block's header.
func adjacent(all []wanted) (n int, size int64) {
	if len(all) == 0 {
		return 0, 0
	}
	from := all[0].chunk.offset
	end := from
	for ; n < len(all); n++ {
		c := all[n].chunk
		last := c.offset + int64(c.size)
		if n > 0 && (c.offset > end+headerBytes || last > max(end, from+adjacentBytes)) {
			break
		}
		end = last
	}
	return n, end - from
}

// readChunks reads some bytes of a file, and offers the values of the chunks there.
func (v *Volume) readChunks(f disk.File, all []wanted, size int64) error {
	from := all[0].chunk.offset
	b := buffers.Get(max(int(size), buffers.Least+1))[:size] // smaller ones are not pooled
	defer buffers.Put(b)
	if n, err := f.ReadAt(b, from); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = damage.At(v.shownPath(), from+int64(n), "the file ends here")
		}
		return fmt.Errorf("read a value: %w", err)
	}
	for len(all) > 0 {
		c, n := all[0].chunk, 1
		for n < len(all) && all[n].chunk.offset == c.offset {
			n++
		}
		if err := v.search(b[c.offset-from:][:c.size], c, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// search looks for versions among the records of a chunk, and offers their values.
func (v *Volume) search(b []byte, c chunk, all []wanted) error {
	r := pack.NewExactReader(b)
	var one index.Version
	for left := len(all); left > 0 && len(r.Rest()) > 0 && r.Err() == nil; {
		s := r.Struct(recordFields)
		key := r.Bytes()
		for range r.Array() {
			if readVersion(&r, &one); r.Err() != nil {
				break
			}
			at := index.Position{Revision: one.Mod, Sub: one.Sub}
			i, is := slices.BinarySearchFunc(all, at, func(w wanted, at index.Position) int { return w.at.Compare(at) })
			if is && bytes.Equal(key, all[i].key) {
				all[i].offer(one.Value)
				left--
			}
		}
		r.End(s)
	}
	if r.Err() != nil { // also of what looks newer: this program has written the part, or loaded it
		return damage.At(v.shownPath(), c.offset, "the records: %v", r.Err())
	}
	return nil
}

// Reads returns how many values were read from files since the first Shelf was made, and how many could not be read.
func (s *Shelf) Reads() (values, failed uint64) {
	return s.reads.values.Load(), s.reads.failed.Load()
}

// Damaged returns the first part since the last call of which a value could not be read; nil: there is none. The disk may have failed, or the
// part may have been removed.
func (s *Shelf) Damaged() *PartError { return s.reads.damaged.Swap(nil) }
