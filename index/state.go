package index

import (
	"fmt"

	"github.com/tidwall/btree"

	"qkv/log/limits"
	"qkv/log/pack"
)

// State is the replicated state at one applied index. One goroutine owns it; everybody else reads Views.
type State struct {
	// The replicated state: equal on all members at equal applied index. The keys are in tree and table.
	applied, term uint64
	revision      int64
	compacted     int64 // oldest revision that can be read; 0 before anything was compacted
	wall          int64 // newest clock of a proposer
	level         uint64
	members       []Announcement // by id, never changed in place
	live          int64          // keys
	liveBytes     int64          // of keys and values
	sum           uint64         // of the live versions' sums
	historyBytes  int64          // weight of the versions that are not live
	pastSum       uint64         // of their sums
	history       history
	times         times

	// How it is laid out: different on each member.
	memory     *memory
	table      *table
	tree       *btree.BTreeG[ref] // records by key
	graves     *btree.BTreeG[ref] // those whose newest version is a tombstone
	records    arena
	versions   arena
	survivors  arena // versions that were moved: old ones, which tend to stay
	evacuation evacuation

	// What Views share.
	frozen  frozen
	changed bool // the trees are not what frozen is
	epoch   *epoch

	// Constant, and smaller in tests.
	bounds bounds
	layout layout

	// Scratch.
	commands []command
	found    []ref
	fresh    []ref // new records that are not in the tree yet
	probe    probe
	warming  warming
}

// bounds of the history, and of one step of its compaction.
type bounds struct{ historyBytes, historyRevisions, stepWork int64 }

// realBounds are the same on every member, since what is compacted is part of the state.
var realBounds = bounds{limits.HistoryBytes, limits.HistoryRevisions, stepWork}

// layout is what only the place of things depends on.
type layout struct {
	slabBytes int
	stepBytes int64 // of one step of evacuation
	walkMost  int   // keys that are counted one by one
}

var realLayout = layout{slabBytes: slabAlign, stepBytes: stepBytes, walkMost: walkMost}

// NewState returns the state before the first entry.
func NewState() *State {
	return newState(realBounds, realLayout)
}

func newState(b bounds, l layout) *State {
	s := &State{
		revision: 1,
		level:    FirstLevel,
		memory:   &memory{most: l.slabBytes, ledger: &ledger{}},
		table:    &table{},
		tree:     newTree(),
		graves:   newTree(),
		records:  arena{records: true},
		epoch:    &epoch{},
		bounds:   b,
		layout:   l,
	}
	s.table.init(0)
	s.history.slots.startAt(2)
	s.freeze()
	return s
}

// Applied returns index and term of the newest entry that was applied.
func (s *State) Applied() (index, term uint64) { return s.applied, s.term }

// Apply applies one entry and appends the results of its commands, one each. Empty data, of raft's own entries, only
// move the applied index. An error means that this qkv does not know what the entry says: nothing was changed, and
// the member must stop. Nothing of data is kept. An entry that does not follow the applied one is a bug and panics.
func (s *State) Apply(entry, term uint64, data []byte, results []Result) ([]Result, error) {
	if entry != s.applied+1 || term < s.term {
		panic(fmt.Sprintf("entry %d of term %d cannot follow the applied entry %d of term %d", entry, term, s.applied, s.term))
	}
	if len(data) > 0 {
		wall, err := s.decode(data)
		if err != nil {
			return results, err
		}
		results = s.applyAll(wall, results)
	}
	s.applied, s.term = entry, term
	return results, nil
}

// decode reads a whole envelope before anything of it has an effect.
func (s *State) decode(data []byte) (wall int64, err error) {
	e, err := ReadEnvelope(data)
	if err != nil {
		return 0, err
	}
	if e.Level > MaxLevel {
		return 0, fmt.Errorf("the batch was proposed at feature level %d, this qkv knows %d: upgrade this member", e.Level, MaxLevel)
	}
	r := pack.NewReader(e.Commands)
	if cap(s.commands) < e.Count {
		s.commands = make([]command, 0, max(e.Count, limits.BatchCommands))
	}
	s.commands = s.commands[:e.Count]
	for i := range s.commands {
		if err := s.commands[i].read(&r); err != nil {
			return 0, fmt.Errorf("command %d of %d: %w", i, e.Count, err)
		}
	}
	return e.Wall, r.Done()
}

// applyAll applies the decoded commands, and then does what is due: compaction and evacuation, in steps that are
// bounded by what the commands have added.
func (s *State) applyAll(wall int64, results []Result) []Result {
	s.wall = max(s.wall, wall)
	revision, weight, mapped := s.revision, s.historyBytes, s.memory.handed
	for rest := s.commands; len(rest) > 0; {
		next := rest[:min(len(rest), warmCommands)]
		rest = rest[len(next):]
		s.warm(next)
		for i := range next {
			results = append(results, s.apply(&next[i]))
		}
	}
	s.plant()
	if s.revision != revision {
		s.times.note(revision+1, s.wall)
	}
	s.compact(int64(len(s.commands)), s.historyBytes-weight)
	clear(s.commands) // they are parts of data
	s.evacuate(s.memory.handed - mapped)
	return results
}

func (s *State) apply(c *command) Result {
	if e := c.refusal(); e != nil {
		return s.refused(e)
	}
	switch c.kind {
	case kindPut:
		return s.put(c)
	case kindDelete:
		return s.delete(c)
	case kindAnnounce:
		return s.announce(c)
	case kindFeatureLevel:
		return s.raiseLevel(c)
	}
	panic(fmt.Sprintf("a command of kind %d was decoded and cannot be applied", c.kind))
}

// View returns the state as it is, immutable and for any goroutine. Call it once a batch: the first one after keys
// were added or removed makes the tree copy what it changes next.
func (s *State) View() *View {
	if s.changed {
		s.freeze()
	}
	if len(s.epoch.retired) > 0 {
		next := &epoch{}
		s.epoch.next, s.epoch = next, next
	}
	return &View{
		applied: s.applied, term: s.term, revision: s.revision, compacted: s.compacted, wall: s.wall, level: s.level,
		members: s.members, live: s.live, liveBytes: s.liveBytes, sum: s.sum, historyBytes: s.historyBytes, pastSum: s.pastSum,
		history: s.history, times: s.times,
		memory: s.memory, table: s.table, removed: s.table.removed.Load(), frozen: s.frozen, epoch: s.epoch,
		mapped: s.memory.bytes, walkMost: s.layout.walkMost,
	}
}
