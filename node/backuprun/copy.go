package backuprun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/snapshot/backup"
)

// Source is one member, from which a backup is made. Errors of the member are *kv.Error.
type Source interface {
	// Name is the member's name, for messages.
	Name() string
	Cluster() backup.Cluster
	// BackupBase returns a snapshot of entry least or later. The member saves one if it has none, which may take long.
	BackupBase(ctx context.Context, least uint64) (kv.BackupBase, error)
	// BackupPiece returns bytes of a snapshot from an offset on, at least one.
	BackupPiece(ctx context.Context, b *kv.BackupBase, offset int64) ([]byte, error)
	// BackupLog returns committed entries behind an entry. It waits for one for a while, and then returns none. The error's code is
	// kv.Compacted if the member's log begins later.
	BackupLog(ctx context.Context, after uint64) (kv.LogPart, error)
	Close() error
}

// ClusterOf returns the cluster of a backup, with a name for people.
func ClusterOf(id uint64, members []kv.Member, member, version string) backup.Cluster {
	for _, m := range members {
		if m.Name != "" {
			member = m.Name
			break
		}
	}
	return backup.Cluster{ID: id, Name: "the cluster of " + member, Version: version}
}

const (
	// baseWait is how long a member may take to save the snapshot for a base.
	baseWait = 15 * time.Minute
	// baseBeside is how often the changes of the meantime are copied while a base is made.
	baseBeside = 500 * time.Millisecond
)

// piecesAhead is how many pieces of a base are requested at a time: one arrives while the disk reads the next.
const piecesAhead = 3

// baseReader reads a member's snapshot over the network, as a backup.Source. It is for one goroutine.
type baseReader struct {
	ctx    context.Context
	member Source
	base   kv.BackupBase

	first  int64 // number of the first piece that is under way or there
	pieces []chan pieceRead
	bytes  []byte // of piece number at
	at     int64
	next   time.Time // when the pace lets the next piece be read
}

// pieceRead is the outcome of reading a piece.
type pieceRead struct {
	bytes []byte
	err   error
}

func newBaseReader(ctx context.Context, m Source, base kv.BackupBase) *baseReader {
	return &baseReader{ctx: ctx, member: m, base: base, at: -1}
}

// Name implements backup.Source.
func (r *baseReader) Name() string { return r.base.Name }

// Size implements backup.Source.
func (r *baseReader) Size() int64 { return r.base.Bytes }

// SHA implements backup.Source.
func (r *baseReader) SHA() [32]byte { return r.base.SHA }

// ReadAt implements backup.Source. Reading in order is quick.
func (r *baseReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off+int64(n) >= r.base.Bytes {
			return n, io.EOF
		}
		number := (off + int64(n)) / limits.BackupPieceBytes
		if number != r.at {
			if r.bytes, err = r.piece(number); err != nil {
				return n, err
			}
			r.at = number
		}
		n += copy(p[n:], r.bytes[off+int64(n)-number*limits.BackupPieceBytes:])
	}
	return n, nil
}

// piece waits for a piece, and requests those behind it.
func (r *baseReader) piece(number int64) ([]byte, error) {
	if number < r.first || number > r.first+int64(len(r.pieces)) {
		r.first, r.pieces = number, nil
	}
	r.pieces, r.first = r.pieces[number-r.first:], number
	if err := r.pace(); err != nil {
		return nil, err
	}
	for len(r.pieces) < piecesAhead && (r.first+int64(len(r.pieces)))*limits.BackupPieceBytes < r.base.Bytes {
		got := make(chan pieceRead, 1)
		go r.fetch((r.first+int64(len(r.pieces)))*limits.BackupPieceBytes, got)
		r.pieces = append(r.pieces, got)
	}
	one := <-r.pieces[0]
	r.pieces, r.first = r.pieces[1:], number+1
	return one.bytes, one.err
}

// pace waits so that pieces are read at limits.BackupBaseRate at most. A pause is not made up for.
func (r *baseReader) pace() error {
	if wait := time.Until(r.next); wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	} else {
		r.next = time.Now()
	}
	r.next = r.next.Add(limits.BackupPieceBytes * time.Second / limits.BackupBaseRate)
	return nil
}

