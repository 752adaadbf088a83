package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// BackupTarget says where the leader makes the backup, and how.
type BackupTarget struct {
	Store store.Store     // nil: nowhere
	To    []age.Recipient // for which the content is encrypted; none: it is not
	Every time.Duration   // between two bases
	Keep  time.Duration   // for which every moment can be restored
}

// backupRun makes the backup while its member leads, in a goroutine beside the actors: no actor waits for it. It reads the member's files, which
// never change, and the entries of the log that consensus names. Once in backupEvery it stores the new entries, also while it makes a base. After
// a failure it begins again at what the place has (package snapshot/backup). Its memory is bounded: one file of a base, and some slices.
type backupRun struct {
	duty   *backupDuty
	member *member
	target BackupTarget
	began  bool // this process has made the backup before: it is never made anew
	// wait waits for an answer of consensus, or, without a channel for it, for a time. It is false if the context ends first.
	wait func(ctx context.Context, told logTold, d time.Duration) (logAnswer, bool)

	log *log.Reader
	w   *backup.Writer
	// the base behind which the log goes on, since the member has no older one; 0: it goes on at its end
	from  uint64
	due   time.Duration // when the next slice is
	seen  time.Duration // when the place was last seen to hold the backup
	based time.Duration // when the newest base was made; 0: it is unknown
	tried time.Duration // when the newest base was begun that failed; 0: none did
	sweep time.Duration // when deletions are tried again; 0: with the next base
	paced time.Duration // when the next piece of a file may be read

	failing    bool
	complaint  string // the newest reported failure, at complained
	complained time.Duration
}

const (
	// backupEvery is the time in which changes are gathered for one slice.
	backupEvery = time.Second
	// backupSeen is how often an idle cluster looks whether the place still holds the backup.
	backupSeen = 2 * time.Second
	// backupPoll is how often a run looks for a new snapshot, and backupOrders how often it orders one.
	backupPoll   = 20 * time.Millisecond
	backupOrders = 25 * backupPoll
	// backupLogBytes is the most of the log that is asked for at once, unless one entry is larger.
	backupLogBytes = 512 << 10
	// backupAnswer bounds the wait for an answer of consensus.
	backupAnswer = 5 * time.Second
	// backupAgain is the pause after a base, or a deletion, has failed, for lack of room for example. The slices go on meanwhile.
	backupAgain = time.Minute
	// backupSave is how long a snapshot may take to be saved.
	backupSave = 15 * time.Minute
	// backupTries is how many snapshots are tried for a base. Under heavy load a member has a newer one within minutes, and each try is left with
	// fewer missing parts.
	backupTries = 8
	// backupPause is the first pause after a failure, and backupPauseMost the longest.
	backupPause     = 500 * time.Millisecond
	backupPauseMost = 5 * time.Second
	// complaintPause is the time between two reports of the same failure.
	complaintPause = time.Minute
)

// backupFailed begins the report of a failure.
const backupFailed = "backup failed"

var (
	// errGone is the error of a file that a newer snapshot has replaced.
	errGone = errors.New("the member has removed a file of the snapshot: a newer one is there")
	// errBehind is the error of a log that begins behind the end of the backup.
	errBehind = errors.New("the member's log begins later")
)

func (r *backupRun) now() time.Duration { return r.member.env.Driver.Time().Now }

// run makes the backup until the context ends.
func (r *backupRun) run(ctx context.Context) {
	defer r.log.Close() // read only: it loses nothing
	for pause := backupPause; ctx.Err() == nil; pause = min(2*pause, backupPauseMost) {
		begun := r.now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if r.now()-begun > backupPauseMost {
			pause = backupPause
		}
		r.failing = true
		r.complain(err)
		r.duty.note(err.Error())
		r.wait(ctx, nil, pause)
	}
}

// complain reports a failure. The same one is reported again after a while only.
func (r *backupRun) complain(err error) {
	if text := err.Error(); text != r.complaint || r.now()-r.complained >= complaintPause {
		r.complaint, r.complained = text, r.now()
		r.member.logger.Warn("backup: " + backupFailed + ", and is tried again: " + text)
	}
}

func (r *backupRun) say(format string, arguments ...any) {
	r.member.logger.Info("backup: " + fmt.Sprintf(format, arguments...))
}

