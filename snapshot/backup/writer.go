package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/log/disk"
)

// Cluster is the cluster of a backup.
type Cluster struct {
	ID      uint64 `msgpack:"c"`
	Name    string `msgpack:"n"` // for people
	Version string `msgpack:"v"` // of the qkv that writes
}

// Writer writes a backup. The first failed write or sync is final: every later call returns that error, and the caller
// opens the backup again. It is for one goroutine.
type Writer struct {
	// Constant.
	target  target
	folder  *folder // nil if the backup is a single file
	lock    io.Closer
	cluster Cluster
	to      []age.Recipient

	bases   []Base // in order of their index; of the intact manifests
	wanted  []File // of the newest snapshot that was copied, or is being copied; none: it is unknown
	end     end
	segment output // that Append continues; nil: it begins one
	bytes   int64  // of that segment
	err     error
}

// end is the end of the log in a backup.
type end struct {
	segment     uint64 // first entry of the newest segment; 0: there is none
	index, term uint64 // of the newest entry
	wall        int64
	sum         [32]byte // of the newest chunk
	number      uint32   // of the next one
	encrypted   bool     // the newest chunk is
}

// OpenFolder opens the backup of a cluster in a folder, or makes one in a new or empty folder. It locks the folder. With
// recipients, everything that is written from now on is encrypted for them. A folder of another cluster (ErrForeign), of
// a newer qkv (damage.ErrFormat), with other content (ErrNone), or with encrypted content while no recipient is given (ErrClear) is
// refused, and is not changed.
func OpenFolder(on disk.FS, dir string, c Cluster, to ...age.Recipient) (*Writer, error) {
	if err := on.MkdirAll(path.Clean(dir)); err != nil {
		return nil, fmt.Errorf("make the folder of the backup: %w", err)
	}
	return openFolder(on, dir, true, c, to)
}

// ContinueFolder opens a backup as OpenFolder does, but makes none: if the folder holds no backup, the error is fs.ErrNotExist, and
// nothing is written. The disk of the backup may be unmounted at any moment, and then its folder is another one.
func ContinueFolder(on disk.FS, dir string, c Cluster, to ...age.Recipient) (*Writer, error) {
	return openFolder(on, dir, false, c, to)
}

