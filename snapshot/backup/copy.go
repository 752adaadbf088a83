package backup

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	iofs "io/fs"
	"slices"
	"strings"

	"filippo.io/age"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot"
)

// Source is a file of a member to copy: a *snapshot.Reader, or a reader of a remote file. Its bytes are read in order.
type Source interface {
	io.ReaderAt
	Name() string  // as published
	Size() int64   // in bytes
	SHA() [32]byte // the identity of the file
}

// Copy copies a snapshot and those of its parts that the backup lacks, as a base, in steps of bounded size. It verifies each byte on its way:
// all checksums, and at the end of each file the identity. Then it reads the file back, and publishes it. After the last one it publishes
// the base.
//
// After an interruption in a folder, another Copy goes on with the files that are not complete.
type Copy struct {
	w           *Writer
	name        string // of the snapshot
	part        func(snapshot.Part) Source
	base        Base            // its files are known when the snapshot is copied
	missing     []snapshot.Part // that follow
	file        *copying        // nil: the next one begins
	done, total int64           // bytes of complete files, and of all that are copied
	complete    bool
	failed      bool
}

// copying is the copy of one file.
type copying struct {
	w        *Writer
	of       File
	out      output
	verifier *snapshot.Verifier
	tee      *tee
	into     io.Writer      // buffer, or encrypts into it
	age      io.WriteCloser // nil: nothing is encrypted
	buffer   *bufio.Writer
	sum      hash.Hash // of the bytes that are stored
	back     hash.Hash // of those that were read back; nil before
	checked  int64     // how many these are
}

// Write stores bytes.
func (c *copying) Write(b []byte) (int, error) {
	c.sum.Write(b)
	c.of.Stored += int64(len(b))
	return len(b), c.out.append(b)
}

// tee is the source as the verifier reads it. Bytes that it reads for the first time wait to be written.
type tee struct {
	disk.File // nil: verifying needs nothing else
	from      Source
	high      int64  // bytes that were read
	waiting   []byte // the last of them, to be written
}

func (t *tee) ReadAt(p []byte, off int64) (int, error) {
	n, err := t.from.ReadAt(p, off)
	if end := off + int64(n); end > t.high {
		t.waiting = append(t.waiting, p[t.high-off:n]...)
		t.high = end
	}
	return n, err
}

func (t *tee) ReadMedium(p []byte, off int64) (int, error) { return t.ReadAt(p, off) }

func (t *tee) Size() (int64, error) { return t.from.Size(), nil }

func (t *tee) Close() error { return nil }

// Base begins to copy a snapshot, or continues. part returns a source of one of its parts. Base returns fs.ErrExist if the backup has the base
// already.
func (w *Writer) Base(from Source, part func(snapshot.Part) Source) (*Copy, error) {
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
	c := &Copy{w: w, name: from.Name(), part: part, base: Base{Index: index, Term: term}, total: from.Size()}
	err := w.removePartial()
	if err == nil {
		err = c.begin(from)
	}
	if err != nil {
		return nil, c.failure(err)
	}
	return c, nil
}

func (c *Copy) failure(err error) error { return fmt.Errorf("copy %s to the backup: %w", c.name, err) }

// removePartial removes the files that earlier copies did not complete.
func (w *Writer) removePartial() error {
	if w.folder == nil {
		return nil
	}
	names, err := w.folder.list(filesDir)
	for _, name := range names {
		if strings.HasSuffix(name, temporary) {
			err = errors.Join(err, w.folder.on.Remove(w.folder.path(filesDir+"/"+name)))
		}
	}
	return err
}

// complete returns the files of the bases by name, as the newest one has them.
func complete(bases []Base) map[string]File {
	all := map[string]File{}
	for _, b := range bases {
		for _, f := range b.Files {
			all[fileName(f)] = f
		}
	}
	return all
}

// has returns the file of a part that need not be copied. A file that no base lists was copied before an interruption.
func (w *Writer) has(p snapshot.Part, complete map[string]File) (of File, ok bool) {
	of = File{SHA: p.SHA, Bytes: p.Bytes, Encrypted: len(w.to) > 0}
	listed, ok := complete[fileName(of)]
	switch {
	case w.folder == nil && ok:
		return listed, true
	case w.folder == nil:
		return of, false
	}
	f, err := w.folder.open(fileName(of))
	if err != nil {
		return of, false
	}
	defer f.Close()
	of.Stored, err = f.Size()
	switch {
	case err != nil || !of.Encrypted && of.Stored != of.Bytes:
		return of, false
	case ok:
		return listed, listed.Stored == of.Stored
	}
	of.Sum, err = sumOfFile(f, of.Stored)
	return of, err == nil
}

// begin begins a file.
func (c *Copy) begin(from Source) (err error) {
	f := &copying{
		w: c.w, of: File{SHA: from.SHA(), Bytes: from.Size(), Encrypted: len(c.w.to) > 0}, tee: &tee{from: from}, sum: sha256.New(),
	}
	if err := c.fits(f.of.Bytes); err != nil {
		return err
	}
	if f.out, err = c.w.target.create(fileName(f.of)); err != nil {
		return err
	}
	f.buffer = bufio.NewWriterSize(f, limits.BackupChunkBytes)
	f.into = f.buffer
	if f.of.Encrypted {
		f.age, err = age.Encrypt(f.buffer, c.w.to...)
		f.into = f.age
	}
	if err == nil {
		f.verifier, err = snapshot.BeginExamine(from.Name(), f.tee)
	}
	if err != nil {
		return errors.Join(err, f.out.abandon())
	}
	c.file = f
	return nil
}

