package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log/disk"
	"qkv/snapshot"
)

// At is the moment to which a backup is restored. The zero value is the newest one.
type At struct {
	// Wall is a time in nanoseconds since 1970: an entry is applied while the state's clock after it is at or before that
	// time. 0: no bound.
	Wall int64
	// Revision is the revision to restore: the command that made it is the last to be applied. 0: no bound.
	Revision int64
	// Since is a time, as Wall, from which on the state has all of its history, whatever the cluster has compacted since. A time before the
	// oldest base is that of the oldest base. 0: the history is that of the moment.
	Since int64
	// AcceptLoss restores the newest whole state before damage or a gap, where the moment itself cannot be reached.
	AcceptLoss bool
}

// Restored is a state from a backup.
type Restored struct {
	State       *index.State
	Base        Base // that it began with
	Index, Term uint64
	Revision    int64
	Wall        int64   // the state's clock, in nanoseconds since 1970
	Entries     int     // applied behind the base
	Ends        bool    // the backup has nothing newer
	Lost        error   // the damage or gap before the moment, with AcceptLoss; otherwise nil
	Notes       []error // damage that did not matter: of bases that were not used
	Parts       disk.FS // opens the parts of the base, after LeaveParts; otherwise nil
}

// damaged reports whether an error is about bytes, and not about a disk, a key or a version.
func damaged(err error) bool {
	return errors.Is(err, damage.ErrDamaged) || errors.Is(err, ErrForeign)
}

// Restore returns the state of a moment, within these limits. Progress, if not nil, is told the bytes that were read,
// and how many there are at most. A damaged base is replaced by an older one and the log behind it. Damage or a gap in
// the log before the moment is an error, unless AcceptLoss is set; a state that the cluster never had is never returned.
// The error wraps ErrRange if the backup does not reach the moment.
func (r *Reader) Restore(at At, l limits.Index, progress func(done, total int64)) (*Restored, error) {
	left, err := r.candidates(at)
	if err != nil {
		return nil, err
	}
	var lost *Restored
	var notes, faults []error
	for _, b := range left {
		if lost != nil && b.Index <= lost.Index {
			continue // the same damage lies behind it
		}
		work := r.newWork(&b, l, progress)
		got, err := work.run(at)
		if got != nil {
			got.State.ShowHistory()
		}
		switch {
		case err == nil:
			got.Notes = slices.Concat(notes, got.Notes)
			return got, nil
		case got == nil && damaged(err):
			notes = append(notes, err)
		case got != nil && (damaged(err) || errors.Is(err, ErrGap)):
			lost, faults = got, append(faults, err)
			lost.Notes, lost.Lost = slices.Concat(notes, got.Notes), err
		default:
			return nil, err
		}
	}
	switch {
	case lost == nil:
		return nil, fmt.Errorf("no base of the backup can be read: %w", errors.Join(notes...))
	case at.AcceptLoss:
		return lost, nil
	}
	return nil, fmt.Errorf("%w; the newest whole state before is of entry %d, revision %d, %s", errors.Join(faults...), lost.Index, lost.Revision, timeOf(lost.Wall))
}

// timeOf formats a time of a state.
func timeOf(wall int64) string { return time.Unix(0, wall).Format(time.RFC3339) }

// candidates returns the bases from which a moment can be reached, the best first.
func (r *Reader) candidates(at At) (all []Base, err error) {
	if len(r.Bases) == 0 {
		err = fmt.Errorf("%w: it has no intact base", ErrRange)
		if len(r.Faults) > 0 {
			err = fmt.Errorf("%w: %w", err, errors.Join(r.Faults...))
		}
		return nil, err
	}
	var exact []Base
	for _, b := range r.Bases {
		switch {
		case at.Wall != 0 && b.Wall > at.Wall, at.Revision != 0 && b.Revision > at.Revision:
		case at.Revision != 0 && b.Revision == at.Revision:
			exact = append(exact, b) // it may have changes of leases and users behind the revision
		default:
			all = append(all, b)
		}
	}
	slices.Reverse(all)
	if at.Since != 0 {
		var later []Base // with less history, the most first
		for len(all) > 1 && all[0].Wall > at.Since {
			all, later = all[1:], append([]Base{all[0]}, later...)
		}
		all = append(all, later...)
	}
	if all = append(all, exact...); len(all) > 0 {
		return all, nil
	}
	oldest := r.Bases[0]
	if at.Revision != 0 {
		return nil, fmt.Errorf("%w: revision %d: it begins with revision %d, of %s", ErrRange, at.Revision, oldest.Revision, timeOf(oldest.Wall))
	}
	return nil, fmt.Errorf("%w: %s: it begins at %s, with revision %d", ErrRange, timeOf(at.Wall), timeOf(oldest.Wall), oldest.Revision)
}

