package backup

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"qkv/internal/codec"
	"qkv/snapshot/backup/store"
)

// Cluster is the cluster of a backup.
type Cluster struct {
	ID      uint64 `msgpack:"c"`
	Name    string `msgpack:"n"` // for people
	Version string `msgpack:"v"` // of the qkv that writes
	Nonce   uint64 `msgpack:"p"` // a random number: no two markers are alike
}

// Writer writes the backup of a leader. The first failed write is final: every later call returns that error, and the caller
// opens the backup again. It is for one goroutine.
type Writer struct {
	Mended []string      // paths of damaged files that a Copy has found, and copied again; the caller empties it
	Keep   time.Duration // for which every moment can be restored; by default all bases stay

	// Constant.
	store   store.Store
	cluster Cluster
	term    uint64
	nonce   uint64 // of lists and slices
	to      []age.Recipient
	key     []byte // of the names of encrypted files

	number    uint64            // of the newest list
	published bool              // by this Writer
	bases     []Base            // in order of their index
	stored    map[[32]byte]File // for the next list, by the identity that the saver gave
	end       end
	tail      tail
	left      []string // small slices that the newest merge should have removed
	err       error
}

// end is the end of the log in a backup.
type end struct {
	index, term uint64 // of the newest entry; 0: there is none
	wall        int64
	encrypted   bool // the newest slice is
}

// Write opens the backup of a cluster for the leader of a term. A new one is made if anew is set: the store must
// be empty then. Otherwise the error is fs.ErrNotExist if the store holds no backup, and nothing is written: the disk of a folder may be
// unmounted at any moment, and then the folder is another one. With recipients, everything that is written from now on is encrypted for them.
// The backup of another cluster (ErrForeign), of a newer qkv (damage.ErrFormat), a store with other content (ErrNone) or without conditional
// writes (store.ErrUnfenced), encrypted content while no recipient is given (ErrClear), and a list of a later term (ErrOvertaken) are refused,
// and nothing is changed.
func Write(ctx context.Context, s store.Store, anew bool, c Cluster, term uint64, to ...age.Recipient) (*Writer, error) {
	w := &Writer{store: s, cluster: c, term: term, nonce: random(), to: to, Keep: math.MaxInt64, stored: map[[32]byte]File{}}
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
	if err == nil {
		err = s.Prepare()
	}
	if err == nil {
		err = w.mark(ctx)
	}
	if err == nil {
		err = w.read(ctx)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

// random draws the numbers that tell objects apart; a test counts.
var random = func() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint64(b[:])
}

// mark makes the marker if there is none, and proves that the store refuses to make it a second time.
func (w *Writer) mark(ctx context.Context) error {
	for range 2 {
		w.cluster.Nonce = random()
		err := w.store.Create(ctx, markName, markFormat.Append(nil, 0, 0, codec.Append(nil, &w.cluster)))
		if errors.Is(err, iofs.ErrExist) {
			return w.check(ctx) // another cluster may have begun there, too
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %s was made twice", store.ErrUnfenced, w.store.Path(markName))
}

// read reads the newest list, and the end of the log.
func (w *Writer) read(ctx context.Context) error {
	l, newest, _, err := newestList(ctx, w.store, w.cluster.ID, false)
	if err == nil && l.Term > w.term {
		err = fmt.Errorf("%w: %s is of term %d, and this member leads in term %d; if no other member leads, the cluster was set back to an older "+
			"state: give another place", ErrOvertaken, w.store.Path(listName(l.Number)), l.Term, w.term)
	}
	if err == nil {
		w.number, w.bases = newest, l.Bases
		err = w.findEnd(ctx)
	}
	if err != nil {
		return err
	}
	return w.refuseClear()
}

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

// check reads the marker.
func (w *Writer) check(ctx context.Context) error {
	var of Cluster
	err := single(ctx, w.store, markName, &markFormat, &of)
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

// findEnd finds the end of the log: the last entry of the newest slice that is intact. The entries of a damaged one are appended again.
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
	}
	return nil
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
