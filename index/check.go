package index

import "fmt"

// Check walks the whole state and returns an error with the number of the first invariant of doc.go that does not hold.
// It is for tests and for `inspect`: it takes as long as reading all data.
func (s *State) Check() error {
	w := walk{s: s, live: map[*slab]int{}}
	for _, step := range []func() error{w.keys, w.numbers, w.changes, w.slabs, w.clock, w.members, w.leases, w.sessions, w.accounts} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// walk is the counters of Check.
type walk struct {
	s    *State
	live map[*slab]int // bytes of the objects found so far

	inTable, inHistory int64
	kept               int64
	keptSum            uint64
	keyCount           int64
	liveBytes          int64
	cold, coldBytes    int64
	coldLive           int64
	valueBytes         int64
	leased             int
}

func broken(invariant int, format string, args ...any) error {
	return fmt.Errorf("invariant %d of the index is broken: %s", invariant, fmt.Sprintf(format, args...))
}

func (w *walk) keys() (err error) {
	var before ref
	w.s.keys.tree.Scan(func(r ref) bool {
		if before != 0 && !less(before, r) {
			err = broken(1, "the key %q comes after %q", r.record().key(), before.record().key())
		} else {
			err = w.key(r)
		}
		before = r
		return err == nil
	})
	return err
}

func (w *walk) key(r ref) error {
	record, s := r.record(), w.s
	key := record.key()
	if record.owner != 0 {
		return broken(1, "the record of %q has flags %d", key, record.owner)
	}
	switch found, overflow := s.keys.table.find(hashOf(key), key); {
	case found == r:
		w.inTable++
	case found != 0 || !overflow:
		return broken(1, "the table has the record of %q at %#x, the tree at %#x", key, found, r)
	}
	w.live[s.keys.memory.slabOf(r)] += recordSize(len(key))
	if same, ok := s.keys.tombstoned.Get(r); ok != record.newest().has(tombstone) || ok && same != r {
		return broken(1, "%q is deleted: %v; it is among the tombstoned: %v, with the record %#x", key, record.newest().has(tombstone), ok, same)
	}
	newer := ref(0)
	for at := ref(record.head.Load()); at != 0; at = at.version().older() {
		if err := w.version(r, at, newer); err != nil {
			return err
		}
		newer = at
	}
	if newer == 0 {
		return broken(2, "the key %q has no version", key)
	}
	return nil
}

func (w *walk) version(r, at, newer ref) error {
	s, v, key := w.s, at.version(), r.record().key()
	switch {
	case v.owner&versionDead != 0:
		return broken(2, "version %d.%d of %q is out of use", v.mod, v.sub, key)
	case v.newer() != newer:
		return broken(2, "version %d.%d of %q has %#x for its newer one, which is %#x", v.mod, v.sub, key, v.newer(), newer)
	case newer != 0 && !v.before(position{newer.version().mod, newer.version().sub}):
		return broken(2, "version %d.%d of %q comes before revision %d", v.mod, v.sub, key, newer.version().mod)
	case s.keys.recordOf(v) != r:
		return broken(2, "version %d.%d of %q refers to another record", v.mod, v.sub, key)
	}
	w.live[s.keys.memory.slabOf(at)] += v.size()
	if err := w.generation(v, key); err != nil {
		return err
	}
	value := v.value()
	if v.has(cold) {
		var err error
		if value, err = s.eviction.files.value(key, v); err != nil {
			return err
		}
		if w.cold++; newer == 0 {
			w.coldLive += int64(len(value))
		}
		w.coldBytes += int64(len(value))
	}
	sum := sumOf(hashOf(key), value, v.create(), v.mod, int64(v.sub), v.number(), v.lease(), v.author())
	if newer == 0 && !v.has(tombstone) {
		w.keyCount++
		w.liveBytes += int64(len(key) + v.valueSize())
		if v.lease() != 0 {
			w.leased++
		}
	}
	w.kept++
	w.valueBytes += int64(v.valueSize())
	w.keptSum += sum
	return w.noted(at, key)
}

// generation checks a version against the previous one.
func (w *walk) generation(v *version, key []byte) error {
	older := v.older()
	switch {
	case older == 0:
		if v.has(tombstone) {
			return broken(3, "%q begins with the tombstone of revision %d", key, v.mod)
		}
	case older.version().has(tombstone):
		mod, sub := v.precedingTombstone()
		if before := older.version(); !v.has(created) || mod != before.mod || sub != int64(before.sub) {
			return broken(3, "version %d of %q follows the tombstone of revision %d", v.mod, key, before.mod)
		}
	case v.has(created):
		return broken(3, "version %d of %q is created, but was there", v.mod, key)
	case !v.has(tombstone) && (v.create() != older.version().create() || v.number() != older.version().number()+1):
		return broken(3, "version %d of %q is number %d since %d", v.mod, key, v.number(), v.create())
	}
	return nil
}

// noted checks that a version is in the history, or is the oldest one of its key.
func (w *walk) noted(at ref, key []byte) error {
	v, h := at.version(), &w.s.history
	if !h.holds(v.mod, int64(v.sub)) {
		if v.older() != 0 || v.has(tombstone) {
			return broken(5, "version %d.%d of %q is compacted, and not the oldest put that is left", v.mod, v.sub, key)
		}
		return nil
	}
	w.inHistory++
	if v.mod > w.s.revision {
		return broken(5, "version %d of %q is newer than revision %d", v.mod, key, w.s.revision)
	}
	if int64(v.sub) >= h.changes(v.mod) || h.change(v.mod, int64(v.sub)).Load() != changeWord(at) {
		return broken(5, "version %d.%d of %q is not the change of that place", v.mod, v.sub, key)
	}
	if v.older() == 0 && !v.has(created) {
		return broken(5, "version %d.%d of %q is in the history, the one before it is not kept", v.mod, v.sub, key)
	}
	return nil
}

func (w *walk) numbers() error {
	s := w.s
	if w.inTable != int64(s.keys.table.count) {
		return broken(1, "the table has %d keys, %d were found in it", s.keys.table.count, w.inTable)
	}
	if int64(s.keys.tombstoned.Len()) != int64(s.keys.tree.Len())-s.totals.live {
		return broken(1, "%d keys and %d tombstoned of them, %d keys are live", s.keys.tree.Len(), s.keys.tombstoned.Len(), s.totals.live)
	}
	if w.coldLive != s.coldLive {
		return broken(4, "%d bytes of live values are cold; counted were %d", s.coldLive, w.coldLive)
	}
	if w.valueBytes != s.history.valueBytes {
		return broken(4, "values of %d bytes are kept; counted were %d", w.valueBytes, s.history.valueBytes)
	}
	if w.cold != s.history.cold || w.coldBytes != s.history.coldBytes {
		return broken(4, "%d versions of %d bytes are cold; counted were %d of %d", s.history.cold, s.history.coldBytes, w.cold, w.coldBytes)
	}
	if w.keyCount != s.totals.live || w.liveBytes != s.totals.liveBytes || w.kept != s.history.kept || w.keptSum != s.history.keptSum {
		return broken(4, "%d keys of %d bytes, %d versions, sum %016x; counted were %d of %d, %d, %016x",
			s.totals.live, s.totals.liveBytes, s.history.kept, s.history.keptSum, w.keyCount, w.liveBytes, w.kept, w.keptSum)
	}
	return nil
}

func (w *walk) changes() error {
	h := &w.s.history
	changes := -h.sub
	for revision := h.first(); revision <= w.s.revision; revision = h.next(revision) {
		changes += h.changes(revision)
	}
	first := h.first()
	switch {
	case h.slots.end != w.s.revision+1:
		return broken(5, "the history ends before revision %d, the newest is %d", h.slots.end, w.s.revision)
	case changes != w.inHistory:
		return broken(5, "the history has %d changes, the keys have %d", changes, w.inHistory)
	case first > w.s.gaps.skip(max(w.s.compacted+1, 2)), h.sub > 0 && first >= w.s.compacted, w.s.compacted > w.s.revision:
		return broken(6, "compacted up to %d, the history begins with %d.%d, the newest revision is %d", w.s.compacted, first, h.sub, w.s.revision)
	}
	return nil
}

func (w *walk) slabs() error {
	m := w.s.keys.memory
	mapped, used := int64(0), int64(0)
	for i, s := range m.slabs {
		mapped += int64(s.size)
		used += int64(s.live)
		if s.number != i || m.slabOf(s.address+slabHead) != s {
			return broken(7, "slab %d is not found by its address", i)
		}
		if s.live != w.live[s] {
			return broken(7, "slab %d has %d live bytes, %d were found in it", i, s.live, w.live[s])
		}
	}
	if mapped != m.bytes || used != m.live {
		return broken(7, "slabs of %d bytes, %d in use; counted were %d and %d", mapped, used, m.bytes, m.live)
	}
	return nil
}

func (w *walk) clock() error {
	points := &w.s.times.points
	before, sum := point{}, uint64(0)
	for n := points.first; n < points.end; n++ {
		p := *points.at(n)
		if p.revision <= before.revision || p.wall < before.wall && n > points.first || p.behind < 0 || p.wall > w.s.wall || p.revision > w.s.revision || p.weight < before.weight || p.weight > w.s.totals.weight {
			return broken(8, "time %d of revision %d follows %d of %d", p.wall, p.revision, before.wall, before.revision)
		}
		before = p
		sum += p.digest()
	}
	if sum != w.s.times.sum || w.s.times.behind < 0 {
		return broken(8, "the times have the sum %016x, counted was %016x", w.s.times.sum, sum)
	}
	first := points.first
	if points.len() > 1 && points.at(first+1).revision <= w.s.compacted {
		return broken(8, "the time of revision %d is kept, %d is the oldest that can be read", points.at(first).revision, w.s.compacted)
	}
	return nil
}

func (w *walk) members() error {
	if err := w.s.members.check(); err != nil {
		return broken(9, "%v", err)
	}
	return nil
}
