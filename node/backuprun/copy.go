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
	"qkv/snapshot"
	"qkv/snapshot/backup"
)

// Source is one member, from which a backup is made. Errors of the member are *kv.Error.
type Source interface {
	// Name is the member's name, for messages.
	Name() string
	Cluster() backup.Cluster
	// BackupBase returns a snapshot of entry least or later. The member saves one if it has none, which may take long.
	BackupBase(ctx context.Context, least uint64) (kv.BackupBase, error)
	// BackupPiece returns bytes of a snapshot, or of a part, from an offset on, at least one. The error's code is kv.Compacted if the member
	// no longer has the file.
	BackupPiece(ctx context.Context, name string, offset int64) ([]byte, error)
	// BackupLog returns committed entries behind an entry. It waits for one for a while, and then returns none. The error's code is
	// kv.Compacted if the member's log begins later.
	BackupLog(ctx context.Context, after uint64) (kv.LogPart, error)
	// BackupHold asks the cluster whether a runner holds its backups, or may take them, and returns which one does.
	BackupHold(ctx context.Context, ask kv.BackupHold) (kv.BackupHold, error)
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
	// baseTries is how many snapshots of a member are tried. A member under heavy load makes a newer base within minutes, and each try is left
	// with fewer missing parts.
	baseTries = 8
	// baseBeside is how often the changes of the meantime are copied while a base is made.
	baseBeside = 500 * time.Millisecond
)

// pacedMember is a member whose files are read at limits.BackupBaseRate at most.
type pacedMember struct {
	Source
	ctx  context.Context
	next time.Time // when the next piece may be read
}

// pace waits for the next piece. A pause is not made up for.
func (m *pacedMember) pace() error {
	if wait := time.Until(m.next); wait > 0 {
		select {
		case <-time.After(wait):
		case <-m.ctx.Done():
			return m.ctx.Err()
		}
	} else {
		m.next = time.Now()
	}
	m.next = m.next.Add(limits.BackupPieceBytes * time.Second / limits.BackupBaseRate)
	return nil
}

// fileReader reads a member's file, as a backup.Source. It is for one goroutine.
type fileReader struct {
	member *pacedMember
	name   string
	size   int64
	sha    [32]byte
	piece  []byte // the newest one
	at     int64  // its offset
}

func (m *pacedMember) file(name string, size int64, sha [32]byte) *fileReader {
	return &fileReader{member: m, name: name, size: size, sha: sha}
}

// Name implements backup.Source.
func (r *fileReader) Name() string { return r.name }

// Size implements backup.Source.
func (r *fileReader) Size() int64 { return r.size }

// SHA implements backup.Source.
func (r *fileReader) SHA() [32]byte { return r.sha }

// ReadAt implements backup.Source. A member may return less than was asked for.
func (r *fileReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		if off < r.at || off >= r.at+int64(len(r.piece)) {
			if err = r.member.pace(); err == nil {
				r.piece, err = r.member.BackupPiece(r.member.ctx, r.name, off)
			}
			if err == nil && len(r.piece) == 0 {
				err = fmt.Errorf("%s ends at byte %d, and has %d", r.name, off, r.size)
			}
			if r.at = off; err != nil {
				return n, err
			}
		}
		did := copy(p[n:], r.piece[off-r.at:])
		n, off = n+did, off+int64(did)
	}
	return n, nil
}

// CopyBase makes a base from a snapshot of the member, of entry least or later, with its parts, and returns it. A base that the backup has is
// returned, too. When all files are there it takes the hold, for as long as publishing takes. copied counts the bytes that the backup lacked. CopyBase calls beside while the member saves the snapshot, with 0 of 0 bytes,
// and after each chunk. If the member removes a file before it is copied, it has a newer snapshot: CopyBase goes on with that.
func (h *Hold) CopyBase(ctx context.Context, m Source, w *backup.Writer, least uint64, beside func(done, total int64) error) (base backup.Base, copied int64, err error) {
	paced := &pacedMember{Source: m, ctx: ctx}
	for range baseTries {
		var n int64
		base, n, err = h.copyNewest(paced, w, least, beside)
		if copied += n; !NeedsBase(err) {
			break
		}
	}
	return base, copied, err
}

func (h *Hold) copyNewest(m *pacedMember, w *backup.Writer, least uint64, beside func(done, total int64) error) (base backup.Base, copied int64, err error) {
	newest, err := askBase(m.ctx, m, least, beside)
	if err != nil {
		return base, 0, err
	}
	c, err := w.Base(m.file(newest.Name, newest.Bytes, newest.SHA), func(p snapshot.Part) backup.Source { return m.file(p.Name(), p.Bytes, p.SHA) })
	if errors.Is(err, fs.ErrExist) {
		all := w.Bases()
		i := slices.IndexFunc(all, func(b backup.Base) bool { return b.Index == newest.Index && b.Term == newest.Term })
		return all[i], 0, nil
	}
	if err != nil {
		return base, 0, err
	}
	for done, taken := false, false; !done; {
		wait := time.Until(h.drained)
		switch {
		case c.Ready() && !taken:
			err, taken = h.Take(m.ctx, m), true
		case c.Ready() && wait > 0:
			time.Sleep(min(wait, baseBeside))
		default:
			done, err = c.Step(m.ctx, limits.BackupStepBytes)
		}
		if err == nil && !done {
			err = context.Cause(m.ctx)
		}
		if err == nil {
			err = beside(c.Progress())
		}
		if err != nil {
			return base, c.Copied(), err
		}
	}
	return c.Published(), c.Copied(), nil
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

// NeedsBase reports whether the member's log begins behind the end of the backup, or a file of a base is gone.
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
