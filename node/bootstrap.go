package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/snapshot"
)

// Every log begins with a marker at foundingIndex. A founder's marker has foundingTerm and the founders as voters. A joiner's marker has
// another term and no members: no leader's log continues it, so a snapshot must come first.
const (
	foundingIndex = 1
	foundingTerm  = 1
	joiningTerm   = 0
)

// storage is log and snapshots in a data folder, of a starting member or for an operator's command.
type storage struct {
	folder       *folder
	random       io.Reader
	limits       limits.Tunable
	segmentBytes int64
	version      string
	reserve      func() int64 // as log.Options'; nil where no member runs
	background   func(func()) // as environment's
	memory       int64        // as environment's
	logger       *slog.Logger
	repairs      repairs
	salvage      bool            // a snapshot that lacks a part is used without it, if there is no other
	made         *snapshot.Shelf // of the snapshot that make has made
	state        *index.State    // of the newest snapshot, if this process has it: it is not loaded
}

// recovered is everything that a member has recovered at its start.
type recovered struct {
	log         *log.Log
	window      *log.Window
	hardState   log.HardState
	state       *index.State
	applied     uint64
	confState   *raftpb.ConfState
	memory      *index.Reserve     // of the state, if it came from a snapshot
	newest      *raftpb.Snapshot   // nil before the first snapshot
	snapshots   []snapshot.Info    // valid ones, newest first
	lacking     []*lacksPart       // snapshots with a part that no member gave
	salvaged    *snapshot.Salvaged // the state has the sound rest of one of them
	left        int64              // the number of its keys
	useless     []snapshot.Info    // published, but not continued by the log
	interrupted actor.Interrupted  // of a transfer that was interrupted
	suspended   actor.Suspension   // why this member takes no part
	// the entry up to which the log may be damaged, in a part covered by a snapshot; 1: a snapshot was; 0: nothing was
	damaged uint64
	alarms  []kv.Alarm
}

// recover founds the log of a new member, or reads the data of an earlier run: first the log, then the newest snapshot that the log
// continues. Entries after the snapshot are applied again, through raft.
func (s *storage) recover() (*recovered, error) {
	options := s.logOptions()
	founders := s.folder.founders()
	marker := log.Marker{Index: foundingIndex, Term: joiningTerm, ConfState: actor.ConfStateOf(founders.Configuration())}
	if len(founders.All()) > 0 {
		marker.Term = foundingTerm
	}
	if s.folder.Boot == 0 {
		if err := s.createLog(options, marker); err != nil {
			return nil, err
		}
	}
	ahead := s.loadAhead()
	opened, found, err := log.Open(options)
	if errors.Is(err, damage.ErrDamaged) {
		opened, found, err = s.openCovered(options, err, ahead)
	}
	if err != nil {
		ahead.abandon()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, damage.At(s.folder.path("wal"), 0, "the log is missing (%v): mount the disk that it is on, or %s", err, damage.PutBack)
		}
		return nil, err // it names the log
	}
	r := &recovered{}
	r.take(opened, found)
	if found.Torn != nil {
		r.alarms = append(r.alarms, kv.Alarm{Name: kv.TornNotice, Text: fmt.Sprintf("torn write at the end of the log: %v", found.Torn)})
	}
	if err := s.loadState(r, found, ahead); err != nil {
		return nil, errors.Join(err, r.log.Close())
	}
	if found.Skipped != nil {
		r.log.Release(found.First - 1) // the snapshots cover the damaged entries
		r.damaged = found.Last
		text := fmt.Sprintf("the log was damaged below the snapshot at index %d, which covers it; nothing is lost, but look at the disk: %v", r.applied, found.Skipped)
		s.logger.Error(text)
		r.alarms = append(r.alarms, kv.Alarm{Name: kv.CorruptAlarm, Subject: s.folder.path("wal"), Text: text})
	}
	r.alarms = append(r.alarms, s.repairs.alarms...)
	return r, nil
}

// take takes over a log that was opened.
func (r *recovered) take(opened *log.Log, found *log.Recovered) {
	r.log, r.window, r.hardState = opened, found.Window, found.HardState
	if r.hardState.Term < found.Marker.Term {
		r.hardState = log.HardState{Term: found.Marker.Term, Commit: found.Marker.Index}
	}
	r.hardState.Commit = max(r.hardState.Commit, found.Marker.Index)
}

