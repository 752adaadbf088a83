package actor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
)

// ApplierConfig is the configuration of the applier.
type ApplierConfig struct {
	Member      uint64
	Incarnation uint64
	State       *index.State // the initial state; the applier owns it from then on
	Inbox       *Mailbox[ApplierMessage]
	Consensus   *Mailbox[ConsensusMessage]
	LogWriter   *Mailbox[LogWriterMessage]
	Snapshotter *Mailbox[SnapshotterMessage]
	WatchHub    *Mailbox[WatchHubMessage]
	Status      *Status
	Limits      limits.Tunable
	Fail        func(error)
	// Applied is called with each applied entry and the results of its commands, for the simulator's checks; nil does nothing. The slices
	// are valid until it returns.
	Applied func(entry uint64, data []byte, results []kv.Result)
}

// Applier turns committed entries into state. It owns the state, and the pending requests of this member's clients.
//
// Invariants:
//
//  1. Entries are applied in order, each once; state and applied index change in one step.
//  2. The View is published before any completion is handed out: a client with an answer can read its effect.
//  3. Each expected request gets exactly one completion.
//  4. A read is released only after its index is in the published View.
type Applier struct {
	// Constant after construction.
	ApplierConfig

	// Owned by the actor.
	state      *index.State // replaced when a snapshot is installed
	pending    pending
	reads      []readReady // index not applied yet, in order of arrival
	done       completions
	results    []kv.Result
	reports    []ConsensusMessage // of this batch, posted after its View is published
	view       *index.View        // the newest published one
	changed    bool               // the state is newer than view
	failed     bool
	waiting    []apply       // orders from the first one on with an entry that needs a value which cannot be read
	reclaiming bool          // memory remained to be freed
	saving     bool          // a snapshot is being saved
	saveTries  backoff       // since the last successful save
	saved      uint64        // the entry of the snapshot that is being saved; 0: none
	wanted     int           // snapshots that are due regardless of the log
	above      uint64        // each of them of an entry behind this one
	records    int64         // bytes of records since the last snapshot
	ordered    int64         // records when the running save was ordered
	fileBytes  int64         // of the log
	wantedFrom time.Duration // no wanted snapshot is saved before: snapshotsApart

	// Of this turn.
	appliedEntries bool
	followed       bool // Stages follow one of the entries
}

const (
	// recordOverhead is the approximate overhead of a record in the log.
	recordOverhead = 48
	// snapshotsApart is the least time from a save to a wanted one: backups, which may copy the log before the first, lag by 2 s.
	snapshotsApart = 5 * time.Second
)

// NewApplier builds the actor and publishes the first View.
func NewApplier(c ApplierConfig) *Applier {
	view := c.State.View()
	c.Status.view.Store(view)
	return &Applier{ApplierConfig: c, state: c.State, view: view}
}

// Current returns the current state, for a caller that never runs at the same time as the actor.
func (a *Applier) Current() *index.State { return a.state }

// Handle implements Handler. While there is nothing to apply, it frees memory, one step per call.
func (a *Applier) Handle(t Time, batch []ApplierMessage) (again bool) {
	restored, began := false, a.Status.Observer.moment()
	for _, m := range batch {
		if a.failed {
			return false
		}
		switch m := m.(type) {
		case apply:
			a.apply(m)
		case expect:
			a.pending.add(m)
		case expire:
			a.applyWaiting()
			a.pending.expire(t.Now, m.Why, &a.done)
			a.expireReads(t.Now, m.Why)
		case refusedWrites:
			a.refuseWrites(m)
		case readReady:
			a.reads = append(a.reads, m)
		case restore:
			a.restore(m)
			restored = true
		case stored:
			m.Shelf.Attach(a.state)
			a.changed = true // the next View lets the others be dropped
			a.applyWaiting()
		case saveEnded:
			a.saveEnded(t.Now, m)
		case SnapshotWanted:
			a.requestSnapshots(m)
		default:
			panic(fmt.Sprintf("the applier takes no %T", m))
		}
	}
	if a.failed {
		return false
	}
	if !a.changed && !restored {
		again = a.state.Reclaim()
		a.changed = a.reclaiming && !again // then no View holds the freed memory
		a.reclaiming = again
	}
	if a.changed {
		a.publish(a.state.View())
		a.changed = false
	}
	a.releaseReads()
	if a.followed {
		a.followed = false
		a.Status.Observer.Stages.applied(began)
	}
	a.done.deliver()
	a.count(began)
	for _, r := range a.reports {
		a.Consensus.postAndYield(r)
	}
	clear(a.reports)
	a.reports = a.reports[:0]
	if restored {
		a.LogWriter.MustPost(stateRestored{})
	}
	if !a.view.Dropped() { // compacted data can be dropped from now on, even if no message follows
		again, a.reclaiming = true, true
	}
	a.save(t)
	return again
}

