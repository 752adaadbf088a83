package index

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidwall/btree"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// replicated is the state that the log decides: equal on all members at equal applied index, and each field of it has a
// part in the digest. The keys with their versions belong to it, too: they are in State.tree and State.table, and the
// sums of all that ever were in sum. A copy of the struct is a view of it.
type replicated struct {
	// applied and term are those of the newest entry: the next one is applied+1, of this term or a later one.
	applied, term uint64
	// revision is that of the newest change; 1 before any.
	revision int64
	// compacted is the oldest revision that can be read, which a command has said; 0 before any did. History goes after it
	// as it can.
	compacted int64
	// wall is the largest Envelope.Wall of the entries that were applied, in nanoseconds since 1970.
	wall int64
	// level is the feature level. It never falls.
	level uint64
	// members are the records of all members.
	members Members
	// live is the number of keys whose newest version is no tombstone: tree.Len() + len(newKeys) - tombstoned.Len().
	live int64
	// liveBytes is the bytes of those keys and of their newest values.
	liveBytes int64
	// sum is the sum of version.sum of all versions that ever were.
	sum uint64
	// weight is the sum of weight(key, value) of all versions that were ever superseded, and of all tombstones.
	weight int64
	// leaseSum is the sum of leaseSum of all leases.
	leaseSum uint64
	// check is the newest comparison of the members' states.
	check check
	// The numbers of the clients' sessions, which are in State.clients.
	sessionNumbers
	// alarms are those that are raised.
	alarms alarms
	// inherited is the compacted revision of the source that the state has followed: what was before its changes nobody knows. 0: none.
	inherited int64
	// following is the source that the state follows; nil: none.
	following *following
	// times has a point for the first revision of each millisecond, for revisions from compacted on.
	times times
}

// layout is what is there of the state's versions. How far a member has come with dropping those that nobody can read
// is its own business, so that no digest has it. A copy of the struct is a view of it.
type layout struct {
	// history has the changes of revisions history.slots.first to revision.
	history history
	// kept is how many versions there are, and keptSum the sum of their version.sum.
	kept    int64
	keptSum uint64
}

// State is the replicated state at one applied index. One goroutine owns it; everybody else reads Views. The package's
// invariants, by which Check goes, stand in doc.go.
type State struct {
	replicated
	layout

	// own is the digest behind the entry of a check, as this process computed it: state and log decide it, but it is not
	// part of a snapshot, and so can be another check's than check is.
	own ownDigest

	counts Counts

	// changing says that the entry which is applied may change the membership.
	changing bool

	// How it is laid out: different on each member.

	// memory has all slabs; table and tree refer into them.
	memory *memory
	// table finds the record of a key by its hash: all records but those that overflow a segment.
	table *table
	// tree has the records by key, all but newKeys; tombstoned has those of them whose newest version is a tombstone.
	tree, tombstoned *btree.BTreeG[ref]
	// newKeys are new records that are in the table only, until flushNewKeys.
	newKeys []ref
	leases  leases
	clients sessions
	// leaseChanges are those that nobody has taken.
	leaseChanges []LeaseChange
	// records and versions is where new ones are made; relocated is where versions go that outlive their slab: old
	// ones, which tend to stay.
	records, versions, relocated arena
	evacuation                   evacuation

	// What Views share.

	// frozen are copies of the trees, equal to them unless changed.
	frozen  frozen
	changed bool
	// frozenLeases are copies of the leases' trees, equal to them unless leasesChanged.
	frozenLeases  leases
	leasesChanged bool
	// epoch is the newest one: what is given up now is kept by Views made until now.
	epoch *epoch

	// dropping is compacted as the newest View has it: history goes up to there.
	dropping int64

	// Constant.
	limits limits.Index
	rules  limits.SessionRules

	// Scratch, empty between two calls of Apply.
	commands    []command
	matches     []ref // keys that a delete removes
	hints       pathHints
	made        []ref // versions of the revision that has begun, by sub revision
	probe       probe
	prefetching prefetching
}

// NewState returns the state before the first entry.
func NewState(l limits.Index) *State { return newState(&ledger{}, l) }

func newState(memories *ledger, l limits.Index) *State {
	s := &State{
		replicated: replicated{revision: 1, level: FirstLevel, sessionNumbers: sessionNumbers{clock: 1}},
		memory:     &memory{most: min(l.SlabBytes, slabAlign), ledger: memories},
		table:      &table{},
		tree:       newTree(),
		tombstoned: newTree(),
		leases:     newLeases(),
		clients:    newSessions(),
		rules:      cmp.Or(l.Sessions, limits.FirstSessionRules),
		records:    arena{records: true},
		epoch:      &epoch{},
		limits:     l,
	}
	s.table.init(0)
	s.history.slots.startAt(2)
	s.freeze()
	s.frozenLeases = s.leases.copy()
	return s
}

// Found makes the members that a cluster begins with known, before the first entry.
func (s *State) Found(m Members) {
	if s.applied != 0 {
		panic(fmt.Sprintf("members are founded at the applied entry %d", s.applied))
	}
	s.members = m
}

// Refound makes the state that of another cluster, of one member: none of the ids that were there is used again.
func (s *State) Refound(id uint64, name string) {
	var removed []uint64
	for _, m := range s.members.records {
		removed = append(removed, m.ID)
	}
	s.members = Members{
		records: []kv.Member{{ID: id, Name: name, Role: kv.Voter}},
		removed: slices.Concat(s.members.removed, removed),
	}
	s.check, s.own, s.alarms, s.following = check{}, ownDigest{}, nil, nil
	for s.clients.oldest != nil { // what is sent again is sent to the other cluster
		s.endSession(s.clients.oldest)
	}
	s.clocks = [limits.SessionClocks]memberClock{}
	s.clock++
	s.floor = s.clock
}

// Members returns the members' records.
func (s *State) Members() Members { return s.members }

// Applied returns index and term of the newest entry that was applied.
func (s *State) Applied() (index, term uint64) { return s.applied, s.term }

// ViewToSave is View, with all that a snapshot has: it copies the sessions, of which the other Views have the numbers only.
func (s *State) ViewToSave() *View {
	v := s.View()
	v.saved = s.clients.copy()
	return v
}

// View returns the state as it is, immutable and for any goroutine. Call it once a batch: the first one after keys
// were added or removed makes the tree copy what it changes next.
func (s *State) View() *View {
	if s.changed {
		s.freeze()
	}
	if s.leasesChanged {
		s.frozenLeases, s.leasesChanged = s.leases.copy(), false
	}
	s.dropping = s.compacted
	if len(s.epoch.retired) > 0 {
		next := &epoch{}
		s.epoch.next, s.epoch = next, next
	}
	return &View{
		replicated: s.replicated, layout: s.layout, own: s.own, leases: s.frozenLeases, counts: s.counts,
		memory: s.memory, table: s.table, removed: s.table.removed.Load(), frozen: s.frozen, epoch: s.epoch,
		mapped: s.memory.bytes, countedRows: s.limits.CountedRows,
	}
}