// work is one try to reach a moment from a base.
type work struct {
	r        *Reader
	limits   limits.Index
	progress func(done, total int64)
	done     int64
	reported int64
	total    int64
	base     *Base
	live     int64 // size of the live keys of the base
	history  int64 // bytes of the entries behind it, if their history is kept
	got      *Restored
	parts    disk.FS
	ahead    spot                   // that is read while the piece before is loaded
	next     func() ([]byte, error) // returns its bytes; nil: there is none
	results  []kv.Result
	pending  int64 // bytes that were applied since the newest View
}

// spot is where a piece of a file begins.
type spot struct {
	of  File
	off int64
}

func (r *Reader) newWork(b *Base, l limits.Index, progress func(done, total int64)) *work {
	w := &work{r: r, limits: l, progress: progress, base: b}
	_, w.total = b.Bytes()
	for _, of := range r.log {
		if of.last > b.Index {
			w.total += r.bytes[of]
		}
	}
	return w
}

// backupProgress is how much a restore reads between two reports of its progress.
const backupProgress = 1 << 20

func (w *work) add(bytes int64) {
	w.done += bytes
	if w.progress != nil && w.done-w.reported >= backupProgress {
		w.reported = w.done
		w.progress(w.done, max(w.done, w.total))
	}
}

// run loads the base and applies the log. Without a base the result is nil; otherwise it is the state that was reached,
// also with an error.
func (w *work) run(at At) (*Restored, error) {
	state, err := w.load()
	if err != nil {
		return nil, err
	}
	if at.Since != 0 {
		state.KeepHistory()
	}
	b := w.base
	w.got = &Restored{State: state, Base: *b, Index: b.Index, Term: b.Term, Revision: b.Revision, Wall: b.Wall, Parts: w.parts}
	l := follower{r: w.r, index: b.Index, term: b.Term}
	for at.Revision == 0 || w.got.Revision < at.Revision {
		_, entries, bytes, err := l.next()
		if errors.Is(err, io.EOF) {
			return w.ended(at)
		}
		if err != nil {
			return w.got, err
		}
		if over, err := w.apply(entries, at); over || err != nil {
			return w.got, err
		}
		w.add(bytes)
	}
	return w.got, nil
}

// ended ends at the end of the backup.
func (w *work) ended(at At) (*Restored, error) {
	w.got.Ends = true
	if at.Revision > w.got.Revision {
		return nil, fmt.Errorf("%w: revision %d: it ends with revision %d, of %s", ErrRange, at.Revision, w.got.Revision, timeOf(w.got.Wall))
	}
	return w.got, nil
}

// load loads the base, and compares it with its list.
func (w *work) load() (*index.State, error) {
	r, of := w.r, w.r.store.Path(fileName(w.base.Files[0]))
	known, err := r.examine(w.base)
	if w.live = known.live; err == nil {
		err = w.fits()
	}
	if err != nil {
		return nil, err
	}
	memory := index.NewReserve()
	defer memory.Close()
	if r.Background != nil {
		memory.Prepare(known.live, 0, r.Background)
	}
	var state *index.State
	var m snapshot.Meta
	switch {
	case r.leave:
		w.parts = r.newStoredParts(known.parts)
		state, m, err = snapshot.LoadIn(memory, w.parts, baseFiles{work: w, snapshot: of}, of, w.limits)
	case r.files == nil:
		state, m, err = snapshot.LoadWhole(memory, baseFiles{work: w, snapshot: of}, of, w.limits)
	default:
		if err = w.keep(known.listed); err == nil {
			at := path.Join(r.dir, snapshot.Name(w.base.Index, w.base.Term)) // it is in memory
			state, m, err = snapshot.LoadIn(memory, r.files, baseFiles{r.files, w, at}, at, w.limits)
		}
	}
	if errors.Is(err, pack.ErrNewer) {
		err = damage.Of(of, 0, err)
	}
	if err != nil {
		return nil, err
	}
	if b := w.base; m.Cluster != r.Cluster.ID || m.Index != b.Index || m.Term != b.Term || m.Revision != b.Revision || m.Digest != b.Digest {
		return nil, damage.At(of, 0, "it holds the state of entry %d, digest %016x, and its base is of entry %d, digest %016x", m.Index, m.Digest, b.Index, b.Digest)
	}
	if shelf := snapshot.ShelfOf(state.View()); shelf != nil {
		shelf.Attach(state) // its next extents have all changes, as those of members
	}
	return state, r.ctx.Err()
}

