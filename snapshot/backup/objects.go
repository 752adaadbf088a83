package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot/backup/store"
)

// listBases reads the manifests of the bases, and returns them in order of their index. A damaged manifest, or one of
// another cluster, is left out, and its error is among the faults. A cluster of 0 is that of the newest manifest.
func listBases(ctx context.Context, s store.Store, cluster uint64) (bases []Base, faults []error, err error) {
	names, err := s.List(ctx, baseDir)
	if err != nil {
		return nil, nil, err
	}
	slices.Reverse(names)
	for _, one := range names {
		index, term, ok := parseBase(one.Name)
		if !ok {
			faults = append(faults, fmt.Errorf("%w: %s is no name of a base", damage.ErrDamaged, s.Path(baseDir+"/"+one.Name)))
			continue
		}
		b, err := loadBase(ctx, s, index, term, cluster)
		switch {
		case err == nil:
			bases, cluster = append(bases, b), b.Cluster
		case errors.Is(err, iofs.ErrNotExist): // another Writer has removed it since it was listed
		case damaged(err):
			faults = append(faults, err)
		default:
			return nil, nil, err
		}
	}
	slices.SortFunc(bases, compareBases)
	return bases, faults, nil
}

// loadBase reads a manifest.
func loadBase(ctx context.Context, s store.Store, index, term, cluster uint64) (b Base, err error) {
	name := baseName(index, term)
	path := s.Path(name)
	if err := single(ctx, s, name, &baseFormat, &b); err != nil {
		return b, err
	}
	switch {
	case b.Index != index || b.Term != term:
		return b, damage.At(path, 0, "it is of entry %d of term %d, and its name says %d of term %d", b.Index, b.Term, index, term)
	case cluster != 0 && b.Cluster != cluster:
		return b, foreign(path, b.Cluster, cluster)
	case len(b.Files) == 0:
		return b, damage.At(path, 0, "it lists no file")
	}
	return b, nil
}

func compareBases(a, b Base) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Term, b.Term))
}

func foreign(path string, cluster, wanted uint64) error {
	return fmt.Errorf("%w: %s belongs to the cluster %016x, and the backup to %016x", ErrForeign, path, cluster, wanted)
}

// listSizes returns the sizes of the files of bases, by name.
func listSizes(ctx context.Context, s store.Store) (map[string]int64, error) {
	all, err := s.List(ctx, filesDir)
	sizes := make(map[string]int64, len(all))
	for _, one := range all {
		sizes[filesDir+"/"+one.Name] = one.Bytes
	}
	return sizes, err
}

// lacks returns why a file of a base is not there as a whole; nil: it is.
func lacks(s store.Store, sizes map[string]int64, of File) error {
	path := s.Path(fileName(of))
	size, there := sizes[fileName(of)]
	switch {
	case !there:
		return damage.At(path, 0, "it is missing, and its base has %d bytes of it", of.Stored)
	case size != of.Stored:
		return damage.At(path, min(size, of.Stored), "it has %d bytes, and its base has %d of it", size, of.Stored)
	}
	return nil
}

// listLog lists the objects of the log by their first entry, the longer ones first.
func listLog(ctx context.Context, s store.Store) (spans []span, bytes map[span]int64, err error) {
	all, err := s.List(ctx, logDir)
	bytes = map[span]int64{}
	for _, one := range all {
		if of, ok := parseSpan(one.Name); ok {
			spans, bytes[of] = append(spans, of), one.Bytes
		}
	}
	slices.SortFunc(spans, compareSpans)
	return spans, bytes, err
}

func compareSpans(a, b span) int {
	return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last), bytes.Compare(a.sha[:], b.sha[:]))
}

// readLog reads and verifies an object of the log, and returns the stored form of its entries.
func readLog(ctx context.Context, s store.Store, of span, cluster uint64) (h stretch, payload []byte, err error) {
	path := s.Path(of.name())
	b, err := get(ctx, s, of.name(), 0, backupObjectMost)
	if err != nil {
		return h, nil, err
	}
	if sum := sha256.Sum256(b); sum != of.sha {
		return h, nil, damage.At(path, 0, "its %d bytes have the SHA-256 %x: they are damaged, or are those of another object", len(b), sum)
	}
	if h, payload, err = readStretch(path, of, b); err == nil && cluster != 0 && h.Cluster != cluster {
		err = foreign(path, h.Cluster, cluster)
	}
	return h, payload, err
}

// stored is a base's file in a backup, as the file that it was: a disk.File to read.
type stored struct {
	disk.File // nil: reading needs nothing else
	io.ReaderAt
	size int64
	high int64             // up to which it was read
	read func(bytes int64) // told of the bytes that are read
}

