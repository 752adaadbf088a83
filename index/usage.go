package index

import (
	"bytes"
	"runtime"
	"time"

	"qkv/index/kv"
)

// UsageReader reads the keys of a range page by page, with the [kv.UsageRow] of each key, all as of one View, in steps of
// bounded length. A key with many versions comes in several pages, which add up. It is for one goroutine.
//
// The result depends on the revision and the compacted revision of the first View only. After Release, the reader goes
// on with newer Views, and ends with the code Compacted if more is compacted.
type UsageReader struct {
	end                        []byte // of the range
	bytes                      int64  // limit of a page
	now                        int64
	held                       *View // nil before the first step
	released                   bool
	revision, compacted, since int64 // of the first View; changes after the revision since are counted
	period                     time.Duration

	from    []byte // the next key
	seen    ref    // the oldest version of the next key that the reader has looked at; 0: none
	counted bool   // one of them counts

	pairs   []kv.KeyValue // of the page
	numbers []byte        // their values
}

// NewUsageReader returns a reader before its first step; now is the present, in nanoseconds since 1970. The query's
// slices must not change. The keys of a page have about size bytes at most.
func NewUsageReader(q kv.Range, size, now int64) *UsageReader {
	return &UsageReader{end: q.End, bytes: size, now: now, from: q.Key}
}

// Step looks at about rows more keys and versions, and is otherwise as [PagesReader.Step]. The page is valid until the
// next step.
func (r *UsageReader) Step(newest *View, rows int) (page kv.RangeResult, done, last bool, err error) {
	switch fresh := r.released && r.seen == 0; {
	case r.held == nil:
		r.begin(newest)
	case fresh && newest.compacted != r.compacted:
		return page, true, true, kv.Errorf(kv.Compacted, "the history from revision %d on was compacted while it was counted: ask again", r.compacted)
	case fresh:
		r.held = newest
	}
	defer runtime.KeepAlive(r.held)
	r.pairs, r.numbers = r.pairs[:0], r.numbers[:0]
	r.from = r.walk(rows)
	last = r.from == nil
	return kv.RangeResult{Revision: r.revision, Count: int64(r.period), More: !last, KVs: r.pairs}, last || len(r.pairs) > 0, last, nil
}

// Held returns the View that the reader holds.
func (r *UsageReader) Held() *View { return r.held }

// Release lets the reader replace its View by a newer one before each page.
func (r *UsageReader) Release() { r.released = true }

// begin takes the first View, and determines what is counted.
func (r *UsageReader) begin(v *View) {
	r.held, r.revision, r.compacted = v, v.revision, v.compacted
	since, err := v.RevisionAt(r.now-int64(kv.UsagePeriod), r.now)
	switch {
	case err == nil:
		r.since, r.period = since, kv.UsagePeriod
	case err.Code == kv.Compacted:
		oldest, _ := v.times.known(v.compacted)
		r.since, r.period = v.compacted, min(max(time.Duration(r.now-oldest), 0), kv.UsagePeriod)
	default:
		r.since = v.revision
	}
}

// walk fills a page, and returns the next key, or nil at the end of the range.
func (r *UsageReader) walk(rows int) (next []byte) {
	var from probe
	size := int64(0)
	r.held.tree.Ascend(from.set(r.from), func(one ref) bool {
		key := one.record().key()
		if beyond(key, r.end) {
			return false
		}
		var sum kv.UsageRow
		if rows <= 0 || size >= r.bytes || !r.add(&sum, one.record(), &rows) {
			next = bytes.Clone(key)
		}
		if begin := len(r.numbers); sum.Keys+sum.Versions > 0 {
			r.numbers = sum.AppendNumbers(r.numbers)
			r.pairs = append(r.pairs, kv.KeyValue{Key: key, Value: r.numbers[begin:]})
			size += int64(len(key) + len(r.numbers) - begin)
		}
		return next == nil
	})
	runtime.KeepAlive(from.words)
	return next
}

// add counts the rest of a key's versions, as far as rows allow, and says whether that is all.
func (r *UsageReader) add(sum *kv.UsageRow, of *record, rows *int) bool {
	at := of.newest()
	if r.seen != 0 {
		at = ref(r.seen.version().prev.Load()).version()
	}
	for {
		if at.mod <= r.revision {
			r.count(sum, len(of.key()), at)
		}
		if *rows--; !r.keepsBefore(at) {
			r.seen, r.counted = 0, false
			return true
		}
		if *rows <= 0 {
			r.seen = refOf(at)
			return false
		}
		at = ref(at.prev.Load()).version()
	}
}

// count adds one version to a sum.
func (r *UsageReader) count(sum *kv.UsageRow, key int, at *version) {
	newest, size := !r.counted, int64(key+at.valueSize())
	r.counted = true
	switch {
	case newest && !at.has(tombstone):
		sum.Keys, sum.Bytes = 1, size
		if at.has(leased) {
			sum.Leased = 1
		}
	case newest && at.mod < r.compacted:
		return // a tombstone that is not dropped yet
	default:
		sum.Versions++
		sum.History += size
	}
	if at.mod > r.since {
		sum.Changes++
	}
}

// keepsBefore is history.keepsBefore for a state that has dropped everything that is compacted.
func (r *UsageReader) keepsBefore(at *version) bool {
	mod := at.mod
	if at.has(created) {
		mod, _ = at.precedingTombstone()
	}
	return mod >= r.compacted && r.held.history.keepsBefore(at)
}
