package index

import (
	"bytes"
	"runtime"

	"qkv/index/kv"
)

// PagesReader reads a range page by page, all of it at one revision, in steps of bounded length. It is for one goroutine.
//
// It holds the View of its first step until Release, so no compaction overtakes it. After Release it reads from newer
// Views, and ends with the code Compacted if its revision is compacted.
type PagesReader struct {
	q     kv.Range
	bytes int64 // limit of a page
	left  int64 // number of pairs that Limit still allows; used only with a Limit
	page  RangeReader
	begun bool
	held  *View
	// newest is the newest revision at the first step, if the query asks for the newest one; otherwise 0.
	newest int64
}

// NewPagesReader returns a reader before its first step. The query's slices must not change, and its order must be
// ascending keys. The keys and values of a page have at most bytes bytes, but a page has at least one pair.
func NewPagesReader(q kv.Range, bytes int64) *PagesReader {
	return &PagesReader{q: q, bytes: bytes, left: q.Limit}
}

// Step looks at rows more keys; it reads from newest if the reader holds no View. It returns whether a page is complete,
// and whether that page is the last one. The page's slices are parts of a View: the caller keeps that View reachable,
// which is Held or newest. Count is the count of the first page. More says that another page follows, or that the limit
// left pairs out. An error is a *kv.Error and ends the read.
func (r *PagesReader) Step(newest *View, rows int) (page kv.RangeResult, done, last bool, err error) {
	if !r.begun {
		r.begun, r.held = true, newest
		if r.q.Revision == 0 {
			r.q.Revision, r.newest = newest.revision, newest.revision
		}
		r.page = NewRangeReader(r.query(), r.bytes)
	}
	v := newest
	if r.held != nil {
		v = r.held
	}
	defer runtime.KeepAlive(v)
	page, done, err = r.page.Step(v, rows)
	if err != nil {
		return page, true, true, err
	}
	if r.newest != 0 {
		page.Revision = r.newest
	}
	if !done {
		return page, false, false, nil
	}
	n := int64(len(page.KVs))
	r.left -= n
	if !page.More || n == 0 || r.q.Limit > 0 && r.left == 0 {
		return page, true, true, nil
	}
	r.q.Continued = true
	r.page = NewRangeReader(r.query(), r.bytes)
	r.page.continueFrom(append(bytes.Clone(page.KVs[n-1].Key), 0))
	return page, true, false, nil
}

// query returns the query for the next page.
func (r *PagesReader) query() kv.Range {
	q := r.q
	if q.Limit > 0 {
		q.Limit = r.left
	}
	return q
}

// Held returns the View that the reader holds; nil before the first step, and after Release.
func (r *PagesReader) Held() *View { return r.held }

// Release releases the View: its memory may be freed, including pages that were returned from it.
func (r *PagesReader) Release() { r.held = nil }
