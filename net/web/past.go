package web

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// times is a request for the kept history, and for the revision of a moment.
type times struct {
	nothing
	at       int64      // in milliseconds since 1970; 0: none is asked for
	Oldest   int64      `json:"oldest"` // the oldest readable revision
	Newest   int64      `json:"newest"`
	Revision int64      `json:"revision"` // of the moment
	Points   [][2]int64 `json:"points"`   // revision and time, oldest first
}

func newTimes(q url.Values) (ask, error) {
	return &times{at: number(q, "at", 0), Points: [][2]int64{}}, nil
}

const (
	// dashboardMoments is the number of points on the time line: one for every few pixels.
	dashboardMoments = 200
	// dashboardChanges bounds the keys that a comparison of two moments finds, and that a revert changes: about 2 MiB of keys.
	// dashboardDifferences is how many of them the page shows.
	dashboardChanges     = 20_000
	dashboardDifferences = 1000
	// dashboardKeyBytes bounds the keys that a request of the dashboard keeps, in bytes: 20,000 keys of limits.KeyBytes would be 625 MiB.
	dashboardKeyBytes = 8 << 20
	// dashboardRevert bounds the bytes of a transaction of a revert, below the default of --max-request-bytes.
	dashboardRevert = 1 << 20
)

func (t *times) step(v *index.View) (done bool, err error) {
	t.Oldest, t.Newest = max(v.Compacted(), 1), v.Revision()
	t.Revision = t.Newest
	if t.at != 0 {
		revision, err := v.RevisionAt(min(t.at, math.MaxInt64/int64(time.Millisecond))*int64(time.Millisecond), time.Now().UnixNano())
		if err != nil {
			return true, err
		}
		t.Revision = revision
	}
	each := max((t.Newest-t.Oldest)/dashboardMoments, 1)
	for revision := t.Oldest; ; revision = min(revision+each, t.Newest) {
		if wall, ok := v.KnownTime(revision); ok {
			t.Points = append(t.Points, [2]int64{revision, milliseconds(wall, true)})
		}
		if revision >= t.Newest {
			return true, nil
		}
	}
}

func (t *times) answer() any { return t }

// changes is a request for the keys that differ between two revisions. It goes through the changes between them, and then compares the
// changed keys.
type changes struct {
	scope // its revision is the later one
	since int64

	at      index.Position
	changed map[string]bool
	bytes   int      // of the changed keys
	sorted  []string // the changed keys, once all are known
	Since   int64    `json:"since"`
	Until   int64    `json:"until"`
	Created int      `json:"created"`
	Changed int      `json:"changed"`
	Deleted int      `json:"deleted"`
	Leased  int      `json:"leased"`
	More    bool     `json:"more"` // Rows has not all of them
	Rows    []change `json:"rows"`

	all []change // also those that are not in Rows
}

// change is the difference of one key.
type change struct {
	Key    []byte `json:"key"`
	Before side   `json:"before"`
	After  side   `json:"after"`
}

// side is a key at one of the two revisions; Revision is 0 if it did not exist.
type side struct {
	Revision int64 `json:"revision"`
	Size     int   `json:"size"`
	Leased   bool  `json:"leased"`
}

// newChanges takes a prefix, or one key.
func newChanges(q url.Values) (ask, error) {
	c := &changes{changed: map[string]bool{}, since: number(q, "since", 0), Rows: []change{}}
	if q.Get("key") != "" {
		c.scope, _ = keyScope(q)
	} else {
		c.scope, _ = prefixScope(q)
	}
	c.at = index.Position{Revision: c.since + 1}
	return c, nil
}

func (c *changes) step(v *index.View) (done bool, err error) {
	if err := c.pin(v); err != nil {
		return true, err
	}
	if c.since > c.revision {
		return true, kv.Errorf(kv.BadRequest, "the changes since revision %d up to %d are asked for: exchange them", c.since, c.revision)
	}
	if c.sorted == nil {
		return false, c.collect(v)
	}
	return c.compare(v)
}

