package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
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

// Source is a file of a member to copy: a *snapshot.Reader, or a reader of a remote file. Its bytes are read in order.
type Source interface {
	io.ReaderAt
	Name() string  // as published
	Size() int64   // in bytes
	SHA() [32]byte // the identity of the file
}

// Copy copies a snapshot and those of its parts that the backup lacks, as a base, in steps of bounded size; a file is in memory until it is
// stored. It verifies each byte on its way: all checksums, and at the end of each file the identity. After the last file it publishes the base.
//
// After an interruption, another Copy goes on with the files that are not there.
type Copy struct {
	w           *Writer
	name        string // of the snapshot
	part        func(snapshot.Part) Source
	base        Base            // its files are known when the snapshot is copied
	missing     []snapshot.Part // that follow
	checked     []File          // that are there, and are read again
	parts       []snapshot.Part // of the snapshot: Files[i+1] has parts[i]
	file        *copying        // nil: the next one begins
	done, total int64           // bytes of complete files, and of all that are copied
	complete    bool
	failed      bool
}

// copying is the copy of one file.
type copying struct {
	of       File
	sha      [32]byte // as announced
	verifier *snapshot.Verifier
	tee      *tee
}

// tee is the source as the verifier reads it. It keeps the bytes.
type tee struct {
	disk.File // nil: verifying needs nothing else
	from      Source
	read      []byte
}