// openClear reads a file of a base.
func (r *Reader) openClear(of File) (*stored, error) {
	b, err := r.clear(of)
	return newStored(b), err
}

func newStored(b []byte) *stored {
	return &stored{ReaderAt: bytes.NewReader(b), size: int64(len(b)), read: func(int64) {}}
}

// clear returns the bytes of a file of a base.
func (r *Reader) clear(of File) ([]byte, error) { return r.read(r.store, of) }

// read is clear, from another view of the Reader's store.
func (r *Reader) read(from store.Store, of File) ([]byte, error) {
	path := from.Path(fileName(of))
	b, err := get(r.ctx, from, fileName(of), 0, of.Stored+1)
	if err == nil && int64(len(b)) != of.Stored {
		err = damage.At(path, min(int64(len(b)), of.Stored), "it does not have the %d bytes that its base has of it", of.Stored)
	}
	if err == nil && of.Encrypted {
		if b, err = decrypt(path, b, of.Bytes+1, r.keys); err == nil && int64(len(b)) != of.Bytes {
			err = damage.At(path, 0, "it holds %d bytes, and its base has %d", len(b), of.Bytes)
		}
	}
	return b, err
}

func (s *stored) ReadAt(b []byte, off int64) (int, error) {
	n, err := s.ReaderAt.ReadAt(b, off)
	if end := off + int64(n); end > s.high {
		s.read(end - s.high)
		s.high = end
	}
	return n, err
}

func (s *stored) ReadMedium(b []byte, off int64) (int, error) { return s.ReadAt(b, off) }

func (s *stored) Size() (int64, error) { return s.size, nil }

func (s *stored) DropCache(int64, int64) error { return nil }

func (s *stored) Close() error { return nil }

// storedParts is a file system of the parts of a base, which stay in the backup. An encrypted one is read as a whole, another one in ranges.
// Many goroutines may use it.
type storedParts struct {
	disk.FS // nil: opening needs nothing else
	*Reader
	files map[string]File
	from  store.Store // that of the Reader, for which a client waits

	failures atomic.Int64
	turn     chan struct{} // full while a part is decrypted: many readers at once would need as many parts in memory
	newest   File          // that was decrypted
	clear    []byte        // its bytes
	failed   error         // of the newest failure
}

// branchRead is how long a branch waits for a value in the backup, or for each limits.BackupStepBytes of an encrypted part. Clients wait
// for 5 s by default, and are to be told why there is none.
const branchRead = 3 * time.Second

func (r *Reader) newStoredParts(files map[string]File) *storedParts {
	from := r.store
	from.wait, from.piece, from.marked = branchRead, limits.BackupStepBytes, true
	return &storedParts{Reader: r, files: files, from: from, turn: make(chan struct{}, 1)}
}

// Place implements snapshot.InBackup.
func (p *storedParts) Place(name string) string { return p.placeOf(p.files, name) }

// placeOf returns the name in the backup of one of these parts.
func (r *Reader) placeOf(parts map[string]File, name string) string {
	of, is := parts[path.Base(name)]
	if !is {
		return ""
	}
	return r.store.Path(fileName(of))
}

// Open implements disk.FS. The name's folder does not count.
func (p *storedParts) Open(name string) (disk.File, error) {
	of, is := p.files[path.Base(name)]
	switch {
	case !is:
		return nil, &iofs.PathError{Op: "open", Path: name, Err: iofs.ErrNotExist}
	case of.Encrypted:
		b, err := p.decrypted(of)
		if err != nil {
			return nil, err
		}
		return newStored(b), nil
	}
	return &stored{ReaderAt: storedRange{p, fileName(of)}, size: of.Stored, read: func(int64) {}}, nil
}

// decrypted returns the bytes of an encrypted part. A reader that waited for another one has its failure, too, unless that is about the other
// part alone: otherwise each of many readers would wait for a store that hangs.
func (p *storedParts) decrypted(of File) (b []byte, err error) {
	before := p.failures.Load()
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	switch {
	case p.clear != nil && p.newest == of:
		return p.clear, nil
	case p.failures.Load() != before:
		return nil, p.failed
	}
	if b, err = p.read(p.from, of); err == nil {
		p.newest, p.clear = of, b
	} else if !damaged(err) {
		p.failed = err
		p.failures.Add(1)
	}
	return b, err
}

// storedRange reads bytes of an object.
type storedRange struct {
	of   *storedParts
	name string
}

// ReadAt implements io.ReaderAt.
func (o storedRange) ReadAt(b []byte, off int64) (int, error) {
	got, err := get(o.of.ctx, o.of.from, o.name, off, int64(len(b)))
	if err == nil && len(got) < len(b) {
		err = io.EOF
	}
	return copy(b, got), err
}
