package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire"
	"qkv/snapshot"
)

// backups implements server.Backups. It reads the member's files beside the actors: snapshots and their parts never change, and each entry of
// the log is verified against the position that consensus gave.
type backups struct {
	member *member
	wait   func(ctx context.Context, told logTold) (logAnswer, bool) // awaitAnswer, except in the simulator

	ctx    context.Context // ends when the member stops
	cancel context.CancelFunc

	mu  sync.Mutex
	log *log.Reader

	// Of the verification of all files.
	corrupt chan struct{} // the alarm CORRUPT stands
	stood   bool          // it stood at the last look
	again   time.Time     // when all files are read again if it stands then
	ended   chan struct{} // closed when scrub ends; nil: it was not started
	found   filesRead
	allRead int64      // when the newest complete read ended, in nanoseconds since 1970; 0: there was none
	kept    scrubbed   // of the goroutine of scrub, as is raised
	raised  []kv.Alarm // at the end of the newest read
}

func newBackups(m *member) *backups {
	b := &backups{member: m, wait: awaitAnswer, log: log.NewReader(m.env.FS), corrupt: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

const (
	// backupPoll is how often a request of a backup looks for a new entry or snapshot.
	backupPoll = 20 * time.Millisecond
	// backupOrders is how often a missing snapshot is ordered.
	backupOrders = 25 * backupPoll
	// backupLogBytes is the most of the log that a member puts into one answer, unless one entry is larger.
	backupLogBytes = 512 << 10
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
		base, err := b.newest(least)
		if err == nil {
			return base, nil
		}
		if now := b.now(); now-ordered >= backupOrders {
			b.member.actors.applier.Offer(actor.SnapshotWanted{Saves: 1, Above: max(least, 1) - 1})
			ordered = now
		}
		if _, ok := b.wait(ctx, nil); !ok {
			return kv.BackupBase{}, kv.Errorf(kv.Unavailable, "%s has no snapshot for a backup: %v: ask again, or another member", b.member.config.Name, err)
		}
	}
}

// newest describes the newest snapshot, if it is of entry least or later.
func (b *backups) newest(least uint64) (base kv.BackupBase, err error) {
	names, err := b.member.env.FS.List(b.member.folder.path("snap"))
	if err != nil {
		return base, err
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		if !snapshot.IsFile(name) || !strings.HasSuffix(name, ".snap") {
			continue
		}
		r, failed := snapshot.Open(b.member.env.FS, b.member.folder.path("snap/"+name))
		if failed != nil {
			err = failed
			continue
		}
		m := r.Meta()
		base = kv.BackupBase{Name: name, Index: m.Index, Term: m.Term, Revision: m.Revision, Bytes: r.Size(), SHA: r.SHA()}
		_ = r.Close() // read only: Close loses nothing
		if m.Index < least {
			return base, fmt.Errorf("the newest is of entry %d, and none of entry %d or later was saved in time", m.Index, least)
		}
		return base, nil
	}
	return base, cmp.Or(err, errors.New("none was saved yet"))
}

// Piece implements server.Backups. It opens the file each time: a snapshot has many parts, and a part may be removed before it is read.
func (b *backups) Piece(name string, offset int64) ([]byte, *kv.Error) {
	if !snapshot.IsFile(name) { // it could be a path
		return nil, kv.Errorf(kv.BadRequest, "%q is no file of a snapshot", name)
	}
	piece, err := b.read(b.member.folder.path("snap/"+name), offset)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, kv.Errorf(kv.Compacted, "the file %s is no longer on %s: ask for a base again", name, b.member.config.Name)
	case err != nil:
		return nil, kv.Errorf(kv.Unavailable, "the file %s cannot be read at byte %d: %v: ask another member", name, offset, err)
	}
	return piece, nil
}

func (b *backups) read(path string, offset int64) ([]byte, error) {
	f, err := b.member.env.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	piece := make([]byte, max(0, min(limits.BackupPieceBytes, size-offset)))
	if n, err := f.ReadAt(piece, offset); n < len(piece) {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return piece, f.DropCache(offset, int64(len(piece))) // it is read once, and would take memory from other uses
}

// Hold implements server.Backups.
func (b *backups) Hold(ctx context.Context, ask kv.BackupHold) (kv.BackupHold, *kv.Error) {
	refusal := b.ready()
	if refusal == nil {
		refusal = ask.Check()
	}
	if refusal != nil {
		return kv.BackupHold{}, refusal
	}
	told := make(holdTold, 1)
	proposal := kv.Proposal{ReplyTo: told, Requests: []uint64{1}, Commands: []kv.Command{index.AppendBackupHold(nil, &ask)}, Timeout: announceTimeout}
	if !b.member.actors.consensus.Offer(actor.Propose{Proposal: proposal, Own: true}) {
		return kv.BackupHold{}, kv.Errorf(kv.Overloaded, "%s has too many messages under way: ask again", b.member.config.Name)
	}
	select {
	case refusal = <-told:
	case <-ctx.Done():
		refusal = kv.Errorf(kv.Unavailable, "who holds the backups was not agreed in time: ask again")
	}
	return b.member.status.View().BackupHold(ask.Place), refusal
}

// holdTold takes the one answer to a hold.
type holdTold chan *kv.Error

// Complete implements kv.ReplyTo.
func (t holdTold) Complete(done []kv.Completion) { t <- done[0].Result.Err }

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

// close closes the log, and ends the scrub. A disk that does not answer delays it only for a while.
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
	return b.log.Close()
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
	if !b.member.actors.consensus.Offer(actor.AskLog{After: after, UpTo: applied, Bytes: backupLogBytes, To: told}) {
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
