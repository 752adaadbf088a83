package node

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire"
	"qkv/snapshot"
)

// backups implements server.Backups. It reads the member's files beside the actors: an open snapshot stays readable after its removal, and
// each entry of the log is verified against the position that consensus gave.
type backups struct {
	member *member

	mu     sync.Mutex
	files  []openSnapshot // at most limits.BackupFilesOpen
	log    *log.Reader
	closed bool
}

// openSnapshot is a snapshot that a backup reads.
type openSnapshot struct {
	*snapshot.Reader
	used time.Time
}

func newBackups(m *member) *backups {
	b := &backups{member: m, log: log.NewReader(m.env.FS)}
	m.env.Driver.Every(limits.BackupFileIdle/4, b.closeIdle)
	return b
}

const (
	// backupPoll is how often a request of a backup looks for a new entry or snapshot.
	backupPoll = 20 * time.Millisecond
	// backupOrders is how often a missing snapshot is ordered. An order during a save is ignored.
	backupOrders = 25 * backupPoll
)

// ready refuses backups while this member takes no part, or hears of no leader: it would not notice that it lags.
func (b *backups) ready() *kv.Error {
	if refusal := (endpoint{b.member}).Refuse(wire.PathLocal); refusal != nil {
		return refusal
	}
	if b.member.status.Raft().Leader == 0 {
		return kv.Errorf(kv.Unavailable, "%s hears of no leader, so a backup from it could lag: ask another member", b.member.config.Name)
	}
	return nil
}

// Base implements server.Backups.
func (b *backups) Base(ctx context.Context, least uint64) (kv.BackupBase, *kv.Error) {
	if refusal := b.ready(); refusal != nil {
		return kv.BackupBase{}, refusal
	}
	applied, _ := b.member.status.View().Applied()
	least = min(least, applied)
	poll := time.NewTicker(backupPoll)
	defer poll.Stop()
	var ordered time.Time
	for {
		r, err := b.newest()
		if err == nil && r.Meta().Index >= least {
			return describeBase(r), nil
		}
		if now := time.Now(); now.Sub(ordered) >= backupOrders {
			b.member.actors.applier.Offer(actor.SnapshotWanted{First: true})
			ordered = now
		}
		select {
		case <-ctx.Done():
			if err == nil {
				return kv.BackupBase{}, kv.Errorf(kv.Unavailable, "no snapshot of entry %d or later was saved in time; the newest is of entry %d: ask again", least, r.Meta().Index)
			}
			return kv.BackupBase{}, kv.Errorf(kv.Unavailable, "this member has no snapshot that can be read: %v: ask again, or another member", err)
		case <-poll.C:
		}
	}
}

// newest opens the newest snapshot in the folder, or returns it if it is open.
func (b *backups) newest() (*snapshot.Reader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	listing, err := snapshot.List(b.member.env.FS, b.member.folder.path("snap"))
	if err != nil {
		return nil, err
	}
	for _, info := range listing.Published {
		if info.Err == nil {
			return b.open(info)
		}
	}
	return nil, errors.New("none was saved yet")
}

// open returns the open file of a snapshot. The file that was unused longest makes way.
func (b *backups) open(info snapshot.Info) (*snapshot.Reader, error) {
	for i := range b.files {
		if f := &b.files[i]; f.Meta().Index == info.Index && f.Meta().Term == info.Term && f.Size() == info.Bytes {
			f.used = time.Now()
			return f.Reader, nil
		}
	}
	if b.closed {
		return nil, errors.New("the member is shutting down")
	}
	r, err := snapshot.Open(b.member.env.FS, info.Path)
	if err != nil {
		return nil, err
	}
	if len(b.files) == limits.BackupFilesOpen {
		oldest := 0
		for i := range b.files {
			if b.files[i].used.Before(b.files[oldest].used) {
				oldest = i
			}
		}
		_ = b.files[oldest].Close() // read only: Close loses nothing
		b.files = append(b.files[:oldest], b.files[oldest+1:]...)
	}
	b.files = append(b.files, openSnapshot{r, time.Now()})
	return r, nil
}

func describeBase(r *snapshot.Reader) kv.BackupBase {
	m := r.Meta()
	return kv.BackupBase{Name: r.Name(), Index: m.Index, Term: m.Term, Revision: m.Revision, Bytes: r.Size(), SHA: r.SHA()}
}

