package client

import (
	"sync"
	"sync/atomic"
	"time"

	"qkv/internal/buffers"
	"qkv/net/wire"
)

// call is one request, from submit to its outcome.
//
// At any time exactly one of these holds it: its maker, link.waiting, link.delayed, a slot of a stream, or a login (conn.renew). A goroutine that
// removes it there, under that holder's lock, owns it. Only its state may change from elsewhere: a caller whose context ends
// abandons it, wherever it is.
//
//	idle ──send──► sent ──answered──► over
//	 ▲ │            │ └──abandoned──► over     sent, doubtful: the outcome of a write is unknown
//	 │ └─abandoned──┼───────────────► over     idle: it certainly did not happen
//	 └───again──────┘                          idle, when it certainly did not happen, or is a read;
//	                                           doubtful, when it is a write that has a name, and may have happened
type call struct {
	// Constant until its outcome.
	op       wire.Op
	write    bool   // it changes something: without a name it is not sent twice where it may have happened
	body     []byte // encoded: the caller may reuse key and value at once
	bulk     bool   // a read whose answer may be large: it uses the bulk stream
	begun    time.Time
	deadline time.Time // when the call fails with a timeout
	done     func(*call)
	link     *link
	ready    chan struct{} // where its caller waits, when done is nil

	state atomic.Uint32
	where atomic.Pointer[conn] // the connection that it was last sent on

	// Of the owner.
	until    time.Time // the end of this attempt for a read; for a write, when its member is asked for its health
	latest   time.Time // the end of this attempt for a write with a name, even at a healthy member
	round    uint64    // the write round of the stream that sends it
	attempts int
	retryAt  time.Time
	session  *session // of its name; nil while it has none
	sequence uint64
	doubt    bool // an attempt may have happened
	renewed  bool // a new login was made for it

	// The outcome. It belongs to the caller once it is delivered.
	answer   []byte         // a copy of the answer's frame; nil for an asynchronous call
	response *wire.Response // the answer to an asynchronous call: valid while done runs
	err      error
}

const (
	idle uint32 = iota
	doubtful
	sent
	over
)

// begin marks the call as sent. It returns false when its caller has abandoned it.
func (x *call) begin() bool { return x.state.CompareAndSwap(x.between(), sent) }

// again ends a failed attempt and allows another. It returns false when the call was abandoned.
func (x *call) again() bool { return x.state.CompareAndSwap(sent, x.between()) }

// between returns the call's state between two attempts.
func (x *call) between() uint32 {
	if x.doubt {
		return doubtful
	}
	return idle
}

// repeatable reports whether the call may be sent again although it may have happened.
func (x *call) repeatable() bool { return !x.write || x.session != nil }

// end marks the outcome as known. It returns false if the caller has abandoned the call.
func (x *call) end() bool { return x.state.Swap(over) != over }

// abandon is for the caller. It returns the call's previous state: over means that its outcome is there.
func (x *call) abandon() uint32 { return x.state.Swap(over) }

// abandoned reports whether the caller has abandoned the call: a waiting call, or one in a slot, is over for no other reason.
func (x *call) abandoned() bool { return x.state.Load() == over }

var calls = sync.Pool{New: func() any { return &call{ready: make(chan struct{}, 1)} }}

// keepBytes is the largest buffer that a call keeps for reuse. Larger buffers go back to the pool of their size.
const keepBytes = 64 << 10

// room returns an empty buffer with a capacity of at least n bytes: b, or a buffer from the pool in exchange for b.
func room(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:0]
	}
	buffers.Put(b)
	return buffers.Get(n)
}

func newCall(op wire.Op) *call {
	x := calls.Get().(*call)
	x.op, x.write = op, op.Write()
	x.begun = time.Now()
	return x
}

// recycle returns the call to the pool. No other reference to it may exist.
func (x *call) recycle() {
	x.releaseName(false)
	body, answer, ready := x.body, x.answer, x.ready
	if cap(answer) > keepBytes {
		buffers.Put(answer)
		answer = nil
	}
	if cap(body) > keepBytes {
		buffers.Put(body)
		body = nil
	}
	*x = call{body: body[:0], answer: answer[:0], ready: ready}
	calls.Put(x)
}

// deliver passes the outcome to the caller, which then owns the call.
func (x *call) deliver() {
	if x.done == nil {
		x.ready <- struct{}{}
		return
	}
	x.link.calling.Add(1)
	x.done(x)
	x.link.calling.Add(-1)
	x.recycle()
}

// fail ends the call with an error.
func (x *call) fail(err error) {
	x.releaseName(false)
	if !x.end() {
		x.recycle()
		return
	}
	x.err = err
	x.deliver()
}

// succeed ends the call with its answer.
func (x *call) succeed(a *arrival) {
	x.releaseName(true)
	if !x.end() {
		x.recycle()
		return
	}
	if x.done == nil {
		x.answer = append(room(x.answer, len(a.frame)), a.frame...)
	} else {
		x.response = &a.answer
	}
	x.deliver()
}
