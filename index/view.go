package index

import (
	"bytes"
	"math"
	"runtime"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// View is the state at one applied index, immutable, for any goroutine. The methods of replicated and leases are its methods, too.
//
// The slices that Range, Get and Events return are parts of the View's memory, which the garbage collector does not
// see. Keep the View reachable while they are in use, with runtime.KeepAlive(view) after the last use.
type View struct {
	replicated
	history history
	own     ownDigest
	counts  Counts

	memory   *memory
	table    *table
	removed  uint64 // table.removed when the View was made
	dropping int64  // as State.dropping
	files    *files
	frozen
	leases
	saved  *savedSessions // nil unless the View is to be saved
	epoch  *epoch         // keeps slabs that are retired later
	mapped int64
	held   Memory
	// countedRows is limits.Index.CountedRows.
	countedRows int
	rangeBytes  int64 // the least weight of a range file, as limits.Index.PieceBytes
}

// Dropped says whether all compacted versions are dropped that nothing keeps: whether the compaction is physically complete.
func (v *View) Dropped() bool { return v.history.first() >= v.dropping }

// MappedBytes returns the memory outside Go's heap that held the state when the View was made, in bytes. RetiredBytes
// returns the additional memory that is retired but still mapped, until the garbage collector finds that no View reaches
// it.
func (v *View) MappedBytes() int64  { return v.mapped }
func (v *View) RetiredBytes() int64 { return v.memory.ledger.retired.Load() }

// Rest frees the memory that is kept ready for new data, until the state needs more. Call it when the member is idle.
func (v *View) Rest() { v.memory.ledger.rest() }

// Events calls f with all changes from a revision on, oldest first, until f returns false. A revision below the compacted
// one is a *kv.Error with the code Compacted; a revision in the future has no changes yet.
func (v *View) Events(from int64, f func(e *kv.Event) bool) error {
	if from < v.compacted {
		return v.compactedError(from)
	}
	defer runtime.KeepAlive(v)
	var e kv.Event
	for revision := v.history.from(from); revision <= v.revision; revision = v.history.next(revision) {
		for sub := range v.history.changes(revision) {
			at := refOfChange(v.history.change(revision, sub).Load()).version()
			e = kv.Event{Sub: sub, Deleted: at.has(tombstone)}
			key := ref(at.record.Load()).record().key()
			var err error
			if e.KV, err = v.pair(key, at); err != nil {
				return err
			}
			if e.Deleted {
				e.KV.Value = nil
			}
			if !f(&e) {
				return nil
			}
		}
	}
	return nil
}

// keyValue returns the key with the version. If the version is cold, the value is empty: see View.pair.
func (v *version) keyValue(key []byte) kv.KeyValue {
	return kv.KeyValue{Key: key, Value: v.value(), CreateRevision: v.create(), ModRevision: v.mod, Version: v.number(), Lease: v.lease()}
}

// Version is one version of a key as a snapshot contains it.
type Version struct {
	Mod, Sub, Create, Version, Lease int64
	Tombstone                        bool // the key was deleted; only Mod, Sub and Author are set
	Author                           uint32
	Value                            []byte // empty if it is in files: see Read

	unread *Unread
}

// Scan calls f with all keys from a key on, in key order, with all kept versions, oldest first, until f returns false.
// The slices are valid until f returns. It is for tests.
func (v *View) Scan(from []byte, f func(key []byte, versions []Version) bool) {
	defer runtime.KeepAlive(v)
	var p probe
	var versions []Version
	v.tree.Ascend(p.set(from), func(r ref) bool {
		versions = v.kept(r.record(), versions[:0])
		return f(r.record().key(), versions)
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
		var one Version
		one.set(v, r.key(), at)
		to = append(to, one)
		if !v.history.keepsBefore(at) {
			break
		}
		at = ref(at.prev.Load()).version()
	}
	for i, j := 0, len(to)-1; i < j; i, j = i+1, j-1 {
		to[i], to[j] = to[j], to[i]
	}
	return to
}

// requestBounds are equal on every member: a command that exceeds them is refused when it is applied.
var requestBounds = kv.Bounds{Key: limits.KeyBytes, Value: limits.ValueBytes}

// Get returns one key at a revision; 0 means the newest. It allocates nothing, unless the value is in files. An error is a *kv.Error.
func (v *View) Get(key []byte, revision int64) (pair kv.KeyValue, found bool, err error) {
	pair, unread, found, err := v.Peek(key, revision)
	if unread != nil {
		pair.Value, err = unread.Read()
		found = err == nil
	}
	return pair, found, err
}

// ModifiedAt returns the revision of the last change of a key up to a revision that can be read; 0: the key did not exist.
func (v *View) ModifiedAt(key []byte, revision int64) (modified int64) {
	if _, at := v.find(key, endOf(revision)); at != nil {
		modified = at.mod
	}
	runtime.KeepAlive(v)
	return modified
}

// find returns a key's record and the version visible at a position, or nil.
func (v *View) find(key []byte, p position) (*record, *version) {
	r, overflow := v.table.find(hashOf(key), key)
	if r != 0 {
		if at := r.record().newest().at(p); at != nil {
			return r.record(), at
		}
	}
	// Not found is certain if no key was removed from the table since the View was made. remove increments the counter
	// before it removes the key.
	if !overflow && v.table.removed.Load() == v.removed {
		return nil, nil
	}
	return v.findInTree(key, p)
}

// point is find for a request that reads one key. A read of the newest revision is noted: the value stays in memory for longer.
func (v *View) point(key []byte, p position) (*record, *version) {
	r, at := v.find(key, p)
	if at != nil && p == endOf(v.revision) {
		r.use()
	}
	return r, at
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

// Range reads a range in one call, however long that takes. The keys and values of the result have at most bytes bytes,
// but it has at least one pair; 0 means no limit. An error is a *kv.Error.
func (v *View) Range(q kv.Range, bytes int64) (kv.RangeResult, error) {
	r := NewRangeReader(q, bytes)
	for {
		if result, done, err := r.Step(v, math.MaxInt/unflagged); done {
			return result, err
		}
	}
}

// RangeReader reads a range in steps of bounded length. The caller can abandon it between two steps, and it keeps no View
// longer than a step. Each step may get a newer View: the first one decides which revision is read.
//
//	firstPage ──► whole range read, or newest revision, whose count the trees know ──► done
//	   ├────────► countAll ──► onePage ──► done
//	   └────────► countBack ──► onePage ──► done       the newest count, and back by the changes since
//	onePage, of a range that is Continued ──► done
//
// A page ends at its limits or with its step: a step that has found a pair is the last one. A RangeReader is for one
// goroutine.
type RangeReader struct {
	q     kv.Range
	bytes int64 // limit of the page; 0: none
	phase rangePhase
	// at is the position that is read; zero before the first step decides it. pinned says that the caller set at. All
	// steps then use one View, and the position is readable there, whatever was compacted meanwhile.
	at     position
	pinned bool
	// from is where the next step begins, and page where the page begins. No key before page is in the range's result.
	from, page []byte
	// count is the number of keys before from while they are counted, and then in the whole range. In phase countBack it
	// is the number of keys that existed additionally, according to the changes before next.
	count int64
	next  position
	// spare says that the last pair of the limit only shows that there are more pairs: its value is not read.
	spare   bool
	measure *measure
}

type rangePhase uint8

const (
	firstPage rangePhase = iota // fill the page and count further, as far as one step goes
	countAll                    // only count
	countBack                   // only count, by the changes since
	onePage                     // fill the page; the range is counted
)

// NewRangeReader returns a reader before its first step. The query's slices must not change. The keys and values of a
// page have at most bytes bytes, but it has at least one pair; 0 means no limit.
func NewRangeReader(q kv.Range, bytes int64) RangeReader {
	r := RangeReader{q: q, bytes: bytes}
	r.begin()
	return r
}

// Measure makes the reader leave values unread that are not in memory. Such a value has its size, and zeros instead of
// its bytes: the caller knows by [RangeReader.Unread] that there are some, and must not answer with them. Call it
// before the first step.
func (r *RangeReader) Measure() { r.measure = new(measure) }

// Unread returns the bytes of the values that Measure has left unread.
func (r *RangeReader) Unread() int64 { return r.measure.unread }

func (r *RangeReader) begin() {
	r.phase, r.at, r.from, r.page, r.count = firstPage, position{}, r.q.Key, r.q.Key, 0
	if r.q.Continued {
		r.phase = onePage
	}
}

// continueFrom sets the key to begin with, before the first step. It may be a byte longer than a request's key.
func (r *RangeReader) continueFrom(from []byte) { r.from, r.page = from, from }

// Step looks at rows more keys, in the newest View. When done is true the result is complete; its slices are parts of
// that View. An error is a *kv.Error and ends the read.
func (r *RangeReader) Step(v *View, rows int) (result kv.RangeResult, done bool, err error) {
	defer runtime.KeepAlive(v)
	result.Revision = v.revision
	if e := r.q.Check(requestBounds); e != nil {
		return result, true, e
	}
	if err := r.decide(v); err != nil {
		return result, true, err
	}
	if r.q.Revision == 0 && !r.pinned { // the store may be newer by now, but a watch from here on must miss nothing
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
		if record, at := v.point(r.q.Key, r.at); at != nil {
			p.add(record, at)
		}
		return p.RangeResult, true, r.readValues(&p)
	}
	next, ended := p.walk(r.from, rows)
	if !r.advance(&p, next, ended) {
		return p.RangeResult, false, nil
	}
	return p.RangeResult, true, r.readValues(&p)
}

// readValues reads the values of a complete page that are not in memory: the pages before it only counted.
func (r *RangeReader) readValues(p *page) error {
	if n := len(p.cold); r.spare && n > 0 && int64(p.cold[n-1].n) == p.Limit-1 {
		p.cold = p.cold[:n-1]
	}
	return r.measure.fill(p.v, p.KVs, p.cold)
}

// decide determines the position to read, or why it cannot be read.
func (r *RangeReader) decide(v *View) error {
	if r.pinned {
		return nil
	}
	revision := r.q.Revision
	if r.at != (position{}) {
		revision = r.at.mod - 1
	}
	revision, err := v.readable(revision)
	if err != nil && r.q.Revision == 0 {
		r.begin() // a compaction passed a read of the formerly newest revision: start again at the newest one
		revision, err = v.revision, nil
	}
	if before := r.at; before != endOf(revision) {
		r.at = endOf(revision)
		r.chooseCount(v)
	}
	return err
}

// chooseCount decides before the first step how an older revision is counted. It counts back from the newest one if the
// range has many keys, and fewer revisions were made since than the range has keys.
func (r *RangeReader) chooseCount(v *View) {
	if len(r.q.End) == 0 || r.phase != firstPage || r.at == endOf(v.revision) {
		return
	}
	if n := v.count(&r.q); n > int64(v.countedRows) && v.revision-r.at.mod < n {
		r.phase, r.count, r.next = countBack, 0, position{mod: v.gaps.skip(r.at.mod)}
	}
}

// count returns the number of a range's keys at the newest revision.
func (v *View) count(q *kv.Range) int64 {
	var from probe
	n := countIn(v.tree, from.set(q.Key), q.End) - countIn(v.tombstoned, from.set(q.Key), q.End)
	runtime.KeepAlive(from.words)
	return int64(n)
}

// unflagged is the number of changes that count as one row if they neither create nor delete a key: they are skipped
// without a look at the key.
const unflagged = 8

// countBack goes through the changes since the revision, as far as rows allow, and says whether the count is complete.
func (r *RangeReader) countBack(v *View, rows int) (complete bool) {
	h, left := &v.history, unflagged*rows
	for ; r.next.mod <= v.revision; r.next = (position{mod: h.next(r.next.mod)}) {
		for n := h.changes(r.next.mod); int64(r.next.sub) < n; r.next.sub++ {
			change := h.change(r.next.mod, int64(r.next.sub)).Load()
			if left--; left < 0 {
				return false
			}
			if change&(changeCreated|changeDeleted) == 0 {
				continue
			}
			left -= unflagged - 1
			if key := ref(refOfChange(change).version().record.Load()).record().key(); !within(key, r.q.Key, r.q.End) {
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

// advance evaluates a walk that stopped at next, or at the end of the range.
func (r *RangeReader) advance(p *page, next []byte, ended bool) (done bool) {
	newest := r.at == endOf(p.v.revision)
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
			p.correctMore()
			return true
		}
	case ended:
		return true
	case newest && (len(p.KVs) > 0 || p.CountOnly):
		p.More = !p.CountOnly
		p.Count = p.v.count(&r.q)
		p.correctMore()
		return true
	case p.Count > 0:
		r.phase, r.count, r.from = countAll, p.Count, next
		return false
	}
	r.from, r.page = next, next // all keys before next are deleted or filtered out
	return false
}

// correctMore corrects More on a page that ended with its step, if its count shows how many pairs there are.
func (p *page) correctMore() {
	if p.Count > 0 && !p.CountOnly && !p.Filtered() {
		p.More = int64(len(p.KVs)) < p.Count
	}
}

// page is a result that is being filled.
type page struct {
	kv.Range
	kv.RangeResult
	bytes   int64 // limit of size; 0: none
	v       *View
	at      position
	phase   rangePhase
	size    int64 // bytes of its keys and values
	counted int   // keys that were only counted
	cold    []coldPair
}

// add counts a key, and adds it to the page if the limits allow.
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
	if p.size += int64(len(pair.Key)); !p.KeysOnly {
		p.size += int64(at.valueSize())
	}
	if p.Limit > 0 && int64(len(p.KVs)) == p.Limit || p.bytes > 0 && p.size > p.bytes && len(p.KVs) > 0 {
		p.More = true
		return
	}
	if p.KeysOnly {
		pair.Value = nil
	} else if at.has(cold) {
		p.cold = append(p.cold, coldPair{len(p.KVs), at})
	}
	if p.KVs == nil && p.Limit > 0 && len(p.End) > 0 {
		p.KVs = make([]kv.KeyValue, 0, min(p.Limit, 256))
	}
	p.KVs = append(p.KVs, pair)
}

// walk adds the keys of a range from a key on, at most rows of them, including deleted ones. It returns where it stopped,
// or that the range ended. A page of a counted range ends at its limits. At the newest revision it stops counting after
// countedRows keys because the trees know the count.
func (p *page) walk(key []byte, rows int) (next []byte, ended bool) {
	var from probe
	newest := p.at == endOf(p.v.revision)
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
