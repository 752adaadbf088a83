package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// listKnown returns the objects in a folder. A name that no object of a backup has there is a fault: the object may have been renamed or moved. At
// most misnamedMost of them are named. Names with a dot are those of file systems.
func listKnown(ctx context.Context, s store.Store, folder string, is func(name string) bool) (all []store.Info, faults []error, err error) {
	all, err = s.List(ctx, folder)
	all = slices.DeleteFunc(all, func(one store.Info) bool {
		known := is(one.Name)
		if !known && !strings.HasPrefix(one.Name, ".") && len(faults) < misnamedMost {
			faults = append(faults, fmt.Errorf("%w: %s is no name of an object there: rename it back, or remove it", damage.ErrDamaged, s.Path(path.Join(folder, one.Name))))
		}
		return !known
	})
	return all, faults, err
}

const (
	// misnamedMost bounds the objects with other names that a fault lists: a person reads them.
	misnamedMost = 100
	// basesFiles bounds the files that all bases list, since they are in memory: 168 bases of 48 GiB.
	basesFiles = 1 << 20
	// backupStoredMost bounds a file as it is stored: encryption adds 16 bytes for each 64 KiB, and a header, and compression some for each frame.
	backupStoredMost = limits.BackupFileMost + limits.BackupFileMost/1024
)

// isTop reports whether a name may be beside the folders of a backup.
func isTop(name string) bool {
	return slices.Contains([]string{markName, listsDir + "/", filesDir + "/", logDir + "/", lostFound}, name)
}

func foreign(path string, cluster, wanted uint64) error {
	return fmt.Errorf("%w: %s belongs to the cluster %016x, and the backup to %016x", ErrForeign, path, cluster, wanted)
}

// listSizes returns the sizes of the files of bases, by name.
func listSizes(ctx context.Context, s store.Store) (sizes map[string]int64, faults []error, err error) {
	all, faults, err := listKnown(ctx, s, filesDir, isFile)
	sizes = make(map[string]int64, len(all))
	for _, one := range all {
		sizes[filesDir+"/"+one.Name] = one.Bytes
	}
	return sizes, faults, err
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
func listLog(ctx context.Context, s store.Store) (spans []span, bytes map[span]int64, faults []error, err error) {
	all, faults, err := listKnown(ctx, s, logDir, isSpan)
	bytes = map[span]int64{}
	for _, one := range all {
		of, _ := parseSpan(one.Name)
		// a larger one is damaged when it is read
		spans, bytes[of] = append(spans, of), min(one.Bytes, backupObjectMost+1)
	}
	slices.SortFunc(spans, compareSpans)
	return spans, bytes, faults, err
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
	from      io.ReaderAt
	size      int64
}

// Prefetch implements disk.File: an object is read when its bytes are needed.
func (*stored) Prefetch(int64, int64) {}

// open returns a file of a base of which from has the stored bytes.
func (r *Reader) open(of File, from io.ReaderAt) (*stored, error) {
	f, err := r.frames(of, from)
	if err != nil {
		return nil, err
	}
	return f.file(f.frame), nil
}

// frames returns the frames of a file of a base of which from has the stored bytes. The table of a file is read once: no other object ever has
// its name, and only the sizes with which it was proved are taken for it.
func (r *Reader) frames(of File, from io.ReaderAt) (f *frames, err error) {
	path, size := r.store.Path(fileName(of)), of.Stored
	if of.Encrypted {
		if from, size, err = decrypting(path, from, of.Stored, r.keys); err != nil {
			return nil, err
		}
	}
	if known, is := r.tables.Load(of); is {
		table, _ := known.([]int64)
		return &frames{path, from, of.Bytes, table}, nil
	}
	if f, err = readFrames(path, from, size, of.Bytes); err == nil {
		r.tables.Store(of, f.at)
	}
	return f, err
}

// openClear returns a file of a base, to read.
func (r *Reader) openClear(of File) (*stored, error) { return r.open(of, inPieces(r.ctx, r.store, of)) }

// window is an io.ReaderAt of something that is read in pieces. One of them is in memory.
type window struct {
	size  int64
	each  int64 // bytes of a piece, except for the last one
	piece func(off int64) ([]byte, error)
	have  []byte
	at    int64
}

// filePiece is the size of a piece of a stored file.
const filePiece = 16 << 20

// inPieces returns the stored bytes of a file of a base.
func inPieces(ctx context.Context, from store.Store, of File) io.ReaderAt {
	return &window{size: of.Stored, each: filePiece, piece: func(off int64) ([]byte, error) { return pieceOf(ctx, from, of, off) }}
}

// ReadAt implements io.ReaderAt.
func (w *window) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && off < w.size {
		if at := off - off%w.each; w.have == nil || at != w.at {
			if w.have, err = w.piece(at); err != nil {
				return n, err
			}
			w.at = at
		}
		did := copy(b[n:], w.have[off-w.at:])
		n, off = n+did, off+int64(did)
	}
	if n < len(b) {
		err = io.EOF
	}
	return n, err
}

