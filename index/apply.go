package index

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Apply applies one entry and appends the results of its commands, one each. Empty data, of raft's own entries, only
// move the applied index. An error means that this qkv does not know what the entry says: nothing was changed, and
// the member must stop. Nothing of data is kept. An entry that does not follow the applied one is a bug and panics.
func (s *State) Apply(entry, term uint64, data []byte, results []kv.Result) ([]kv.Result, error) {
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
	if s.check.entry == entry {
		s.own = ownDigest{entry: entry, digest: s.digest()}
	}
	return results, nil
}

// ApplyChange applies an entry that raft holds for a change of the configuration, as Apply does another one: only in such
// an entry a change of the membership has an effect, and one at most. Configuration, asked before and after, says what
// raft has to be told.
func (s *State) ApplyChange(entry, term uint64, data []byte, results []kv.Result) ([]kv.Result, error) {
	s.changing = true
	results, err := s.Apply(entry, term, data, results)
	s.changing = false
	return results, err
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
func (s *State) applyAll(wall int64, results []kv.Result) []kv.Result {
	s.wall = max(s.wall, wall)
	revision, weight, mapped := s.revision, s.historyBytes, s.memory.handed
	for rest := s.commands; len(rest) > 0; {
		next := rest[:min(len(rest), prefetchCommands)]
		rest = rest[len(next):]
		s.prefetch(next)
		for i := range next {
			results = append(results, s.apply(&next[i]))
		}
	}
	s.flushNewKeys()
	if s.revision != revision {
		s.times.note(revision+1, s.wall)
	}
	s.compact(int64(len(s.commands)), s.historyBytes-weight)
	clear(s.commands) // they are parts of data
	s.evacuate(s.memory.handed - mapped)
	return results
}

func (s *State) apply(c *command) kv.Result {
	if e := c.refusal(); e != nil {
		return s.refused(e)
	}
	switch c.kind {
	case kindPut:
		return s.put(c)
	case kindDelete:
		return s.delete(c)
	case kindAnnounce:
		return s.changeMembers(s.members.Announce(&c.member.announced))
	case kindMember, kindEndExchange:
		return s.changeConfiguration(c)
	case kindFeatureLevel:
		return s.raiseLevel(c)
	case kindCheck:
		s.check = check{entry: s.applied + 1}
		return kv.Result{Revision: s.revision}
	case kindDigest:
		return s.noteDigest(c)
	}
	panic(fmt.Sprintf("a command of kind %d was decoded and cannot be applied", c.kind))
}

// versionOverhead is what a version weighs besides its key and value: about what it takes.
const versionOverhead = 64

func weight(key, value int) int64 { return int64(versionOverhead + key + value) }

// find returns the record of a key, or 0.
func (s *State) find(hash uint64, key []byte) ref {
	r, overflow := s.table.find(hash, key)
	if r == 0 && overflow {
		s.flushNewKeys()
		r, _ = s.tree.Get(s.probe.set(key))
	}
	return r
}

// put sets a key.
func (s *State) put(c *command) kv.Result {
	r := s.find(c.hash, c.key)
	s.revision++
	if r == 0 {
		r = s.newRecord(c.key)
		s.addVersion(r, c)
		s.table.insert(c.hash, r)
		s.newKeys = append(s.newKeys, r)
	} else {
		s.addVersion(r, c)
	}
	return kv.Result{Revision: s.revision}
}

// newRecord makes the record of a new key. It must get a version before anybody can find it.
func (s *State) newRecord(key []byte) ref {
	r := s.memory.alloc(&s.records, recordSize(len(key)))
	record := r.record()
	record.head.Store(0)
	record.size, record.owner, record.unused = uint16(len(key)), 0, 0
	copy(record.key(), key)
	return r
}

// addVersion makes what a put says the newest version of a key.
func (s *State) addVersion(r ref, c *command) {
	record := r.record()
	before := ref(record.head.Load())
	flags, create, number := uint32(0), s.revision, int64(1)
	var words [2]int64
	switch {
	case before == 0:
		flags = created
	case before.version().has(tombstone):
		flags = created | again
		words = [2]int64{before.version().mod, int64(before.version().sub)}
		s.tombstoned.Delete(r)
		s.changed = true
	default:
		create, number = before.version().create(), before.version().number()+1
		words = [2]int64{create, number}
		s.supersede(record, before.version())
	}
	if c.number != 0 {
		flags |= leased
	}
	at := s.newVersion(flags, len(c.value))
	v := at.version()
	v.mod, v.sum = s.revision, sumOf(c.hash, c.value, create, s.revision, 0, number, c.number)
	v.setWords(words, c.number)
	copy(v.value(), c.value)
	s.push(r, at, before)
	s.history.add(at)
	s.live++
	s.liveBytes += int64(len(c.key) + len(c.value))
	s.sum += v.sum
}

func (s *State) newVersion(flags uint32, value int) ref {
	at := s.memory.alloc(&s.versions, versionSize(flags, value))
	v := at.version()
	v.shape = uint32(value)<<flagBits | flags
	v.sub, v.owner = 0, 0
	return at
}

// setWords fills what stands between a version's head and its value.
func (v *version) setWords(words [2]int64, lease int64) {
	n := 0
	if pair(v.flags()) {
		*v.word(0), *v.word(1) = words[0], words[1]
		n = 2
	}
	if v.has(leased) {
		*v.word(n) = lease
	}
}

// push puts a version, which is complete but for its neighbours, before all others of its key.
func (s *State) push(r, at, before ref) {
	v := at.version()
	v.record.Store(uint64(r))
	v.prev.Store(uint64(before))
	if before != 0 {
		before.version().setNewer(at)
	}
	r.record().head.Store(uint64(at))
}

// supersede takes the version that was the newest one out of the live ones.
func (s *State) supersede(r *record, v *version) {
	s.live--
	s.liveBytes -= int64(r.size) + int64(v.valueSize())
	s.sum -= v.sum
	s.pastSum += v.sum
	s.historyBytes += weight(int(r.size), v.valueSize())
}

// delete removes a key, or all keys of a range; those that go together share one revision, and nothing to remove makes
// none.
func (s *State) delete(c *command) kv.Result {
	matches := s.matches[:0]
	if len(c.value) == 0 {
		if r := s.find(c.hash, c.key); r != 0 && !r.record().newest().has(tombstone) {
			matches = append(matches, r)
		}
	} else {
		s.flushNewKeys()
		s.tree.Ascend(s.probe.set(c.key), func(r ref) bool {
			if beyond(r.record().key(), c.value) {
				return false
			}
			if !r.record().newest().has(tombstone) {
				matches = append(matches, r)
			}
			return true
		})
	}
	if s.matches = matches[:0]; cap(matches) > 1<<16 {
		s.matches = nil // of a large deletion
	}
	if len(matches) == 0 {
		return kv.Result{Revision: s.revision}
	}
	s.revision++
	if len(matches) == 1 {
		s.history.add(s.addTombstone(matches[0], 0))
	} else {
		g := &group{changes: make([]atomic.Uint64, len(matches))}
		for i, r := range matches {
			g.changes[i].Store(changeOf(s.addTombstone(r, uint32(i))))
		}
		s.history.addGroup(g)
	}
	return kv.Result{Revision: s.revision, Deleted: int64(len(matches))}
}

// addTombstone makes a tombstone the newest version of a key.
func (s *State) addTombstone(r ref, sub uint32) ref {
	record := r.record()
	before := ref(record.head.Load())
	s.supersede(record, before.version())
	at := s.newVersion(tombstone, 0)
	v := at.version()
	v.mod, v.sub = s.revision, sub
	v.sum = sumOf(hashOf(record.key()), nil, 0, s.revision, int64(sub), 0, 0)
	s.historyBytes += weight(int(record.size), 0)
	s.pastSum += v.sum
	s.push(r, at, before)
	s.tombstoned.Set(r)
	s.changed = true
	return at
}

// beyond says that a key is not in a range that ends before end; the end "\0" is none.
func beyond(key, end []byte) bool {
	if len(end) == 1 && end[0] == 0 {
		return false
	}
	return bytes.Compare(key, end) >= 0
}

func (s *State) changeConfiguration(c *command) kv.Result {
	if !s.changing {
		return s.refused(kv.Errorf(kv.BadRequest, "a change of the membership in an entry that is not for one"))
	}
	s.changing = false
	if c.kind == kindEndExchange {
		return s.changeMembers(s.members.EndExchange(), nil)
	}
	return s.changeMembers(s.members.Change(&c.member.change, s.wall))
}

// changeMembers takes over what became of the members, unless it was refused.
func (s *State) changeMembers(next Members, err *kv.Error) kv.Result {
	if err != nil {
		return s.refused(err)
	}
	s.members = next
	return kv.Result{Revision: s.revision}
}

func (s *State) raiseLevel(c *command) kv.Result {
	if level := uint64(c.number); level < s.level {
		return s.refused(kv.Errorf(kv.FeatureLevel, "the feature level is %d already and never falls to %d", s.level, level))
	}
	s.level = uint64(c.number)
	return kv.Result{Revision: s.revision}
}

func (s *State) refused(e *kv.Error) kv.Result { return kv.Result{Revision: s.revision, Err: e} }

// A command waits four times for memory when its key was not used for a while: for the slot of the table, the
// record, the newest version, and the version that compaction drops for it. One after the other that is most of what
// a put costs. So a part of the batch goes through these places first, place by place: loads that do not depend on
// each other are under way together. What is loaded here is thrown away; nothing depends on it but time.

// prefetchCommands is how many commands are prefetched for at once: what they touch fits the caches.
const prefetchCommands = 128

// prefetching is the scratch of it.
type prefetching struct {
	slots [prefetchCommands]*atomic.Uint64
	refs  [prefetchCommands]ref
	sink  uint64 // so that no load is optimized away
}

// prefetch hashes the keys of at most prefetchCommands commands and touches what they will need.
func (s *State) prefetch(commands []command) {
	w := &s.prefetching
	d := s.table.dir.Load()
	for i := range commands {
		c := &commands[i]
		c.hash = hashOf(c.key)
		w.slots[i] = &d.segments[d.place(c.hash)].Load().slots[startOf(c.hash)]
	}
	sum := uint64(0)
	for i := range commands {
		sum += w.slots[i].Load()
	}
	refs := w.refs[:0]
	for i := range commands {
		if r := s.table.guess(commands[i].hash); r != 0 {
			refs = append(refs, r)
		}
	}
	for _, r := range refs {
		sum += r.record().head.Load()
	}
	for i, r := range refs {
		refs[i] = ref(r.record().head.Load())
	}
	for _, at := range refs {
		sum += at.version().sum + at.version().prev.Load()
	}
	w.sink += sum
}

// guess returns the first record that may be the one of a key with this hash.
func (t *table) guess(hash uint64) ref {
	s := t.segment(hash)
	want := finger(hash)
	for i := startOf(hash); i < segmentSlots; i++ {
		slot := s.slots[i].Load()
		if slot == 0 {
			break
		}
		if slot&^refMask == want && slot != slotRemoved {
			return ref(slot & refMask)
		}
	}
	return 0
}

// prefetchHistory touches what compacting the next revisions will need.
func (s *State) prefetchHistory() {
	w := &s.prefetching
	h := &s.history
	refs := w.refs[:0]
	for revision := h.slots.first; revision < min(h.slots.end, h.slots.first+prefetchCommands); revision++ {
		if change := h.slots.at(revision).Load(); change&changeFlags == 0 {
			refs = append(refs, ref(change))
		}
	}
	sum := uint64(0)
	for _, at := range refs {
		sum += at.version().prev.Load()
	}
	for _, at := range refs {
		v := at.version()
		sum += uint64(ref(v.record.Load()).record().size)
		if older := v.older(); older != 0 {
			sum += uint64(older.version().shape)
		}
	}
	w.sink += sum
}
