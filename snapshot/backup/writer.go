package backup

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/snapshot/backup/store"
)

// Cluster is the cluster of a backup.
type Cluster struct {
	ID      uint64 `msgpack:"c"`
	Name    string `msgpack:"n"` // for people
	Version string `msgpack:"v"` // of the qkv that writes
	Place   uint64 `msgpack:"p"` // a random number of whoever made the marker: it tells the backups of a cluster apart
}

// Writer writes a backup. The first failed write is final: every later call returns that error, and the caller
// opens the backup again. It is for one goroutine.
type Writer struct {
	Mended []string // paths of damaged files that a Copy has found, and copied again; the caller empties it

	// Constant.
	store   store.Store
	lock    io.Closer
	cluster Cluster
	to      []age.Recipient
	key     []byte // of the names of encrypted files

	place   uint64 // of the marker
	written uint64
	bases   []Base // in order of their index; of the intact manifests
	wanted  []File // of the newest snapshot that was copied, or is being copied; none: it is unknown
	end     end
	broken  map[span]bool   // damaged objects behind the end: what they had is appended again
	rotten  map[string]bool // damaged files of bases: they stay until there is a copy
	tail    tail
	left    []string // small objects that the newest merge should have removed
	err     error
}

// end is the end of the log in a backup.
type end struct {
	index, term uint64 // of the newest entry; 0: there is none
	wall        int64
	encrypted   bool // the newest object is
}

// Write opens the backup of a cluster, and locks it where the store can. A new one is made if anew is set: the store must
// be empty then. Otherwise the error is fs.ErrNotExist if the store holds no backup, and nothing is written: the disk of a folder may be
// unmounted at any moment, and then the folder is another one. With recipients, everything that is written from now on is encrypted for them.
// The backup of another cluster (ErrForeign), of a newer qkv (damage.ErrFormat), a store with other content (ErrNone), or with encrypted
// content while no recipient is given (ErrClear), is refused, and is not changed.
func Write(ctx context.Context, s store.Store, anew bool, c Cluster, to ...age.Recipient) (*Writer, error) {
	w := &Writer{store: s, cluster: c, to: to, broken: map[span]bool{}, rotten: map[string]bool{}}
	err := w.check(ctx)
	absent := errors.Is(err, iofs.ErrNotExist)
	switch {
	case absent && !anew:
		return nil, fmt.Errorf("%s holds no backup: %w", s.Path(""), iofs.ErrNotExist)
	case absent:
		if err = w.empty(ctx); err != nil {
			if now := w.check(ctx); !errors.Is(now, iofs.ErrNotExist) {
				err = now // another Writer has begun it meanwhile
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if w.lock, err = s.Lock(absent); err != nil {
		return nil, fmt.Errorf("lock the backup: %w", err)
	}
	if err := w.begin(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Place returns the number of the backup.
func (w *Writer) Place() uint64 { return w.place }

// Written returns the newest entry that was appended and has more than requests of runners (kv.BackupHold); 0: there is none.
func (w *Writer) Written() uint64 { return w.written }

// NameBy gives the key of the names of encrypted files. It is called before the first base.
func (w *Writer) NameBy(key []byte) { w.key = key }

// id returns what names a file: writers with the same recipients name a file alike, so that they find it, and others do not. Without the
// cluster's key, a name does not tell what is in the file.
func (w *Writer) id(sha [32]byte) [32]byte {
	if len(w.to) == 0 {
		return sha
	}
	var to []string
	for _, one := range w.to {
		to = append(to, fmt.Sprint(one))
	}
	slices.Sort(to)
	h := hmac.New(sha256.New, w.key)
	_, _ = fmt.Fprintf(h, "%s\n%s", sha[:], to) // a hash has no errors
	return [32]byte(h.Sum(nil))
}

// In reports whether a store holds a backup, as far as it answers.
func In(ctx context.Context, s store.Store) bool {
	_, err := s.Get(ctx, markName, 0, 1)
	return err == nil
}

// check reads the marker.
func (w *Writer) check(ctx context.Context) error {
	var of Cluster
	err := single(ctx, w.store, markName, &markFormat, &of)
	w.place = of.Place
	if err == nil && of.ID != w.cluster.ID {
		err = fmt.Errorf("%w: %s is the backup of %s (%016x), and this cluster is %s (%016x): give another place",
			ErrForeign, w.store.Path(""), of.Name, of.ID, w.cluster.Name, w.cluster.ID)
	}
	return err
}

// empty refuses a store that has other content than an interrupted beginning.
func (w *Writer) empty(ctx context.Context) error {
	all, err := w.store.List(ctx, "")
	if err != nil {
		return err
	}
	var others []string
	for _, one := range all {
		if one.Name != lostFound {
			others = append(others, one.Name)
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("%w: %s holds %s: give an empty place, or one of an earlier backup", ErrNone, w.store.Path(""), strings.Join(others, ", "))
	}
	return nil
}

// begin makes the marker if there is none, and reads the objects.
func (w *Writer) begin(ctx context.Context) (err error) {
	if err = w.check(ctx); errors.Is(err, iofs.ErrNotExist) {
		if err = w.putSingle(ctx, markName, &markFormat, &w.cluster); err == nil {
			err = w.check(ctx) // another cluster may have begun there, too
		}
	}
	if err == nil {
		w.bases, _, err = listBases(ctx, w.store, w.cluster.ID)
	}
	if err == nil {
		err = w.findEnd(ctx)
	}
	if err != nil {
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
	if n := len(w.bases); n > 0 && w.bases[n-1].Index > w.end.index {
		encrypted = w.bases[n-1].Files[0].Encrypted
	}
	if encrypted {
		return fmt.Errorf("%w: %s, and no recipient is given, so new content would not be: give the public key of age, or another place",
			ErrClear, w.store.Path(""))
	}
	return nil
}

// findEnd finds the end of the log: the last entry of the newest object that is intact. The entries of a damaged one are appended again.
func (w *Writer) findEnd(ctx context.Context) error {
	spans, _, _, err := listLog(ctx, w.store)
	if err != nil {
		return err
	}
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(b.last, a.last) })
	for _, of := range spans {
		h, _, err := readLog(ctx, w.store, of, w.cluster.ID)
		switch {
		case err == nil:
			w.end = end{h.Last, h.Term, h.Wall, h.Encrypted}
			return nil
		case !damaged(err):
			return err
		}
		w.broken[of] = true
	}
	return nil
}

// putSingle stores a value of package codec.
func (w *Writer) putSingle(ctx context.Context, name string, f *damage.Format, value any) error {
	return w.store.Put(ctx, name, f.Append(nil, 0, 0, codec.Append(nil, value)))
}

var errClosed = errors.New("the backup is closed")

// Close ends the Writer. The backup is complete up to the last Append.
func (w *Writer) Close() (err error) {
	if w.lock != nil {
		err = w.lock.Close()
	}
	w.lock, w.err = nil, cmp.Or(w.err, errClosed)
	return err
}

// There returns an error if the store holds the backup no more, fs.ErrNotExist if nothing is there.
func (w *Writer) There(ctx context.Context) error { return w.check(ctx) }

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