// pieceOf returns a piece of a file of a base from a store.
func pieceOf(ctx context.Context, from store.Store, of File, off int64) ([]byte, error) {
	want, most := min(filePiece, of.Stored-off), int64(filePiece)
	if off+want == of.Stored {
		most = want + 1 // nothing follows the last piece
	}
	b, err := get(ctx, from, fileName(of), off, most)
	if err == nil && int64(len(b)) != want {
		b, err = nil, damage.At(from.Path(fileName(of)), off+min(int64(len(b)), want), "it does not have the %d bytes that its base has of it", of.Stored)
	}
	return b, err
}

// examineFile reads and verifies a file of a base.
func examineFile(path string, f disk.File) (snapshot.Examined, error) {
	v, err := snapshot.BeginExamine(path, f)
	for whole := false; err == nil && !whole; {
		whole, err = v.Step(limits.BackupStepBytes)
	}
	if err != nil {
		return snapshot.Examined{}, err
	}
	return v.Examined(), nil
}

// sumOf returns how many bytes an object has, and their SHA-256. It does not read on when they are more than most.
func sumOf(ctx context.Context, s store.Store, name string, most int64) (n int64, sum [32]byte, err error) {
	h := sha256.New()
	for more := true; more && err == nil; {
		var b []byte
		b, err = get(ctx, s, name, n, filePiece)
		_, _ = h.Write(b) // a hash has no errors
		n += int64(len(b))
		more = len(b) == filePiece && n <= most
	}
	return n, [32]byte(h.Sum(nil)), err
}

func (s *stored) ReadAt(b []byte, off int64) (int, error) { return s.from.ReadAt(b, off) }

func (s *stored) ReadMedium(b []byte, off int64) (int, error) { return s.ReadAt(b, off) }

func (s *stored) Size() (int64, error) { return s.size, nil }

func (s *stored) DropCache(int64, int64) error { return nil }

func (s *stored) Close() error { return nil }

// storedParts is a file system of the parts of a base, which stay in the backup and are read in ranges. Many goroutines may use it.
type storedParts struct {
	disk.FS // nil: opening needs nothing else
	*Reader
	files map[string]File
	from  store.Store             // that of the Reader, for which a client waits
	last  atomic.Pointer[decoded] // the frame that was read last: many values in their order need it
}

// decoded is the content of a frame.
type decoded struct {
	of      File
	off     int64
	content []byte
}

// branchRead is how long a branch waits for a value in the backup. Clients wait for 5 s by default, and are to be told why there is none.
const branchRead = 3 * time.Second

func (r *Reader) newStoredParts(files map[string]File) *storedParts {
	from := r.store
	from.wait, from.marked = branchRead, true
	return &storedParts{Reader: r, files: files, from: from}
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
	if !is {
		return nil, &iofs.PathError{Op: "open", Path: name, Err: iofs.ErrNotExist}
	}
	f, err := p.frames(of, readAt(func(b []byte, off int64) (int, error) {
		got, err := get(p.ctx, p.from, fileName(of), off, int64(len(b)))
		if err == nil && len(got) < len(b) {
			err = io.EOF
		}
		return copy(b, got), err
	}))
	if err != nil {
		return nil, err
	}
	return valueFile{f.file(f.frame), f.file(func(off int64) ([]byte, error) {
		if last := p.last.Load(); last != nil && last.of == of && last.off == off {
			return last.content, nil
		}
		content, err := f.frame(off)
		if err == nil {
			p.last.Store(&decoded{of, off, content})
		}
		return content, err
	})}, nil
}

// valueFile is a file of a base that reads values from the frame in memory. A verification reads the place: that is the medium.
type valueFile struct {
	*stored
	values *stored
}

func (f valueFile) ReadAt(b []byte, off int64) (int, error) { return f.values.ReadAt(b, off) }
