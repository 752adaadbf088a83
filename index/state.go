package index

import (
	"cmp"
	"fmt"
	"slices"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// replicated is the state that the log decides: equal on all members at equal applied index. Each of its fields is part
// of the digest, except times.most, which only saves work. It also includes the keys with their versions, which are in
// store.keys; the digest covers them by sum. A copy of the struct is a view of it: State and View share its methods. All
// of it is on Go's heap, so what they return needs no View.
type replicated struct {
	// applied and term are those of the newest entry. The next entry has index applied+1 and the same or a later term.
	applied, term uint64
	// revision is the revision of the newest change; 1 before the first change.
	revision int64
	// compacted is the oldest readable revision, set by a compact command; 0 before the first one. The history is dropped
	// up to it later, in steps.
	compacted int64
	// gaps are the revisions that were left out when the state began another cluster.
	gaps gaps
	// wall is the largest Envelope.Wall of the applied entries, in nanoseconds since 1970.
	wall int64
	// level is the feature level. It never falls.
	level uint64
	// members are the records of all members.
	members Members
	// totals count and sum up the keys, their versions and the leases.
	totals totals
	// check is the newest comparison of the members' states.
	check check
	// numbers are the clock, the floor and the counts of the sessions; the sessions themselves are in State.sessions.
	numbers sessionNumbers
	// alarms are the raised alarms.
	alarms alarms
	backupKey
	// auth is the users and roles; nil before their first change.
	auth *Auth
	// authors are the names of the authors of changes.
	authors authors
	// extents divide the changes by revision.
	extents extents
	// times has a point for the first revision of each millisecond, for revisions from compacted on.
	times times
}

// totals are numbers of the replicated state that are kept up to date by each change.
type totals struct {
	// live is the number of keys whose newest version is not a tombstone: tree.Len() + len(newKeys) - tombstoned.Len().
	live int64
	// liveBytes is the bytes of those keys and their newest values.
	liveBytes int64
	// sum is the sum of version.sum of all versions that ever existed.
	sum uint64
	// weight is the sum of weight(key, value) of all versions that were ever superseded, and of all tombstones.
	weight int64
	// leaseSum is the sum of leaseSum of all leases.
	leaseSum uint64
}

// Applied returns index and term of the newest applied entry.
func (r *replicated) Applied() (index, term uint64) { return r.applied, r.term }

// Revision returns the newest revision; an empty store is at 1.
func (r *replicated) Revision() int64 { return r.revision }

// Compacted returns the oldest readable revision, or 0 before the first compaction.
func (r *replicated) Compacted() int64 { return r.compacted }

// Keys returns the number of keys at the newest revision.
func (r *replicated) Keys() int64 { return r.totals.live }

// LiveBytes returns the bytes of all keys and values at the newest revision.
func (r *replicated) LiveBytes() int64 { return r.totals.liveBytes }

// HistoryBytes returns the weight of the versions that were superseded or deleted since the compacted revision: 64 bytes
// each, plus key and value. It is exact to the millisecond.
func (r *replicated) HistoryBytes() int64 { return r.totals.weight - r.times.weightAt(r.compacted) }

// RevisionOfHistory returns the oldest revision from which on the history weighs at most the given number of bytes. It is
// exact to the millisecond, and at least the compacted revision.
func (r *replicated) RevisionOfHistory(bytes int64) int64 {
	revision := r.revision
	if p, ok := r.times.lightest(r.totals.weight - bytes); ok {
		revision = p
	}
	return max(min(revision, r.revision), r.compacted)
}

// Back returns the revision that was made this number of revisions before the newest one.
func (r *replicated) Back(revisions int64) int64 { return r.gaps.revision(r.revision - revisions) }

// Level returns the cluster's feature level.
func (r *replicated) Level() uint64 { return r.level }

// Members returns the members' records.
func (r *replicated) Members() Members { return r.members }

// readable returns the revision that a read asks for, or why it cannot be read.
func (r *replicated) readable(revision int64) (int64, error) {
	if revision == 0 {
		return r.revision, nil
	}
	if err := r.checkRange(revision); err != nil {
		return 0, err
	}
	return revision, nil
}

func (r *replicated) checkRange(revision int64) *kv.Error {
	switch {
	case revision == 0:
		return nil
	case revision > r.revision:
		return kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", revision, r.revision)
	case revision < r.compacted || revision < 0 || r.gaps.of(revision) != nil:
		return r.compactedError(revision)
	}
	return nil
}

func (r *replicated) compactedError(revision int64) *kv.Error {
	if one := r.gaps.of(revision); one != nil && revision > r.compacted {
		return kv.Errorf(kv.Compacted, "revision %d is of a history that ended: the cluster was restored or recovered from revision %d, and went on at %d",
			revision, one.after, one.next)
	}
	return kv.Errorf(kv.Compacted, "revision %d was compacted, the oldest that can be read is %d", revision, r.compacted)
}

// State is the replicated state at one applied index. One goroutine owns it; other goroutines read Views. doc.go lists
// the invariants that Check tests.
type State struct {
	replicated

	// own is the digest that this process computed after the entry of a check. State and log decide it, but a snapshot
	// does not contain it, so it may belong to an older check than check does.
	own      ownDigest
	counts   Counts
	changing bool // the current entry may change the membership

	store
	sessions sessions
	accounts accounts

	// keeps is the oldest revision whose history KeepHistory keeps; nil: compacted history is dropped.
	keeps   *int64
	stored  stored
	scratch scratch
}

// store is the keys with their versions and leases. It frees the memory of versions that nobody needs.
type store struct {
	keys    keyspace
	history history
	leases  leaseState
	// dropping bounds drop: changes before this revision are dropped. It is State.droppable when the newest View was made.
	dropping int64
	eviction eviction
	clock    clock
	coldLive int64        // bytes of live values that are in files only
	budget   int64        // limits.Index.MemoryBytes while it bounds live values; 0: it does not
	limits   limits.Index // constant
}

// changesKept is the size, in changes of one revision, up to which a state keeps its collecting lists: half a MiB each. Lists of a larger
// deletion are released.
const changesKept = 1 << 16

// scratch is memory that is reused by each call of Apply and empty between the calls.
type scratch struct {
	commands []command
	matches  []ref // keys that a delete removes
	hints    pathHints
	made     []ref // versions of the current revision, by sub revision
}

// NewState returns the state before the first entry.
func NewState(l limits.Index) *State { return newState(&ledger{}, l) }

func newState(memories *ledger, l limits.Index) *State {
	s := &State{
		replicated: replicated{revision: EmptyBase, level: FirstLevel, numbers: sessionNumbers{clock: 1}},
		store:      store{keys: newKeyspace(memories, l.SlabBytes), limits: l, eviction: eviction{files: &files{}}},
		stored:     allStored,
	}
	s.setBudget()
	s.leases = leaseState{replicated: &s.replicated, leases: newLeases()}
	s.sessions = newSessions(&s.replicated, cmp.Or(l.Sessions, limits.FirstSessionRules))
	s.accounts = newAccounts(&s.replicated)
	s.ResetExtents()
	s.history.slots.startAt(s.revision + 1)
	s.keys.freeze()
	s.leases.frozen = s.leases.copy()
	return s
}

// Found sets the members of a new cluster, before the first entry.
func (s *State) Found(m Members) {
	if s.applied != 0 {
		panic(fmt.Sprintf("members are founded at the applied entry %d", s.applied))
	}
	s.members = m
}

// Refound turns the state into the state of another cluster, which has this id and these founders. None of the old
// member ids is used again, and no right of a later history of the old cluster counts. wall is as in SkipRevisions.
func (s *State) Refound(cluster uint64, founders Members, wall int64) {
	var removed []uint64
	for _, m := range s.members.records {
		removed = append(removed, m.ID)
	}
	s.members = Members{records: founders.records, removed: slices.Concat(s.members.removed, removed)}
	s.check, s.own, s.alarms, s.backupKey = check{}, ownDigest{}, nil, nil
	for s.sessions.oldest != nil { // a client's retry goes to the other cluster
		s.sessions.end(s.sessions.oldest)
	}
	s.numbers.clocks = [sessionClocks]memberClock{}
	s.numbers.clock++
	s.numbers.floor = s.numbers.clock
	s.auth = s.auth.afterCut(&s.accounts, cluster, wall)
}

// ViewToSave is View with the data that only a snapshot needs: it copies the sessions. Other Views have only the
// sessions' numbers.
func (s *State) ViewToSave() *View {
	v := s.View()
	v.saved = s.sessions.copy()
	return v
}

// View returns an immutable View of the current state, for any goroutine. Call it once per batch: after keys were added
// or removed, the first call makes the tree copy the nodes that it changes next.
func (s *State) View() *View {
	if s.keys.changed {
		s.keys.freeze()
	}
	if s.leases.changed {
		s.leases.frozen, s.leases.changed = s.leases.copy(), false
	}
	s.dropping = s.droppable()
	if len(s.keys.epoch.retired) > 0 {
		next := &epoch{}
		s.keys.epoch.next, s.keys.epoch = next, next
	}
	return &View{
		replicated: s.replicated, history: s.history, own: s.own, leases: s.leases.frozen, counts: s.counts,
		memory: s.keys.memory, table: s.keys.table, removed: s.keys.table.removed.Load(), frozen: s.keys.frozen, epoch: s.keys.epoch,
		mapped: s.keys.memory.bytes, dropping: s.dropping, files: s.eviction.files,
		held:        s.held(),
		countedRows: s.limits.CountedRows, rangeBytes: s.limits.PieceBytes,
	}
}
