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

// body is an answer that is more than a number or a page: previous values, what a transaction has read, a sorted range. All
// of it is read from one View, in bounded steps, into one answer.
type body struct {
	// Constant.
	request wire.Request // its slices are its own
	long    bool         // it may look at many keys: it is read in turns

	// view is what is read: of a write the first that holds it, which the stream keeps since the write is complete; of a
	// read the newest one when it begins.
	view   *index.View
	since  time.Time // when it was taken
	result kv.Result // of a write, or of a transaction that was evaluated

	// One of them, once it has begun.
	answer *index.AnswerReader
	whole  *index.WholeReader
}

// needsBody says that the answer to a request has a body.
func needsBody(q *wire.Request) bool {
	switch q.Op {
	case wire.OpPut:
		return q.Put.PrevKV
	case wire.OpDelete:
		return q.Delete.PrevKV
	case wire.OpRange:
		return len(q.Range.End) > 0 && q.Range.Sorted()
	default:
		return q.Op == wire.OpTxn || q.Op == wire.OpRevisionAt || q.Op == wire.OpTimesOf
	}
}

// bodyWeight is what a request with a body counts for beside its frame: a copy of that, and what it becomes.
func bodyWeight(q *wire.Request, frame int) int {
	if q.Op == wire.OpTxn {
		return frame + q.Txn.Parts()*limits.TxnPartBytes
	}
	return frame
}

// newBody returns the body of a request whose frame was read before, as what waits for its outcome.
func newBody(frame []byte, timeout time.Duration) *read {
	b := &body{}
	if err := wire.ReadRequest(bytes.Clone(frame), &b.request); err != nil {
		panic(fmt.Sprintf("server: a request was read once, and not again: %v", err))
	}
	q := &b.request
	switch q.Op {
	case wire.OpDelete:
		b.long = len(q.Delete.End) > 0
	case wire.OpRange:
		b.long = true
	case wire.OpTxn:
		b.long = q.Txn.Ranges() || q.Txn.Parts() > limits.RangeRows
	}
	return &read{body: b, until: time.Now().Add(timeout)}
}

// begin evaluates what is a read.
func (b *body) begin(v *index.View) error {
	q := &b.request
	if b.view == nil && !q.Write() {
		b.view, b.since = v, time.Now()
	}
	if err := b.view.Recall(q.Txn, &b.result); err != nil {
		return err
	}
	switch {
	case q.Op == wire.OpRange:
		b.whole = index.NewWholeReader(q.Range, limits.BodyBytes)
	case q.Op == wire.OpPut:
		b.answer = index.NewPutReader(&q.Put, &b.result, limits.BodyBytes)
	case q.Op == wire.OpDelete:
		b.answer = index.NewDeleteReader(&q.Delete, &b.result, limits.BodyBytes)
	default:
		if !q.Write() {
			var err error
			if b.result, err = b.view.Evaluate(q.Txn); err != nil {
				return err
			}
		}
		b.answer = index.NewAnswerReader(q.Txn, &b.result, limits.BodyBytes)
	}
	return nil
}

// read reads rows more keys, and appends the answer to an empty buffer when it is complete, or there is none. It is done
// when the answer is in the buffer.
func (b *body) read(to *buffer, v *index.View, rows int) (done bool) {
	defer runtime.KeepAlive(b)
	id := b.request.ID
	if b.request.Op == wire.OpRevisionAt {
		return b.appendRevision(to, v)
	}
	if b.request.Op == wire.OpTimesOf {
		return b.appendTimes(to, v)
	}
	if b.answer == nil && b.whole == nil {
		if err := b.begin(v); err != nil {
			return to.appendReadError(id, err)
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
			return len(to.out) == 0 && to.appendNoRoom(id, size)
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
	return b.appendResult(to, result)
}

// appendResult appends what a write or a transaction is answered with. It returns false when there is no room behind what
// is there.
func (b *body) appendResult(to *buffer, result *kv.TxnResult) bool {
	id, size := b.request.ID, wire.TxnResultBytes(result)
	if !to.fit(size) {
		switch {
		case len(to.out) > 0:
			return false
		case !b.request.Write():
			return to.appendNoRoom(id, size)
		}
		return to.appendError(id, kv.AnswerTooLarge, fmt.Sprintf("it was done at revision %d, but there is no room for an answer of %d bytes: answers that this client has not taken fill its share of the member's memory", b.result.Revision, size))
	}
	if b.request.Op == wire.OpTxn {
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
	if !to.fit(wire.AnswerBytes) {
		return false
	}
	revision, err := v.RevisionAt(b.request.Wall, time.Now().UnixNano())
	if err != nil {
		return to.appendError(b.request.ID, err.Code, err.Message)
	}
	to.out = wire.AppendWritten(to.out, b.request.ID, revision, 0)
	return true
}

func (b *body) appendTimes(to *buffer, v *index.View) bool {
	if size := wire.TimesBytes(len(b.request.Revisions)); !to.fit(size) {
		return len(to.out) == 0 && to.appendNoRoom(b.request.ID, size)
	}
	walls := make([]int64, len(b.request.Revisions))
	for i, revision := range b.request.Revisions {
		walls[i], _ = v.TimeOf(revision)
	}
	to.out = wire.AppendTimes(to.out, b.request.ID, walls)
	return true
}

// heldTooLong says that what is read is to be let go of: so many bytes, given up since, wait for that.
func (b *body) heldTooLong(now time.Time, retired int64) bool {
	return b != nil && b.view != nil && now.Sub(b.since) > limits.ClientStall && retired > limits.PagesRetired
}

// refusal is the answer to one whose body is not read. A write was made all the same.
func (b *body) refusal(why string) *kv.Error {
	if b != nil && b.request.Write() {
		return kv.Errorf(kv.Unknown, "it was done at revision %d, but its answer was not read: %s", b.result.Revision, why)
	}
	return &kv.Error{Code: kv.Unavailable, Message: why}
}

// written says that the body is that of a write: it was made, and is answered whatever happens.
func (r *read) written() bool { return r.body != nil && r.body.request.Write() }

// keepViewLocked gives writes that are complete the View that their answers are read from. The member completes them
// before it publishes a newer one.
func (s *stream) keepViewLocked(done []kv.Completion) {
	if s.bodies == 0 {
		return
	}
	var v *index.View
	for i := range done {
		x := s.slotLocked(done[i].Request)
		if x == nil || done[i].Result.Err != nil || x.read == nil || !x.read.written() {
			continue
		}
		if v == nil {
			v = s.conn.server.config.Member.View()
		}
		x.read.body.view, x.read.body.since = v, time.Now()
	}
}