// fits refuses a state for which this process lacks memory.
func (w *work) fits() error {
	need, memory := w.live+w.history, w.r.Memory
	if memory == 0 || need <= memory {
		return nil
	}
	return fmt.Errorf("%w: the keys of entry %d, and the kept history behind it, take %d bytes, and this process has memory for %d: raise its limit, or use a larger host",
		errMemory, w.base.Index, need, memory)
}

// keep copies the parts of the base to the folder that keeps them, without those already there.
func (w *work) keep(parts []snapshot.Part) error {
	err := w.r.files.MkdirAll(w.r.dir)
	for i := 0; err == nil && i < len(parts); i++ {
		err = w.keepPart(w.base.Files[i+1], parts[i])
	}
	return err
}

// keepPart copies a part, as a member receives one: it is verified from the medium, and durable. One that is there was copied for another base.
func (w *work) keepPart(of File, p snapshot.Part) error {
	err := snapshot.Fetch(w.r.files, w.r.dir, "", p.Name(), p.Bytes, p.SHA, func(to *snapshot.Incoming) error {
		f, err := w.r.open(of, w.inPieces(of))
		if err == nil {
			err = f.pass(p.Bytes, to.Offset(), to.Write)
		}
		return err
	})
	if errors.Is(err, iofs.ErrExist) {
		return nil
	}
	return cmp.Or(err, w.r.ctx.Err())
}

// pass passes the bytes of a file on, from an offset on; all of them if those before the offset were wrong. The file must have this size.
func (s *stored) pass(size, from int64, to func(piece []byte) error) error {
	if s.size != size {
		return fmt.Errorf("%w: the part has %d bytes in the backup, and %d in its snapshot", damage.ErrDamaged, s.size, size)
	}
	err := s.passFrom(from, to)
	if from > 0 && errors.Is(err, damage.ErrOtherBytes) {
		err = s.passFrom(0, to)
	}
	return err
}

func (s *stored) passFrom(off int64, to func(piece []byte) error) (err error) {
	size := s.size
	from, piece := io.NewSectionReader(s, off, size-off), make([]byte, min(size, limits.BackupStepBytes))
	for ; err == nil && off < size; off += int64(len(piece)) {
		piece = piece[:min(int64(len(piece)), size-off)]
		if _, err = io.ReadFull(from, piece); err == nil {
			err = to(piece)
		}
	}
	return err
}

// baseFiles is a file system of the files of a base, to load them.
type baseFiles struct {
	disk.FS // with the parts; nil: they are read from the backup
	*work
	snapshot string // its path
}

// Open opens the snapshot, or a part by its published name.
func (b baseFiles) Open(name string) (disk.File, error) {
	of := b.base.Files[0]
	switch {
	case name == b.snapshot:
	case b.FS != nil:
		return b.FS.Open(name)
	default:
		known, err := b.r.examine(b.base)
		if err != nil {
			return nil, err
		}
		of = known.parts[path.Base(name)] // the snapshot lists it
	}
	return b.r.open(of, b.inPieces(of))
}

// Place implements snapshot.InBackup.
func (b baseFiles) Place(name string) string {
	if b.FS != nil {
		return ""
	}
	return b.r.placeOf(b.r.known[b.base.Files[0].ID].parts, name)
}

// inPieces returns the stored bytes of a file of the base.
func (w *work) inPieces(of File) io.ReaderAt {
	return &window{size: of.Stored, each: filePiece, piece: func(off int64) ([]byte, error) { return w.piece(of, off) }}
}

