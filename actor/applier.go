package actor

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// ApplierConfig is what the applier is built from.
type ApplierConfig struct {
	Member      uint64
	Incarnation uint64
	State       *index.State // to begin with; it belongs to the applier from then on
	Inbox       *Mailbox[ApplierMessage]
	Consensus   *Mailbox[ConsensusMessage]
	LogWriter   *Mailbox[LogWriterMessage]
	Snapshotter *Mailbox[SnapshotterMessage]
	WatchHub    *Mailbox[WatchHubMessage]
	Status      *Status
	Limits      limits.Tunable
	Fail        func(error)
}

// Applier turns committed entries into state. It owns the state, and what this member's clients wait for.
//
// Invariants:
//
//  1. Entries are applied in order, each once; state and applied index change in one step.
//  2. The View is published before any completion is handed out: who sees an answer can read what it says.
//  3. Each request that was expected gets exactly one completion.
//  4. A read is let go on only after its index is in the published View.
type Applier struct {
	// Constant after construction.
	ApplierConfig

	// Owned by the actor.
	state      *index.State // another one after a snapshot was installed
	pending    pending
	reads      []ReadReady // index not applied yet, in order of arrival
	done       completions
	results    []kv.Result
	reports    []ConsensusMessage // of this batch, for when its View is published
	view       *index.View        // the newest that was published
	changed    bool               // the state is newer than view
	failed     bool
	reclaiming bool // there was more to give back
	saving     bool
	saveNow    bool          // a snapshot was lost: the next one is due whatever was written
	saveAbove  uint64        // when more than this is applied
	saveTwice  bool          // and then another one
	saveTries  backoff       // since the last that was saved
	saved      time.Duration // when the last snapshot was begun
	savedBytes int64         // what the state weighed then
	records    int64         // bytes of records since the last snapshot
	ordered    int64         // records when the snapshot under way was ordered
	batch      bool          // entries were applied in this turn
	followed   bool          // one of them is the one that Stages follow
	fileBytes  int64
}

// recordOverhead is what a record costs in the log beside its data, about.
const recordOverhead = 48

// NewApplier builds the actor and publishes the first View.
func NewApplier(c ApplierConfig) *Applier {
	view := c.State.View()
	c.Status.view.Store(view)
	return &Applier{ApplierConfig: c, state: c.State, view: view, saved: -c.Limits.SnapshotInterval, savedBytes: view.LiveBytes() + view.HistoryBytes()}
}

// Current returns the state as it is, for who runs in turns with the actor.
func (a *Applier) Current() *index.State { return a.state }

// Handle implements Handler. While nothing is to be applied, it gives back memory, a step for each call.
func (a *Applier) Handle(t Time, batch []ApplierMessage) (again bool) {
	restored, began := false, a.Status.moment()
	for _, m := range batch {
		if a.failed {
			return false
		}
		switch m := m.(type) {
		case Apply:
			a.apply(m)
		case Expect:
			a.pending.add(m)
		case Expire:
			a.pending.expire(t.Now, m.Why, &a.done)
			a.expireReads(t.Now, m.Why)
		case RefusedWrites:
			a.refuseWrites(m)
		case ReadReady:
			a.reads = append(a.reads, m)
		case Restore:
			a.restore(m)
			restored = true
		case SaveEnded:
			a.saveEnded(t.Now, m)
		case SnapshotWanted:
			// A large one takes long, and is asked for again meanwhile: when the one under way will do, it is the one.
			if !a.saving || !m.First {
				a.wantSave(m)
			}
		default:
			panic(fmt.Sprintf("the applier takes no %T", m))
		}
	}
	if a.failed {
		return false
	}
	if !a.changed && !restored {
		again = a.state.Reclaim()
		a.changed = a.reclaiming && !again // so that no View holds what was given back
		a.reclaiming = again
	}
	if a.changed {
		a.publish(a.state.View())
		a.changed = false
	}
	a.letReadsGo()
	if a.followed {
		a.followed = false
		a.Status.Stages.applied(began)
	}
	a.done.handOut()
	a.count(began)
	for _, r := range a.reports {
		a.Consensus.PostAndYield(r)
	}
	clear(a.reports)
	a.reports = a.reports[:0]
	if restored {
		a.LogWriter.MustPost(Restored{})
	}
	if !a.view.Dropped() { // what it has compacted can be dropped from now on, also when nothing comes any more
		again, a.reclaiming = true, true
	}
	a.save(t)
	return again
}

// count tells what became of a batch that was taken at a time.
func (a *Applier) count(began time.Duration) {
	c := &a.Status.Counters
	if a.batch {
		c.applied(a.Status.moment() - began)
	}
	a.batch = false
	c.Pending.Store(int64(len(a.pending.batches)))
	c.WritesFailed.Add(a.pending.failed)
	a.pending.failed = 0
}

// publish makes a View the one that everybody reads, and tells the watch hub that there is one.
func (a *Applier) publish(view *index.View) {
	a.view = view
	a.Status.show(func() {
		a.Status.view.Store(view)
		a.Status.watch.published(a.WatchHub)
	})
}

