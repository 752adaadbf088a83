package index

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"qkv/index/kv"
)

// WholeReader reads a range to its end, or to its limit, in steps of bounded length, and sorts it: for what is not answered
// in pages. Of a sorted range with a limit it keeps about twice as many pairs. It is for one goroutine.
//
// The result's slices are parts of the Views of its steps, which the reader keeps reachable: keep it reachable, too, while
// they are in use.
type WholeReader struct {
	q     kv.Range
	reads RangeReader
	bytes int64 // that keys and values may still take
	pages int   // that were read
	cut   bool  // the limit has left some out
	views []*View
	all   kv.RangeResult
}

// NewWholeReader returns a reader before its first step. The query's slices must stay as they are. A result whose keys and
// values have more than bytes bytes is an error.
func NewWholeReader(q kv.Range, bytes int64) *WholeReader { return newWholeReader(q, bytes) }

func newWholeReader(q kv.Range, bytes int64) *WholeReader {
	w := &WholeReader{q: q, bytes: bytes}
	w.reads = NewRangeReader(w.page(), 0)
	return w
}

// pin makes it read what was there at a position.
func (w *WholeReader) pin(at position) { w.reads.at, w.reads.pinned = at, true }

// page is the query for the next page: sorting is done here, and the limit is that of what is left then, and
// one more, which tells whether there is any.
func (w *WholeReader) page() kv.Range {
	q := w.q
	q.Sort, q.Order, q.Limit = kv.SortByKey, kv.SortNone, 0
	q.KeysOnly = w.q.KeysOnly && w.q.Sort != kv.SortByValue
	if !w.q.Sorted() && w.q.Limit > 0 && w.q.Limit < math.MaxInt64 {
		q.Limit = w.q.Limit + 1 - int64(len(w.all.KVs))
	}
	return q
}

// Step looks at rows more keys, with the newest View. Once it is done the result is complete. An error is a *kv.Error,
// and the end.
func (w *WholeReader) Step(v *View, rows int) (result kv.RangeResult, done bool, err error) {
	page, done, err := w.reads.Step(v, rows)
	if err != nil || !done {
		return page, err != nil, err
	}
	if len(w.views) == 0 || w.views[len(w.views)-1] != v {
		w.views = append(w.views, v)
	}
	if w.pages++; w.pages == 1 {
		w.all.Count = page.Count
	}
	w.all.Revision = page.Revision
	for i := range page.KVs {
		w.bytes -= pairBytes(&page.KVs[i])
	}
	w.all.KVs = append(w.all.KVs, page.KVs...)
	if w.bytes < 0 || int64(len(w.all.KVs)) > 2*min(w.q.Limit, math.MaxInt64/4)+prunedAt {
		w.prune()
	}
	if w.bytes < 0 {
		return page, true, errAnswerTooLarge
	}
	full := !w.q.Sorted() && w.q.Limit > 0 && int64(len(w.all.KVs)) > w.q.Limit
	if page.More && !full {
		last := page.KVs[len(page.KVs)-1].Key
		at, pinned := w.reads.at, w.reads.pinned
		next := w.page()
		next.Continued = true
		if !pinned {
			next.Revision = at.mod - 1 // what the first page has read
		}
		w.reads = NewRangeReader(next, 0)
		w.reads.goOn(append(bytes.Clone(last), 0))
		if pinned {
			w.pin(at)
		}
		return kv.RangeResult{}, false, nil
	}
	w.finish()
	return w.all, true, nil
}

// pairOverhead is about what a pair takes beside its key and value.
const pairOverhead = 64

func pairBytes(pair *kv.KeyValue) int64 {
	return int64(len(pair.Key)+len(pair.Value)) + pairOverhead
}

var errAnswerTooLarge = &kv.Error{Code: kv.AnswerTooLarge, Message: "the answer is over the limit: ask for less at a time. What it belongs to was done"}

// prunedAt is how many more pairs than twice its limit a sorted range has before the last ones are given up.
const prunedAt = 1024

// prune sorts what was read, and leaves out what the limit does.
func (w *WholeReader) prune() {
	if w.q.Sorted() {
		slices.SortStableFunc(w.all.KVs, w.order)
	}
	if n := w.q.Limit; n > 0 && int64(len(w.all.KVs)) > n {
		for i := n; i < int64(len(w.all.KVs)); i++ {
			w.bytes += pairBytes(&w.all.KVs[i])
		}
		w.all.KVs, w.cut = slices.Delete(w.all.KVs, int(n), len(w.all.KVs)), true
	}
}

func (w *WholeReader) finish() {
	w.prune()
	w.all.More = w.cut
	if w.q.KeysOnly {
		for i := range w.all.KVs {
			w.all.KVs[i].Value = nil
		}
	}
}

func (w *WholeReader) order(a, b kv.KeyValue) (c int) {
	switch w.q.Sort {
	case kv.SortByVersion:
		c = cmp.Compare(a.Version, b.Version)
	case kv.SortByCreate:
		c = cmp.Compare(a.CreateRevision, b.CreateRevision)
	case kv.SortByMod:
		c = cmp.Compare(a.ModRevision, b.ModRevision)
	case kv.SortByValue:
		c = bytes.Compare(a.Value, b.Value)
	default:
		c = bytes.Compare(a.Key, b.Key)
	}
	if w.q.Order == kv.SortDescend {
		return -c
	}
	return c
}
