package index

import (
	"bytes"
	"runtime"
	"slices"
	"time"

	"qkv/index/kv"
)

// UsageReader adds up the keys below a prefix by group ([kv.Usage]), all as of one View, in steps of bounded length. It
// is for one goroutine.
//
// It walks the keys in order, and the versions of each key from the newest to the oldest. A group is complete when a key
// with another prefix comes, so only the groups of one path are open at a time: at most one for each depth. Complete
// groups wait in the page, which is also bounded.
//
// The reader holds a View between its steps. The result does not depend on that View: which versions count follows from
// the revision, and from the compacted revision, of the first View. Versions that are compacted, but not dropped yet, do
// not count. The reader can therefore replace its View by a newer one ([UsageReader.Renew]) until more is compacted.
type UsageReader struct {
	q     kv.Usage
	end   []byte // of the range of keys
	bytes int64  // limit of a page
	now   int64
	held  *View // nil before the first step
	err   error // ends the read

	// Of the first View. Changes after the revision since are counted, which is at least compacted.
	revision, compacted, since int64
	period                     time.Duration

	from []byte // the next key, or nil after the last one
	// seen is the oldest version of the next key that the reader has looked at; 0: none. counted says that one of them was
	// counted, so the next one is history.
	seen    ref
	counted bool

	// open[i] is the sum of the group whose prefix is path[:open[i].end], with i separators behind the requested prefix.
	open []openGroup
	path []byte

	rows  []kv.UsageRow
	names []byte // the prefixes of rows
	size  int64  // of rows
}

// openGroup is the sum over the keys of a group so far.
type openGroup struct {
	end int
	sum kv.UsageRow // without Prefix
}

// usageRowBytes is the size of a row in a page, without its prefix.
const usageRowBytes = 64

// NewUsageReader returns a reader before its first step; now is the present, in nanoseconds since 1970. The query's
// slices must not change, and the query must have passed its Check. The rows of a page have at most about size bytes.
func NewUsageReader(q kv.Usage, size, now int64) *UsageReader {
	of := q.Range()
	return &UsageReader{
		q: q, end: of.End, bytes: size, now: now, from: bytes.Clone(of.Key),
		open: []openGroup{{end: len(q.Prefix)}}, path: bytes.Clone(q.Prefix),
	}
}

// Step looks at about work more keys and versions. The first step takes the View newest; later steps use the held View.
// It returns whether a page is complete, and whether it is the last one. A page that is not complete has no rows. The
// page is valid until the next step. An error is a *kv.Error and ends the read.
func (r *UsageReader) Step(newest *View, work int) (page kv.UsageResult, done, last bool, err error) {
	if r.held == nil {
		r.begin(newest)
	}
	if r.err != nil {
		return page, true, true, r.err
	}
	defer runtime.KeepAlive(r.held)
	if r.full() {
		r.rows, r.names, r.size = r.rows[:0], r.names[:0], 0
	}
	for work > 0 && r.from != nil && !r.full() {
		work = r.walk(work)
	}
	if r.from == nil {
		r.closeTo(-1)
	}
	page = kv.UsageResult{Revision: r.revision, Period: r.period, More: true}
	if last = r.from == nil && len(r.open) == 0; last || r.full() {
		page.Rows, page.More = r.rows, !last
		return page, true, last, nil
	}
	return page, false, false, nil
}

// Renew replaces the held View by a newer one. If more was compacted meanwhile, the next step returns an error with the
// code Compacted.
func (r *UsageReader) Renew(newest *View) {
	if r.held == nil || r.err != nil {
		return
	}
	if newest.compacted != r.compacted {
		r.err = kv.Errorf(kv.Compacted, "the history from revision %d on was compacted while it was counted: ask again", r.compacted)
		return
	}
	if r.seen != 0 {
		at := r.seen.version()
		if r.seen = 0; at.mod <= newest.revision { // else none was counted yet
			r.seen = changed(newest.history.change(at.mod, int64(at.sub)).Load()) // versions before it are kept: it is a change in the history
		}
	}
	runtime.KeepAlive(r.held)
	r.held = newest
}

