package actor

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/log/limits"
)

// ApplierConfig is what the applier is built from.
type ApplierConfig struct {
	Member      uint64
	Incarnation uint64
	State       *index.State
	ConfState   *raftpb.ConfState
	Inbox       *Mailbox[ApplierMessage]
	Consensus   *Mailbox[ConsensusMessage]
	LogWriter   *Mailbox[LogWriterMessage]
	Snapshotter *Mailbox[SnapshotterMessage]
	// Load reads a published snapshot.
	Load             func(index, term uint64) (*index.State, error)
	Status           *Status
	SnapshotBytes    int64 // least bytes of new records before a snapshot; 0 is limits.SnapshotBytes
	SnapshotInterval time.Duration
	Fail             func(error)
	Logger           *slog.Logger
}

// Applier turns committed entries into state. It owns the state, and what this member's clients wait for.
//
// Invariants:
//
//  1. Entries are applied in order, each once; state and applied index change in one step.
//  2. The View is published before any outcome is handed out: who sees an answer can read what it says.
//  3. Each request that was expected gets exactly one outcome.
//  4. A read is let go on only after its index is in the published View.
type Applier struct {
	// Constant after construction.
	ApplierConfig

	// Owned by the actor.
	pending    pending
	reads      []Confirmed // index not applied yet, in order of arrival
	done       outcomes
	results    []index.Result
	changed    bool
	failed     bool
	saving     bool
	saved      time.Duration // when the last snapshot was begun
	savedBytes int64         // what the state weighed then
	records    int64         // bytes of records since the last snapshot
	fileBytes  int64
	// confWaits holds snapshots back from a membership entry until consensus has told its outcome.
	confWaits bool
}

// recordOverhead is what a record costs in the log beside its data, about.
const recordOverhead = 48

// NewApplier builds the actor and publishes the first View.
func NewApplier(c ApplierConfig) *Applier {
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = limits.SnapshotBytes
	}
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = limits.SnapshotInterval
	}
	view := c.State.View()
	c.Status.view.Store(view)
	return &Applier{ApplierConfig: c, saved: -c.SnapshotInterval, savedBytes: view.LiveBytes() + view.HistoryBytes()}
}

// Handle implements Handler.
func (a *Applier) Handle(t Time, batch []ApplierMessage) bool {
	var reports []ConsensusMessage
	restored := false
	for _, m := range batch {
		if a.failed {
			return false
		}
		switch m := m.(type) {
		case Apply:
			reports = append(reports, a.apply(m))
		case Expect:
			a.pending.add(m)
		case Expire:
			a.pending.expire(t.Now, &a.done)
			a.expireReads(t.Now)
		case Confirmed:
			a.reads = append(a.reads, m)
		case Restore:
			a.restore(m)
			restored = true
		case ConfStateChanged:
			a.ConfState, a.confWaits = m.ConfState, false
		case SaveEnded:
			a.saving = false
		default:
			panic(fmt.Sprintf("the applier takes no %T", m))
		}
	}
	if a.failed {
		return false
	}
	if a.changed {
		a.Status.view.Store(a.State.View())
		a.changed = false
	}
	a.letReadsGo()
	a.done.handOut()
	for _, r := range reports {
		a.Consensus.Pass(r)
	}
	if restored {
		a.LogWriter.Deposit(Restored{})
	}
	a.save(t)
	return false
}

// apply applies the entries of one order.
func (a *Applier) apply(m Apply) ConsensusMessage {
	a.fileBytes = m.FileBytes
	for _, e := range m.Message.GetEntries() {
		if err := a.applyEntry(e); err != nil {
			a.failed = true
			a.Fail(fmt.Errorf("entry %d of term %d cannot be applied: %w", e.GetIndex(), e.GetTerm(), err))
			break
		}
	}
	return Applied{Response: m.Message.GetResponses()[0]}
}

func (a *Applier) applyEntry(e *raftpb.Entry) error {
	data := e.GetData()
	if e.GetType() != raftpb.EntryNormal {
		data, a.confWaits = nil, true
	}
	a.pending.passTerm(e.GetTerm(), &a.done)
	results, err := a.State.Apply(e.GetIndex(), e.GetTerm(), data, a.results[:0])
	if err != nil {
		return err
	}
	a.changed = true
	a.results = results
	a.records += int64(len(data)) + recordOverhead
	if len(results) > 0 && a.pending.any() {
		envelope, err := index.ReadEnvelope(data)
		if err != nil {
			return err
		}
		if envelope.Member == a.Member && envelope.Incarnation == a.Incarnation {
			a.pending.resolve(envelope.First, results, &a.done)
		}
	}
	return nil
}

// letReadsGo tells the connections which reads may be answered from the View that was just published.
func (a *Applier) letReadsGo() {
	applied, _ := a.State.Applied()
	kept := a.reads[:0]
	for _, r := range a.reads {
		if r.Index > applied {
			kept = append(kept, r)
			continue
		}
		for _, ask := range r.Asks {
			a.done.add(ask.From, index.Done{Request: ask.Request, Kind: index.Confirmed})
		}
	}
	clear(a.reads[len(kept):])
	a.reads = kept
}

// expireReads answers reads whose index has not come in their time: a member that has much to catch up with.
func (a *Applier) expireReads(now time.Duration) {
	a.reads = slices.DeleteFunc(a.reads, func(r Confirmed) bool {
		if now < r.Until {
			return false
		}
		for _, ask := range r.Asks {
			a.done.add(ask.From, index.Done{Request: ask.Request, Kind: index.Confirmed, Err: errBehind})
		}
		return true
	})
}

// restore replaces the state by a published snapshot's.
func (a *Applier) restore(m Restore) {
	state, err := a.Load(m.Index, m.Term)
	if err != nil {
		a.failed = true
		a.Fail(fmt.Errorf("the snapshot at index %d that the leader sent cannot be loaded: %w", m.Index, err))
		return
	}
	a.State, a.ConfState, a.confWaits = state, m.ConfState, false
	a.changed = true
	view := state.View()
	a.records, a.savedBytes = 0, view.LiveBytes()+view.HistoryBytes()
	a.pending.abandon(&a.done)
}

// save asks for a snapshot when the records since the last one outweigh the state of that time, so that what is written
// for snapshots stays below what is written to the log, and a restart applies less than it loads; or when the log's
// files have grown to four times that. Never before the last one is done; not soon after it either, unless the
// records outweigh it twice.
func (a *Applier) save(t Time) {
	if a.saving || a.confWaits {
		return
	}
	view := a.Status.view.Load()
	size := view.LiveBytes() + view.HistoryBytes()
	worth := max(min(size, a.savedBytes), a.SnapshotBytes)
	due := a.records > worth || (a.fileBytes > 4*worth && a.records > a.SnapshotBytes/4)
	if !due || (t.Now-a.saved < a.SnapshotInterval && a.records <= 2*worth) {
		return
	}
	applied, term := view.Applied()
	a.saving, a.saved, a.savedBytes, a.records = true, t.Now, size, 0
	a.Snapshotter.Deposit(Save{View: view, Index: applied, Term: term, ConfState: a.ConfState})
}