// collect finds the changed keys, limits.RangeRows changes at a time.
func (c *changes) collect(v *index.View) error {
	if c.since < v.Compacted() {
		return kv.Errorf(kv.Compacted, "the state at revision %d was compacted, the oldest that can be read is %d", c.since, v.Compacted())
	}
	over, looked := false, 0
	next, err := v.Changes(c.at, func(one *index.Change) bool {
		if over = one.KV.ModRevision > c.revision; over {
			return false
		}
		if in(one.KV.Key, c.key, c.end) && !c.changed[string(one.KV.Key)] {
			c.changed[string(one.KV.Key)] = true
			c.bytes += len(one.KV.Key)
		}
		looked++
		return looked < limits.RangeRows
	})
	switch c.at = next; {
	case err != nil:
		return err
	case len(c.changed) > dashboardChanges:
		return kv.Errorf(kv.BadRequest, "more than %d keys changed between the revisions %d and %d: choose a prefix, or a shorter time", dashboardChanges, c.since, c.revision)
	case c.bytes > dashboardKeyBytes:
		return kv.Errorf(kv.BadRequest, "keys of more than %d bytes in total changed between the revisions %d and %d: choose a prefix, or a shorter time", dashboardKeyBytes, c.since, c.revision)
	case over || c.at.Revision > c.revision:
		c.sorted = make([]string, 0, len(c.changed))
		for key := range c.changed {
			c.sorted = append(c.sorted, key)
		}
		slices.Sort(c.sorted)
	}
	return nil
}

// in tells whether a key is in a range.
func in(key, from, end []byte) bool {
	if len(end) == 0 {
		return bytes.Equal(key, from)
	}
	return bytes.Compare(key, from) >= 0 && (len(end) == 1 && end[0] == 0 || bytes.Compare(key, end) < 0)
}

// compare compares some of the changed keys.
func (c *changes) compare(v *index.View) (done bool, err error) {
	for work := 0; work < limits.RangeRows && len(c.sorted) > 0; work++ {
		key := []byte(c.sorted[0])
		c.sorted = c.sorted[1:]
		before, was, err := v.Get(key, c.since)
		if err != nil {
			return true, err
		}
		after, is, err := v.Get(key, c.revision)
		if err != nil {
			return true, err
		}
		switch {
		case was && is && before.Lease == after.Lease && bytes.Equal(before.Value, after.Value), !was && !is:
			continue
		case !was:
			c.Created++
		case !is:
			c.Deleted++
		default:
			c.Changed++
		}
		one := change{key, sideOf(&before, was), sideOf(&after, is)}
		if one.Before.Leased || one.After.Leased {
			c.Leased++
		}
		c.all = append(c.all, one)
	}
	return len(c.sorted) == 0, nil
}

func sideOf(pair *kv.KeyValue, there bool) side {
	if !there {
		return side{}
	}
	return side{pair.ModRevision, len(pair.Value), pair.Lease != 0}
}

func (c *changes) answer() any {
	c.Since, c.Until = c.since, c.revision
	c.Rows = c.all[:min(len(c.all), dashboardDifferences):len(c.all)]
	if c.Rows == nil {
		c.Rows = []change{}
	}
	c.More = len(c.Rows) < len(c.all)
	return c
}

// revertRequest asks to restore a prefix or a key as it was at a revision. Seen is the revision of the preview: a key that was written
// after it is not changed.
type revertRequest struct {
	Prefix, Key []byte
	To, Seen    int64
}

type reverted struct {
	Put     int   `json:"put"`
	Deleted int   `json:"deleted"`
	Leased  int   `json:"leased"`   // left unchanged, because they belong to a lease
	Written int   `json:"written"`  // left unchanged, because they were written after the preview
	At      int64 `json:"revision"` // the newest that the revert made; 0: none
}

