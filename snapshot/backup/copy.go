package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"slices"

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
	w        *Writer
	name     string // of the snapshot
	part     func(snapshot.Part) Source
	base     Base            // its files are known when the snapshot is copied
	missing  []snapshot.Part // that follow
	checked  []snapshot.Part // that are there, and are read again
	parts    []snapshot.Part // of the snapshot: Files[i+1] has parts[i]
	mended   []string        // paths of the damaged ones among them
	file     *copying        // nil: the next one begins
	complete bool
	failed   bool
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

// Base begins to copy a snapshot, or continues. part returns a source of one of its parts. Base returns fs.ErrExist if the backup has the base,
// or a later one.
func (w *Writer) Base(from Source, part func(snapshot.Part) Source) (*Copy, error) {
	if w.err != nil {
		return nil, w.err
	}
	var index, term uint64
	if n, _ := fmt.Sscanf(from.Name(), "%d-%d", &index, &term); n < 2 || snapshot.Name(index, term) != from.Name() {
		return nil, fmt.Errorf("%q is not the name of a snapshot", from.Name())
	}
	if n := len(w.bases); n > 0 && w.bases[n-1].Index >= index {
		return nil, fmt.Errorf("a base of entry %d: %w", w.bases[n-1].Index, iofs.ErrExist)
	}
	c := &Copy{w: w, name: from.Name(), part: part, base: Base{Index: index, Term: term}}
	if err := c.begin(from); err != nil {
		return nil, c.failure(err)
	}
	return c, nil
}

func (c *Copy) failure(err error) error { return fmt.Errorf("copy %s to the backup: %w", c.name, err) }

// has returns the file of a part that need not be copied: it is listed, or was stored for the next list before an interruption. The latter is
// compared with its name.
func (c *Copy) has(ctx context.Context, p snapshot.Part, listed map[[32]byte]File, sizes map[string]int64, unlisted map[[32]byte][]File) (of File, ok bool) {
	w := c.w
	id := w.id(p.SHA)
	if of, is := w.stored[id]; is {
		return of, true
	}
	if of, is := listed[id]; is && lacks(w.store, sizes, of) == nil {
		return of, true
	}
	for _, of := range unlisted[id] {
		n, sum, err := sumOf(ctx, w.store, fileName(of), backupStoredMost)
		if err != nil || n != sizes[fileName(of)] {
			continue
		}
		of.Bytes, of.Stored = p.Bytes, n
		if sum == of.Sum && (of.Encrypted || w.proves(ctx, of, p.SHA)) {
			w.stored[id] = of
			return of, true
		}
		c.mended = append(c.mended, w.store.Path(fileName(of)))
	}
	return File{ID: id, Number: w.number + 1, Bytes: p.Bytes, Encrypted: len(w.to) > 0}, false
}