// openCovered opens a damaged log again, with the newest loadable snapshot: damage wholly at or below the snapshot ends no member. It
// returns the damage if there is no such snapshot, or if it does not cover all of the damage.
func (s *storage) openCovered(o log.Options, fault error, ahead *loading) (*log.Log, *log.Recovered, error) {
	listing, err := snapshot.List(s.folder.fs, s.folder.path("snap"))
	if err != nil {
		return nil, nil, fault
	}
	for _, info := range listing.Published {
		if info.Err != nil || info.Cluster != s.folder.Cluster {
			continue
		}
		if ahead != nil && ahead.path == info.Path {
			if err = ahead.wait().err; err != nil { // otherwise loaded once: the machine may lack memory for two states
				ahead.abandon()
			}
		} else {
			err = s.loads(info)
		}
		if err != nil && len(info.Parts) > 0 {
			if repaired, failed := s.repairParts(info); repaired && failed == nil {
				err = s.loads(info)
			}
		}
		if err != nil {
			continue
		}
		o.Covered = info.Index
		opened, found, err := log.Open(o)
		if err != nil {
			return nil, nil, fault
		}
		return opened, found, nil
	}
	return nil, nil, fault
}

// loads returns why a snapshot cannot be loaded.
func (s *storage) loads(info snapshot.Info) error {
	tried := s.load(info)
	defer tried.abandon()
	return tried.wait().err
}

// createLog makes the initial log of every member of a new cluster. A crash before the first boot leaves a log without entries.
func (s *storage) createLog(o log.Options, marker log.Marker) error {
	names, err := s.folder.fs.List(o.Dir)
	if len(names) > 0 {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = log.Create(o, marker)
	}
	if err != nil {
		return fmt.Errorf("create the log: %w", err)
	}
	return nil
}

// loading is a snapshot being loaded. With a background, another goroutine loads it. Otherwise, or if that goroutine has not begun, the
// waiting goroutine does.
type loading struct {
	path    string
	reserve *index.Reserve
	wait    func() loaded
}

type loaded struct {
	state *index.State
	meta  snapshot.Meta
	err   error
}

func (s *storage) load(info snapshot.Info) *loading {
	l := &loading{path: info.Path, reserve: index.NewReserve()}
	if state := s.state; state != nil {
		s.state, l.wait = nil, func() loaded { return loaded{state: state, meta: info.Meta} }
		return l
	}
	files := s.folder.fs
	if s.background != nil {
		files = readingAhead{files, s.background}
	}
	l.wait = sync.OnceValue(func() (got loaded) {
		defer func() {
			got.err = outOfMemory(recover(), got.err)
		}()
		got.state, got.meta, got.err = snapshot.LoadIn(l.reserve, s.folder.fs, files, info.Path, s.limits.Index)
		return got
	})
	s.warnOfMemory(info)
	if s.background != nil {
		s.fill(l.reserve, info.Live)
		wait := l.wait // abandon replaces it
		s.background(func() { wait() })
	}
	return l
}

// outOfMemory returns the error of a load that panics for want of memory. Other panics go on.
func outOfMemory(panicked any, err error) error {
	out, is := panicked.(*index.OutOfMemory)
	if panicked != nil && !is {
		panic(panicked)
	}
	if is {
		return out
	}
	return err
}

// warnOfMemory says before a load that the memory may not suffice: a limit of a control group kills the process without a word.
func (s *storage) warnOfMemory(info snapshot.Info) {
	if s.memory > 0 && info.Live > stateMemory(s.memory) {
		s.logger.Warn("the state may need more memory than this process may use: if the process is killed while it starts, raise its limit", "state_bytes", info.Live, "memory_bytes", s.memory)
	}
}

// loadAhead begins to load the newest snapshot of the folder while the log is read, if possible: the log almost always continues this
// snapshot. Errors of the folder are found again, and reported, after the log is read.
func (s *storage) loadAhead() *loading {
	if s.background == nil {
		return nil
	}
	listing, err := snapshot.List(s.folder.fs, s.folder.path("snap"))
	if err != nil || len(listing.Published) == 0 {
		return nil
	}
	if newest := listing.Published[0]; newest.Err == nil && newest.Cluster == s.folder.Cluster {
		return s.load(newest)
	}
	return nil
}

// discardTries is how many collections of garbage abandon waits for. One is usually enough.
const discardTries = 20