// session goes on with the backup until something fails.
func (r *backupRun) session(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	if len(r.w.Bases()) == 0 {
		if err := r.base(ctx, 0); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		newest := r.newest()
		if r.now()-r.based >= r.target.Every && (r.tried == 0 || r.now()-r.tried >= backupAgain) && r.end() > newest.Index {
			if err := r.base(ctx, r.end()); err != nil {
				return err
			}
		}
		if r.sweep != 0 && r.now() >= r.sweep {
			if err := r.retain(ctx, r.w.Retain); err != nil {
				return err
			}
		}
		r.wait(ctx, nil, max(r.due-r.now(), 0))
		err := r.slice(ctx)
		if errors.Is(err, errBehind) || errors.Is(err, backup.ErrGap) {
			r.say("a new base is needed: %v", err)
			if err = r.base(ctx, r.end()+1); err == nil {
				r.from = r.newest().Index
			}
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// open opens the place for this member's term.
func (r *backupRun) open(ctx context.Context) error {
	m := r.member
	raftStatus := m.status.Raft()
	switch refusal := (endpoint{m}).Refuse(); {
	case refusal != nil:
		return refusal
	case !m.startup.Current():
		return wire.ErrStarting
	case raftStatus.Role != "leader":
		return fmt.Errorf("%s does not lead", m.config.Name)
	}
	err := r.checkFolder()
	if err != nil {
		return r.gone(err)
	}
	w, err := backup.Write(ctx, r.target.Store, !r.began, backupOf(m), raftStatus.Term, r.target.To...)
	if err == nil && r.w != nil {
		err = w.Inherit(ctx, r.w)
	}
	if err != nil {
		return r.gone(err)
	}
	r.w, r.from, w.Keep = w, 0, r.target.Keep
	if len(r.target.To) > 0 {
		key, err := r.key(ctx)
		if err != nil {
			return err
		}
		r.w.NameBy(key)
	}
	if bases := r.w.Bases(); r.based == 0 && len(bases) > 0 { // the cluster's clock may have been ahead by years
		r.based = r.now() - time.Duration(max(0, m.env.Driver.Time().Wall-r.newest().Wall))
	}
	if err := r.continues(ctx); err != nil {
		return err
	}
	m.status.BackedUp(r.end())
	return nil
}

// checkFolder refuses a folder that does not exist, since its disk may not be mounted.
func (r *backupRun) checkFolder() error {
	if _, is := r.target.Store.(*store.Folder); !is {
		return nil
	}
	at := r.target.Store.Path("")
	_, err := os.Stat(at)
	if errors.Is(err, fs.ErrNotExist) && !r.began {
		return fmt.Errorf("the folder %s does not exist: mount its disk, or make the folder", at)
	}
	return err
}

// gone says what helps if the place holds the backup no more.
func (r *backupRun) gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is gone: mount its disk again; it is not created anew: %w", r.target.Store.Path(""), err)
	}
	return err
}

// backupOf returns the cluster of a backup, with a name for people.
func backupOf(m *member) backup.Cluster {
	name := m.config.Name
	for _, one := range m.status.View().Members().All() {
		if one.Name != "" {
			name = one.Name
			break
		}
	}
	return backup.Cluster{ID: m.folder.Cluster, Name: "the cluster of " + name, Version: m.config.Version}
}

// key returns the key of the names of encrypted files. The first leader that needs it proposes one.
func (r *backupRun) key(ctx context.Context) ([]byte, error) {
	for until := r.now() + backupAnswer; ; {
		if key := r.member.status.View().BackupKey(); len(key) > 0 {
			return key, nil
		}
		drawn := make([]byte, kv.BackupKeyBytes)
		_, _ = rand.Read(drawn) // it never fails
		r.member.proposed.backupKey.propose(r.member, index.AppendBackupKey(nil, drawn))
		if _, ok := r.wait(ctx, nil, backupPoll); !ok || r.now() >= until {
			return nil, errors.New("a key for the names of encrypted files was not agreed in time")
		}
	}
}

// newest is the newest base.
func (r *backupRun) newest() backup.Base { return r.w.Bases()[len(r.w.Bases())-1] }

// end returns the entry behind which the backup goes on.
func (r *backupRun) end() uint64 {
	last, _ := r.w.Last()
	if bases := r.w.Bases(); last == 0 && len(bases) > 0 {
		return bases[len(bases)-1].Index
	}
	return max(last, r.from)
}

// continues fails if the member does not have the history of the backup, up to the newest entry of a slice or a base.
func (r *backupRun) continues(ctx context.Context) error {
	newest := r.end()
	for _, b := range r.w.Bases() { // the backup's log may end before the newest base
		newest = max(newest, b.Index)
	}
	applied, _ := r.member.status.View().Applied()
	switch {
	case newest == 0:
		return nil
	case applied < newest:
		return fmt.Errorf("%s has applied entry %d, and the backup has entry %d: it lags, or its data folder was set back, and then the backup needs "+
			"another place", r.member.config.Name, applied, newest)
	}
	entries, err := r.entries(ctx, newest-1, newest)
	if errors.Is(err, errBehind) {
		return nil // a base follows
	}
	if err == nil {
		err = r.w.Continues(entries[0])
	}
	return err
}

// slice stores the entries that were committed since the last slice.
func (r *backupRun) slice(ctx context.Context) error {
	r.due = r.now() + backupEvery
	begun, view := r.now(), r.member.status.View()
	applied, _ := view.Applied()
	after := r.end()
	for after < applied {
		entries, err := r.entries(ctx, after, applied)
		if err == nil {
			err = r.w.Append(ctx, entries)
		}
		if err != nil {
			return r.gone(err)
		}
		after, r.seen = entries[len(entries)-1].Index, begun
		r.member.status.BackedUp(after)
	}
	if begun-r.seen >= backupSeen {
		if err := r.w.There(ctx); err != nil {
			return r.gone(err)
		}
		r.seen = begun
	}
	if r.failing {
		r.say("the backup goes on, and has everything up to entry %d", after)
		r.failing, r.complaint = false, ""
	}
	r.began = true
	r.duty.completed(r.now()-begun, after, view.Revision(), r.w.Newest())
	return nil
}

// beside stores a slice if it is due, while a base is made.
func (r *backupRun) beside(ctx context.Context) error {
	if r.now() < r.due || len(r.w.Bases()) == 0 {
		return ctx.Err()
	}
	err := r.slice(ctx)
	if errors.Is(err, errBehind) || errors.Is(err, backup.ErrGap) { // the base is to come first
		err = nil
	}
	return err
}

// entries returns applied entries behind an index, at least one.
func (r *backupRun) entries(ctx context.Context, after, upTo uint64) (entries []backup.Entry, err error) {
	for until := r.now() + backupAnswer; ; {
		told := make(logTold, 1)
		var one logAnswer
		if r.member.actors.consensus.Offer(actor.AskLog{After: after, UpTo: upTo, Bytes: backupLogBytes, To: told}) {
			one, _ = r.wait(ctx, told, until-r.now())
		}
		switch {
		case errors.Is(one.err, raft.ErrCompacted):
			return nil, fmt.Errorf("%w: it has no entry %d: a snapshot has replaced it", errBehind, after+1)
		case one.err == nil && !one.order.Empty():
			one.entries, one.err = r.log.Read(one.order) // it fails if the entries were released meanwhile
		}
		if one.err == nil && len(one.entries) > 0 {
			return backupEntries(one.entries)
		}
		err = cmp.Or(one.err, err, errors.New("no answer"))
		if _, ok := r.wait(ctx, nil, backupPoll); !ok || r.now() >= until {
			return nil, fmt.Errorf("the log behind entry %d cannot be read: %w", after, err)
		}
	}
}

func backupEntries(from []*raftpb.Entry) (entries []backup.Entry, err error) {
	for _, e := range from {
		envelope, err := actor.EnvelopeOf(e)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the log cannot be decoded: %w", e.GetIndex(), err)
		}
		entries = append(entries, backup.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Change: e.GetType() != raftpb.EntryNormal, Envelope: envelope})
	}
	return entries, nil
}

