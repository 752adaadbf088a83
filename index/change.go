package index

import (
	"bytes"
	"sync/atomic"
)

// versionOverhead is what a version weighs besides its key and value: about what it takes.
const versionOverhead = 64

func weight(key, value int) int64 { return int64(versionOverhead + key + value) }

// find returns the record of a key, or 0.
func (s *State) find(hash uint64, key []byte) ref {
	r, crowded := s.table.find(hash, key)
	if r == 0 && crowded {
		s.plant()
		r, _ = s.tree.Get(s.probe.set(key))
	}
	return r
}

// put sets a key.
func (s *State) put(c *command) Result {
	r := s.find(c.hash, c.key)
	s.revision++
	if r == 0 {
		r = s.newRecord(c.key)
		s.addVersion(r, c)
		s.table.insert(c.hash, r)
		s.fresh = append(s.fresh, r)
	} else {
		s.addVersion(r, c)
	}
	return Result{Revision: s.revision}
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
		s.graves.Delete(r)
		s.changed = true
	default:
		create, number = before.version().create(), before.version().number()+1
		words = [2]int64{create, number}
		s.bury(record, before.version())
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

// bury takes the version that was the newest one out of the live ones.
func (s *State) bury(r *record, v *version) {
	s.live--
	s.liveBytes -= int64(r.size) + int64(v.valueSize())
	s.sum -= v.sum
	s.pastSum += v.sum
	s.historyBytes += weight(int(r.size), v.valueSize())
}

// delete removes a key, or all keys of a range; those that go together share one revision, and nothing found makes
// none.
func (s *State) delete(c *command) Result {
	found := s.found[:0]
	if len(c.value) == 0 {
		if r := s.find(c.hash, c.key); r != 0 && !r.record().newest().has(tombstone) {
			found = append(found, r)
		}
	} else {
		s.plant()
		s.tree.Ascend(s.probe.set(c.key), func(r ref) bool {
			if beyond(r.record().key(), c.value) {
				return false
			}
			if !r.record().newest().has(tombstone) {
				found = append(found, r)
			}
			return true
		})
	}
	if s.found = found[:0]; cap(found) > 1<<16 {
		s.found = nil // of a large deletion
	}
	if len(found) == 0 {
		return Result{Revision: s.revision}
	}
	s.revision++
	if len(found) == 1 {
		s.history.add(s.entomb(found[0], 0))
	} else {
		g := &group{changes: make([]atomic.Uint64, len(found))}
		for i, r := range found {
			g.changes[i].Store(changeOf(s.entomb(r, uint32(i))))
		}
		s.history.addGroup(g)
	}
	return Result{Revision: s.revision, Deleted: int64(len(found))}
}

// entomb makes a tombstone the newest version of a key.
func (s *State) entomb(r ref, sub uint32) ref {
	record := r.record()
	before := ref(record.head.Load())
	s.bury(record, before.version())
	at := s.newVersion(tombstone, 0)
	v := at.version()
	v.mod, v.sub = s.revision, sub
	v.sum = sumOf(hashOf(record.key()), nil, 0, s.revision, int64(sub), 0, 0)
	s.historyBytes += weight(int(record.size), 0)
	s.pastSum += v.sum
	s.push(r, at, before)
	s.graves.Set(r)
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
