package index

// What compaction costs, in units of about 20 ns: a key's first version is skipped, another change drops the version
// before it, and a deletion is dropped itself, too.
const (
	skipWork = 1
	dropWork = 16
	// stepWork is how much one entry always may do, and commandWork how much more for each of its commands.
	stepWork    = 1024 * dropWork
	commandWork = 2 * dropWork
)

// compact drops the oldest changes while there are more than the bounds allow, but never more at once than keeps pace
// with what the commands have added: a version that is dropped weighs more than versionOverhead, so that for each
// byte added one can go. How far it comes is decided by the state and the entry alone, and is part of the state.
func (s *State) compact(commands, added int64) {
	work := s.bounds.stepWork + commandWork*commands + max(added, 0)*dropWork/versionOverhead
	warm := int64(0) // revisions before it are in the caches
	for work > 0 && (s.compacted > s.history.slots.first || s.over()) {
		if s.history.slots.first >= warm {
			s.warmHistory()
			warm = s.history.slots.first + warmCommands
		}
		work -= s.forget()
	}
}

// over says that the oldest revision should go. The newest never does: it can always be read, and watched.
func (s *State) over() bool {
	first := s.history.slots.first
	return first < s.revision &&
		(s.historyBytes > s.bounds.historyBytes || s.revision-first >= s.bounds.historyRevisions)
}

// forget drops the oldest change, with the version before it, and returns what work that was.
func (s *State) forget() (work int64) {
	h := &s.history
	revision := h.slots.first
	if s.compacted <= revision {
		s.compacted = revision + 1
		s.times.trim(s.compacted)
	}
	change := h.change(revision, h.sub).Load()
	h.trim()
	if change&changeCreated != 0 {
		return skipWork // a tombstone before it went when its own revision did
	}
	at := changed(change)
	v := at.version()
	r := s.recordOf(v)
	s.drop(r, v.older())
	v.owner |= prevGone
	if !v.has(tombstone) {
		return dropWork
	}
	s.drop(r, at)
	if newer := v.newer(); newer != 0 {
		newer.version().owner |= prevGone
	} else {
		s.remove(r)
	}
	return 2 * dropWork
}

// older returns the version before, or 0 when there is none, or none any longer.
func (v *version) older() ref {
	if v.owner&prevGone != 0 {
		return 0
	}
	return ref(v.prev.Load())
}

// recordOf returns the record of a version's key, also while versions still refer to a copy that was left behind.
func (s *State) recordOf(v *version) ref {
	r := ref(v.record.Load())
	if key := r.record(); key.owner&recordMoved != 0 {
		return s.find(hashOf(key.key()), key.key())
	}
	return r
}

// drop takes a version that is not live out of use.
func (s *State) drop(r, at ref) {
	v := at.version()
	v.owner |= versionDead
	s.historyBytes -= weight(int(r.record().size), v.valueSize())
	s.pastSum -= v.sum
	s.evacuation.look(s.memory.free(at, v.size()))
}

// remove takes a key out whose last version is gone.
func (s *State) remove(r ref) {
	record := r.record()
	s.table.remove(hashOf(record.key()), r)
	s.tree.Delete(r)
	s.graves.Delete(r)
	s.changed = true
	record.owner |= recordDead
	s.evacuation.look(s.memory.free(r, recordSize(int(record.size))))
}
