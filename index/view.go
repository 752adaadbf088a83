package index

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"runtime"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// View is the state at one applied index, immutable, for any goroutine.
//
// What Range, Get, Scan and Events hand out are parts of the View's memory, which the garbage collector does not see
// behind them: keep the View reachable while they are in use, with runtime.KeepAlive(view) behind the last use.
type View struct {
	replicated
	layout
	own    ownDigest
	counts Counts

	memory  *memory
	table   *table
	removed uint64 // table.removed when the View was made
	frozen
	leases leases
	saved  *savedSessions // nil, but in a View to be saved
	epoch  *epoch         // keeps what is given up later
	mapped int64
	// countedRows is limits.CountedRows.
	countedRows int
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

// HistoryBytes returns what the versions weigh that were superseded or deleted since the compacted revision, to the
// millisecond: 64 bytes each, and key and value.
func (v *View) HistoryBytes() int64 { return v.weight - v.times.weightAt(v.compacted) }

// RevisionOfHistory returns the oldest revision from which on the history weighs at most so much, to the millisecond; at
// least the compacted one.
func (v *View) RevisionOfHistory(bytes int64) int64 {
	revision := v.revision
	if p, ok := v.times.lightest(v.weight - bytes); ok {
		revision = p
	}
	return max(min(revision, v.revision), v.compacted)
}

// Dropped says whether nothing is left of what was compacted: whether a compaction is done physically.
func (v *View) Dropped() bool { return v.history.slots.first >= v.compacted }

// MappedBytes returns how much memory outside of Go's heap held the state when the View was made. RetiredBytes is how
// much more is given up by now, but waits for the garbage collector to find that no View reaches it.
func (v *View) MappedBytes() int64  { return v.mapped }
func (v *View) RetiredBytes() int64 { return v.memory.ledger.retired.Load() }

// Rest gives memory back that is kept for what comes next, when nothing does: until the state needs more.
func (v *View) Rest() { v.memory.ledger.rest() }

// Level returns the cluster's feature level.
func (v *View) Level() uint64 { return v.level }

// Members returns the members' records.
func (v *View) Members() Members { return v.members }

// TimeOf returns when a revision was written, in nanoseconds since 1970 by the clock of the member that proposed it,
// made monotonic, to the millisecond. It is false for a revision that is compacted or not there yet.
func (v *View) TimeOf(revision int64) (wall int64, ok bool) {
	if revision < v.compacted || revision > v.revision {
		return 0, false
	}
	return v.times.of(revision)
}

// RevisionAt returns the newest revision that was written at a time or before it, when the present is now. It is an error when
// that one is compacted, and when the clocks of those who proposed contradict each other there, or now, by more than
// limits.ClocksApart: then no revision can be told.
func (v *View) RevisionAt(wall, now int64) (revision int64, err *kv.Error) {
	later := v.times.search(func(p *point) bool { return p.wall > wall })
	if c, is := v.times.contradicted(later, now, int64(limits.ClocksApart)); is {
		return 0, v.contradictionError(&c)
	}
	revision = v.revision
	if later < v.times.points.end {
		revision = v.times.points.at(later).revision - 1
	}
	if revision < v.compacted {
		return 0, kv.Errorf(kv.Compacted, "what was there at that time was compacted, the oldest revision that can be read is %d", v.compacted)
	}
	return revision, nil
}

// contradictionError says what a time does not tell, and until when.
func (v *View) contradictionError(c *contradiction) *kv.Error {
	last, ends := "on", "they are"
	if c.last > 0 {
		last, ends = fmt.Sprintf("to %d", c.last), fmt.Sprintf("revision %d is", c.last)
	}
	return kv.Errorf(kv.BadRequest, "that time does not tell which revision: of the revisions from %d %s members' clocks contradict each other by %v, so at least one was wrong. "+
		"Ask for a revision in place of a time: --rev, or its number where a time may stand; `qkv log --from %d` shows what each changed. Times after %s tell revisions again, older ones when %s compacted.",
		max(c.first, v.compacted), last, time.Duration(c.by).Round(time.Second), max(c.first, v.compacted, 1), time.Unix(0, c.until).UTC().Format(time.RFC3339), ends)
}

// Times hands out when revisions were written, newest first: at wall, revision was the oldest of those since the time before.
func (v *View) Times() iter.Seq2[int64, int64] {
	return func(yield func(revision, wall int64) bool) {
		for n := v.times.points.end; n > v.times.points.first; n-- {
			if p := v.times.points.at(n - 1); !yield(p.revision, p.wall) {
				return
			}
		}
	}
}

// Events hands out all changes from a revision on, oldest first, until f returns false. A revision below the
// compacted one is a *kv.Error with the code Compacted; one that is not there yet has no changes yet.
func (v *View) Events(from int64, f func(e *kv.Event) bool) error {
	if from < v.compacted {
		return v.compactedError(from)
	}
	defer runtime.KeepAlive(v)
	var e kv.Event
	for revision := max(from, v.history.slots.first); revision < v.history.slots.end; revision++ {
		for sub := range v.history.changes(revision) {
			at := changed(v.history.change(revision, sub).Load()).version()
			e = kv.Event{Sub: sub, Deleted: at.has(tombstone)}
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

func (v *version) keyValue(key []byte) kv.KeyValue {
	return kv.KeyValue{Key: key, Value: v.value(), CreateRevision: v.create(), ModRevision: v.mod, Version: v.number(), Lease: v.lease()}
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
	var room [scanAhead]ref
	ahead := room[:0]
	handOut := func() bool {
		v.prefetchVersions(ahead)
		for _, r := range ahead {
			record := r.record()
			if versions = v.kept(record, versions[:0]); !f(record.key(), versions) {
				return false
			}
		}
		ahead = ahead[:0]
		return true
	}
	more := true
	v.tree.Ascend(p.set(from), func(r ref) bool {
		if ahead = append(ahead, r); len(ahead) == scanAhead {
			more = handOut()
		}
		return more
	})
	if more {
		handOut()
	}
	runtime.KeepAlive(p.words)
}

// scanAhead is how many keys a scan looks at ahead: their versions lie anywhere, and waiting for one piece of memory is waiting
// for all. Nothing that a caller could see depends on it.
const scanAhead = 64

// prefetchVersions touches the newest versions of some keys, as far as kept will go through them.
func (v *View) prefetchVersions(refs []ref) {
	var room [scanAhead]*version
	next := room[:0]
	for _, r := range refs {
		r.record().head.Load()
	}
	for _, r := range refs {
		next = append(next, r.record().newest())
	}
	for range versionsAhead {
		for _, at := range next {
			at.prev.Load()
		}
		left := next[:0]
		for _, at := range next {
			if at.mod > v.revision || v.keepsBefore(at) {
				left = append(left, ref(at.prev.Load()).version())
			}
		}
		next = left
	}
}

// versionsAhead is how many versions of a key are touched ahead.
const versionsAhead = 4

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
		mod, sub := at.precedingTombstone()
		return mod > 0 && v.history.holds(mod, sub)
	}
	return v.history.holds(at.mod, int64(at.sub))
}

// requestBounds are the same on every member: a command that breaks one is refused when it is applied.
var requestBounds = kv.Bounds{Key: limits.KeyBytes, Value: limits.ValueBytes}

// readable returns the revision that a read asks for, or why it cannot be read.
func (v *View) readable(revision int64) (int64, error) {
	if err := v.unloaded(); err != nil {
		return 0, err
	}
	switch {
	case revision == 0:
		return v.revision, nil
	case revision > v.revision:
		return 0, kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", revision, v.revision)
	case revision < v.compacted:
		return 0, v.compactedError(revision)
	}
	return revision, nil
}

func (v *View) compactedError(revision int64) *kv.Error {
	return kv.Errorf(kv.Compacted, "revision %d was compacted, the oldest that can be read is %d", revision, v.compacted)
}

// Get returns one key at a revision, 0 for the newest. It allocates nothing. An error is a *kv.Error.
func (v *View) Get(key []byte, revision int64) (pair kv.KeyValue, found bool, err error) {
	if e := (&kv.Range{Key: key, Revision: revision}).Check(requestBounds); e != nil {
		return pair, false, e
	}
	if revision, err = v.readable(revision); err != nil {
		return pair, false, err
	}
	if r, at := v.find(key, behind(revision)); at != nil {
		pair, found = at.keyValue(r.key()), true
	}
	runtime.KeepAlive(v)
	return pair, found, nil
}

// find returns a key's record and the version that is seen at a position, or nil.
func (v *View) find(key []byte, p position) (*record, *version) {
	r, overflow := v.table.find(hashOf(key), key)
	if r != 0 {
		if at := r.record().newest().at(p); at != nil {
			return r.record(), at
		}
	}
	// Not found is certain if no key was ever taken out since the View was made. The removals are counted before
	// anything is taken out.
	if !overflow && v.table.removed.Load() == v.removed {
		return nil, nil
	}
	return v.findInTree(key, p)
}

func (v *View) findInTree(key []byte, p position) (*record, *version) {
	var wanted probe
	r, found := v.tree.Get(wanted.set(key))
	runtime.KeepAlive(wanted.words)
	if !found {
		return nil, nil
	}
	return r.record(), r.record().newest().at(p)
}

// Range reads what is asked for, however long that takes. The keys and values of the result have at most bytes bytes,
// but there is always one pair; 0 does not bound them. An error is a *kv.Error.
func (v *View) Range(q kv.Range, bytes int64) (kv.RangeResult, error) {
	r := NewRangeReader(q, bytes)
	for {
		if result, done, err := r.Step(v, math.MaxInt/unflagged); done {
			return result, err
		}
	}
}

// RangeReader reads a range in steps of bounded length, so that it can be given up between two of them, and needs no
// View for longer than one. Each step may get a newer View: the first one decides which revision is read.
//
//	firstPage ──► it was the whole range, or the newest revision, whose count the trees know ──► done
//	   ├────────► countAll ──► onePage ──► done
//	   └────────► countBack ──► onePage ──► done       the newest count, and back by the changes since
//	onePage, of a range that is Continued ──► done
//
// A page ends with its limits, and with its step: a step that has found any pair is the last one. It is for one
// goroutine.
type RangeReader struct {
	q     kv.Range
	bytes int64 // bound of the page; 0: none
	phase rangePhase
	// at is what is read; nothing before the first step has decided. pinned says that it came with the reader, whose
	// steps then all have one View, and that it can be read there whatever was compacted meanwhile.
	at     position
	pinned bool
	// from is where the next step begins, and page where the page does. No key before page is in the range's result.
	from, page []byte
	// count is how many keys there are before from while they are counted, and then in the whole range. While it is counted
	// back, it is how many more there were, by the changes before next.
	count int64
	next  position
}

type rangePhase uint8

const (
	firstPage rangePhase = iota // fill the page and count on, as far as one step goes
	countAll                    // only count
	countBack                   // only count, by the changes since
	onePage                     // fill the page, whose range was counted
)

// NewRangeReader returns a reader before its first step. The query's slices must stay as they are. The keys and values of
// a page have at most bytes bytes, but there is always one pair; 0 does not bound them.
func NewRangeReader(q kv.Range, bytes int64) RangeReader {
	r := RangeReader{q: q, bytes: bytes}
	r.begin()
	return r
}

func (r *RangeReader) begin() {
	r.phase, r.at, r.from, r.page, r.count = firstPage, position{}, r.q.Key, r.q.Key, 0
	if r.q.Continued {
		r.phase = onePage
	}
}

// goOn makes it begin with a key of its range, before its first step. That is no request's: it may be a byte longer than a key.
func (r *RangeReader) goOn(from []byte) { r.from, r.page = from, from }

// Step looks at rows more keys, with the newest View. Once it is done the result is complete; its slices are parts of
// that View. An error is a *kv.Error, and the end.
func (r *RangeReader) Step(v *View, rows int) (result kv.RangeResult, done bool, err error) {
	defer runtime.KeepAlive(v)
	result.Revision = v.revision
	if e := r.q.Check(requestBounds); e != nil {
		return result, true, e
	}
	if err := r.decide(v); err != nil {
		return result, true, err
	}
	if r.q.Revision == 0 && !r.pinned { // the store may have gone on since the first step: who watches from here on must miss nothing
		result.Revision = r.at.mod - 1
	}
	if r.phase == countBack {
		if r.countBack(v, rows) {
			r.phase = onePage
			result.Count = r.count
			return result, r.q.CountOnly, nil
		}
		return result, false, nil
	}
	p := page{Range: r.q, RangeResult: result, bytes: r.bytes, v: v, at: r.at, phase: r.phase}
	if len(r.q.End) == 0 {
		if record, at := v.find(r.q.Key, r.at); at != nil {
			p.add(record, at)
		}
		return p.RangeResult, true, nil
	}
	next, ended := p.walk(r.from, rows)
	return p.RangeResult, r.advance(&p, next, ended), nil
}

// decide says what is read, or why it cannot be.
func (r *RangeReader) decide(v *View) error {
	if r.pinned {
		return nil
	}
	revision := r.q.Revision
	if r.at != (position{}) {
		revision = r.at.mod - 1
	}
	revision, err := v.readable(revision)
	if err != nil && r.q.Revision == 0 && v.unloaded() == nil {
		r.begin() // compaction has overtaken a read of what was the newest revision: what is it now?
		revision, err = v.revision, nil
	}
	if before := r.at; before != behind(revision) {
		r.at = behind(revision)
		r.countHow(v)
	}
	return err
}

// countHow decides how an older revision is counted, before the first step: back from the newest one where fewer revisions
// came since than there are keys in the range, and these are many.
func (r *RangeReader) countHow(v *View) {
	if len(r.q.End) == 0 || r.phase != firstPage || r.at == behind(v.revision) {
		return
	}
	if n := v.count(&r.q); n > int64(v.countedRows) && v.revision-r.at.mod < n {
		r.phase, r.count, r.next = countBack, 0, r.at
	}
}

// count is how many keys of a range there are at the newest revision.
func (v *View) count(q *kv.Range) int64 {
	var from probe
	n := countIn(v.tree, from.set(q.Key), q.End) - countIn(v.tombstoned, from.set(q.Key), q.End)
	runtime.KeepAlive(from.words)
	return int64(n)
}

// unflagged is how many changes that neither make nor delete a key count as one row: they are passed over without a look
// at the key.
const unflagged = 8

// countBack goes through the changes since, as far as rows go, and says whether the count is complete.
func (r *RangeReader) countBack(v *View, rows int) (complete bool) {
	h, left := &v.history, unflagged*rows
	for ; r.next.mod <= v.revision; r.next = behind(r.next.mod) {
		for n := h.changes(r.next.mod); int64(r.next.sub) < n; r.next.sub++ {
			change := h.change(r.next.mod, int64(r.next.sub)).Load()
			if left--; left < 0 {
				return false
			}
			if change&(changeCreated|changeDeleted) == 0 {
				continue
			}
			left -= unflagged - 1
			if key := ref(changed(change).version().record.Load()).record().key(); !within(key, r.q.Key, r.q.End) {
				continue
			}
			if change&changeDeleted != 0 {
				r.count++
			} else {
				r.count--
			}
		}
	}
	r.count += v.count(&r.q)
	return true
}

// advance decides what a walk that came to next, or to the end of the range, means for the result.
func (r *RangeReader) advance(p *page, next []byte, ended bool) (done bool) {
	newest := r.at == behind(p.v.revision)
	switch {
	case r.phase == countAll:
		r.count += p.Count
		if r.from = next; ended {
			r.phase, r.from = onePage, r.page
		}
		p.Count = r.count
		return ended && r.q.CountOnly
	case r.phase == onePage:
		if p.Count = r.count; ended || p.More || len(p.KVs) > 0 {
			p.More = p.More || !ended
			p.knowMore()
			return true
		}
	case ended:
		return true
	case newest && (len(p.KVs) > 0 || p.CountOnly):
		p.More = !p.CountOnly
		p.Count = p.v.count(&r.q)
		p.knowMore()
		return true
	case p.Count > 0:
		r.phase, r.count, r.from = countAll, p.Count, next
		return false
	}
	r.from, r.page = next, next // all keys before it are deleted, or left out
	return false
}

// knowMore corrects a page that its step has ended, where its count tells how much there is.
func (p *page) knowMore() {
	if p.Count > 0 && !p.CountOnly && !p.Filtered() {
		p.More = int64(len(p.KVs)) < p.Count
	}
}

// page is a result that is being filled.
type page struct {
	kv.Range
	kv.RangeResult
	bytes   int64 // bound of size; 0: none
	v       *View
	at      position
	phase   rangePhase
	size    int64 // bytes of the keys and values in it
	counted int   // keys that were only counted
}

// add counts a key, and adds it to the page as long as the limits allow.
func (p *page) add(r *record, at *version) {
	p.Count++
	if p.CountOnly || p.More || p.phase == countAll {
		p.counted++
		return
	}
	pair := at.keyValue(r.key())
	if !p.Passes(&pair) {
		p.counted++
		return
	}
	if p.KeysOnly {
		pair.Value = nil
	}
	p.size += int64(len(pair.Key) + len(pair.Value))
	if p.Limit > 0 && int64(len(p.KVs)) == p.Limit || p.bytes > 0 && p.size > p.bytes && len(p.KVs) > 0 {
		p.More = true
		return
	}
	if p.KVs == nil && p.Limit > 0 && len(p.End) > 0 {
		p.KVs = make([]kv.KeyValue, 0, min(p.Limit, 256))
	}
	p.KVs = append(p.KVs, pair)
}

// walk adds the keys of a range from one on, at most rows of them, deleted ones among them. It returns where it stopped,
// or that the range ended. A page whose range was counted ends with its limits, and of the newest revision the trees
// know the count better.
func (p *page) walk(key []byte, rows int) (next []byte, ended bool) {
	var from probe
	newest := p.at == behind(p.v.revision)
	ended = true
	p.v.tree.Ascend(from.set(key), func(r ref) bool {
		record := r.record()
		if beyond(record.key(), p.End) {
			return false
		}
		if rows == 0 || p.phase == onePage && p.More || p.phase == firstPage && newest && p.counted > p.v.countedRows {
			next, ended = bytes.Clone(record.key()), false
			return false
		}
		rows--
		if at := record.newest().at(p.at); at != nil {
			p.add(record, at)
		}
		return true
	})
	runtime.KeepAlive(from.words)
	return next, ended
}
