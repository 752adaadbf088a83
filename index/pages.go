package index

import (
	"bytes"
	"runtime"

	"qkv/index/kv"
)

// PagesReader reads a range page by page, all of it at one revision, in steps of bounded length. It is for one goroutine.
//
// It holds the View of its first step, so that no compaction overtakes it, until Release: from then on it reads with newer ones,
// and ends with the code Compacted when what it reads is given up.
type PagesReader struct {
	q     kv.Range
	bytes int64 // bound of a page
	left  int64 // pairs that Limit still allows; of use when there is one
	page  RangeReader
	begun bool
	held  *View
	// newest is the revision that the first step has found to be the newest, if that is what is asked for, and else 0.
	newest int64
}

// NewPagesReader returns a reader before its first step. The query's slices must stay as they are, and it must not be
// sorted, but by rising keys. The keys and values of a page have at most bytes bytes, but there is always one pair.
func NewPagesReader(q kv.Range, bytes int64) *PagesReader {
	return &PagesReader{q: q, bytes: bytes, left: q.Limit}
}

// Step looks at rows more keys; newest is what it reads from when it holds no View. It returns whether a page is complete, and
// whether that is the last one. The page's slices are parts of a View: whoever uses them keeps that alive, which Held or newest
// is. Its Count is that of the first page, and More says that another page follows, or that the limit left pairs out. An
// error is a *kv.Error, and the end.
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
	r.page.goOn(append(bytes.Clone(page.KVs[n-1].Key), 0))
	return page, true, false, nil
}

// query is what the next page asks for.
func (r *PagesReader) query() kv.Range {
	q := r.q
	if q.Limit > 0 {
		q.Limit = r.left
	}
	return q
}

// Held is the View that the reader holds; nil before the first step, and behind Release.
func (r *PagesReader) Held() *View { return r.held }

// Release lets go of the View: what it keeps in memory is given up, and pages that were handed out with it.
func (r *PagesReader) Release() { r.held = nil }
