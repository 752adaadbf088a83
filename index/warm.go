package index

import "sync/atomic"

// A command waits four times for memory when its key was not used for a while: for the slot of the table, the
// record, the newest version, and the version that compaction drops for it. One after the other that is most of what
// a put costs. So a part of the batch goes through these places first, place by place: loads that do not depend on
// each other are under way together. What is loaded here is thrown away; nothing depends on it but time.

// warmCommands is how many commands are warmed up at once: what they touch fits the caches.
const warmCommands = 128

// warming is the scratch of it.
type warming struct {
	slots [warmCommands]*atomic.Uint64
	refs  [warmCommands]ref
	sink  uint64 // so that no load is optimized away
}

// warm hashes the keys of at most warmCommands commands and touches what they will need.
func (s *State) warm(commands []command) {
	w := &s.warming
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

// warmHistory touches what compacting the next revisions will need.
func (s *State) warmHistory() {
	w := &s.warming
	h := &s.history
	refs := w.refs[:0]
	for revision := h.slots.first; revision < min(h.slots.end, h.slots.first+warmCommands); revision++ {
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
