package index

import (
	"bytes"
	"math"
	"slices"

	"qkv/index/kv"
)

// UnpagedReader reads a range to its end or limit, in steps of bounded length, and in any order, for an answer that is not
// paged. It is for one goroutine.
//
// The result's slices are parts of the Views of its steps, which the reader keeps reachable. Keep the reader reachable
// while the slices are in use.
type UnpagedReader struct {
	q      kv.Range
	reads  RangeReader
	sorted *SortedReader // used instead of reads for a sorted range; otherwise nil
	bytes  int64         // size that keys and values may still add
	most   int64         // bytes before the first step
	pages  int           // number of pages read
	views  []*View
	all    kv.RangeResult

	measure *measure
}

// NewUnpagedReader returns a reader before its first step. The query's slices must not change. If the keys and values of
// the result have more than bytes bytes, it returns an error.
func NewUnpagedReader(q kv.Range, bytes int64) *UnpagedReader { return newUnpagedReader(q, bytes) }

func newUnpagedReader(q kv.Range, bytes int64) *UnpagedReader {
	w := &UnpagedReader{q: q, bytes: bytes, most: bytes}
	if q.Sorted() {
		w.sorted = NewSortedReader(q, max(bytes, 1))
	} else {
		w.begin(w.page())
	}
	return w
}

// begin begins a page. Its values are within the limit, but for one: values that are read from files take memory.
func (w *UnpagedReader) begin(q kv.Range) {
	w.reads = NewRangeReader(q, max(w.bytes, 1))
	w.reads.spare, w.reads.measure = q.Limit > 0, w.measure
}

// Measure makes the reader leave values unread that are not in memory, as [RangeReader.Measure].
func (w *UnpagedReader) Measure() { w.setMeasure(new(measure)) }

func (w *UnpagedReader) setMeasure(m *measure) {
	if w.measure, w.reads.measure = m, m; w.sorted != nil {
		w.sorted.measure = m
	}
}

// Measured returns the bytes of the values that Measure has left unread, and of the whole result.
func (w *UnpagedReader) Measured() (unread, all int64) { return w.measure.unread, w.most - w.bytes }

// pin makes it read the data at a position.
func (w *UnpagedReader) pin(at position) {
	if w.sorted != nil {
		w.sorted.at, w.sorted.pinned = at, true
	}
	w.reads.at, w.reads.pinned = at, true
}

// page returns the query for the next page. Its limit is the remaining number of pairs plus one; the extra pair shows
// that there are more.
func (w *UnpagedReader) page() kv.Range {
	q := w.q
	q.Sort, q.Order, q.Limit = kv.SortByKey, kv.SortNone, 0
	if w.q.Limit > 0 && w.q.Limit < math.MaxInt64 {
		q.Limit = w.q.Limit + 1 - int64(len(w.all.KVs))
	}
	return q
}

// Step looks at rows more keys, in the newest View. When done is true the result is complete. An error is a *kv.Error and
// ends the read.
func (w *UnpagedReader) Step(v *View, rows int) (result kv.RangeResult, done bool, err error) {
	if w.sorted != nil {
		return w.stepSorted(v, rows)
	}
	page, done, err := w.reads.Step(v, rows)
	if err != nil || !done {
		return page, err != nil, err
	}
	if len(w.views) == 0 || w.views[len(w.views)-1] != v {
		w.views = append(w.views, v)
	}
	if !w.take(&page) {
		return page, true, errAnswerTooLarge
	}
	full := w.q.Limit > 0 && int64(len(w.all.KVs)) > w.q.Limit
	if page.More && !full {
		last := page.KVs[len(page.KVs)-1].Key
		at, pinned := w.reads.at, w.reads.pinned
		next := w.page()
		next.Continued = true
		if !pinned {
			next.Revision = at.mod - 1 // the revision of the first page
		}
		w.begin(next)
		w.reads.continueFrom(append(bytes.Clone(last), 0))
		if pinned {
			w.pin(at)
		}
		return kv.RangeResult{}, false, nil
	}
	if w.all.More = full; full {
		w.all.KVs = slices.Delete(w.all.KVs, int(w.q.Limit), len(w.all.KVs))
	}
	return w.all, true, nil
}

func (w *UnpagedReader) stepSorted(v *View, rows int) (result kv.RangeResult, done bool, err error) {
	page, done, last, err := w.sorted.Step(v, rows)
	least := w.sorted.passed
	if w.q.Limit > 0 {
		least = min(least, w.q.Limit)
	}
	switch {
	case err != nil:
		return page, true, err
	case least*pairOverhead > w.bytes && w.pages == 0: // before any pair is read
		return page, true, errAnswerTooLarge
	case !done:
		return page, false, nil
	case !w.take(&page):
		return page, true, errAnswerTooLarge
	}
	w.all.More = page.More
	return w.all, last, nil
}

// take adds a page to the result, and says whether the size limit allows it.
func (w *UnpagedReader) take(page *kv.RangeResult) bool {
	if w.pages++; w.pages == 1 {
		w.all.Count, w.all.Revision = page.Count, page.Revision
	}
	bytes := int64(0) // a pair beyond the limit only shows that there are more, and is discarded
	for i := range page.KVs {
		if w.q.Limit > 0 && int64(len(w.all.KVs)+i) >= w.q.Limit {
			break
		}
		bytes += pairBytes(&page.KVs[i])
	}
	w.bytes -= bytes
	w.all.KVs = append(w.all.KVs, page.KVs...)
	return w.bytes >= 0
}

// pairOverhead is about the memory that a pair takes in addition to its key and value.
const pairOverhead = 64

func pairBytes(pair *kv.KeyValue) int64 {
	return int64(len(pair.Key)+len(pair.Value)) + pairOverhead
}

var errAnswerTooLarge = &kv.Error{Code: kv.AnswerTooLarge, Message: "the answer is over the limit: ask for less at a time. If the request was a write, the write did happen"}