// revert restores keys in transactions of at most limits.TxnOperations keys and dashboardRevert bytes.
func (d *dashboard) revert(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var q revertRequest
	err := readJSON(w, r, &q)
	if err == nil && (q.To <= 0 || q.Seen < q.To) {
		err = kv.Errorf(kv.BadRequest, "revision %d cannot be restored after a preview at revision %d", q.To, q.Seen)
	}
	if err != nil {
		return err
	}
	found := &changes{changed: map[string]bool{}, since: q.To, at: index.Position{Revision: q.To + 1}}
	if found.scope, _ = prefixScope(url.Values{"prefix": {string(q.Prefix)}}); len(q.Key) > 0 {
		found.scope = scope{key: q.Key}
	}
	found.revision = q.Seen
	if err := d.Read(ctx, kv.AccessRead, found, found.step); err != nil {
		return err
	}
	done := reverted{}
	for left := found.all; len(left) > 0 && err == nil; {
		b := batch{scope: found.scope, to: q.To, left: left}
		if err = d.Read(ctx, kv.AccessRead, &b, b.step); err == nil {
			err = b.apply(&done, func(t *kv.Txn) (kv.Result, error) { return d.Write(ctx, t) })
		}
		left = b.left
	}
	if err != nil && done.Put+done.Deleted > 0 {
		err = kv.Errorf(kv.BadRequest, "%d keys were reverted, and then: %v", done.Put+done.Deleted, err)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, done)
	return nil
}

// batch collects the keys of one transaction of a revert.
type batch struct {
	scope
	to      int64
	left    []change
	taken   []change
	pairs   []kv.KeyValue // of taken, as they are to be
	txn     kv.Txn
	dropped struct{ leased, written int }
}

// step reads the values to restore. A transaction has each key twice: in its comparison and in its operation.
func (b *batch) step(v *index.View) (done bool, err error) {
	bytesTaken := 0
	for len(b.left) > 0 && len(b.taken) < limits.TxnOperations && bytesTaken < dashboardRevert {
		one := b.left[0]
		now, _, err := v.Get(one.Key, 0)
		if err != nil {
			return true, err
		}
		pair, _, err := v.Get(one.Key, b.to)
		if err != nil {
			return true, err
		}
		if bytesTaken += len(pair.Value) + 2*len(one.Key); bytesTaken > dashboardRevert && len(b.taken) > 0 {
			break
		}
		b.left = b.left[1:]
		switch {
		case one.Before.Leased || one.After.Leased:
			b.dropped.leased++
		case now.ModRevision != one.After.Revision:
			b.dropped.written++
		default:
			pair.Value = bytes.Clone(pair.Value)
			b.taken, b.pairs = append(b.taken, one), append(b.pairs, pair)
		}
	}
	return true, nil
}

// apply writes the batch. All of its keys must be as the preview has shown them.
func (b *batch) apply(done *reverted, write func(*kv.Txn) (kv.Result, error)) error {
	done.Leased += b.dropped.leased
	done.Written += b.dropped.written
	if len(b.taken) == 0 {
		return nil
	}
	puts, deletes := 0, 0
	for i := range b.taken {
		one := &b.taken[i]
		b.txn.Compares = append(b.txn.Compares, kv.Compare{Key: one.Key, Target: kv.CompareMod, Number: one.After.Revision})
		if one.Before.Revision != 0 {
			puts++
			b.txn.Success = append(b.txn.Success, kv.Op{Put: &kv.Put{Key: one.Key, Value: b.pairs[i].Value}})
		} else {
			deletes++
			b.txn.Success = append(b.txn.Success, kv.Op{Delete: &kv.Delete{Key: one.Key}})
		}
	}
	result, err := write(&b.txn)
	known, _ := errors.AsType[*kv.Error](err)
	switch {
	case known != nil && known.Code == kv.Unknown:
		return kv.Errorf(kv.Unknown, "%s: a transaction of %d of the keys may have been made, or not; look at their history before you try again", known.Message, len(b.taken))
	case err != nil:
		return err
	case result.Txn == nil || !result.Txn.Path[0]:
		return kv.Errorf(kv.BadRequest, "one of %d keys was written by another client meanwhile, and none of them was reverted: make the preview again", len(b.taken))
	}
	done.Put, done.Deleted, done.At = done.Put+puts, done.Deleted+deletes, result.Revision
	return nil
}