// piece returns a piece of a file of the base, and begins to read the one behind it, or the begin of the next file.
func (w *work) piece(of File, off int64) (b []byte, err error) {
	if w.next != nil && w.ahead == (spot{of, off}) {
		b, err = w.next()
	} else {
		b, err = pieceOf(w.r.ctx, w.r.store, of, off)
	}
	next := spot{of, off + int64(len(b))}
	if i := slices.Index(w.base.Files, of) + 1; next.off == of.Stored && i < len(w.base.Files) && (w.r.files == nil || i > 1) { // kept files follow none
		next = spot{of: w.base.Files[i]}
	}
	if w.next = nil; err == nil && w.r.Background != nil && next.off < next.of.Stored {
		read := sync.OnceValues(func() ([]byte, error) { return pieceOf(w.r.ctx, w.r.store, next.of, next.off) })
		w.ahead, w.next = next, read
		w.r.Background(func() { _, _ = read() })
	}
	w.add(int64(len(b)))
	return b, err
}

// apply applies the entries of one object, and reports whether the moment is reached.
func (w *work) apply(entries []Entry, at At) (over bool, err error) {
	for i := range entries {
		e := &entries[i]
		wall := w.got.Wall
		if len(e.Envelope) > 0 {
			head, err := index.ReadEnvelope(e.Envelope)
			if err != nil {
				return false, w.unread(e, err)
			}
			wall = max(wall, head.Wall)
		}
		if at.Wall != 0 && wall > at.Wall {
			return true, nil
		}
		if err := w.applyOne(e, at.Revision); err != nil {
			return false, err
		}
		w.got.Wall = wall
		if at.Revision != 0 && w.got.Revision >= at.Revision {
			return true, nil
		}
		if at.Since != 0 {
			w.history += int64(len(e.Envelope))
			if err := w.fits(); err != nil {
				return false, err
			}
		}
		if err := w.compare(); err != nil {
			return false, err
		}
	}
	return false, w.r.ctx.Err()
}

func (w *work) applyOne(e *Entry, until int64) (err error) {
	if e.Term < w.got.Term {
		return fmt.Errorf("%w: entry %d has term %d, and the entry before it has %d", damage.ErrDamaged, e.Index, e.Term, w.got.Term)
	}
	s := w.got.State
	switch {
	case e.Change:
		w.results, err = s.ApplyChange(e.Index, e.Term, e.Envelope, w.results[:0])
	case until != 0:
		w.results, err = s.ApplyUntil(e.Index, e.Term, e.Envelope, until, w.results[:0])
	default:
		w.results, err = s.Apply(e.Index, e.Term, e.Envelope, w.results[:0])
	}
	if err != nil {
		return w.unread(e, err)
	}
	// the last result may be an older outcome, resent
	w.got.Index, w.got.Term, w.got.Revision = e.Index, e.Term, s.Revision()
	w.got.Entries++
	if w.pending += int64(len(e.Envelope)); w.pending >= backupProgress {
		w.pending = 0
		s.View() // compacted data is dropped after a View
		s.TakeLeaseChanges()
	}
	return nil
}

// unread is the error of an entry that cannot be applied.
func (w *work) unread(e *Entry, err error) error {
	if errors.Is(err, pack.ErrNewer) {
		return fmt.Errorf("%w: entry %d: %w", damage.ErrFormat, e.Index, err)
	}
	return fmt.Errorf("%w: entry %d cannot be applied: %w", damage.ErrDamaged, e.Index, err)
}

// errDiffers is the error of a log that leads to another state than the cluster had. No state is returned then, whatever
// loss is accepted: it is unknown where they began to differ.
var errDiffers = errors.New("the log does not lead to the base's state")

// compare compares the state with the base of the same entry, if there is one.
func (w *work) compare() error {
	i, found := slices.BinarySearchFunc(w.r.Bases, w.got.Index, func(b Base, index uint64) int {
		switch {
		case b.Index < index:
			return -1
		case b.Index > index:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	b := &w.r.Bases[i]
	got := w.got.State.View().Digest()
	if w.got.State.Hides() { // its digest is another one
		got = b.Digest
	}
	if got != b.Digest || w.got.Term != b.Term || w.got.Revision != b.Revision {
		return fmt.Errorf("%w: at entry %d, the log behind the base of entry %d gives the digest %016x, and %s has %016x",
			errDiffers, b.Index, w.base.Index, got, w.r.store.Path(w.r.list), b.Digest)
	}
	return nil
}
