package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
)

// LogWriterConfig is the configuration of the log writer.
type LogWriterConfig struct {
	Member       uint64
	Log          *log.Log
	Inbox        *Mailbox[LogWriterMessage]
	Consensus    *Mailbox[ConsensusMessage]
	Applier      *Mailbox[ApplierMessage]
	SegmentMaker *Mailbox[SegmentMakerMessage]
	Peers        Peers
	Status       *Status
	Limits       limits.Tunable
	Clock        func() Time // measures syncs; no decision depends on it
	Yield        func()      // lets the senders run before the sync: all disks then work at the same time
	Fail         func(error) // ends the member
	Logger       *slog.Logger
}

// LogWriter makes entries and votes durable. It owns the Log: no other actor touches it. The segment maker writes only the last page of
// segments that the log has left.
//
// Invariants:
//
//  1. Orders reach the disk in the order in which consensus gave them.
//  2. A response leaves only after the sync that covers its order has returned, and after all responses before it.
//  3. A failed write or sync ends the member: after a failure the page cache cannot be trusted.
//  4. While a snapshot is being restored nothing is written and no response leaves.
type LogWriter struct {
	// Constant after construction.
	LogWriterConfig

	// Owned by the actor.
	queue     []LogWriterMessage
	restoring *group // waits until the applier has the snapshot's state
	waiting   *group // waits for space on the disk
	segments  *log.SegmentList
	ordered   int   // spare files requested from the segment maker
	inlined   int64 // segments made by the log itself, as reported to the segment maker
	slow      slowSyncLog
	unapplied unapplied
	failed    bool
}

// ErrDisk is in the chain of errors of a disk that failed a write or a sync of the log, or does not respond.
var ErrDisk = errors.New("the disk failed")

// logSlack bounds an entry's overhead in the log, and includes a page.
const logSlack = 4 << 10

// group is what one sync makes durable: the entries and the responses of several orders.
type group struct {
	entries   []*raftpb.Entry
	positions []log.Position
	marker    *log.Marker
	state     *index.State // of the marker's snapshot
	responses []*raftpb.Message
	orders    int
}

// NewLogWriter builds the actor, and orders the first spare files.
func NewLogWriter(c LogWriterConfig) *LogWriter {
	w := &LogWriter{LogWriterConfig: c, segments: c.Log.Segments()}
	stats := w.Log.Stats()
	w.Status.publishDurable(stats)
	w.recycle()
	w.orderSpares(stats)
	return w
}

// Handle implements Handler. One turn writes one group and syncs once, up to the group's limit. The rest waits for the next turn, because
// consensus and the peers get this group's responses first.
func (w *LogWriter) Handle(_ Time, batch []LogWriterMessage) (again bool) {
	w.queue = append(w.queue, batch...)
	w.publishUnapplied()
	if w.failed || (w.restoring != nil && !w.takeRestored()) || len(w.queue) == 0 {
		return false
	}
	var err error
	if w.waiting != nil {
		err = w.retryWaiting()
	} else {
		err = w.writeGroup()
	}
	if errors.Is(err, log.ErrNoSpace) {
		w.setWaiting(true)
		return false // a spare, or the clock, triggers the next attempt
	}
	if err != nil {
		w.failed = true
		w.Fail(logFailed(err))
	}
	return len(w.queue) > 0 && !w.failed && w.restoring == nil && w.waiting == nil
}

// logFailed says that the log cannot continue, and what that means for acknowledged writes: synced data is on the disk, unless the log's
// files were deleted while the member ran. In that case the log wrote to files that no later start finds.
func logFailed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w; files of the log were removed while this member ran: acknowledged writes may be lost here, and are safe only if enough other members have them: docs/emergencies.md says under \"A lost member\" how to replace it", ErrDisk, err)
	}
	return fmt.Errorf("%w: %w; acknowledged writes are safe, the outcome of others is unknown: look at the disk before starting again", ErrDisk, err)
}

