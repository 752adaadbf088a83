package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"runtime"
	"slices"

	"qkv/index/kv"
)

// SortedReader reads a range in another order than ascending keys, in steps of bounded length. It notes 16 bytes of each
// key, in sorted runs, and then merges the runs into pages. Pairs that compare equal come in key order. For a range with
// a limit it keeps only a few times that number of keys. It is for one goroutine.
//
// Its notes are addresses in the View of its first step, which it holds until Release. After Release each Step returns an
// error.
//
//	collect ──► merge, page by page
//	 ▲    │
//	 └── prune    if there is a limit, and far more keys were noted
type SortedReader struct {
	q     kv.Range
	end   []byte // as in q; set also for a single key
	bytes int64  // limit of a page
	begun bool
	held  *View // nil before the first step, and after Release
	let   bool  // Release was called
	// at is the position that is read. pinned says that the caller set it, and that it is readable, whatever was
	// compacted meanwhile.
	at     position
	pinned bool

	from      []byte // the next key, or nil after the last one
	count     int64  // number of keys seen
	passed    int64  // number of them that passed the filters
	noted     []sortable
	runs      [][]sortable // each is sorted
	heads     []int32      // a heap of the runs that are not empty, by their first element
	pruned    [][]sortable // the keys that prune keeps
	kept      int64        // number of keys in pruned
	merging   bool
	delivered int64
	err       error // a value could not be read
	measure   *measure
}

// sortable is a version in a run.
type sortable struct {
	by uint64 // the number that it is sorted by, or the first 8 bytes of its value
	at ref
}

const (
	// runLength is the number of keys that are sorted at once, which takes a fraction of a millisecond.
	runLength = 512
	// prunedAt is how many keys over four times its limit a range notes before it prunes.
	prunedAt = 8 * runLength
	// sortableBytes is the size of a noted key.
	sortableBytes = 16
)

// NewSortedReader returns a reader before its first step. The query's slices must not change. The keys and values of a
// page have at most size bytes, but a page has at least one pair; 0 means no limit.
func NewSortedReader(q kv.Range, size int64) *SortedReader {
	end := q.End
	if len(end) == 0 {
		end = append(bytes.Clone(q.Key), 0)
	}
	return &SortedReader{q: q, end: end, bytes: size, from: q.Key}
}

// Held returns the View that the reader holds; nil before the first step, and after Release.
func (r *SortedReader) Held() *View { return r.held }

// Release releases the View and all notes.
func (r *SortedReader) Release() {
	r.held, r.let = nil, true
	r.noted, r.runs, r.pruned = nil, nil, nil
}

// Bytes returns the size of the reader's notes.
func (r *SortedReader) Bytes() int64 {
	return int64(len(r.runs)+len(r.pruned)+1) * runLength * sortableBytes
}

// Step looks at rows more keys, or merges as many; it reads from newest if it has not begun. It returns the same as
// [PagesReader.Step].
func (r *SortedReader) Step(newest *View, rows int) (page kv.RangeResult, done, last bool, err error) {
	if !r.begun {
		if err := r.begin(newest); err != nil {
			return page, true, true, err
		}
	}
	if r.let {
		return page, true, true, errLetGo
	}
	v := r.held
	defer runtime.KeepAlive(v)
	page.Revision = v.revision
	if done, last = r.step(&page, rows); r.err != nil {
		return page, true, true, r.err
	}
	return page, done, last, nil
}

func (r *SortedReader) step(page *kv.RangeResult, rows int) (done, last bool) {
	switch {
	case r.merging && r.from != nil:
		r.prune(rows)
		return false, false
	case !r.merging:
		r.collect(rows)
		if r.from == nil {
			r.flush()
			r.merge()
		} else if r.q.Limit > 0 && (int64(len(r.runs))*runLength-prunedAt)/4 > r.q.Limit {
			r.flush()
			r.merge()
		}
		if r.from != nil || !r.q.CountOnly {
			return false, false
		}
		page.Count = r.count
		return true, true
	}
	page.Count = r.count
	return true, r.fill(page, rows)
}

var errLetGo = &kv.Error{Code: kv.Unavailable, Message: "a sorted range was read too slowly and its data were released: ask again"}

func (r *SortedReader) begin(v *View) error {
	r.begun, r.held = true, v
	if r.pinned {
		return nil
	}
	if e := r.q.Check(requestBounds); e != nil {
		return e
	}
	revision, err := v.readable(r.q.Revision)
	r.at = endOf(revision)
	return err
}

// collect notes rows more keys.
func (r *SortedReader) collect(rows int) {
	var from probe
	var next []byte
	r.held.tree.Ascend(from.set(r.from), func(one ref) bool {
		record := one.record()
		if beyond(record.key(), r.end) {
			return false
		}
		if rows == 0 {
			next = bytes.Clone(record.key())
			return false
		}
		rows--
		if at := record.newest().at(r.at); at != nil {
			r.note(record, at)
		}
		return true
	})
	runtime.KeepAlive(from.words)
	r.from = next
}