// apply applies the entries of one order.
func (a *Applier) apply(m Apply) {
	a.fileBytes, a.batch = m.FileBytes, true
	a.followed = a.followed || a.Status.Stages.among(m.Message.GetEntries())
	for _, e := range m.Message.GetEntries() {
		if err := a.applyEntry(e); err != nil {
			a.failed = true
			a.Fail(fmt.Errorf("entry %d of term %d cannot be applied: %w", e.GetIndex(), e.GetTerm(), err))
			return
		}
	}
	if changes := a.state.TakeLeaseChanges(); len(changes) > 0 {
		a.reports = append(a.reports, LeasesChanged{Changes: changes})
	}
	a.reports = append(a.reports, Applied{Response: m.Message.GetResponses()[0]})
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
	a.pending.passTerm(e.GetTerm(), &a.done)
	before := a.state.Members()
	results, err := apply(e.GetIndex(), e.GetTerm(), data, a.results[:0])
	if err != nil {
		return err
	}
	a.tellMembers(before, e.GetIndex())
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

// refuseWrites answers writes that there is no room for: a copy that was sent before may have been applied.
func (a *Applier) refuseWrites(m RefusedWrites) {
	for i, command := range m.Commands {
		result, ok := a.state.AppliedBefore(command)
		if !ok {
			result.Err = m.Why[i]
		}
		a.done.add(m.Requests[i].ReplyTo, kv.Completion{Request: m.Requests[i].Number, Kind: kv.CommandDone, Result: result})
	}
}

// tellMembers tells consensus when the records have changed.
func (a *Applier) tellMembers(before index.Members, at uint64) {
	if now := a.state.Members(); !now.Same(before) {
		a.reports = append(a.reports, MembersChanged{Members: now, At: at, Change: configurationChange(before.Configuration(), now.Configuration())})
	}
}

// letReadsGo tells the connections which reads may be answered from the View that was just published.
func (a *Applier) letReadsGo() {
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

// expireReads answers reads whose index has not come in their time: a member that has much to catch up with.
func (a *Applier) expireReads(now time.Duration, why string) {
	err := &kv.Error{Code: kv.Unavailable, Message: why + "; the read was not answered: ask another member"}
	a.reads = slices.DeleteFunc(a.reads, func(r ReadReady) bool {
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

// restore replaces the state by that of a published snapshot.
func (a *Applier) restore(m Restore) {
	state := m.State
	a.state, a.changed = state, true
	a.reports = append(a.reports, MembersChanged{Members: state.Members(), At: m.Index, Restored: true})
	view := state.View()
	a.records, a.savedBytes = 0, view.LiveBytes()+view.HistoryBytes()
	a.pending.abandon(&a.done)
}

// save orders a snapshot when the records since the last one outweigh the state of that time, so that what is written for
// snapshots is about what is written to the log, and a restart applies about what it loads; or when the log's files have
// grown to several times that for another reason, but for a follower that needs it: a snapshot would let go of nothing. Never
// before the last one is done; not soon after it either, unless the records outweigh it twice. But earlier where the log has
// not so much room; and not for its worth while this member catches up, when it takes the disk from what comes, and is old
// before it is saved.
func (a *Applier) save(t Time) {
	if a.saving {
		return
	}
	if t.Now < a.saveTries.notBefore {
		return
	}
	view := a.view
	size := view.LiveBytes() + view.HistoryBytes()
	least := a.Status.worthSaving(a.Limits.SnapshotBytes)
	worth := max(min(size, a.savedBytes), least)
	applied, term := view.Applied()
	// With one snapshot and the next one, so much of the log is before that one is begun, and as much may come until it is
	// saved.
	half := max(a.Status.logRoom(&a.Limits, 2*size)/2, least)
	if a.Status.catchesUp() {
		worth = max(worth, half)
	}
	most := a.share(min(2*worth, half-half/9))
	saveNow := a.saveNow && applied > a.saveAbove
	due := a.records > a.share(min(worth, half-half/9)) || saveNow ||
		(a.fileBytes > min(4*worth, max(2*worth-worth/4, half)) && a.records > worth/8 && !a.Status.logKept.Load())
	// On a full disk a snapshot of less is all that makes room: it lets go of the log, and after large deletions it is smaller.
	// A log that takes nothing until then is not made to wait for the interval, too.
	due = due || (a.Status.Space() != SpaceLeft && (a.records > a.Limits.SnapshotBytes/64 || size < a.savedBytes/2))
	if !due || (t.Now-a.saved < a.Limits.SnapshotInterval && a.records <= most && !saveNow && a.Status.logTakes(limits.LogKept)) {
		return
	}
	a.saving, a.saved, a.savedBytes, a.records, a.ordered = true, t.Now, size, 0, a.records
	if applied > a.saveAbove {
		a.saveNow, a.saveTwice, a.saveAbove = a.saveTwice, false, applied
	}
	a.Snapshotter.MustPost(Save{View: a.state.ViewToSave(), Index: applied, Term: term, ConfState: ConfStateOf(view.Members().Configuration())})
}

// wantSave notes that a snapshot is due, the sooner of what was noted before.
func (a *Applier) wantSave(m SnapshotWanted) {
	if a.saveNow {
		m.Above = min(m.Above, a.saveAbove)
	}
	a.saveNow, a.saveAbove, a.saveTwice = true, m.Above, a.saveTwice || m.Twice
}

// share is from seven to nine eighths of so much, another part after each save and on each member, so that members do not
// go on saving at the same time.
func (a *Applier) share(much int64) int64 {
	mixed := (a.Member ^ uint64(a.saved)*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	return much/8*7 + much/4/256*int64(mixed>>56)
}

// saveEnded lets the next snapshot be ordered; one that failed is due again after a pause.
func (a *Applier) saveEnded(now time.Duration, m SaveEnded) {
	a.saving = false
	if !m.Failed {
		a.saveTries = backoff{}
		return
	}
	a.records += a.ordered
	a.wantSave(SnapshotWanted{Twice: a.saveNow})
	a.saveTries.fail(now, limits.SnapshotRetry, limits.SnapshotRetryMost)
}