// count counts a batch that was taken at the given time.
func (a *Applier) count(began time.Duration) {
	c := &a.Status.Observer.Counters
	if a.appliedEntries {
		c.applied(a.Status.Observer.moment() - began)
	}
	a.appliedEntries = false
	c.Pending.Store(int64(len(a.pending.batches)))
	c.WritesFailed.Add(a.pending.failed)
	a.pending.failed = 0
}

// publish makes a View the current one for all readers, and signals the watch hub.
func (a *Applier) publish(view *index.View) {
	a.view = view
	a.Status.show(func() {
		a.Status.view.Store(view)
		a.Status.watch.published(a.WatchHub)
	})
}

// apply applies the entries of one order, after those that wait.
func (a *Applier) apply(m apply) {
	a.fileBytes = m.FileBytes
	if a.waiting = append(a.waiting, m); len(a.waiting) == 1 {
		a.applyWaiting()
	}
}

// applyWaiting applies the orders that wait. It stops before an entry that needs a value which no file gives: nobody may decide without it.
// The snapshotter hears of the damaged part, and has it fetched; until then this is tried again and again. A member that is alone has nobody
// to fetch it from.
func (a *Applier) applyWaiting() {
	for len(a.waiting) > 0 {
		switch err := a.applyOrder(&a.waiting[0]); {
		case errors.Is(err, index.ErrUnread) && (len(a.state.Members().All()) > 1 || !errors.Is(err, damage.ErrDamaged)):
			a.Limits.Reach("unread values")
			a.Status.setWaits(fmt.Sprintf("this member applies nothing further until it can read a value: %v", err))
			return
		case err != nil:
			a.failed = true
			a.Fail(err)
			return
		}
		a.endWait(1)
	}
	a.Status.setWaits("")
}

// endWait reports the first n orders that wait as applied.
func (a *Applier) endWait(n int) {
	for i := range n {
		a.reports = append(a.reports, applied{Response: a.waiting[i].Message.GetResponses()[0]})
	}
	a.waiting = slices.Delete(a.waiting, 0, n)
}

// applyOrder applies the entries of an order that are not applied yet.
func (a *Applier) applyOrder(m *apply) error {
	a.appliedEntries = true
	a.followed = a.followed || a.Status.Observer.Stages.among(m.Message.GetEntries())
	for _, e := range m.Message.GetEntries()[m.done:] {
		if err := a.applyEntry(e); err != nil {
			return fmt.Errorf("entry %d of term %d cannot be applied: %w", e.GetIndex(), e.GetTerm(), err)
		}
		m.done++
	}
	if changes := a.state.TakeLeaseChanges(); len(changes) > 0 {
		a.reports = append(a.reports, leasesChanged{Changes: changes})
	}
	return nil
}

