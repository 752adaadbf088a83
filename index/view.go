package index

import (
	"runtime"

	"github.com/cespare/xxhash/v2"

	"qkv/log/pack"
)

// View is the state at one applied index, immutable, for any goroutine.
//
// What Range, Get, Scan and Events hand out are parts of the View's memory, which the garbage collector does not see
// behind them: keep the View reachable while they are in use, with runtime.KeepAlive(view) behind the last use.
type View struct {
	applied, term uint64
	revision      int64
	compacted     int64
	wall          int64
	level         uint64
	members       []Announcement
	live          int64
	liveBytes     int64
	sum           uint64
	historyBytes  int64
	pastSum       uint64
	history       history
	times         times

	memory  *memory
	table   *table
	removed uint64 // table.removed when the View was made
	frozen
	epoch    *epoch // keeps what is given up later
	mapped   int64
	walkMost int
}

// Applied returns index and term of the newest entry that the View holds.
func (v *View) Applied() (index, term uint64) { return v.applied, v.term }

// Revision returns the newest revision; an empty store is at 1.
func (v *View) Revision() int64 { return v.revision }

// Compacted returns the oldest revision that can be read, or 0 when nothing was compacted yet.
func (v *View) Compacted() int64 { return v.compacted }

// Keys returns the number of keys at the newest revision.
func (v *View) Keys() int64 { return v.live }

// LiveBytes returns the bytes of all keys and values at the newest revision.
func (v *View) LiveBytes() int64 { return v.liveBytes }

// HistoryBytes returns what the versions that are superseded or deleted weigh.
func (v *View) HistoryBytes() int64 { return v.historyBytes }

// MappedBytes returns how much memory outside of Go's heap held the state when the View was made. RetiredBytes is how
// much more is given up by now, but waits for the garbage collector to find that no View reaches it.
func (v *View) MappedBytes() int64  { return v.mapped }
func (v *View) RetiredBytes() int64 { return v.memory.ledger.retired.Load() }

// Level returns the cluster's feature level.
func (v *View) Level() uint64 { return v.level }

// Members returns the newest announcement of each member, in the order of their ids. The slice must not be changed.
func (v *View) Members() []Announcement { return v.members }

// Digest returns a number that is equal on all members at equal applied index: every key, its history, and all other
// replicated state have part in it.
func (v *View) Digest() uint64 {
	b := pack.AppendUint(nil, v.sum)
	b = pack.AppendUint(b, v.pastSum)
	b = pack.AppendInt(b, v.revision)
	b = pack.AppendInt(b, v.compacted)
	b = pack.AppendInt(b, v.history.slots.first)
	b = pack.AppendInt(b, v.history.sub)
	b = pack.AppendInt(b, v.historyBytes)
	b = pack.AppendInt(b, v.wall)
	b = pack.AppendUint(b, v.level)
	for i := range v.members {
		b = appendAnnouncement(b, &v.members[i])
	}
	return xxhash.Sum64(b)
}

// TimeOf returns when a revision was written, in nanoseconds since 1970 by the clock of the member that proposed it,
// made monotonic, to the millisecond. It is false for a revision that is compacted or not there yet.
func (v *View) TimeOf(revision int64) (wall int64, ok bool) {
	if revision < v.compacted || revision > v.revision {
		return 0, false
	}
	return v.times.of(revision)
}

// RevisionAt returns the newest revision that was written at a time or before it. It is false when that one is
// compacted.
func (v *View) RevisionAt(wall int64) (revision int64, ok bool) {
	later, ok := v.times.after(wall)
	if !ok {
		return v.revision, true
	}
	return later - 1, later-1 >= v.compacted
}

// Event is one change. Its slices are parts of the View's memory and must not be changed.
type Event struct {
	// KV is the key after the change; of one that was deleted it has the key and Mod only.
	KV KeyValue
	// Sub is its place among the changes of one revision.
	Sub     int64
	Deleted bool
}

// Events hands out all changes from a revision on, oldest first, until f returns false. A revision below the
// compacted one is an *Error with CodeCompacted; one that is not there yet has no changes yet.
func (v *View) Events(from int64, f func(e *Event) bool) error {
	if from < v.compacted {
		return v.compactedError(from)
	}
	defer runtime.KeepAlive(v)
	var e Event
	for revision := max(from, v.history.slots.first); revision < v.history.slots.end; revision++ {
		for sub := range v.history.changes(revision) {
			at := changed(v.history.change(revision, sub).Load()).version()
			e = Event{Sub: sub, Deleted: at.has(tombstone)}
			key := ref(at.record.Load()).record().key()
			if e.KV = at.keyValue(key); e.Deleted {
				e.KV.Value = nil
			}
			if !f(&e) {
				return nil
			}
		}
	}
	return nil
}

func (v *version) keyValue(key []byte) KeyValue {
	return KeyValue{Key: key, Value: v.value(), Create: v.create(), Mod: v.mod, Version: v.number(), Lease: v.lease()}
}

// Version is one version of a key, as a snapshot holds it.
type Version struct {
	Mod, Sub, Create, Version, Lease int64
	Tombstone                        bool // the key was deleted; all but Mod and Sub is empty
	Value                            []byte
}

// Scan hands out all keys from a key on, in their order, with all versions that are kept, oldest first, until f
// returns false. The slices are f's until it returns.
func (v *View) Scan(from []byte, f func(key []byte, versions []Version) bool) {
	defer runtime.KeepAlive(v)
	var p probe
	var versions []Version
	v.tree.Ascend(p.set(from), func(r ref) bool {
		record := r.record()
		versions = v.kept(record, versions[:0])
		return f(record.key(), versions)
	})
	runtime.KeepAlive(p.words)
}

// kept appends the versions of a key that were kept when the View was made, oldest first.
func (v *View) kept(r *record, to []Version) []Version {
	at := r.newest()
	for at.mod > v.revision {
		at = ref(at.prev.Load()).version()
	}
	for {
		one := Version{
			Mod: at.mod, Sub: int64(at.sub), Create: at.create(), Version: at.number(), Lease: at.lease(),
			Tombstone: at.has(tombstone),
		}
		if !one.Tombstone {
			one.Value = at.value()
		}
		to = append(to, one)
		if !v.keepsBefore(at) {
			break
		}
		at = ref(at.prev.Load()).version()
	}
	for i, j := 0, len(to)-1; i < j; i, j = i+1, j-1 {
		to[i], to[j] = to[j], to[i]
	}
	return to
}

// keepsBefore says whether the version before one was kept when the View was made: as long as the change that
// superseded it is in the history, or, if it is a tombstone, as its own is.
func (v *View) keepsBefore(at *version) bool {
	if at.has(created) {
		mod, sub := at.buried()
		return mod > 0 && v.history.holds(mod, sub)
	}
	return v.history.holds(at.mod, int64(at.sub))
}