// abandon waits until the file is no longer read, and frees the memory at once: another snapshot may be loaded next, and a control group may have
// room for one state alone.
func (l *loading) abandon() {
	if l != nil {
		err := l.wait().err
		l.wait = func() loaded { return loaded{err: err} }
		for try := 0; try < discardTries && !l.reserve.Discard(); try++ {
			runtime.GC()
			time.Sleep(time.Millisecond) // the collector's cleanups run in a goroutine of their own
		}
	}
}

// loadState finds the newest snapshot that the log continues, and loads it unless it was loaded ahead. Received but never installed files
// are removed: the log does not know them. Damaged files are moved aside.
func (s *storage) loadState(r *recovered, found *log.Recovered, ahead *loading) error {
	defer func() {
		if ahead != nil && ahead.reserve != r.memory {
			ahead.abandon()
		}
	}()
	dir := s.folder.path("snap")
	err := s.folder.fs.MkdirAll(dir)
	if errors.Is(err, syscall.ENOTDIR) {
		return damage.At(dir, 0, "it is not a folder with snapshots: %s", damage.PutBack)
	}
	if err != nil {
		return fmt.Errorf("make the folder of snapshots: %w", err)
	}
	if err := s.folder.fs.SyncDir(s.folder.dir); err != nil {
		return fmt.Errorf("make the folder of snapshots durable: %w", err)
	}
	listing, err := snapshot.List(s.folder.fs, dir)
	if err != nil {
		return err
	}
	for _, path := range listing.Abandoned {
		if err := snapshot.Remove(s.folder.fs, path); err != nil {
			return err
		}
	}
	// only the newest may be continued, and a snapshot only if it is beyond the log; a repair removes the file, and the transfer's parts stay
	if i := slices.IndexFunc(listing.Partial, func(one snapshot.Partial) bool { return one.Part || one.Index > found.Last }); i >= 0 {
		r.interrupted.Partial = listing.Partial[i].Path
	}
	for _, info := range listing.Published {
		if err := s.consider(r, found, info, ahead); err != nil {
			return err
		}
	}
	if r.state == nil {
		switch err := s.initializeState(r, found); {
		case err == nil:
		case len(r.lacking) > 0 && s.salvage: // no file of the folder may be removed or moved
			return s.salvageState(r)
		case len(r.lacking) > 0:
			// as long as it fails, a file that may help a repair must not be removed
			if err := s.takeNewest(r, found); err != nil {
				return err
			}
		default:
			return err
		}
	}
	for _, one := range r.lacking { // an older snapshot, and the log behind it, have everything
		if err := s.putAside(r, one.info, one); err != nil {
			return err
		}
	}
	if listing, err = snapshot.List(s.folder.fs, dir); err != nil { // parts may have been fetched
		return err
	}
	for _, one := range listing.Partial {
		if one.Path == r.interrupted.Partial {
			continue
		}
		if err := snapshot.Remove(s.folder.fs, one.Path); err != nil {
			return err
		}
	}
	for _, info := range r.useless {
		if err := snapshot.Remove(s.folder.fs, info.Path); err != nil {
			return err
		}
	}
	if err := s.removeParts(r, listing.Parts); err != nil || s.repairs.seed == nil || !s.joins(r) {
		return err
	}
	return s.seed(r)
}

// removeParts removes the parts that no usable snapshot lists. They are kept if they came for a snapshot that has not arrived: by the leader's
// transfer, or by a --seed that was interrupted.
func (s *storage) removeParts(r *recovered, paths []string) error {
	listed := map[string]bool{}
	for _, info := range r.snapshots {
		for _, p := range info.Parts {
			listed[s.folder.path("snap/"+p.Name())] = true
		}
	}
	for _, path := range paths {
		if listed[path] {
			continue
		}
		if r.interrupted.Partial == "" && !s.joins(r) {
			if err := snapshot.Remove(s.folder.fs, path); err != nil {
				return err
			}
			continue
		}
		one, err := snapshot.PartAt(s.folder.fs, path)
		if err != nil {
			return fmt.Errorf("%w; if it stays, move that file away by hand", err)
		}
		r.interrupted.Parts = append(r.interrupted.Parts, one)
	}
	return nil
}