// Piece implements server.Backups.
func (b *backups) Piece(name string, sha [32]byte, offset int64) ([]byte, *kv.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.find(name, sha)
	if r == nil {
		return nil, kv.Errorf(kv.Compacted, "the snapshot %s is no longer on %s: ask for a base again", name, b.member.config.Name)
	}
	piece := make([]byte, max(0, min(limits.BackupPieceBytes, r.Size()-offset)))
	if n, err := r.ReadAt(piece, offset); n < len(piece) && len(piece) > 0 {
		return nil, kv.Errorf(kv.Unavailable, "the snapshot %s cannot be read at byte %d: %v: ask another member", name, offset, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return piece, nil
}

// find returns the snapshot with this identity. If it is not open, but published, find opens it: a backup goes on after a pause.
func (b *backups) find(name string, sha [32]byte) *snapshot.Reader {
	for i := range b.files {
		if f := &b.files[i]; f.Name() == name && f.SHA() == sha {
			f.used = time.Now()
			return f.Reader
		}
	}
	listing, err := snapshot.List(b.member.env.FS, b.member.folder.path("snap"))
	if err != nil {
		return nil
	}
	for _, info := range listing.Published {
		if info.Err == nil && snapshot.Name(info.Index, info.Term) == name {
			if r, err := b.open(info); err == nil && r.SHA() == sha {
				return r
			}
		}
	}
	return nil
}

// closeIdle closes the files that no backup has read for a while.
func (b *backups) closeIdle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.files[:0]
	for _, f := range b.files {
		if time.Since(f.used) < limits.BackupFileIdle {
			kept = append(kept, f)
			continue
		}
		_ = f.Close() // read only: Close loses nothing
	}
	b.files = kept
}

// close closes all files, and opens none any more.
func (b *backups) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	err := b.log.Close()
	for _, f := range b.files {
		err = errors.Join(err, f.Close())
	}
	b.files = nil
	return err
}

// Log implements server.Backups.
func (b *backups) Log(ctx context.Context, after uint64) (kv.LogPart, *kv.Error) {
	poll := time.NewTicker(backupPoll)
	defer poll.Stop()
	for {
		if refusal := b.ready(); refusal != nil {
			return kv.LogPart{}, refusal
		}
		part := kv.LogPart{}
		part.Applied, _ = b.member.status.View().Applied()
		if after < part.Applied {
			entries, err := b.entries(ctx, after, part.Applied)
			if err != nil || len(entries) > 0 {
				part.Entries = entries
				return part, err
			}
		}
		select {
		case <-ctx.Done():
			return part, nil
		case <-poll.C:
		}
	}
}

// entries returns applied entries behind an index; none if consensus is too busy, or if they were released while they were read.
func (b *backups) entries(ctx context.Context, after, applied uint64) ([]kv.LogEntry, *kv.Error) {
	told := make(logTold, 1)
	if !b.member.actors.consensus.Offer(actor.AskLog{After: after, UpTo: applied, Bytes: limits.BackupLogBytes, To: told}) {
		return nil, nil
	}
	var one logAnswer
	select {
	case <-ctx.Done():
		return nil, nil
	case one = <-told:
	}
	if errors.Is(one.err, raft.ErrCompacted) {
		return nil, kv.Errorf(kv.Compacted, "the log of %s begins behind entry %d: a snapshot has replaced it", b.member.config.Name, after+1)
	}
	if one.err != nil {
		return nil, kv.Errorf(kv.Unavailable, "the log cannot be read: %v: ask another member", one.err)
	}
	if !one.order.Empty() {
		b.mu.Lock()
		read, err := b.log.Read(one.order)
		b.mu.Unlock()
		if err != nil {
			b.member.logger.Debug("a backup reads a part of the log again: it may have been released", "after", after, "error", err)
			return nil, nil
		}
		one.entries = read
	}
	return logEntries(one.entries)
}

func logEntries(from []*raftpb.Entry) (entries []kv.LogEntry, _ *kv.Error) {
	for _, e := range from {
		envelope, err := actor.EnvelopeOf(e)
		if err != nil {
			return nil, kv.Errorf(kv.Internal, "entry %d of the log cannot be decoded: %v", e.GetIndex(), err)
		}
		entries = append(entries, kv.LogEntry{Index: e.GetIndex(), Term: e.GetTerm(), Change: e.GetType() != raftpb.EntryNormal, Envelope: envelope})
	}
	return entries, nil
}

// logTold takes the one answer of consensus, which never waits for it.
type logTold chan logAnswer

type logAnswer struct {
	entries []*raftpb.Entry
	order   log.ColdRead
	err     error
}

// LogTold implements actor.LogReply.
func (t logTold) LogTold(entries []*raftpb.Entry, order log.ColdRead, err error) {
	t <- logAnswer{entries, order, err}
}