// writeGroup takes orders up to the group's limit, or up to a snapshot's order, writes their entries, and syncs once.
func (w *LogWriter) writeGroup() error {
	var r group
	needSync := false
	taken := 0
	for _, m := range w.queue {
		if a, ok := m.(appendOrder); ok && r.orders > 0 {
			if a.Message.GetSnapshot() != nil {
				break // an earlier order must not stand behind the snapshot's marker
			}
			bytes := w.Log.Pending() + entryBytes(a.Message.GetEntries())
			if bytes > w.Limits.GroupBytes {
				w.Limits.Reach("group bytes")
				break
			}
			// On a full disk, an order that needs another file may have to wait for space. It waits alone: all orders before it must be
			// applied, because only then can a snapshot free space.
			if w.Status.Disk().Full && !w.Log.Fits(bytes+logSlack*int64(1+len(a.Message.GetEntries()))) {
				break
			}
		}
		taken++
		switch m := m.(type) {
		case appendOrder:
			r.state = m.State
			needSync = w.append(m.Message, &r) || needSync
		case release:
			w.Log.Release(m.UpTo)
			w.recycle()
		case fence:
			w.Log.SetCommit(m.Commit)
			if err := w.Log.Fence(false); err != nil {
				return fmt.Errorf("write a fence: %w", err)
			}
		case spareMade:
			w.ordered--
			w.Log.AddSpare(m.Name)
			w.orderSpares(w.Log.Stats())
		case SegmentDamaged:
			w.Log.MarkDamaged(m.Name)
		case spaceChecked:
		default:
			panic(fmt.Sprintf("the log writer takes no %T", m))
		}
		if r.marker != nil {
			break
		}
	}
	w.queue = append(w.queue[:0], w.queue[taken:]...)
	if needSync {
		w.Yield()
		return w.sync(&r)
	}
	return w.finish(r)
}

// retryWaiting retries the waiting group after each message that may have freed space. All other messages wait, except an order with a
// snapshot: it contains the group's entries, and needs no more space than the page that is left.
func (w *LogWriter) retryWaiting() error {
	if i := slices.IndexFunc(w.queue, hasSnapshot); i >= 0 {
		return w.supersede(i)
	}
	again := false
	w.queue = slices.DeleteFunc(w.queue, func(m LogWriterMessage) bool {
		switch m := m.(type) {
		case spareMade:
			w.ordered--
			w.Log.AddSpare(m.Name)
		case release:
			w.Log.Release(m.UpTo)
			w.recycle()
		case spaceChecked:
		default:
			return false
		}
		again = true
		return true
	})
	if !again {
		return nil
	}
	r := w.waiting
	w.waiting = nil
	return w.sync(r)
}

func hasSnapshot(m LogWriterMessage) bool {
	a, ok := m.(appendOrder)
	return ok && a.Message.GetSnapshot() != nil
}

// supersede drops the entries that wait for space, and the entries of all orders before an order with a snapshot. Their terms and
// responses remain. raft takes a snapshot only if the log contradicts it or ends before it, so these responses are true of the snapshot,
// or belong to an earlier term.
func (w *LogWriter) supersede(to int) error {
	r := w.waiting
	w.waiting = nil
	if r.marker == nil {
		w.Log.Forget()
	}
	r.entries = nil
	var kept []LogWriterMessage
	for _, m := range w.queue[:to] {
		a, ok := m.(appendOrder)
		if !ok {
			kept = append(kept, m)
			continue
		}
		w.append(&raftpb.Message{Term: a.Message.Term, Vote: a.Message.Vote, Commit: a.Message.Commit, Responses: a.Message.Responses}, r)
	}
	a := w.queue[to].(appendOrder)
	r.state = a.State
	w.append(a.Message, r)
	w.queue = append(kept, w.queue[to+1:]...)
	return w.sync(r)
}

