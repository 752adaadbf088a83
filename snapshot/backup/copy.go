package backup

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot"
)

// Source is a snapshot to copy: a *snapshot.Reader, or a reader of a member's file. Its bytes are read in order. After an
// interruption some of them are read again.
type Source interface {
	io.ReaderAt
	Name() string  // as published
	Size() int64   // in bytes
	SHA() [32]byte // the identity of the file
}

// Copy copies a snapshot into a backup, as a base, in steps of bounded size. It verifies each byte on its way: all
// checksums, and at the end the identity. Then it reads its file back, and publishes it, and then the base.
//
// An interrupted copy in a folder goes on behind the last chunk that is intact on the medium. The bytes before are
// verified again, from the file itself, or, if it is encrypted, from the source.
type Copy struct {
	w            *Writer
	from         Source
	index, term  uint64
	out          output
	verifier     *snapshot.Verifier
	tee          *tee
	back         *scanner // reads the file back; nil before
	sum          [32]byte // of the newest chunk
	number       uint32
	there        bool    // the file was published before
	published    *stored // that file, open; nil: none
	base         Base
	done, failed bool
}

// tee is the source as the verifier reads it. Bytes that it reads for the first time wait to be written.
type tee struct {
	disk.File // nil: verifying needs nothing else
	from      Source
	partial   *stored // the beginning that the backup has in the clear; nil: none
	high      int64   // bytes that were read, or that the backup has
	waiting   []byte  // the last of them, to be written
}

func (t *tee) ReadAt(p []byte, off int64) (n int, err error) {
	if t.partial != nil && off < t.partial.size {
		if n, err = t.partial.ReadAt(p[:min(int64(len(p)), t.partial.size-off)], off); err != nil {
			return n, err
		}
	}
	if n < len(p) {
		var more int
		more, err = t.from.ReadAt(p[n:], off+int64(n))
		n += more
	}
	if end := off + int64(n); end > t.high {
		t.waiting = append(t.waiting, p[t.high-off:n]...)
		t.high = end
	}
	return n, err
}

func (t *tee) ReadMedium(p []byte, off int64) (int, error) { return t.ReadAt(p, off) }

func (t *tee) Size() (int64, error) { return t.from.Size(), nil }

func (t *tee) Close() error { return nil }

// Base begins to copy a snapshot, or continues. It returns fs.ErrExist if the backup has the base already, and refuses a
// file that exceeds the free space.
func (w *Writer) Base(from Source) (*Copy, error) {
	if w.err != nil {
		return nil, w.err
	}
	index, term, ok := parseBase(strings.TrimSuffix(from.Name(), saveSuffix))
	if !ok {
		return nil, fmt.Errorf("%q is not the name of a snapshot", from.Name())
	}
	if slices.ContainsFunc(w.bases, func(b Base) bool { return b.Index == index && b.Term == term }) {
		return nil, fmt.Errorf("%s: %w", baseName(index, term), iofs.ErrExist)
	}
	c := &Copy{w: w, from: from, index: index, term: term, tee: &tee{from: from}}
	err := c.open()
	if err == nil {
		c.verifier, err = snapshot.BeginExamine(from.Name(), c.tee)
	}
	if err != nil {
		c.Close()
		return nil, c.failure(err)
	}
	return c, nil
}

func (c *Copy) name() string { return fileName(c.from.SHA()) }

func (c *Copy) failure(err error) error {
	return fmt.Errorf("copy %s to the backup: %w", c.from.Name(), err)
}

// open finds the part of the file that the backup has, or begins the file.
func (c *Copy) open() error {
	f := c.w.folder
	if f == nil {
		return c.create()
	}
	if err := c.removeOthers(); err != nil {
		return err
	}
	if whole, err := openStored(f, c.name(), nil); err == nil {
		c.there, c.published = true, whole
		c.skip(whole)
		return nil
	} else if errors.Is(err, damage.ErrDamaged) {
		if err := f.on.Remove(f.path(c.name())); err != nil {
			return err
		}
	} else if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	err := c.resume()
	if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, damage.ErrDamaged) {
		err = c.create()
	}
	if err != nil {
		return err
	}
	left, err := f.on.Free(f.dir)
	if need := c.from.Size() - c.tee.high; err == nil && need > left {
		err = fmt.Errorf("it needs %d more bytes, and the disk has %d free: make room on %s", need, left, f.dir)
	}
	return err
}