// initializeState begins with the empty state, which only a complete log continues.
func (s *storage) initializeState(r *recovered, found *log.Recovered) error {
	if found.Marker.Index != foundingIndex || found.First != foundingIndex+1 {
		behind := ""
		if found.Behind != "" {
			behind = " behind " + found.Behind + ", which is missing"
		}
		return fmt.Errorf("%w: the log of %s begins with index %d%s, and no valid snapshot reaches that index: %s",
			damage.ErrDamaged, s.folder.dir, found.First, behind, damage.PutBack)
	}
	r.state = index.NewState(s.limits.Index)
	snapshot.NewShelf(nil).Attach(r.state)
	r.state.Found(s.folder.founders())
	if _, err := r.state.Apply(foundingIndex, found.Marker.Term, nil, nil); err != nil {
		return fmt.Errorf("initialize the state: %w", err)
	}
	r.applied, r.confState = foundingIndex, found.Marker.ConfState
	return nil
}

// consider loads a snapshot if it is the first usable one, keeps a second one, and notes useless ones.
func (s *storage) consider(r *recovered, found *log.Recovered, info snapshot.Info, ahead *loading) error {
	if info.Err != nil {
		if r.state != nil && !errors.Is(info.Err, damage.ErrDamaged) && !errors.Is(info.Err, damage.ErrFormat) {
			s.keepUnread(r, found, info)
			return nil
		}
		return s.putAside(r, info, info.Err)
	}
	if info.Member == s.folder.Member && info.Index > found.Last {
		return fmt.Errorf("%w: this member saved the snapshot %s at index %d, but its log ends at %d: the newest files of the log are missing; "+
			"%s", damage.ErrDamaged, info.Path, info.Index, found.Last, damage.PutBack)
	}
	if info.Cluster != s.folder.Cluster {
		return usagef("the snapshot %s belongs to cluster %016x, this is cluster %016x", info.Path, info.Cluster, s.folder.Cluster)
	}
	if !continues(found, info) || len(r.snapshots) == 2 {
		r.useless = append(r.useless, info)
		return nil
	}
	if r.state == nil {
		if err := s.use(r, found, info, ahead); err != nil || r.state == nil {
			return err
		}
	}
	r.snapshots = append(r.snapshots, info)
	return nil
}

// use loads a snapshot. Without an error and a state, the snapshot was moved aside, or lacks a part.
func (s *storage) use(r *recovered, found *log.Recovered, info snapshot.Info, ahead *loading) error {
	loading := ahead
	if loading == nil || loading.path != info.Path {
		ahead.abandon()
		loading = s.load(info)
	}
	s.fill(loading.reserve, min(behind(r, found, info), info.Live))
	got := loading.wait()
	if out, is := errors.AsType[*index.OutOfMemory](got.err); is {
		return fmt.Errorf("the snapshot %s of %d bytes cannot be loaded: %w, and start again; nothing is lost", info.Path, info.Whole(), out)
	}
	if got.err != nil {
		loading.abandon()
		repaired, err := s.repairParts(info)
		if lacks, ok := errors.AsType[*lacksPart](err); ok {
			r.lacking = append(r.lacking, lacks)
			return nil
		}
		if err != nil {
			return fmt.Errorf("the parts of the snapshot %s cannot be repaired: %w: look at the disk, and start again", info.Path, err)
		}
		if !repaired {
			return s.putAside(r, info, got.err)
		}
		loading = s.load(info)
		if got = loading.wait(); got.err != nil {
			loading.abandon()
			return s.putAside(r, info, got.err)
		}
	}
	confState, err := configurationIn(got.state, got.meta)
	if err != nil {
		got.state = nil
		loading.abandon()
		return s.putAside(r, info, err)
	}
	at, term := got.meta.Index, got.meta.Term
	snapshot.ShelfOf(got.state).Attach(got.state)
	r.state, r.applied, r.confState, r.memory = got.state, at, confState, loading.reserve
	r.newest = &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &at, Term: &term, ConfState: confState}}
	return nil
}

// keepUnread keeps an older snapshot that the disk cannot read now as a usable one: the newer one holds everything, and the older one is
// deleted when there is another.
func (s *storage) keepUnread(r *recovered, found *log.Recovered, info snapshot.Info) {
	text := fmt.Sprintf("an older snapshot cannot be read; nothing is lost, and it is deleted when the next one is saved: look at the disk: %v", info.Err)
	s.logger.Error(text)
	r.alarms = append(r.alarms, kv.Alarm{Name: kv.CorruptAlarm, Subject: info.Path, Text: text})
	if !continues(found, info) || len(r.snapshots) == 2 {
		r.useless = append(r.useless, info)
		return
	}
	r.snapshots = append(r.snapshots, info)
}

