package server

import (
	"bytes"
	"fmt"
	"runtime"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// body is an answer that is larger than a number or a page: previous values, the reads of a transaction, a sorted range. All of it
// is read from one View, in bounded steps, into one answer.
type body struct {
	// Constant.
	request wire.Request // its slices are its own copies; a put has no value
	long    bool         // it may look at many keys: it is read in turns
	conn    *conn

	// view is the View to read. For a write it is the first View that includes the write; the stream keeps it since the write
	// completed. For a read it is the newest View at the beginning.
	view   *index.View
	since  time.Time // when view was taken
	result kv.Result // of a write, or of an evaluated transaction

	authors []string         // the authors that were found
	leases  wire.List[int64] // the leases that were found
	value   any              // of package codec: the answer to a login, or to a request for a backup

	// At most one of them, after begin.
	answer *index.AnswerReader
	whole  *index.UnpagedReader
}

// txnPartBytes is the memory charged for a comparison or operation of a transaction while its answer waits, and askPartBytes for an element
// of the lists of a rare request.
const txnPartBytes, askPartBytes = 192, 64

// newBody returns the body of a request, with copies of what lies in its frame. A transaction was read from a copy.
func (c *conn) newBody(q *wire.Request) *read {
	b := &body{request: *q, conn: c}
	b.request.Put.Key, b.request.Put.Value = bytes.Clone(q.Put.Key), nil
	b.request.Delete.Key, b.request.Delete.End = bytes.Clone(q.Delete.Key), bytes.Clone(q.Delete.End)
	b.request.Range.Key, b.request.Range.End = bytes.Clone(q.Range.Key), bytes.Clone(q.Range.End)
	long := rules[q.Op].long
	b.long = long != nil && long(q)
	return &read{body: b, until: time.Now().Add(q.Timeout)}
}

// begin evaluates a read.
func (b *body) begin(v *index.View) error {
	q := &b.request
	if b.view == nil && !q.Logged() {
		b.view, b.since = v, time.Now()
	}
	if err := b.view.RecoverAnswer(q.Txn, &b.result); err != nil {
		return err
	}
	if q.Txn != nil && !q.Logged() {
		var err error
		if b.result, err = b.view.Evaluate(q.Txn); err != nil {
			return err
		}
	}
	rules[q.Op].begin(b)
	return nil
}

// read reads up to rows more keys. It appends the answer to an empty buffer when it is complete, or when it exceeds the memory
// budget. done reports that the answer is in the buffer. A body that is not long is not read if it needs values from files: see
// buffer.unread.
func (b *body) read(to *buffer, v *index.View, rows int) (done bool) {
	defer runtime.KeepAlive(b)
	id := b.request.ID
	if read := rules[b.request.Op].read; read != nil {
		return read(b, to, v)
	}
	if b.value != nil {
		return to.appendValue(id, b.value)
	}
	measures := !b.long && !to.waits
	if b.answer == nil && b.whole == nil {
		if measures && b.compares(v) {
			to.unread = wire.AnswerBytes
			return false
		}
		if err := b.begin(v); err != nil {
			return to.appendReadError(id, err)
		}
		if measures {
			b.answer.Measure()
		}
	}
	if b.whole != nil {
		found, done, err := b.whole.Step(b.view, rows)
		switch {
		case err != nil:
			return to.appendReadError(id, err)
		case !done:
			return false
		}
		if size := pairsSize(found.KVs); !to.fit(wire.AnswerBytes + size) {
			return len(to.out) == 0 && to.appendOverBudget(id, size)
		}
		to.putPage(id, found)
		return true
	}
	result, done, err := b.answer.Step(b.view, rows)
	switch {
	case err != nil:
		return to.appendReadError(id, err)
	case !done:
		return false
	}
	if measures {
		if unread, _ := b.answer.Measured(); unread > 0 {
			to.unread, b.answer = wire.TxnResultBytes(result), nil
			return false
		}
	}
	return b.appendResult(to, result)
}

// compares reports whether begin may need values from files, for comparisons.
func (b *body) compares(v *index.View) bool {
	cold, _ := v.Cold()
	t, late := b.request.Txn, b.result.Resent
	return cold > 0 && t != nil && (late || !b.request.Logged() && len(t.Compares) > 0)
}

// appendResult appends the answer to a write or a transaction. It returns false if the answer does not fit after the buffered
// answers.
func (b *body) appendResult(to *buffer, result *kv.TxnResult) bool {
	id, size := b.request.ID, wire.TxnResultBytes(result)
	if !to.fit(size) {
		switch {
		case len(to.out) > 0:
			return false
		case !b.request.Logged():
			return to.appendOverBudget(id, size)
		}
		return to.appendError(id, kv.AnswerTooLarge, fmt.Sprintf("the write was done at revision %d, but no memory budget is left for its answer of %d bytes: unread answers fill this client's share of the member's memory", b.result.Revision, size))
	}
	if b.request.Txn != nil {
		to.out = wire.AppendTxnResult(to.out, id, result)
		return true
	}
	var previous []kv.KeyValue
	if p := result.Answers[0].Put; p != nil && p.Prev != nil {
		previous = []kv.KeyValue{*p.Prev}
	} else if d := result.Answers[0].Delete; d != nil {
		previous = d.Prev
	}
	to.out = wire.AppendWrittenWith(to.out, id, b.result.Revision, b.result.Deleted, previous)
	return true
}

func (b *body) appendRevision(to *buffer, v *index.View) bool {
	revision, err := v.RevisionAt(b.request.Ask.Wall, time.Now().UnixNano())
	if err != nil {
		return to.appendError(b.request.ID, err.Code, err.Message)
	}
	return to.appendValue(b.request.ID, &wire.List[int64]{All: []int64{revision}})
}

func (b *body) appendTimes(to *buffer, v *index.View) bool {
	walls := make([]int64, len(b.request.Ask.Revisions))
	for i, revision := range b.request.Ask.Revisions {
		walls[i], _ = v.TimeOf(revision)
	}
	return to.appendValue(b.request.ID, &wire.List[int64]{All: walls})
}

// heldTooLong reports whether the body must release its View: it holds the View for too long, and more than the allowed bytes of
// retired memory wait for that.
func (b *body) heldTooLong(now time.Time, retired int64) bool {
	return b != nil && b.view != nil && now.Sub(b.since) > limits.ClientStall && retired > limits.PagesRetired
}

// refusal returns the error for a body that is not read. If the request was a write, the write was applied all the same.
func (b *body) refusal(why string) *kv.Error {
	if b != nil && b.request.Logged() {
		return kv.Errorf(kv.Unknown, "the write was done at revision %d, but its answer was not read: %s", b.result.Revision, why)
	}
	return &kv.Error{Code: kv.Unavailable, Message: why}
}

// ofWrite reports whether the body is a write's: the write was applied, and must be answered.
func (r *read) ofWrite() bool { return r.body != nil && r.body.request.Logged() }

// keepViewLocked gives completed writes the View for their answers. The member completes them before it publishes a newer View.
func (s *stream) keepViewLocked(done []kv.Completion) {
	if s.bodies == 0 {
		return
	}
	var v *index.View
	for i := range done {
		x := s.slotLocked(done[i].Request)
		if x == nil || done[i].Result.Err != nil || x.read == nil || !x.read.ofWrite() {
			continue
		}
		if v == nil {
			v = s.conn.server.config.Member.View()
		}
		x.read.body.view, x.read.body.since = v, time.Now()
	}
}