func (r *SortedReader) note(of *record, at *version) {
	r.count++
	pair := at.keyValue(of.key())
	if r.q.CountOnly || !r.q.Passes(&pair) {
		return
	}
	r.passed++
	one := sortable{at: refOf(at)}
	switch r.q.Sort {
	case kv.SortByVersion:
		one.by = uint64(pair.Version)
	case kv.SortByCreate:
		one.by = uint64(pair.CreateRevision)
	case kv.SortByMod:
		one.by = uint64(pair.ModRevision)
	case kv.SortByValue:
		var begins [8]byte
		copy(begins[:], r.valueOf(one.at))
		one.by = binary.BigEndian.Uint64(begins[:])
	default:
		one.by = uint64(r.count)
	}
	if r.noted = append(r.noted, one); len(r.noted) == runLength {
		r.flush()
	}
}

// flush makes a run of the noted keys.
func (r *SortedReader) flush() {
	if len(r.noted) == 0 {
		return
	}
	slices.SortStableFunc(r.noted, r.order)
	r.runs = append(r.runs, r.noted)
	r.noted = make([]sortable, 0, runLength)
}

func (r *SortedReader) order(a, b sortable) int {
	c := cmp.Compare(a.by, b.by)
	if c == 0 && r.q.Sort == kv.SortByValue {
		c = bytes.Compare(r.valueOf(a.at), r.valueOf(b.at))
	}
	if r.q.Order == kv.SortDescend {
		return -c
	}
	return c
}

// valueOf returns the value of a version. A value that is cold is read for each comparison.
func (r *SortedReader) valueOf(at ref) []byte {
	value, err := r.held.value(keyOf(at), at.version())
	r.err = cmp.Or(r.err, err)
	return value
}

// merge begins to merge the runs.
func (r *SortedReader) merge() {
	r.merging, r.heads = true, make([]int32, len(r.runs))
	for i := range r.heads {
		r.heads[i] = int32(i)
	}
	for i := len(r.heads)/2 - 1; i >= 0; i-- {
		r.sink(i)
	}
}

// before orders runs by their first element. Runs with equal elements are ordered by age, which is key order.
func (r *SortedReader) before(a, b int32) bool {
	return cmp.Or(r.order(r.runs[a][0], r.runs[b][0]), cmp.Compare(a, b)) < 0
}

func (r *SortedReader) sink(at int) {
	for {
		child := 2*at + 1
		if child >= len(r.heads) {
			return
		}
		if child+1 < len(r.heads) && r.before(r.heads[child+1], r.heads[child]) {
			child++
		}
		if !r.before(r.heads[child], r.heads[at]) {
			return
		}
		r.heads[at], r.heads[child] = r.heads[child], r.heads[at]
		at = child
	}
}

// first returns the next pair's version; pop removes it.
func (r *SortedReader) first() *version { return r.runs[r.heads[0]][0].at.version() }

func (r *SortedReader) pop() (one sortable) {
	i := r.heads[0]
	one = r.runs[i][0]
	if r.runs[i] = r.runs[i][1:]; len(r.runs[i]) == 0 {
		r.runs[i] = nil
		r.heads[0] = r.heads[len(r.heads)-1]
		r.heads = r.heads[:len(r.heads)-1]
	}
	if len(r.heads) > 0 {
		r.sink(0)
	}
	return one
}

// prune keeps one pair more than the limit, and discards the others.
func (r *SortedReader) prune(rows int) {
	for ; rows > 0 && len(r.heads) > 0 && r.kept <= r.q.Limit; rows-- {
		if n := len(r.pruned); n == 0 || len(r.pruned[n-1]) == runLength {
			r.pruned = append(r.pruned, make([]sortable, 0, runLength))
		}
		at := &r.pruned[len(r.pruned)-1]
		*at = append(*at, r.pop())
		r.kept++
	}
	if len(r.heads) == 0 || r.kept > r.q.Limit {
		r.runs, r.pruned, r.kept, r.merging = r.pruned, nil, 0, false
	}
}

// fill fills a page, and says whether it is the last one.
func (r *SortedReader) fill(page *kv.RangeResult, rows int) (last bool) {
	var missing []coldPair
	defer func() { r.err = cmp.Or(r.err, r.measure.fill(r.held, page.KVs, missing)) }()
	for size := int64(0); len(r.heads) > 0 && len(page.KVs) < rows; r.delivered++ {
		if r.q.Limit > 0 && r.delivered == r.q.Limit {
			page.More = true
			return true
		}
		at := r.first()
		pair := at.keyValue(ref(at.record.Load()).record().key())
		if size += int64(len(pair.Key)); !r.q.KeysOnly {
			size += int64(at.valueSize())
		}
		if r.bytes > 0 && size > r.bytes && len(page.KVs) > 0 {
			break
		}
		if r.q.KeysOnly {
			pair.Value = nil
		} else if at.has(cold) {
			missing = append(missing, coldPair{len(page.KVs), at})
		}
		page.KVs = append(page.KVs, pair)
		r.pop()
	}
	page.More = len(r.heads) > 0
	return !page.More || r.q.Limit > 0 && r.delivered == r.q.Limit
}