// fetch reads one piece. A member may return less than was asked for.
func (r *baseReader) fetch(offset int64, into chan<- pieceRead) {
	all, wanted := []byte(nil), int(min(limits.BackupPieceBytes, r.base.Bytes-offset))
	for len(all) < wanted {
		piece, err := r.member.BackupPiece(r.ctx, &r.base, offset+int64(len(all)))
		if err == nil && len(piece) == 0 {
			err = fmt.Errorf("%s ends at byte %d, and has %d", r.base.Name, offset+int64(len(all)), r.base.Bytes)
		}
		if err != nil {
			into <- pieceRead{nil, err}
			return
		}
		all = append(all, piece...)
	}
	into <- pieceRead{all[:wanted], nil}
}

// CopyBase makes a base from a snapshot of the member, of entry least or later, and returns it. A base that the backup has is returned, too.
// It calls beside while the member saves the snapshot, with 0 of 0 bytes, and after each chunk.
func CopyBase(ctx context.Context, m Source, w *backup.Writer, least uint64, beside func(done, total int64) error) (backup.Base, error) {
	base, err := askBase(ctx, m, least, beside)
	if err != nil {
		return backup.Base{}, err
	}
	from, err := w.Base(newBaseReader(ctx, m, base))
	if errors.Is(err, fs.ErrExist) {
		all := w.Bases()
		i := slices.IndexFunc(all, func(b backup.Base) bool { return b.Index == base.Index && b.Term == base.Term })
		return all[i], nil
	}
	if err != nil {
		return backup.Base{}, err
	}
	defer from.Close()
	for {
		done, err := from.Step(limits.BackupChunkBytes)
		if err == nil && !done {
			err = context.Cause(ctx)
		}
		if err != nil {
			return backup.Base{}, err
		}
		if done {
			return from.Published(), beside(from.Progress())
		}
		if err := beside(from.Progress()); err != nil {
			return backup.Base{}, err
		}
	}
}

// askBase waits for the snapshot of a base.
func askBase(ctx context.Context, m Source, least uint64, beside func(done, total int64) error) (base kv.BackupBase, err error) {
	asked, cancel := context.WithTimeout(ctx, baseWait)
	defer cancel()
	there := make(chan struct{})
	go func() {
		base, err = m.BackupBase(asked, least)
		close(there)
	}()
	poll := time.NewTicker(baseBeside)
	defer poll.Stop()
	for {
		select {
		case <-there:
			return base, err
		case <-poll.C:
			if failed := beside(0, 0); failed != nil {
				cancel()
				<-there
				return base, failed
			}
		}
	}
}

// NeedsBase reports whether the member's log begins behind the end of the backup.
func NeedsBase(err error) bool {
	answer, ok := errors.AsType[*kv.Error](err)
	return ok && answer.Code == kv.Compacted || errors.Is(err, backup.ErrGap)
}

// Continues returns nil if the member has the history of the backup, up to the backup's end. A member that lags has not: its changes could
// be another history.
func Continues(ctx context.Context, m Source, w *backup.Writer) error {
	end := EndOf(w)
	if end == 0 {
		return nil
	}
	part, err := m.BackupLog(ctx, end-1)
	switch {
	case NeedsBase(err):
		return nil // the member's log begins later, and a base follows
	case err != nil:
		return err
	case part.Applied < end:
		return lags(part.Applied, end)
	case len(part.Entries) == 0:
		return fmt.Errorf("it did not return entry %d in time", end)
	}
	return w.Continues(part.Entries[0])
}

// lags is the error of a member that has less than the backup.
func lags(applied, end uint64) error {
	return fmt.Errorf("it has applied entry %d, and the backup has entry %d: it lags, or its data folder was set back, and then the backup "+
		"needs another folder", applied, end)
}

// EndOf returns the entry behind which a backup goes on.
func EndOf(w *backup.Writer) uint64 {
	last, _ := w.Last()
	if bases := w.Bases(); last == 0 && len(bases) > 0 {
		return bases[len(bases)-1].Index
	}
	return last
}