// fits refuses files that exceed the free space.
func (c *Copy) fits(need int64) error {
	f := c.w.folder
	if f == nil {
		return nil
	}
	if left, err := f.on.Free(f.dir); err == nil && need > left {
		return fmt.Errorf("it needs %d more bytes, and the disk has %d free: make room on %s", need, left, f.dir)
	}
	return nil
}

// Step copies about n bytes, at least one read of the source, or reads back a chunk, and reports whether the base is
// published. After an error the copy is over; another one continues it, unless the source is damaged.
func (c *Copy) Step(n int) (done bool, err error) {
	if c.complete || c.failed {
		return c.complete, nil
	}
	if err = c.step(n); err != nil {
		c.failed = true
		c.Close()
		return false, c.failure(err)
	}
	return c.complete, nil
}

func (c *Copy) step(n int) error {
	if c.file != nil {
		done, err := c.file.step(n)
		if !done || err != nil {
			return err
		}
		file := c.file
		c.file = nil
		c.done += file.of.Bytes
		if len(c.base.Files) == 0 {
			return c.describe(file.verifier.Examined(), file.of)
		}
		i := slices.IndexFunc(c.base.Files, func(f File) bool { return f.SHA == file.of.SHA })
		c.base.Files[i] = file.of
		return nil
	}
	if len(c.missing) == 0 {
		return c.publish()
	}
	next := c.missing[0]
	c.missing = c.missing[1:]
	return c.begin(c.part(next))
}

// describe makes the manifest of a snapshot, and finds out which of its parts are missing.
func (c *Copy) describe(e snapshot.Examined, of File) error {
	if e.Part || e.Index != c.base.Index || e.Term != c.base.Term {
		return fmt.Errorf("%w: it is not the snapshot that its name says", damage.ErrDamaged)
	}
	if e.Cluster != c.w.cluster.ID {
		return foreign(c.name, e.Cluster, c.w.cluster.ID)
	}
	c.base = Base{
		Cluster: e.Cluster, Index: e.Index, Term: e.Term, Revision: e.Revision, Wall: e.State.Wall, Digest: e.Digest, Level: e.State.Level,
		Version: e.Version, Files: []File{of},
	}
	need, there := int64(0), complete(c.w.bases)
	if a, single := c.w.target.(*archiving); single {
		there = a.has
	}
	for _, p := range e.Parts {
		one, ok := c.w.has(p, there)
		if !ok {
			c.missing, need = append(c.missing, p), need+p.Bytes
		}
		c.base.Files = append(c.base.Files, one)
	}
	c.total = of.Bytes + need
	c.w.wanted = c.base.Files
	return c.fits(need)
}

// publish writes the manifest. The log's next entries begin a new segment, so that retention can remove the others.
func (c *Copy) publish() error {
	if err := c.w.writeSingle(baseName(c.base.Index, c.base.Term), &baseFormat, &c.base); err != nil {
		return err
	}
	c.complete = true
	c.w.bases = append(c.w.bases, c.base)
	slices.SortFunc(c.w.bases, compareBases)
	return c.w.closeSegment()
}

// Progress returns how many bytes are copied, of how many.
func (c *Copy) Progress() (done, total int64) {
	if done = c.done; c.file != nil {
		done += c.file.tee.high
	}
	return done, max(done, c.total)
}

// Published returns the base, after Step has returned done.
func (c *Copy) Published() Base { return c.base }

// Copied returns how many bytes were copied.
func (c *Copy) Copied() int64 { return c.done }

// Close ends the copy. In a folder another one may continue it.
func (c *Copy) Close() {
	if c.file != nil {
		if err := c.file.out.abandon(); err != nil && c.w.folder == nil {
			c.w.err = err // in a single file, nothing may follow a part of a file
		}
		c.file = nil
	}
}

// step copies or reads back a part of the file, and reports whether it is published.
func (c *copying) step(n int) (done bool, err error) {
	if c.back != nil {
		return c.stepBack()
	}
	whole, err := c.verifier.Step(n)
	if err == nil {
		_, err = c.into.Write(c.tee.waiting)
		c.tee.waiting = c.tee.waiting[:0]
	}
	if err != nil || !whole {
		return false, err
	}
	if sha := c.verifier.Examined().SHA; sha != c.of.SHA {
		return false, fmt.Errorf("%w: its SHA-256 is %x, and %x was announced", damage.ErrDamaged, sha, c.of.SHA)
	}
	if c.age != nil {
		err = c.age.Close()
	}
	if err == nil {
		err = c.buffer.Flush()
	}
	if err != nil {
		return false, err
	}
	c.sum.Sum(c.of.Sum[:0])
	if a, single := c.w.target.(*archiving); single { // it is verified as a whole
		a.has[fileName(c.of)] = c.of
		return true, c.out.close()
	}
	f := c.out.(*written).f
	c.back = sha256.New()
	return false, errors.Join(f.Sync(), f.DropCache(0, 0))
}

// stepBack reads a part of the file back from the medium; after the last one it publishes the file.
func (c *copying) stepBack() (done bool, err error) {
	part := io.NewSectionReader(c.out.(*written).f, c.checked, min(limits.BackupChunkBytes, c.of.Stored-c.checked))
	n, err := io.Copy(c.back, part)
	if c.checked += n; err != nil || n > 0 && c.checked < c.of.Stored {
		return false, err
	}
	if [32]byte(c.back.Sum(nil)) != c.of.Sum {
		return false, damage.At(c.w.folder.path(fileName(c.of)), c.checked, "the medium has other bytes than were written")
	}
	return true, errors.Join(c.out.publish(), c.out.close())
}