// base makes a base of entry least or later, and removes what is older than allowed, also if the base has failed for lack of room.
func (r *backupRun) base(ctx context.Context, least uint64) (err error) {
	begun := r.now()
	r.tried = begun
	for range backupTries {
		if err = r.copy(ctx, least); !errors.Is(err, errGone) {
			break
		}
	}
	if ctx.Err() != nil || errors.Is(err, backup.ErrOvertaken) {
		return cmp.Or(ctx.Err(), err)
	}
	for _, name := range r.w.Mended {
		r.say("%s was damaged, and was copied again: look at that store", name)
	}
	r.w.Mended = nil
	remove := r.w.Retain
	if err == nil {
		base := r.newest()
		r.based, r.tried, remove = r.now(), 0, r.w.Sweep
		content, stored := base.Bytes()
		r.say("base of entry %d, revision %d, %d bytes in %d files, compressed to %d, in %v",
			base.Index, base.Revision, content, len(base.Files), stored, (r.now() - begun).Round(time.Millisecond))
	}
	return cmp.Or(err, r.retain(ctx, remove))
}

// retain removes what is older than allowed. The backup goes on after a failure, which is reported, and removal is tried again.
func (r *backupRun) retain(ctx context.Context, remove func(context.Context) ([]string, error)) error {
	removed, err := remove(ctx)
	if errors.Is(err, backup.ErrOvertaken) || ctx.Err() != nil {
		return err
	}
	if len(removed) > 0 {
		r.say("removed %d objects that are not needed for the last %v", len(removed), r.target.Keep)
	}
	if err = cmp.Or(err, r.w.RemoveLeft(ctx)); err != nil {
		err = fmt.Errorf("objects that are not needed for the last %v could not be removed: %w", r.target.Keep, err)
		r.complain(err)
	}
	if r.sweep = 0; err != nil {
		r.sweep = r.now() + backupAgain
	}
	r.duty.removed(err)
	return nil
}