// begin takes the first View, and determines what is counted.
func (r *UsageReader) begin(v *View) {
	r.held = v
	r.revision, r.err = v.readable(0)
	r.compacted = v.compacted
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

// full says whether the page is complete.
func (r *UsageReader) full() bool { return r.size >= r.bytes && len(r.rows) > 0 }

// walk adds up to scanAhead keys, and returns the work that is left.
func (r *UsageReader) walk(work int) int {
	var room [scanAhead]ref
	keys, next := room[:0], []byte(nil)
	var from probe
	r.held.tree.Ascend(from.set(r.from), func(one ref) bool {
		key := one.record().key()
		if beyond(key, r.end) {
			return false
		}
		if len(keys) == min(work, scanAhead) {
			next = key
			return false
		}
		keys = append(keys, one)
		return true
	})
	runtime.KeepAlive(from.words)
	r.held.prefetchVersions(keys)
	for _, one := range keys {
		done := work > 0
		if done {
			work, done = r.add(one.record(), work)
		}
		if !done {
			r.from = append(r.from[:0], one.record().key()...)
			return work
		}
		r.seen, r.counted = 0, false
	}
	if next == nil {
		r.from = nil
		return work
	}
	r.from = append(r.from[:0], next...)
	return work
}

// keyWork is how many bytes of a key cost as much work as a version.
const keyWork = 256

// add adds the rest of a key's versions to the key's group, and returns the work that is left. It is not done if the page
// is full, or if no work is left.
func (r *UsageReader) add(of *record, work int) (left int, done bool) {
	key := of.key()
	if !r.enter(key) {
		return work, false
	}
	at, sum := of.newest(), &r.open[len(r.open)-1].sum
	if r.seen != 0 {
		at = ref(r.seen.version().prev.Load()).version()
	}
	for {
		if at.mod <= r.revision {
			r.count(sum, len(key), at)
		}
		if work--; !r.keepsBefore(at) {
			return work - len(key)/keyWork, true
		}
		if work <= 0 {
			r.seen = refOf(at)
			return 0, false
		}
		at = ref(at.prev.Load()).version()
	}
}

// count adds one version to a sum.
func (r *UsageReader) count(sum *kv.UsageRow, key int, at *version) {
	newest := !r.counted
	r.counted = true
	size := int64(key + at.valueSize())
	switch {
	case newest && !at.has(tombstone):
		sum.Keys++
		sum.Bytes += size
		if at.has(leased) {
			sum.Leased++
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

// keepsBefore is [View.keepsBefore] for a state that has dropped everything that is compacted.
func (r *UsageReader) keepsBefore(at *version) bool {
	mod := at.mod
	if at.has(created) {
		mod, _ = at.precedingTombstone()
	}
	return mod >= r.compacted && r.held.keepsBefore(at)
}

// enter closes the groups that end before a key, and opens the groups that begin with it. It returns false if the page is
// full before that is done.
func (r *UsageReader) enter(key []byte) bool {
	if len(r.open) > r.q.Depth && bytes.HasPrefix(key, r.path) {
		return true
	}
	shared := 0
	for shared < min(len(key), len(r.path)) && key[shared] == r.path[shared] {
		shared++
	}
	if !r.closeTo(shared) {
		return false
	}
	end := len(r.path)
	for len(r.open) <= r.q.Depth {
		at := bytes.Index(key[end:], r.q.Separator)
		if at < 0 {
			break
		}
		end += at + len(r.q.Separator)
		r.open = append(r.open, openGroup{end: end})
	}
	r.path = append(r.path, key[len(r.path):end]...)
	return true
}

// closeTo closes the groups whose prefixes have more than shared bytes, the longest first. It returns false if the page is
// full before that is done.
func (r *UsageReader) closeTo(shared int) bool {
	for n := len(r.open); n > 0 && r.open[n-1].end > shared; n-- {
		if r.full() {
			return false
		}
		r.close(&r.open[n-1])
		r.open = r.open[:n-1]
		if n > 1 {
			r.path = r.path[:r.open[n-2].end]
		}
	}
	return true
}

// close moves a group into the page, unless nothing was counted.
func (r *UsageReader) close(g *openGroup) {
	if g.sum.Keys == 0 && g.sum.Versions == 0 {
		return
	}
	begin := len(r.names)
	r.names = append(r.names, r.path[:g.end]...)
	g.sum.Prefix = slices.Clip(r.names[begin:])
	r.rows = append(r.rows, g.sum)
	r.size += int64(usageRowBytes + g.end)
}
