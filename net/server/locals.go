package server

import (
	"runtime"
	"sync"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/meter"
	"qkv/net/wire"
)

// locals are serializable reads of one key that came together and are not answered yet: their keys are in the reader's frames.
type locals struct {
	n     int
	reads [index.PrefetchKeys]local
	keys  [index.PrefetchKeys][]byte
}

type local struct {
	kv.Range
	op      wire.Op
	id      uint64
	timeout time.Duration
	frame   int // bytes of the frame
}

var allLocals = sync.Pool{New: func() any { return new(locals) }}

// addLocal adds such a read to the batch. The reads are answered before the next frames are read.
func (r *reader) addLocal(q *wire.Request, path wire.Path, frame int) (done bool, refusal *kv.Error) {
	if path != wire.PathLocal || len(q.Range.End) > 0 {
		return false, nil
	}
	b := &r.batch
	if b.locals == nil {
		b.locals = allLocals.Get().(*locals)
	}
	l := b.locals
	l.reads[l.n], l.keys[l.n] = local{Range: q.Range, op: q.Op, id: q.ID, timeout: q.Timeout, frame: frame}, q.Range.Key
	if l.n++; l.n == len(l.reads) {
		r.answerLocals()
	}
	return true, nil
}

// answerLocals answers serializable reads of one key at once. These reads never count as under way; the writer receives only their
// encoded answers. A read that does not fit the buffer waits for the writer. All reads wait for the writer if it has not taken the
// previous encoded answers. So the reader never stops for a client that does not read its answers.
func (r *reader) answerLocals() {
	l := r.batch.locals
	if l == nil {
		return
	}
	now := &r.batch.immediate
	if now.share == nil {
		now.share = r.s.share
	}
	v := r.s.conn.server.config.Member.View()
	if !r.writerLags {
		v.Prefetch(l.keys[:l.n])
	}
	answered := 0
	for i := range l.n {
		if x := &l.reads[i]; !r.writerLags && len(now.out) < writeBytes && now.tryLocal(v, x, r.s.conn) {
			answered++
		} else {
			r.addReady(x) // and measure counts it
		}
	}
	runtime.KeepAlive(v)
	r.s.conn.server.config.Operations.Count(meter.Gets, answered)
	clear(l.reads[:l.n])
	clear(l.keys[:l.n])
	l.n, r.batch.locals = 0, nil
	allLocals.Put(l)
}

// tryLocal appends the answer to a read if it fits, and if its value is in memory. The writer refuses a read that is not permitted.
func (b *buffer) tryLocal(v *index.View, x *local, c *conn) (answered bool) {
	if v.Auth().Enabled() && c.permits(v, kv.AccessRead, &x.Range) != nil {
		return false
	}
	_, answered = b.tryOne(x.id, v, &x.Range)
	b.unread = 0
	return answered
}

// addReady leaves a read to the writer, if the limits allow one more request under way.
func (r *reader) addReady(x *local) {
	b := &r.batch
	bytes, refusal := r.begin(x.frame)
	if refusal != nil {
		b.answers = wire.AppendError(b.answers, x.id, refusal.Code, refusal.Message)
		return
	}
	b.ready = append(b.ready, slot{id: x.id, op: x.op, bytes: bytes, read: newRead(&x.Range, x.timeout)})
}