// copy copies the newest snapshot, of entry least or later, and those of its parts that the backup lacks.
func (r *backupRun) copy(ctx context.Context, least uint64) error {
	from, err := r.snapshot(ctx, least)
	if err != nil {
		return err
	}
	c, err := r.w.Base(from, func(p snapshot.Part) backup.Source { return &memberFile{r, ctx, p.Name(), p.Bytes, p.SHA} })
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	for done := false; err == nil && !done; {
		if done, err = c.Step(ctx, limits.BackupStepBytes); err == nil && !done {
			err = r.beside(ctx)
		}
	}
	if source, is := errors.AsType[*backup.SourceError](err); is && ctx.Err() == nil {
		r.member.suspect(source.Name)
	}
	return err
}

// snapshot returns the newest snapshot, of entry least or later. It orders one if there is none, and waits for it.
func (r *backupRun) snapshot(ctx context.Context, least uint64) (*memberFile, error) {
	for ordered, until := r.now()-backupOrders, r.now()+backupSave; ; {
		s, at, err := r.newestSnapshot(ctx)
		if err == nil && at < least {
			err = fmt.Errorf("the newest is of entry %d, and none of entry %d or later was saved in time", at, least)
		}
		if err == nil {
			return s, nil
		}
		if now := r.now(); now-ordered >= backupOrders {
			r.member.actors.applier.Offer(actor.SnapshotWanted{Saves: 1, Above: max(least, 1) - 1})
			ordered = now
		}
		if _, ok := r.wait(ctx, nil, backupPoll); !ok || r.now() >= until {
			return nil, cmp.Or(ctx.Err(), fmt.Errorf("there is no snapshot for a base: %w", err))
		}
		if err := r.beside(ctx); err != nil {
			return nil, err
		}
	}
}

// newestSnapshot returns the newest snapshot that can be read, and its entry.
func (r *backupRun) newestSnapshot(ctx context.Context) (*memberFile, uint64, error) {
	names, err := r.member.env.FS.List(r.member.folder.path("snap"))
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		if !snapshot.IsFile(name) || !strings.HasSuffix(name, ".snap") {
			continue
		}
		s, failed := snapshot.Open(r.member.env.FS, r.member.folder.path("snap/"+name))
		if failed != nil {
			err = failed
			continue
		}
		return &memberFile{r, ctx, name, s.Size(), s.SHA()}, s.Meta().Index, s.Close()
	}
	return nil, 0, cmp.Or(err, errors.New("none was saved yet"))
}

// memberFile is a file of the member as a backup.Source. It opens the file for each piece: a snapshot has many parts.
type memberFile struct {
	run   *backupRun
	ctx   context.Context
	name  string
	bytes int64
	sha   [32]byte
}

// Name implements backup.Source.
func (f *memberFile) Name() string { return f.name }

// Size implements backup.Source.
func (f *memberFile) Size() int64 { return f.bytes }

// SHA implements backup.Source.
func (f *memberFile) SHA() [32]byte { return f.sha }

// ReadAt implements backup.Source, at limits.BackupBaseRate at most.
func (f *memberFile) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && err == nil {
		piece := b[n:min(n+limits.BackupPieceBytes, len(b))]
		if err = f.run.pace(f.ctx, len(piece)); err == nil {
			err = f.read(piece, off+int64(n))
		}
		if err == nil {
			n += len(piece)
		}
	}
	return n, err
}

func (f *memberFile) read(piece []byte, off int64) error {
	file, err := f.run.member.env.FS.Open(f.run.member.folder.path("snap/" + f.name))
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if n, err := file.ReadAt(piece, off); n < len(piece) {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	return file.DropCache(off, int64(len(piece))) // it is read once, and would take memory from other uses
}

// pace waits until so many bytes may be read. A pause is not made up for.
func (r *backupRun) pace(ctx context.Context, bytes int) error {
	if wait := r.paced - r.now(); wait > 0 {
		if _, ok := r.wait(ctx, nil, wait); !ok {
			return ctx.Err()
		}
	} else {
		r.paced = r.now()
	}
	r.paced += time.Duration(bytes) * time.Second / limits.BackupBaseRate
	return nil
}

// waitFor is backupRun.wait, except in the simulator.
func waitFor(ctx context.Context, told logTold, d time.Duration) (one logAnswer, ok bool) {
	select {
	case <-ctx.Done():
		return one, false
	case one, ok = <-told:
		return one, ok
	case <-time.After(d):
		return one, told == nil
	}
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