// removeOthers removes the partial copies of other snapshots.
func (c *Copy) removeOthers() error {
	f := c.w.folder
	names, err := f.list(filesDir)
	for _, name := range names {
		if strings.HasSuffix(name, temporary) && filesDir+"/"+name != c.name()+temporary {
			err = errors.Join(err, f.on.Remove(f.path(filesDir+"/"+name)))
		}
	}
	return err
}

// skip notes the bytes that the backup has.
func (c *Copy) skip(s *stored) {
	c.tee.high, c.sum, c.number = s.size, s.scanner.sum, s.scanner.number
	if !s.encrypted() {
		c.tee.partial = s
	}
}

// resume continues a partial file behind its last intact chunk, as the medium has it.
func (c *Copy) resume() error {
	f := c.w.folder
	tmp := f.path(c.name()) + temporary
	file, err := f.on.OpenWritable(tmp)
	if err != nil {
		return err
	}
	if err = errors.Join(file.Datasync(), file.DropCache(0, 0)); err != nil {
		file.Close()
		return err
	}
	s, err := newStored(tmp, file, nil)
	if s == nil || err != nil && !errors.Is(err, damage.ErrDamaged) || s.scanner.cluster != c.w.cluster.ID || s.scanner.link != c.from.SHA() {
		file.Close()
		if err == nil {
			err = damage.At(tmp, 0, "it is part of another file")
		}
		return err
	}
	s.keepIntact()
	if s.size > 0 && s.encrypted() != (len(c.w.to) > 0) {
		file.Close()
		return damage.At(tmp, 0, "it cannot be continued")
	}
	if err := file.Truncate(s.scanner.next); err != nil {
		file.Close()
		return err
	}
	c.out = &written{*f, c.name(), file, s.scanner.next}
	c.skip(&stored{path: s.path, scanner: s.scanner, held: -1, places: s.places, size: s.size})
	return nil
}

// keepIntact ends the file before the first chunk whose payload is damaged, and before the last chunk.
func (s *stored) keepIntact() {
	s.scanner.number, s.scanner.next, s.scanner.sum, s.size = 0, headerBytes, s.scanner.begin, 0
	for i := range s.places {
		p := &s.places[i]
		sc := scanner{path: s.path, f: s.scanner.f, size: s.scanner.size, at: p.at, raw: p.header}
		if _, err := sc.payload(&p.chunk, nil); err != nil || p.chunk.flags&flagLast != 0 {
			s.places = s.places[:i]
			return
		}
		s.scanner.number, s.scanner.next, s.scanner.sum = uint32(i+1), p.at+headerBytes+int64(p.chunk.bytes), p.chunk.sum
		s.size = int64(p.chunk.last)
	}
}

// create begins the file.
func (c *Copy) create() (err error) {
	if c.out, err = c.w.target.create(c.name()); err != nil {
		return err
	}
	h := header{cluster: c.w.cluster.ID, link: c.from.SHA()}
	b := h.put(&fileFormat)
	c.sum = sha256Of(b)
	return c.out.append(b)
}

// Step copies about n bytes, at least one read of the source, or reads back a chunk, and reports whether the base is
// published. After an error the copy is over; another one continues it, unless the source is damaged.
func (c *Copy) Step(n int) (done bool, err error) {
	if c.done || c.failed {
		return c.done, nil
	}
	if err = c.step(n); err != nil {
		c.failed = true
		c.Close()
		return false, c.failure(errors.Join(err, c.discard(err)))
	}
	return c.done, nil
}

// discard removes a damaged copy, which must not be continued. In a single file, nothing may follow a part of a copy.
func (c *Copy) discard(why error) error {
	switch f := c.w.folder; {
	case f == nil:
		c.w.err = why
	case !errors.Is(why, damage.ErrDamaged):
	case c.there:
		return f.on.Remove(f.path(c.name()))
	default:
		return f.on.Remove(f.path(c.name()) + temporary)
	}
	return nil
}