func (t *tee) ReadAt(p []byte, off int64) (int, error) {
	n, err := t.from.ReadAt(p, off)
	if have := int64(len(t.read)); off+int64(n) > have {
		t.read = append(t.read, p[have-off:n]...)
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
	if err := c.begin(from); err != nil {
		return nil, c.failure(err)
	}
	return c, nil
}

func (c *Copy) failure(err error) error { return fmt.Errorf("copy %s to the backup: %w", c.name, err) }

// has returns the file of a part that need not be copied. A file that no base lists was stored before an interruption. It is compared with its
// name, except for an encrypted one, whose content only the recipient reads.
func (w *Writer) has(ctx context.Context, p snapshot.Part, listed map[string]File, sizes map[string]int64) (of File, ok bool) {
	of = File{ID: w.id(p.SHA), Bytes: p.Bytes, Encrypted: len(w.to) > 0}
	size, there := sizes[fileName(of)]
	known, is := listed[fileName(of)]
	switch {
	case !there || !of.Encrypted && size != of.Bytes || size > backupStoredMost:
		return of, false
	case is:
		return known, known.Stored == size
	}
	var err error
	if of.Stored, of.Sum, err = sumOf(ctx, w.store, fileName(of), size); err == nil && !of.Encrypted {
		read := &window{of: of, piece: func(of File, off int64) ([]byte, error) { return pieceOf(ctx, w.store, of, off) }}
		e, fault := examineFile(w.store.Path(fileName(of)), &stored{from: read, size: of.Stored})
		w.rotten[fileName(of)] = damaged(fault) || fault == nil && e.SHA != p.SHA
		err = fault
	}
	return of, err == nil && of.Stored == size && !w.rotten[fileName(of)]
}

// backupScrub is how many files of earlier bases a new base lists for each one of them that it reads again and compares. With a base an
// hour, a file is read about each three days.
const backupScrub = 64

// due says whether a file that earlier bases list is read again with this one: its digest chooses.
func (b *Base) due(p snapshot.Part) bool {
	return (binary.LittleEndian.Uint64(p.SHA[:])^b.Digest)%backupScrub == 0
}

// scrub reads a file that need not be copied, and orders its copy if it is damaged: all bases share it. A store that does not
// answer proves nothing.
func (c *Copy) scrub(ctx context.Context, of File) {
	_, sum, err := sumOf(ctx, c.w.store, fileName(of), of.Stored)
	if err == nil && sum != of.Sum {
		c.w.rotten[fileName(of)] = true
		c.missing = append(c.missing, c.parts[c.at(of)-1])
	}
}

// at returns the position of a file in the manifest.
func (c *Copy) at(of File) int {
	return slices.IndexFunc(c.base.Files, func(f File) bool { return f.ID == of.ID })
}

// begin begins a file.
func (c *Copy) begin(from Source) (err error) {
	if from.Size() > limits.BackupFileMost {
		return fmt.Errorf("%s has %d bytes, the limit is %d", from.Name(), from.Size(), limits.BackupFileMost)
	}
	if err := c.fits(from.Size()); err != nil {
		return err
	}
	f := &copying{of: File{ID: c.w.id(from.SHA()), Bytes: from.Size(), Encrypted: len(c.w.to) > 0}, sha: from.SHA()}
	f.tee = &tee{from: from, read: make([]byte, 0, from.Size())}
	f.verifier, err = snapshot.BeginExamine(from.Name(), f.tee)
	c.file = f
	return err
}

// fits refuses files that exceed the free space.
func (c *Copy) fits(need int64) error {
	if free, known := c.w.store.Free(); known && need > free {
		return fmt.Errorf("it needs %d more bytes, and the disk has %d free: make room on %s", need, free, c.w.store.Path(""))
	}
	return nil
}

// Step reads about n bytes, at least one read of the source, or stores a file, and reports whether the base is
// published. After an error the copy is over; another one continues it, unless the source is damaged.
func (c *Copy) Step(ctx context.Context, n int) (done bool, err error) {
	if c.complete || c.failed {
		return c.complete, nil
	}
	if err = c.step(ctx, n); err != nil {
		c.failed, c.file = true, nil
		return false, c.failure(err)
	}
	return c.complete, nil
}

func (c *Copy) step(ctx context.Context, n int) error {
	if file := c.file; file != nil {
		whole, err := file.verifier.Step(n)
		if err != nil || !whole {
			return err
		}
		if err := file.store(ctx, c.w); err != nil {
			return err
		}
		c.file = nil
		c.done += file.of.Bytes
		if len(c.base.Files) == 0 {
			return c.describe(ctx, file.verifier.Examined(), file.of)
		}
		c.base.Files[c.at(file.of)] = file.of
		return nil
	}
	if len(c.checked) > 0 {
		next := c.checked[0]
		c.checked = c.checked[1:]
		c.scrub(ctx, next)
		return ctx.Err()
	}
	if len(c.missing) == 0 {
		return c.publish(ctx)
	}
	next := c.missing[0]
	c.missing = c.missing[1:]
	return c.begin(c.part(next))
}

// store stores a file that was read and verified.
func (c *copying) store(ctx context.Context, w *Writer) error {
	if sha := c.verifier.Examined().SHA; sha != c.sha {
		return fmt.Errorf("%w: its SHA-256 is %x, and %x was announced", damage.ErrDamaged, sha, c.sha)
	}
	b, err := encrypt(c.tee.read, w.to)
	if err != nil {
		return err
	}
	c.tee.read = nil
	if name := fileName(c.of); w.rotten[name] { // a Put would leave it as it is
		if err = w.store.Delete(ctx, name); err != nil {
			return err
		}
		delete(w.rotten, name)
		w.Mended = append(w.Mended, w.store.Path(name))
	}
	c.of.Stored, c.of.Sum = int64(len(b)), sha256.Sum256(b)
	if err = w.store.Put(ctx, fileName(c.of), b); err == nil && c.of.Encrypted {
		err = w.kept(ctx, &c.of, b)
	}
	return err
}

// kept describes an encrypted file after a Put, which leaves a file of the same size as it is: that of another writer, or of an
// interrupted copy. Each encryption has a key of its own, so other bytes show at the beginning.
func (w *Writer) kept(ctx context.Context, of *File, put []byte) error {
	begin, err := w.store.Get(ctx, fileName(*of), 0, 256)
	if err == nil && !bytes.HasPrefix(put, begin) {
		of.Stored, of.Sum, err = sumOf(ctx, w.store, fileName(*of), backupStoredMost)
	}
	return err
}

// describe makes the manifest of a snapshot, and finds out which of its parts are missing.
func (c *Copy) describe(ctx context.Context, e snapshot.Examined, of File) error {
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
	all := 1 + len(e.Parts)
	for _, b := range c.w.bases {
		all += len(b.Files)
	}
	if all > basesFiles { // nobody could open the backup, nor remove old bases
		return fmt.Errorf("%d files are in it and in the bases before, the limit is %d: make bases less often, or keep moments for a shorter time (--backup-keep)", all, basesFiles)
	}
	sizes, _, err := listSizes(ctx, c.w.store)
	if err != nil {
		return err
	}
	c.parts = e.Parts
	need, listed := int64(0), listedFiles(c.w.bases)
	for _, p := range e.Parts {
		one, ok := c.w.has(ctx, p, listed, sizes)
		if !ok {
			c.missing, need = append(c.missing, p), need+p.Bytes
		} else if c.base.due(p) {
			c.checked = append(c.checked, one)
		}
		c.base.Files = append(c.base.Files, one)
	}
	c.total = of.Bytes + need
	c.w.wanted = c.base.Files
	return c.fits(need)
}

// listedFiles returns the files of the bases by name, as the newest one has them.
func listedFiles(bases []Base) map[string]File {
	all := map[string]File{}
	for _, b := range bases {
		for _, f := range b.Files {
			all[fileName(f)] = f
		}
	}
	return all
}

// publish writes the manifest, if each file is still there: another writer may have removed a file that no base listed.
func (c *Copy) publish(ctx context.Context) error {
	sizes, _, err := listSizes(ctx, c.w.store)
	for _, f := range c.base.Files {
		if fault := lacks(c.w.store, sizes, f); fault != nil && !c.w.holds(ctx, f) {
			err = errors.Join(err, fault)
		}
	}
	name := baseName(c.base.Index, c.base.Term)
	if err == nil {
		if _, failed := loadBase(ctx, c.w.store, c.base.Index, c.base.Term, c.base.Cluster); damaged(failed) {
			err = c.w.store.Delete(ctx, name) // a Put may leave it as it is
		}
	}
	if err == nil {
		err = c.w.putSingle(ctx, name, &baseFormat, &c.base)
	}
	if err == nil {
		err = c.w.mergeTail(ctx)
	}
	if err != nil {
		return err
	}
	c.complete = true
	c.w.bases = append(c.w.bases, c.base)
	slices.SortFunc(c.w.bases, compareBases)
	return nil
}

// holds reports whether a file is there as a whole though a list of the store, which may be old, does not say so.
func (w *Writer) holds(ctx context.Context, of File) bool {
	b, err := w.store.Get(ctx, fileName(of), of.Stored-1, 2)
	return err == nil && len(b) == 1
}

// Progress returns how many bytes are copied, of how many.
func (c *Copy) Progress() (done, total int64) {
	if done = c.done; c.file != nil {
		done += int64(len(c.file.tee.read))
	}
	return done, max(done, c.total)
}

// Ready reports whether all files are there: the next Step publishes the base.
func (c *Copy) Ready() bool {
	return c.file == nil && len(c.base.Files) > 0 && len(c.checked) == 0 && len(c.missing) == 0 && !c.complete
}

// Published returns the base, after Step has returned done.
func (c *Copy) Published() Base { return c.base }

// Copied returns how many bytes were copied.
func (c *Copy) Copied() int64 { return c.done }