// setWaiting publishes whether the log waits for space, before anything depends on that.
func (w *LogWriter) setWaiting(waits bool) {
	if w.Status.Disk().LogWaits == waits {
		return
	}
	w.Status.reportDisk(func(d *space.Disk) { d.LogWaits = waits })
	if waits {
		w.Logger.Error("no space left on the disk for the log: writes wait until there is space; free space on the disk")
	} else {
		w.Logger.Info("the disk has space for the log again")
	}
}

// sync makes the group durable and reports it. A group that does not fit on the disk is kept.
func (w *LogWriter) sync(r *group) error {
	w.unapplied.add(r.entries)
	w.publishUnapplied()
	began, bytes := w.Clock().Now, w.Log.Pending()
	followed := w.Status.Observer.Stages.among(r.entries)
	if followed {
		w.Status.Observer.Stages.syncBegun.Store(int64(began))
	}
	w.Status.Observer.syncSince.Store(int64(began))
	positions, err := w.Log.Sync()
	w.Status.Observer.syncSince.Store(0)
	if errors.Is(err, log.ErrNoSpace) {
		w.waiting = r
		w.orderSpares(w.Log.Stats())
		w.recycle()
	}
	if err != nil {
		return err
	}
	now := w.Clock().Now
	if followed {
		w.Status.Observer.Stages.syncEnded.Store(int64(now))
	}
	w.Status.Observer.synced(now, now-began)
	w.Status.Observer.Counters.SyncBytes.Add(bytes)
	w.slow.add(w.Logger, now, now-began, bytes)
	r.positions = positions
	stats := w.Log.Stats()
	w.Status.publishDurable(stats)
	w.orderSpares(stats)
	w.recycle()
	w.setWaiting(false)
	return w.finish(*r)
}

// finish sends the responses of a synced group, or first has the applier restore its snapshot.
func (w *LogWriter) finish(r group) error {
	if r.marker != nil {
		w.restoring = &r
		w.Consensus.MustPost(restoring{})
		w.Applier.MustPost(restore{Index: r.marker.Index, State: r.state})
		return nil
	}
	w.sendResponses(r)
	return nil
}

// append puts one order into the group, and reports whether a sync must precede its responses. A new commit index alone is written with a
// later frame. Responses alone wait only for earlier writes.
func (w *LogWriter) append(m *raftpb.Message, r *group) (needSync bool) {
	r.orders++
	r.responses = append(r.responses, m.GetResponses()...)
	if s := m.GetSnapshot(); s != nil {
		meta := s.GetMetadata()
		r.marker = &log.Marker{Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: meta.GetConfState()}
		w.Log.Reset(*r.marker)
		needSync = true
	}
	var hs *log.HardState
	if m.Term != nil && m.GetTerm() != 0 {
		hs = &log.HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
	}
	if hs != nil || len(m.GetEntries()) > 0 {
		w.Log.Append(hs, m.GetEntries())
	}
	r.entries = append(r.entries, m.GetEntries()...)
	return needSync || len(m.GetEntries()) > 0 || (len(m.GetResponses()) > 0 && w.Log.Unsynced())
}

// takeRestored looks for the applier's report; all other messages wait.
func (w *LogWriter) takeRestored() bool {
	for i, m := range w.queue {
		if _, ok := m.(stateRestored); ok {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			r := *w.restoring
			w.restoring = nil
			// the log begins behind the snapshot; older segments would otherwise stay until the next snapshot
			w.Log.Release(r.marker.Index)
			w.recycle()
			w.sendResponses(r)
			return true
		}
	}
	return false
}

