package actor

import (
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log"
	"qkv/log/limits"
)

// LogWriterConfig is what the log writer is built from.
type LogWriterConfig struct {
	Member       uint64
	Log          *log.Log
	Inbox        *Mailbox[LogWriterMessage]
	Consensus    *Mailbox[ConsensusMessage]
	Applier      *Mailbox[ApplierMessage]
	SegmentMaker *Mailbox[SegmentMakerMessage]
	Peers        Peers
	Status       *Status
	Yield        func()      // lets the senders run before the sync, so that all disks work at the same time
	Fail         func(error) // ends the member
	Logger       *slog.Logger
}

// LogWriter makes entries and votes durable. It owns the log: no other goroutine touches it.
//
// Invariants:
//
//  1. Orders reach the disk in the order in which consensus gave them.
//  2. A response leaves only after the sync that covers its order has returned, and after all responses before it.
//  3. A failed write or sync ends the member: after one, the page cache cannot be trusted.
//  4. While a snapshot is being restored nothing is written and nothing is answered.
type LogWriter struct {
	// Constant after construction.
	LogWriterConfig

	// Owned by the actor.
	queue     []LogWriterMessage
	restoring *report // held back until the applier has loaded the snapshot
	segments  *log.SegmentList
	ordered   int // spare files that the segment maker was asked for
	failed    bool
}

// ErrDisk is in the chain of errors of a disk that failed a write or a sync of the log, or does not answer.
var ErrDisk = errors.New("the disk failed")

// report is what one sync makes true.
type report struct {
	entries   []*raftpb.Entry
	positions []log.Position
	marker    *log.Marker
	responses []*raftpb.Message
	orders    int
}

// NewLogWriter builds the actor, and orders the first spare files.
func NewLogWriter(c LogWriterConfig) *LogWriter {
	w := &LogWriter{LogWriterConfig: c, segments: c.Log.Segments()}
	w.Status.publishDurable(w.Log.Stats())
	w.orderSpares()
	return w
}

// Handle implements Handler: one group and one sync for everything that waits.
func (w *LogWriter) Handle(_ Time, batch []LogWriterMessage) bool {
	w.queue = append(w.queue, batch...)
	for len(w.queue) > 0 && !w.failed {
		if w.restoring != nil {
			if !w.takeRestored() {
				return false
			}
			continue
		}
		if err := w.work(); err != nil {
			w.failed = true
			w.Fail(fmt.Errorf("%w: %w; what was acknowledged is safe, anything else is unknown: look at the disk before starting again", ErrDisk, err))
		}
	}
	return false
}

// work takes orders up to a group's limit, or up to one that brings a snapshot, and carries them out.
func (w *LogWriter) work() error {
	var r report
	needSync := false
	taken := 0
	for _, m := range w.queue {
		if w.Log.Pending() >= limits.GroupBytes {
			break
		}
		if a, ok := m.(Append); ok && a.Message.GetSnapshot() != nil && r.orders > 0 {
			break // what was ordered before a snapshot is not behind its marker
		}
		taken++
		switch m := m.(type) {
		case Append:
			needSync = w.append(m.Message, &r) || needSync
		case Release:
			w.Log.Release(m.UpTo)
			w.recycle()
		case Fence:
			w.Log.SetCommit(m.Commit)
			if err := w.Log.Fence(false); err != nil {
				return fmt.Errorf("write a fence: %w", err)
			}
		case SpareMade:
			w.ordered--
			w.Log.AddSpare(m.Name)
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
		positions, err := w.Log.Sync()
		if err != nil {
			return err
		}
		r.positions = positions
		w.Status.publishDurable(w.Log.Stats())
		w.orderSpares()
		w.recycle()
	}
	if r.marker != nil {
		w.restoring = &r
		w.Consensus.Deposit(Restoring{})
		w.Applier.Deposit(Restore{Index: r.marker.Index, Term: r.marker.Term, ConfState: r.marker.ConfState})
		return nil
	}
	w.tell(r)
	return nil
}

// append puts one order into the group, and says whether something must be synced before its responses leave. A new
// commit index alone rides in a later frame, and responses alone wait only for what was written before them.
func (w *LogWriter) append(m *raftpb.Message, r *report) (needSync bool) {
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

// takeRestored looks for the applier's report while everything else waits.
func (w *LogWriter) takeRestored() bool {
	for i, m := range w.queue {
		if _, ok := m.(Restored); ok {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			r := *w.restoring
			w.restoring = nil
			w.tell(r)
			return true
		}
	}
	return false
}

// tell sends the responses to the peers, in order, and reports the rest to consensus.
func (w *LogWriter) tell(r report) {
	if r.orders == 0 && w.Log.Segments() == w.segments {
		return
	}
	own := r.responses[:0]
	for _, m := range r.responses {
		if m.GetTo() == w.Member {
			own = append(own, m)
		} else {
			sendRaftMessage(w.Peers, m, false)
		}
	}
	done := Appended{Entries: r.entries, Positions: r.positions, Marker: r.marker, Responses: own, Orders: r.orders, FileBytes: w.Log.Stats().Bytes}
	if s := w.Log.Segments(); s != w.segments {
		w.segments, done.Segments = s, s
	}
	if len(w.queue) > 0 { // who is passed something waits for this turn's end, and so for the next sync
		w.Consensus.Deposit(done)
	} else {
		w.Consensus.Pass(done)
	}
}

// orderSpares keeps so many zero-filled files ready or on order that no append has to make its own.
func (w *LogWriter) orderSpares() {
	for w.Log.Stats().Spares+w.ordered < limits.SpareSegments {
		w.ordered++
		w.SegmentMaker.Deposit(MakeSpare{})
	}
}

// recycle hands files that nothing refers to any more to the segment maker.
func (w *LogWriter) recycle() {
	if names := w.Log.TakeReleased(); len(names) > 0 {
		w.SegmentMaker.Deposit(Recycle{Names: names})
	}
}

// Close says on the disk how far it is synced, and lets the files go. The actor must have been stopped.
func (w *LogWriter) Close() error {
	if w.failed {
		return nil // nothing may be written after a failure
	}
	if err := w.Log.Fence(true); err != nil {
		return fmt.Errorf("write the last fence: %w", err)
	}
	return w.Log.Close()
}
