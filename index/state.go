package index

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"qkv/log/limits"
	"qkv/log/pack"
)

// State is the replicated state at one applied index. One goroutine owns it; everybody else reads Views.
type State struct {
	applied, term uint64
	revision      int64
	compacted     int64
	wall          int64
	level         uint64
	members       []Announcement
	keys          *btree.Map[string, []Version]
	history       []event
	points        []point
	sum           uint64
	live          int64
	liveBytes     int64
	historyBytes  int64
	scratch       []byte
}

type event struct {
	rev, sub int64
	key      string
}

type point struct{ rev, wall int64 }

// versionOverhead is what a version weighs besides its key and value.
const versionOverhead = 64

func weight(key string, v *Version) int64 {
	return int64(versionOverhead + len(key) + len(v.Value))
}

// NewState returns the state before the first entry.
func NewState() *State {
	return &State{revision: 1, level: FirstLevel, keys: &btree.Map[string, []Version]{}}
}

// Applied returns index and term of the newest entry that was applied.
func (s *State) Applied() (index, term uint64) { return s.applied, s.term }

// Apply applies one entry and appends the results of its commands. Empty data, raft's own entries, only move the
// applied index. An error means that this qkv does not know what the entry says: nothing was changed, and the member
// must stop.
func (s *State) Apply(entry, term uint64, data []byte, results []Result) ([]Result, error) {
	if entry != s.applied+1 || term < s.term {
		panic(fmt.Sprintf("entry %d of term %d cannot follow the applied entry %d of term %d", entry, term, s.applied, s.term))
	}
	if len(data) > 0 {
		if err := CheckEnvelope(data); err != nil {
			return results, err
		}
		e, _ := ReadEnvelope(data)
		s.wall = max(s.wall, e.Wall)
		r := pack.NewReader(e.Commands)
		before, bytes := s.revision, s.historyBytes
		var c command
		for range e.Count {
			if err := c.read(&r); err != nil {
				panic(err)
			}
			results = append(results, s.apply(&c))
		}
		s.notePoint(before)
		s.compact(int64(e.Count), s.historyBytes-bytes)
	}
	s.applied, s.term = entry, term
	return results, nil
}

func (s *State) apply(c *command) Result {
	if e := c.refusal(); e != nil {
		return Result{Revision: s.revision, Code: e.Code, Detail: e.Message}
	}
	switch c.kind {
	case kindPut:
		return s.put(c)
	case kindDelete:
		return s.delete(c)
	case kindAnnounce:
		return s.announce(c)
	default:
		return s.setLevel(c)
	}
}

func (s *State) put(c *command) Result {
	s.revision++
	key := string(c.key)
	versions, _ := s.keys.Get(key)
	v := Version{Mod: s.revision, Create: s.revision, Version: 1, Lease: c.lease, Value: append([]byte{}, c.value...)}
	if n := len(versions); n > 0 && !versions[n-1].Tombstone {
		v.Create, v.Version = versions[n-1].Create, versions[n-1].Version+1
		s.bury(key, &versions[n-1])
	}
	s.live++
	s.liveBytes += int64(len(key) + len(v.Value))
	s.sum += s.digestOf(key, &v)
	s.push(key, versions, v)
	return Result{Revision: s.revision}
}

// bury takes a version out of the live ones.
func (s *State) bury(key string, v *Version) {
	s.live--
	s.liveBytes -= int64(len(key) + len(v.Value))
	s.sum -= s.digestOf(key, v)
	s.historyBytes += weight(key, v)
}

func (s *State) push(key string, versions []Version, v Version) {
	s.keys.Set(key, append(slices.Clip(versions), v))
	s.history = append(s.history, event{v.Mod, v.Sub, key})
}

func (s *State) delete(c *command) Result {
	var found []string
	visit(s.keys, c.key, c.end, func(key string, versions []Version) bool {
		if !versions[len(versions)-1].Tombstone {
			found = append(found, key)
		}
		return true
	})
	if len(found) == 0 {
		return Result{Revision: s.revision}
	}
	s.revision++
	for i, key := range found {
		versions, _ := s.keys.Get(key)
		s.bury(key, &versions[len(versions)-1])
		v := Version{Mod: s.revision, Sub: int64(i), Tombstone: true}
		s.historyBytes += weight(key, &v)
		s.push(key, versions, v)
	}
	return Result{Revision: s.revision, Deleted: int64(len(found))}
}