func (c *Copy) step(n int) error {
	if c.back != nil {
		return c.stepBack()
	}
	whole, err := c.verifier.Step(n)
	if err != nil {
		return err
	}
	for len(c.tee.waiting) > limits.BackupChunkBytes {
		if err := c.chunk(limits.BackupChunkBytes, 0); err != nil {
			return err
		}
	}
	if !whole {
		return nil
	}
	if err := c.described(); err != nil {
		return err
	}
	if c.there {
		return c.publishBase()
	}
	if err := c.chunk(len(c.tee.waiting), flagLast); err != nil {
		return err
	}
	if c.w.folder == nil { // a single file is verified as a whole
		if err := c.out.close(); err != nil {
			return err
		}
		c.out = nil
		return c.publishBase()
	}
	return c.beginBack()
}

// chunk writes a chunk of the waiting bytes.
func (c *Copy) chunk(n int, flags uint32) error {
	first := uint64(c.tee.high) - uint64(len(c.tee.waiting))
	stored, encrypted, err := encrypt(c.tee.waiting[:n], c.w.to)
	if err != nil {
		return err
	}
	one := chunk{flags: flags | encrypted, bytes: uint32(len(stored)), number: c.number, first: first, last: first + uint64(n), previous: c.sum}
	if err := c.out.append(slices.Concat(one.put(stored), stored)); err != nil {
		return err
	}
	c.sum, c.number = one.sum, c.number+1
	c.tee.waiting = append(c.tee.waiting[:0], c.tee.waiting[n:]...)
	return nil
}

// described compares the verified file with its announcement, and makes the manifest of it.
func (c *Copy) described() error {
	e := c.verifier.Examined()
	if e.SHA != c.from.SHA() {
		return fmt.Errorf("%w: its SHA-256 is %x, and %x was announced", damage.ErrDamaged, e.SHA, c.from.SHA())
	}
	if e.Cluster != c.w.cluster.ID {
		return foreign(c.from.Name(), e.Cluster, c.w.cluster.ID)
	}
	c.base = Base{
		Cluster: e.Cluster, Index: e.Index, Term: e.Term, Revision: e.Revision, Wall: e.State.Wall, Digest: e.Digest, Level: e.State.Level,
		Version: e.Version, Files: []File{{c.from.SHA(), c.from.Size()}},
	}
	return nil
}

// beginBack prepares to read the file back from the medium.
func (c *Copy) beginBack() (err error) {
	f := c.out.(*written).f
	if err := errors.Join(f.Sync(), f.DropCache(0, 0)); err != nil {
		return err
	}
	c.back, err = scan(c.w.folder.path(c.name())+temporary, f, &fileFormat)
	return err
}

// stepBack reads back one chunk; after the last one it publishes the file and the base.
func (c *Copy) stepBack() error {
	one, err := c.back.chunk()
	if err == nil {
		_, err = c.back.payload(&one, nil)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if c.back.sum != c.sum {
		return damage.At(c.back.path, c.back.size, "its last chunk is not the one that was written")
	}
	if err := c.out.publish(); err != nil {
		return err
	}
	return c.publishBase()
}

// publishBase writes the manifest. The log's next entries begin a new segment, so that retention can remove the others.
func (c *Copy) publishBase() error {
	if err := c.w.writeSingle(baseName(c.base.Index, c.base.Term), &baseFormat, &c.base); err != nil {
		return err
	}
	c.done = true
	c.w.bases = append(c.w.bases, c.base)
	slices.SortFunc(c.w.bases, compareBases)
	c.Close()
	return c.w.closeSegment()
}

// Progress returns how many bytes of the source are in the backup, of how many.
func (c *Copy) Progress() (done, total int64) { return c.tee.high, c.from.Size() }

// Published returns the base, after Step has returned done.
func (c *Copy) Published() Base { return c.base }

// Close ends the copy. In a folder another one may continue it.
func (c *Copy) Close() {
	if c.published != nil {
		c.published.Close()
		c.published = nil
	}
	if c.out != nil && c.w.folder != nil {
		c.out.close()
	}
	c.out, c.tee.partial = nil, nil
}