func openFolder(on disk.FS, dir string, anew bool, c Cluster, to []age.Recipient) (*Writer, error) {
	w := &Writer{folder: &folder{on, path.Clean(dir)}, cluster: c, to: to}
	w.target = w.folder
	names, err := on.List(w.folder.dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", w.folder.dir, err)
	}
	isBackup := slices.Contains(names, markName)
	if !isBackup && !anew {
		return nil, fmt.Errorf("%s holds no backup: %w", w.folder.dir, iofs.ErrNotExist)
	}
	if other := slices.DeleteFunc(names, ours); len(other) > 0 && !isBackup {
		return nil, fmt.Errorf("%w: %s holds %s: give an empty folder, or one of an earlier backup", ErrNone, w.folder.dir, strings.Join(other, ", "))
	}
	if w.lock, err = on.Lock(w.folder.path(lockName)); err != nil {
		return nil, fmt.Errorf("lock the backup %s: %w", w.folder.dir, err)
	}
	if err := w.begin(anew); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// ours reports whether a new backup may have a name before its marker.
func ours(name string) bool {
	return name == lockName || name == markName+temporary || name == filesDir || name == baseDir || name == logDir || name == "lost+found"
}

// begin reads the folder, or makes its content anew if that is allowed.
func (w *Writer) begin(anew bool) error {
	var of Cluster
	err := single(w.folder, markName, &markFormat, &of)
	if errors.Is(err, iofs.ErrNotExist) && anew {
		err = w.make()
	} else if err == nil && of.ID != w.cluster.ID {
		err = fmt.Errorf("%w: %s is the backup of %s (%016x), and this cluster is %s (%016x): give another folder",
			ErrForeign, w.folder.dir, of.Name, of.ID, w.cluster.Name, w.cluster.ID)
	}
	if err == nil {
		err = w.syncNames()
	}
	if err != nil {
		return err
	}
	if w.bases, _, err = listBases(w.folder, w.cluster.ID); err != nil {
		return err
	}
	if err := w.findEnd(); err != nil {
		return err
	}
	return w.refuseClear()
}

// refuseClear refuses to write without recipients behind encrypted content: a forgotten flag would disclose all that follows.
func (w *Writer) refuseClear() error {
	if len(w.to) > 0 {
		return nil
	}
	encrypted := w.end.encrypted
	if n := len(w.bases); n > 0 && w.end.segment == 0 {
		encrypted = w.bases[n-1].Files[0].Encrypted
	}
	if encrypted {
		return fmt.Errorf("%w: %s, and no recipient is given, so new content would not be: give the public key of age, or another folder",
			ErrClear, w.folder.dir)
	}
	return nil
}

// make makes the folders, and then the marker.
func (w *Writer) make() error {
	for _, dir := range []string{filesDir, baseDir, logDir} {
		if err := w.folder.on.MkdirAll(w.folder.path(dir)); err != nil {
			return fmt.Errorf("make a folder of the backup: %w", err)
		}
	}
	if err := errors.Join(w.folder.on.SyncDir(w.folder.dir), disk.SyncAbove(w.folder.on, w.folder.dir)); err != nil {
		return fmt.Errorf("make %s durable: %w", w.folder.dir, err)
	}
	return w.writeSingle(markName, &markFormat, &w.cluster)
}

// syncNames makes the names durable that are there. After a kill -9 between a rename and the sync of its folder, a name
// could be visible, and be lost when the power fails.
func (w *Writer) syncNames() error {
	for _, dir := range []string{".", filesDir, baseDir, logDir} {
		if err := w.folder.on.SyncDir(path.Join(w.folder.dir, dir)); err != nil {
			return fmt.Errorf("make the names in %s durable: %w", w.folder.dir, err)
		}
	}
	return nil
}

// writeSingle writes a file with a value of package codec.
func (w *Writer) writeSingle(name string, f *damage.Format, value any) error {
	o, err := w.target.create(name)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	if err = o.append(f.Append(nil, 0, 0, codec.Append(nil, value))); err == nil {
		err = o.publish()
	}
	return errors.Join(err, o.close())
}

// CreateFile begins a backup of a cluster in a single file, which must not exist. The file gets its name by Finish.
func CreateFile(on disk.FS, name string, c Cluster, to ...age.Recipient) (*Writer, error) {
	if f, err := on.Open(name); err == nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w: give another name, or remove it", name, iofs.ErrExist)
	} else if !errors.Is(err, iofs.ErrNotExist) {
		return nil, err
	}
	f, err := on.Create(name + temporary)
	if errors.Is(err, iofs.ErrExist) {
		return nil, fmt.Errorf("%s: %w: another backup writes it, or was killed: if none runs, remove it", name+temporary, iofs.ErrExist)
	}
	if err != nil {
		return nil, fmt.Errorf("create the backup: %w", err)
	}
	w := &Writer{target: &archiving{on: on, name: name, f: f, has: map[string]File{}}, cluster: c, to: to}
	if err := w.writeSingle(markName, &markFormat, &w.cluster); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Finish completes a single file: it is synced and gets its name. Afterwards the Writer is closed.
func (w *Writer) Finish() error {
	a := w.target.(*archiving)
	if err := errors.Join(w.err, w.closeSegment()); err != nil {
		w.Close()
		return err
	}
	w.target, w.err = nil, errClosed
	return a.finish()
}

var errClosed = errors.New("the backup is closed")

// Close ends the Writer. A backup in a folder is complete up to the last Append; an unfinished single file is removed.
func (w *Writer) Close() error {
	err := w.closeSegment()
	if a, ok := w.target.(*archiving); ok {
		err = errors.Join(err, a.f.Close(), a.on.Remove(a.name+temporary))
	}
	if w.lock != nil {
		err = errors.Join(err, w.lock.Close())
	}
	w.target, w.lock, w.err = nil, nil, cmp.Or(w.err, errClosed)
	return err
}

func (w *Writer) closeSegment() error {
	if w.segment == nil {
		return nil
	}
	err := w.segment.close()
	w.segment = nil
	return err
}

// Bases returns the bases, oldest first.
func (w *Writer) Bases() []Base { return slices.Clone(w.bases) }

// Last returns index and term of the newest entry in the backup. The caller continues with the next entry, or, if its log
// no longer has that entry, with a new base.
func (w *Writer) Last() (index, term uint64) { return w.end.index, w.end.term }

// Newest returns the newest time in the backup; 1970 if it is empty.
func (w *Writer) Newest() time.Time {
	wall := w.end.wall
	if n := len(w.bases); n > 0 {
		wall = max(wall, w.bases[n-1].Wall)
	}
	return time.Unix(0, wall)
}

// findEnd finds the end of the log. A segment without any intact chunk is moved aside: it would have the name of the
// next one. If more than intact chunks stands in the newest segment, Append begins a new segment, which says where the
// log continues, and nothing is cut.
func (w *Writer) findEnd() error {
	names, err := w.folder.list(logDir)
	if err != nil {
		return err
	}
	slices.Reverse(names)
	for _, name := range names {
		first, ok := parseSegment(name)
		if strings.HasSuffix(name, temporary) {
			if err := w.folder.on.Remove(w.folder.path(logDir + "/" + name)); err != nil {
				return fmt.Errorf("remove an unfinished segment: %w", err)
			}
		}
		if !ok {
			continue
		}
		if found, err := w.openSegment(first); found || err != nil {
			return err
		}
		path := w.folder.path(segmentName(first))
		if err := errors.Join(w.folder.on.Rename(path, path+setAside), w.folder.on.SyncDir(w.folder.path(logDir))); err != nil {
			return fmt.Errorf("move the damaged segment %s aside: %w", path, err)
		}
	}
	return nil
}

// openSegment takes the end of the log from a segment, and opens it for Append if it ends with an intact chunk. It reads
// all of it from the medium: the page cache may show what a failed sync has lost.
func (w *Writer) openSegment(first uint64) (found bool, err error) {
	path := w.folder.path(segmentName(first))
	f, err := w.folder.on.OpenWritable(path)
	if err == nil {
		if err = errors.Join(f.Datasync(), f.DropCache(0, 0)); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return false, fmt.Errorf("open the newest segment: %w", err)
	}
	s, err := scan(path, f)
	if err == nil {
		err = checkSegment(s, first, w.cluster.ID)
	}
	var c chunk
	for err == nil {
		if c, err = s.chunk(); err == nil {
			_, err = s.payload(&c, nil)
		}
		if err == nil {
			w.end = end{
				segment: first, index: c.last, term: c.term, wall: c.wall, sum: c.sum, number: c.number + 1,
				encrypted: c.flags&flagEncrypted != 0,
			}
		}
	}
	if errors.Is(err, io.EOF) && w.end.segment != 0 {
		w.segment, w.bytes = &written{*w.folder, segmentName(first), f, s.size}, s.size
		return true, nil
	}
	f.Close()
	if errors.Is(err, io.EOF) || errors.Is(err, damage.ErrDamaged) {
		return w.end.segment != 0, nil
	}
	return false, err
}

// checkSegment compares a segment's header with its name and cluster.
func checkSegment(s *scanner, first, cluster uint64) error {
	switch {
	case s.cluster != cluster:
		return foreign(s.path, s.cluster, cluster)
	case s.first != first:
		return damage.At(s.path, 0, "it begins with entry %d, and its name says %d", s.first, first)
	}
	return nil
}

func foreign(path string, cluster, wanted uint64) error {
	return fmt.Errorf("%w: %s belongs to the cluster %016x, and the backup to %016x", ErrForeign, path, cluster, wanted)
}