func (s *State) announce(c *command) Result {
	var a Announcement
	r := pack.NewReader(c.body)
	readAnnouncement(&r, &a)
	i, known := slices.BinarySearchFunc(s.members, a.Member, func(m Announcement, id uint64) int {
		switch {
		case m.Member < id:
			return -1
		case m.Member > id:
			return 1
		}
		return 0
	})
	members := slices.Clone(s.members)
	if known {
		if e := forgot(&members[i], &a); e != nil {
			return Result{Revision: s.revision, Code: e.Code, Detail: e.Message}
		}
		members[i] = a
	} else {
		members = slices.Insert(members, i, a)
	}
	s.members = members
	return Result{Revision: s.revision}
}

// forgot says why an announcement cannot be of the member that is known.
func forgot(known, a *Announcement) *Error {
	switch {
	case a.Folder != known.Folder:
		return refuse(CodeAmnesia, "member %x announces another data folder than the one that is known", a.Member)
	case a.Boot < known.Boot:
		return refuse(CodeAmnesia, "member %x announces start %d of its data folder, %d is known", a.Member, a.Boot, known.Boot)
	case a.Boot == known.Boot && a.Process != known.Process:
		return refuse(CodeAmnesia, "member %x announces start %d of its data folder, which another process has claimed", a.Member, a.Boot)
	}
	return nil
}

func (s *State) setLevel(c *command) Result {
	if c.level < s.level {
		return Result{Revision: s.revision, Code: CodeFeatureLevel,
			Detail: fmt.Sprintf("the feature level is %d already and never falls to %d", s.level, c.level)}
	}
	s.level = c.level
	return Result{Revision: s.revision}
}

const pointStep = 1_000_000

func (s *State) notePoint(before int64) {
	if s.revision == before {
		return
	}
	if n := len(s.points); n > 0 && s.wall/pointStep <= s.points[n-1].wall/pointStep {
		return
	}
	s.points = append(s.points, point{before + 1, s.wall})
}

// compact drops the oldest revisions while there is more history than the limits allow, so much in one step as keeps
// pace with what was added.
func (s *State) compact(commands, bytes int64) {
	work := 16*(1024+2*commands) + max(bytes, 0)/4
	for work > 0 && len(s.history) > 0 && (s.history[0].rev < s.compacted || s.over()) {
		work -= s.forget()
	}
}

func (s *State) over() bool {
	return s.history[0].rev < s.revision &&
		(s.historyBytes > limits.HistoryBytes || s.revision-s.history[0].rev >= limits.HistoryRevisions)
}

// forget compacts the oldest event and returns what work that was.
func (s *State) forget() int64 {
	e := s.history[0]
	s.history = s.history[1:]
	if s.compacted <= e.rev {
		s.compacted = e.rev + 1
		for len(s.points) > 1 && s.points[1].rev <= s.compacted {
			s.points = s.points[1:]
		}
	}
	versions, _ := s.keys.Get(e.key)
	at := slices.IndexFunc(versions, func(v Version) bool { return v.Mod == e.rev })
	v := versions[at]
	work, rest := int64(1), versions
	if v.Tombstone || v.Version > 1 {
		s.historyBytes -= weight(e.key, &versions[0])
		rest = versions[1:]
		work = 16
	}
	if v.Tombstone {
		s.historyBytes -= weight(e.key, &v)
		rest = rest[1:]
		work = 32
	}
	if len(rest) == 0 {
		s.keys.Delete(e.key)
	} else {
		s.keys.Set(e.key, rest)
	}
	return work
}

func (s *State) digestOf(key string, v *Version) uint64 {
	b := s.scratch[:0]
	b = binary.LittleEndian.AppendUint64(b, uint64(len(key)))
	b = append(b, key...)
	b = binary.LittleEndian.AppendUint64(b, uint64(v.Create))
	b = binary.LittleEndian.AppendUint64(b, uint64(v.Mod))
	b = binary.LittleEndian.AppendUint64(b, uint64(v.Version))
	b = binary.LittleEndian.AppendUint64(b, uint64(v.Lease))
	b = append(b, v.Value...)
	s.scratch = b
	return xxhash.Sum64(b)
}

// View returns the state as it is, immutable, for any goroutine.
func (s *State) View() *View {
	v := &View{
		applied: s.applied, term: s.term, revision: s.revision, compacted: s.compacted, level: s.level,
		members: s.members, keys: s.keys.Copy(), live: s.live, liveBytes: s.liveBytes, historyBytes: s.historyBytes,
		points: s.points, sum: s.sum, wall: s.wall,
	}
	if len(s.history) > 0 {
		v.first = s.history[0]
	} else {
		v.first = event{rev: s.revision + 1}
	}
	return v
}