// fill prepares memory for a snapshot's or a log's bytes. For the log behind a snapshot, at most the snapshot's size is prepared: later
// entries reuse the memory of compacted ones.
func (s *storage) fill(reserve *index.Reserve, bytes int64) {
	if s.background == nil || bytes <= 0 {
		return
	}
	reserve.Prepare(bytes, s.memory/4, s.background)
}

// behind estimates the bytes of the log behind a snapshot.
func behind(r *recovered, found *log.Recovered, info snapshot.Info) int64 {
	if found.Last <= info.Index || info.Index < found.First {
		return 0
	}
	part := float64(found.Last-info.Index) / float64(found.Last-found.First+1)
	return int64(part * float64(r.log.Stats().Bytes))
}

// continues reports whether the log continues a snapshot: the log has the snapshot's marker, or an entry of the same term at its index.
// If the log has released the entries before its first ones, it does not know the term before them. But it releases only committed
// entries, and a snapshot holds only committed entries.
func continues(found *log.Recovered, info snapshot.Info) bool {
	if info.Index == found.Marker.Index {
		return info.Term == found.Marker.Term
	}
	term, err := found.Window.Term(info.Index)
	if errors.Is(err, raft.ErrCompacted) && info.Index+1 == found.First {
		found.Window.Release(info.Index, info.Term)
		return true
	}
	return err == nil && term == info.Term && info.Index > found.Marker.Index
}

// putAside moves a damaged snapshot aside. The snapshot before it, and the log behind that one, still hold everything. A snapshot that
// the disk could not read now may be intact, and is not touched.
func (s *storage) putAside(r *recovered, info snapshot.Info, why error) error {
	if errors.Is(why, damage.ErrFormat) {
		return fmt.Errorf("the snapshot %s cannot be read: %w", info.Path, why)
	}
	if !errors.Is(why, damage.ErrDamaged) {
		return fmt.Errorf("the snapshot %s cannot be read, and was not moved: %w: look at the disk, and start again; if it still cannot be read, move that file away: "+
			"an older snapshot, with the log after it, may be enough", info.Path, why)
	}
	to, err := snapshot.SetAside(s.folder.fs, info.Path, s.folder.path("damaged"))
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("move the damaged snapshot %s aside (%w): %w", info.Path, why, err)
	}
	text := fmt.Sprintf("a damaged snapshot was moved to %s: %v", to, why)
	if err != nil { // a start needs no space: the file is not used, wherever it is, and the next start moves it
		text = fmt.Sprintf("a damaged snapshot is not used, and cannot be moved aside because no space is left on the disk: free space: %v; %v", why, err)
	}
	s.logger.Error(text)
	r.damaged, r.alarms = max(r.damaged, 1), append(r.alarms, kv.Alarm{Name: kv.CorruptAlarm, Subject: info.Path, Text: text})
	return nil
}

func (s *storage) logOptions() log.Options {
	return log.Options{
		FS: s.folder.fs, Dir: s.folder.path("wal"), Cluster: s.folder.Cluster, Member: s.folder.Member,
		SegmentBytes: s.segmentBytes, WindowBytes: s.limits.WindowBytes, Salt: s.salt, Reserve: s.reserve, Logger: s.logger,
	}
}

// salt returns unpredictable randomness.
func (s *storage) salt() uint64 {
	var b [8]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		panic(fmt.Sprintf("no randomness: %v", err))
	}
	return binary.BigEndian.Uint64(b[:])
}

// configurationIn returns raft's configuration in a snapshot, which must agree with the snapshot's member records.
func configurationIn(state *index.State, meta snapshot.Meta) (*raftpb.ConfState, error) {
	confState := &raftpb.ConfState{}
	if err := proto.Unmarshal(meta.ConfState, confState); err != nil {
		return nil, fmt.Errorf("%w: its configuration: %w", damage.ErrDamaged, err)
	}
	if err := confState.Equivalent(actor.ConfStateOf(state.Members().Configuration())); err != nil {
		return nil, fmt.Errorf("%w: its configuration is not that of its members: %w", damage.ErrDamaged, err)
	}
	return confState, nil
}
