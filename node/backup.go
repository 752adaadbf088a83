package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire"
	"qkv/snapshot"
)

// backups implements server.Backups. It reads the member's files beside the actors: an open snapshot stays readable after its removal, and
// each entry of the log is verified against the position that consensus gave.
type backups struct {
	member *member
	wait   func(ctx context.Context, told logTold) (logAnswer, bool) // awaitAnswer, except in the simulator

	ctx    context.Context // ends when the member stops
	cancel context.CancelFunc

	mu    sync.Mutex
	files []openSnapshot // at most limits.BackupFilesOpen
	log   *log.Reader

	// Of the verification of all files.
	requests chan struct{} // a client asks for it
	ended    chan struct{} // closed when scrub ends; nil: it was not started
	found    kv.Verified
	allRead  int64    // when the newest complete read ended, in nanoseconds since 1970; 0: there was none
	kept     scrubbed // of the goroutine of scrub
}

// openSnapshot is a snapshot that a backup reads.
type openSnapshot struct {
	*snapshot.Reader
	used time.Duration // by the driver's clock
}

func newBackups(m *member) *backups {
	b := &backups{member: m, wait: awaitAnswer, log: log.NewReader(m.env.FS), requests: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	m.env.Driver.Every(limits.BackupFileIdle/4, b.closeIdle)
	return b
}

const (
	// backupPoll is how often a request of a backup looks for a new entry or snapshot.
	backupPoll = 20 * time.Millisecond
	// backupOrders is how often a missing snapshot is ordered. An order during a save is ignored.
	backupOrders = 25 * backupPoll
)

func (b *backups) now() time.Duration { return b.member.env.Driver.Time().Now }

// awaitAnswer waits for an answer of consensus, or, without a channel for it, for backupPoll. It returns false if the context ends first.
func awaitAnswer(ctx context.Context, told logTold) (one logAnswer, ok bool) {
	var poll <-chan time.Time
	if told == nil {
		poll = time.After(backupPoll)
	}
	select {
	case <-ctx.Done():
		return one, false
	case one = <-told:
	case <-poll:
	}
	return one, true
}

// ready refuses backups while this member takes no part, or hears of no leader: it would not notice that it lags.
func (b *backups) ready() *kv.Error {
	if refusal := (endpoint{b.member}).Refuse(); refusal != nil {
		return refusal
	}
	if !b.member.startup.Current() {
		return wire.ErrStarting
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
	ordered := b.now() - backupOrders
	for {
		r, err := b.newest(least)
		if err == nil {
			return describeBase(r), nil
		}
		if now := b.now(); now-ordered >= backupOrders {
			b.member.actors.applier.Offer(actor.BackupWanted{})
			ordered = now
		}
		if _, ok := b.wait(ctx, nil); !ok {
			if failed := b.member.status.BackupFailed(); failed != nil {
				err = failed
			}
			return kv.BackupBase{}, kv.Errorf(kv.Unavailable, "%s has no snapshot for a backup: %v: ask again, or another member", b.member.config.Name, err)
		}
	}
}

// backupFolder has the file that was saved for a backup. A member never starts from such a file.
const backupFolder = "backup"

// published lists the files with all keys, newest first.
func (b *backups) published() ([]snapshot.Info, error) {
	listing, err := snapshot.List(b.member.env.FS, b.member.folder.path(backupFolder))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return listing.Published, err
}

// newest opens the newest file with all keys, or returns it if it is open. An older one than that of entry least is not opened: it would
// close a file that another backup reads.
func (b *backups) newest(least uint64) (*snapshot.Reader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, err := b.published()
	if err != nil {
		return nil, err
	}
	for _, info := range all {
		if info.Err == nil && info.Index < least {
			return nil, fmt.Errorf("the newest is of entry %d, and none of entry %d or later was saved in time", info.Index, least)
		}
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
			f.used = b.now()
			return f.Reader, nil
		}
	}
	if b.ctx.Err() != nil {
		return nil, errors.New("the member is shutting down")
	}
	r, err := snapshot.Open(b.member.env.FS, info.Path)
	if err != nil {
		return nil, err
	}
	if len(b.files) == limits.BackupFilesOpen {
		oldest := 0
		for i := range b.files {
			if b.files[i].used < b.files[oldest].used {
				oldest = i
			}
		}
		_ = b.files[oldest].Close() // read only: Close loses nothing
		b.files = append(b.files[:oldest], b.files[oldest+1:]...)
	}
	b.files = append(b.files, openSnapshot{r, b.now()})
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
			f.used = b.now()
			return f.Reader
		}
	}
	all, err := b.published()
	if err != nil {
		return nil
	}
	for _, info := range all {
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
		if b.now()-f.used < limits.BackupFileIdle {
			kept = append(kept, f)
			b.member.actors.snapshots.Offer(actor.BackupRead{})
			continue
		}
		_ = f.Close() // read only: Close loses nothing
	}
	b.files = kept
}

// startScrub begins to scrub the member's files. Without a readable file scrub the week begins anew.
func (b *backups) startScrub() {
	if raw, err := b.member.folder.read("scrub"); err == nil {
		_ = codec.ReadFile(raw, &b.kept)
	} else if errors.Is(err, damage.ErrDamaged) { // keep makes it anew; it never writes over a damaged file
		err = b.member.env.FS.Remove(b.member.folder.path("scrub"))
		b.member.logger.Warn("the file with the time of the last scrub was damaged, and is removed; nothing is lost, but look at the disk", "error", err)
	}
	b.found, b.allRead = b.kept.Sound, b.kept.Sound.Wall
	b.ended = make(chan struct{})
	go b.scrub()
}

// close closes all files, and opens none any more. A disk that does not answer delays it only for a while.
func (b *backups) close() error {
	b.cancel()
	if b.ended != nil {
		select {
		case <-b.ended:
		case <-time.After(limits.BackupStop):
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.log.Close()
	for _, f := range b.files {
		err = errors.Join(err, f.Close())
	}
	b.files = nil
	return err
}

// Log implements server.Backups.
func (b *backups) Log(ctx context.Context, after uint64) (kv.LogPart, *kv.Error) {
	var unread *kv.Error // why the newest read failed: segments may have been released while they were read
	for {
		if refusal := b.ready(); refusal != nil {
			return kv.LogPart{}, refusal
		}
		part := kv.LogPart{}
		part.Applied, _ = b.member.status.View().Applied()
		if after < part.Applied {
			entries, err := b.entries(ctx, after, part.Applied)
			if len(entries) > 0 || err != nil && err.Code != kv.Unavailable {
				part.Entries = entries
				return part, err
			}
			if err != nil {
				unread = err
			}
		}
		if _, ok := b.wait(ctx, nil); !ok {
			return part, unread
		}
	}
}

// entries returns applied entries behind an index; none if consensus is too busy. After Unavailable it may be called again.
func (b *backups) entries(ctx context.Context, after, applied uint64) ([]kv.LogEntry, *kv.Error) {
	told := make(logTold, 1)
	if !b.member.actors.consensus.Offer(actor.AskLog{After: after, UpTo: applied, Bytes: limits.BackupLogBytes, To: told}) {
		return nil, nil
	}
	one, ok := b.wait(ctx, told)
	if !ok {
		return nil, nil
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
			return nil, kv.Errorf(kv.Unavailable, "the log behind entry %d cannot be read: %v: ask another member", after, err)
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