func (a *Applier) applyEntry(e *raftpb.Entry) error {
	data, err := EnvelopeOf(e)
	if err != nil {
		return err
	}
	apply := a.state.Apply
	if e.GetType() != raftpb.EntryNormal {
		apply = a.state.ApplyChange
	}
	a.pending.failEarlierTerms(e.GetTerm(), &a.done)
	before := a.state.Members()
	results, err := apply(e.GetIndex(), e.GetTerm(), data, a.results[:0])
	if err != nil {
		return err
	}
	if a.Applied != nil {
		a.Applied(e.GetIndex(), data, results)
	}
	a.reportMembers(before, e.GetIndex())
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

// refuseWrites answers writes that a full disk refuses. An earlier copy of such a write may have been applied.
func (a *Applier) refuseWrites(m refusedWrites) {
	for i, command := range m.Commands {
		result, ok := a.state.AppliedBefore(command)
		if !ok {
			result.Err = m.Why[i]
		}
		a.done.add(m.Requests[i].ReplyTo, kv.Completion{Request: m.Requests[i].Number, Kind: kv.CommandDone, Result: result})
	}
}

// reportMembers reports changed records to consensus.
func (a *Applier) reportMembers(before index.Members, at uint64) {
	if now := a.state.Members(); !now.Same(before) {
		a.reports = append(a.reports, membersChanged{Members: now, At: at, Change: configurationChange(before.Configuration(), now.Configuration())})
	}
}

// releaseReads completes the reads that the newly published View may answer.
func (a *Applier) releaseReads() {
	applied, _ := a.state.Applied()
	kept := a.reads[:0]
	for _, r := range a.reads {
		if r.Index > applied {
			kept = append(kept, r)
			continue
		}
		kind := kv.ReadReady
		if r.Leases != nil {
			kind = kv.LeaseTold
		}
		for at := 0; at < len(r.Requests); {
			n := sameReplyTo(r.Requests[at:])
			one := a.done.of(r.Requests[at].ReplyTo, n)
			for end := at + n; at < end; at++ {
				done := kv.Completion{Request: r.Requests[at].Number, Kind: kind}
				if r.Leases != nil {
					done.Lease = &r.Leases[at]
				}
				one.done = append(one.done, done)
			}
		}
	}
	clear(a.reads[len(kept):])
	a.reads = kept
}

// expireReads answers reads whose index was not applied before their timeout: this member lags far.
func (a *Applier) expireReads(now time.Duration, why string) {
	err := &kv.Error{Code: kv.Unavailable, Message: why + "; the read was not answered: ask another member"}
	a.reads = slices.DeleteFunc(a.reads, func(r readReady) bool {
		if now < r.Until {
			return false
		}
		kind := kv.ReadReady
		if r.Leases != nil {
			kind = kv.LeaseTold
		}
		for _, request := range r.Requests {
			a.done.add(request.ReplyTo, kv.Completion{Request: request.Number, Kind: kind, Result: kv.Result{Err: err}})
		}
		return true
	})
}

// restore replaces the state by a published snapshot's state.
func (a *Applier) restore(m restore) {
	state := m.State
	a.state, a.changed = state, true
	a.endWait(len(a.waiting)) // the state has their entries
	a.Status.setWaits("")
	a.reports = append(a.reports, membersChanged{Members: state.Members(), At: m.Index, Restored: true})
	a.records = 0
	a.pending.abandon(&a.done)
}

// save orders a snapshot if one is wanted, or if the log behind the last one has become large. A save never begins before the last one
// has ended. A second one releases the log before the first, which backups may still copy: it waits for them while half of the disk is free.
func (a *Applier) save(t Time) {
	if a.saving || t.Now < a.saveTries.notBefore {
		return
	}
	applied, _ := a.view.Applied()
	switch disk := a.Status.Disk(); {
	case a.wanted > 0 && applied > a.above && (t.Now >= a.wantedFrom || disk.Free < disk.Capacity/2):
		a.wanted--
		a.above = applied // the next one is of a later entry
	case !disk.SaveDue(&a.Limits, a.records, a.fileBytes):
		return
	}
	a.records, a.ordered, a.saved = 0, a.records, applied
	a.saving, a.wantedFrom = true, t.Now+snapshotsApart
	view := a.state.ViewToSave()
	applied, term := view.Applied()
	a.Snapshotter.MustPost(save{View: view, Index: applied, Term: term, ConfState: ConfStateOf(view.Members().Configuration())})
}

// requestSnapshots notes that snapshots are due. A running save counts as one of them if it is of an entry behind m.Above. The earlier of
// two requests counts.
func (a *Applier) requestSnapshots(m SnapshotWanted) {
	if a.saved > m.Above {
		m.Saves--
		m.Above = a.saved
	}
	if m.Saves <= 0 {
		return
	}
	if a.wanted > 0 {
		m.Above = min(m.Above, a.above)
	}
	a.wanted, a.above = max(a.wanted, m.Saves), m.Above
}

// saveEnded allows the next save; a failed save is due again after a pause.
func (a *Applier) saveEnded(now time.Duration, m saveEnded) {
	a.saving, a.saved = false, 0
	if !m.Failed {
		a.saveTries = backoff{}
		return
	}
	a.records, a.wantedFrom = a.records+a.ordered, 0
	if a.wanted++; a.wanted == 1 { // others that are wanted keep their bound
		a.above = 0
	}
	a.saveTries.fail(now, limits.SnapshotRetry, limits.SnapshotRetryMost)
}