// proves reports whether a stored file has the content that its name says.
func (w *Writer) proves(ctx context.Context, of File, sha [32]byte) bool {
	path := w.store.Path(fileName(of))
	f, err := readFrames(path, inPieces(ctx, w.store, of), of.Stored, of.Bytes)
	if err != nil {
		return false
	}
	e, err := examineFile(path, f.file(f.frame))
	return err == nil && e.SHA == sha
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
func (c *Copy) scrub(ctx context.Context, p snapshot.Part) {
	of := c.base.Files[c.at(p.SHA)]
	_, sum, err := sumOf(ctx, c.w.store, fileName(of), of.Stored)
	if err == nil && sum != of.Sum {
		c.mended = append(c.mended, c.w.store.Path(fileName(of)))
		c.missing = append(c.missing, p)
	}
}

// at returns the position of a file in the base.
func (c *Copy) at(sha [32]byte) int {
	return 1 + slices.IndexFunc(c.parts, func(p snapshot.Part) bool { return p.SHA == sha })
}

// begin begins a file.
func (c *Copy) begin(from Source) (err error) {
	if from.Size() > limits.BackupFileMost {
		return fmt.Errorf("%s has %d bytes, the limit is %d", from.Name(), from.Size(), limits.BackupFileMost)
	}
	f := &copying{of: File{ID: c.w.id(from.SHA()), Number: c.w.number + 1, Bytes: from.Size(), Encrypted: len(c.w.to) > 0}, sha: from.SHA()}
	f.tee = &tee{from: from, read: make([]byte, 0, from.Size())}
	if f.verifier, err = snapshot.BeginExamine(from.Name(), f.tee); err != nil {
		return &SourceError{from.Name(), err}
	}
	c.file = f
	return nil
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
		if err != nil {
			return &SourceError{file.tee.from.Name(), err}
		}
		if !whole {
			return nil
		}
		if err := c.store(ctx, file); err != nil {
			return err
		}
		c.file = nil
		if len(c.base.Files) == 0 {
			return c.describe(ctx, file.verifier.Examined(), file.of)
		}
		c.base.Files[c.at(file.sha)] = file.of
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
func (c *Copy) store(ctx context.Context, f *copying) error {
	if sha := f.verifier.Examined().SHA; sha != f.sha {
		return fmt.Errorf("%w: its SHA-256 is %x, and %x was announced", damage.ErrDamaged, sha, f.sha)
	}
	b := compress(f.tee.read)
	f.tee.read = nil
	b, err := encrypt(b, c.w.to)
	if err != nil {
		return err
	}
	f.of.Stored, f.of.Sum = int64(len(b)), sha256.Sum256(b)
	if err = c.fits(f.of.Stored); err == nil {
		err = c.w.store.Put(ctx, fileName(f.of), b)
	}
	if err == nil {
		c.w.stored[f.of.ID] = f.of
	}
	return err
}

// describe describes the base by its snapshot, and finds out which of the parts are missing.
func (c *Copy) describe(ctx context.Context, e snapshot.Examined, of File) error {
	if e.Part || e.Index != c.base.Index || e.Term != c.base.Term {
		return fmt.Errorf("%w: it is not the snapshot that its name says", damage.ErrDamaged)
	}
	if e.Cluster != c.w.cluster.ID {
		return foreign(c.name, e.Cluster, c.w.cluster.ID)
	}
	c.base = Base{
		Index: e.Index, Term: e.Term, Revision: e.Revision, Wall: e.State.Wall, Digest: e.Digest, Level: e.State.Level, Version: e.Version, Files: []File{of},
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
	listed, unlisted := map[[32]byte]File{}, map[[32]byte][]File{}
	for _, f := range listedFiles(c.w.bases) {
		if old := listed[f.ID]; f.Number >= old.Number { // an older one was damaged
			listed[f.ID] = f
		}
	}
	for name := range sizes {
		if f, _ := parseFile(path.Base(name)); f.Number == c.w.number+1 && f.Encrypted == (len(c.w.to) > 0) {
			unlisted[f.ID] = append(unlisted[f.ID], f)
		}
	}
	c.parts = e.Parts
	need := int64(0)
	for _, p := range e.Parts {
		one, ok := c.has(ctx, p, listed, sizes, unlisted)
		if !ok {
			c.missing, need = append(c.missing, p), need+p.Bytes
		} else if c.base.due(p) {
			c.checked = append(c.checked, p)
		}
		c.base.Files = append(c.base.Files, one)
	}
	return c.fits(c.estimate(need))
}

// estimate returns about how many bytes a content will take as it is stored. The snapshot, and the base before, are its sample.
func (c *Copy) estimate(content int64) int64 {
	sample := Base{Files: c.base.Files[:1:1]}
	if n := len(c.w.bases); n > 0 {
		sample.Files = append(sample.Files, c.w.bases[n-1].Files...)
	}
	bytes, stored := sample.Bytes()
	return int64(float64(content) * float64(stored) / float64(bytes))
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

// publish makes the next list, with the base and without old ones, if each file is there.
func (c *Copy) publish(ctx context.Context) error {
	sizes, _, err := listSizes(ctx, c.w.store)
	for _, f := range c.base.Files {
		if fault := lacks(c.w.store, sizes, f); fault != nil && !c.w.holds(ctx, f) {
			err = errors.Join(err, fault)
		}
	}
	if err != nil { // a later list may have condemned it
		err = cmp.Or(c.w.newest(ctx, c.w.number), err)
	} else {
		err = c.w.publish(ctx, c.w.kept(append(c.withCopies(), c.base), sizes))
	}
	if err != nil {
		return err
	}
	c.complete, c.w.Mended = true, append(c.w.Mended, c.mended...)
	return c.w.mergeTail(ctx)
}

// withCopies returns the bases before, with the new copies of files that they share with this base and that were damaged.
func (c *Copy) withCopies() []Base {
	fresh := map[[32]byte]File{}
	for _, f := range c.base.Files {
		if f.Number > c.w.number {
			fresh[f.ID] = f
		}
	}
	all := slices.Clone(c.w.bases)
	for i := range all {
		all[i].Files = slices.Clone(all[i].Files)
		for k, f := range all[i].Files {
			if again, is := fresh[f.ID]; is {
				all[i].Files[k] = again
			}
		}
	}
	return all
}

// holds reports whether a file is there as a whole though a listing of the store, which may be old, does not say so.
func (w *Writer) holds(ctx context.Context, of File) bool {
	b, err := w.store.Get(ctx, fileName(of), of.Stored-1, 2)
	return err == nil && len(b) == 1
}