// sendResponses sends a group's responses to the peers, in order, and reports the group and raft's responses to itself to consensus.
func (w *LogWriter) sendResponses(r group) {
	if r.orders == 0 && w.Log.Segments() == w.segments {
		return
	}
	own := r.responses[:0]
	for _, m := range r.responses {
		if m.GetTo() == w.Member {
			own = append(own, m)
		} else {
			sendRaftMessage(w.Peers, m, 0, false)
		}
	}
	stats := w.Log.Stats()
	done := appended{Entries: r.entries, Positions: r.positions, Marker: r.marker, Responses: own, Orders: r.orders, Commit: stats.HardState.Commit, FileBytes: stats.Bytes}
	if s := w.Log.Segments(); s != w.segments {
		w.segments, done.Segments = s, s
	}
	// a receiver that runs in this goroutine would wait for the end of this turn, and so for the next sync
	if len(w.queue) > 0 {
		w.Consensus.MustPost(done)
	} else {
		w.Consensus.postAndYield(done)
	}
}

// publishUnapplied publishes the bytes of the log that are not applied yet.
func (w *LogWriter) publishUnapplied() {
	if view := w.Status.View(); view != nil {
		applied, _ := view.Applied()
		w.Status.reportDisk(func(d *space.Disk) { d.Unapplied = w.unapplied.bytesAfter(applied) })
	}
}

// unapplied tracks the written entries that may not be applied yet: the index of each report's last entry, and the bytes of all reports
// up to it.
type unapplied struct {
	reports []unappliedReport
	bytes   int64 // of all entries ever added
	applied int64 // of the removed reports
}

type unappliedReport struct {
	last  uint64
	bytes int64
}

// add adds entries. They replace all earlier entries from the first one's index on.
func (u *unapplied) add(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	n := len(u.reports)
	for n > 0 && u.reports[n-1].last >= entries[0].GetIndex() {
		n--
	}
	if u.reports = u.reports[:n]; n > 0 {
		u.bytes = u.reports[n-1].bytes
	} else {
		u.bytes = u.applied
	}
	u.bytes += entryBytes(entries)
	u.reports = append(u.reports, unappliedReport{entries[len(entries)-1].GetIndex(), u.bytes})
}

// bytesAfter returns the bytes of the entries after an index, with the precision of reports.
func (u *unapplied) bytesAfter(applied uint64) int64 {
	n := 0
	for n < len(u.reports) && u.reports[n].last <= applied {
		u.applied = u.reports[n].bytes
		n++
	}
	if u.reports = dropFirst(u.reports, n); len(u.reports) == 0 {
		return 0
	}
	return u.bytes - u.applied
}

// orderSpares keeps enough zero-filled files ready or on order: no append then has to make its own.
func (w *LogWriter) orderSpares(stats log.Stats) {
	w.Status.reportDisk(func(d *space.Disk) { d.Spares, d.Quarters = int64(stats.Spares), int32(stats.Quarters) })
	if stats.Inline != w.inlined {
		w.inlined = stats.Inline
		w.SegmentMaker.MustPost(inlined{})
	}
	for stats.Spares+w.ordered < limits.SpareSegments {
		w.ordered++
		w.SegmentMaker.MustPost(makeSpare{})
	}
}

// recycle hands unreferenced files to the segment maker. First it reports the segments that were begun, because the page that names a
// segment may be in one of these files.
func (w *LogWriter) recycle() {
	if pages := w.Log.TakeNextPages(); len(pages) > 0 {
		w.SegmentMaker.MustPost(nextSegments{Pages: pages})
	}
	if r := (recycle{Names: w.Log.TakeReleased(), Damaged: w.Log.TakeDamaged()}); len(r.Names)+len(r.Damaged) > 0 {
		w.Status.publishDurable(w.Log.Stats()) // the log's size without these files
		w.SegmentMaker.MustPost(r)
	}
}

// Close records on the disk how far the log is synced, and closes the files. The actor must have been stopped.
func (w *LogWriter) Close() error {
	if w.failed {
		return nil // nothing may be written after a failure
	}
	if err := w.Log.Fence(true); err != nil {
		return fmt.Errorf("write the last fence: %w", err)
	}
	return w.Log.Close()
}
