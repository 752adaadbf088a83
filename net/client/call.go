package client

import (
	"sync"
	"sync/atomic"
	"time"

	"qkv/net/wire"
)

// call is one request on its way, from submit to its outcome.
//
// It is always at exactly one place: with who made it, in Client.waiting, in Client.delayed, or in a slot of a
// stream. Whoever takes it from there under that place's lock has it. Its state alone may change from elsewhere: a
// caller whose context ends abandons it, wherever it is.
//
//	idle ──send──► sent ──answered──► over
//	 ▲ │            │ └──abandoned──► over     sent, doubtful: the outcome of a write is unknown
//	 │ └─abandoned──┼───────────────► over     idle: it certainly did not happen
//	 └───again──────┘                          idle, when it certainly did not happen, or is a read;
//	                                           doubtful, when it is a write that has a name, and may have happened
type call struct {
	// Constant while it is on its way.
	op       wire.Op
	write    bool   // it changes something: without a name it is not sent twice where it may have happened
	body     []byte // encoded, so that key and value belong to the caller again at once
	bulk     bool   // its answer may be large: it goes on the stream for those
	begun    time.Time
	deadline time.Time // when it is given up
	done     func(*call)
	client   *Client
	ready    chan struct{} // where its caller waits, when done is nil

	state atomic.Uint32
	where atomic.Pointer[conn] // the connection that it was last sent on

	// Of who has it.
	until    time.Time // when this attempt is given up, if it is a read, or its member is asked how it is
	latest   time.Time // when it is given up, if it is a write with a name, however well its member is
	round    uint64    // of the stream's writes, the one that it goes out with
	attempts int
	retryAt  time.Time
	session  *session // of its name; nil while it has none
	sequence uint64
	doubt    bool // an attempt may have happened

	// The outcome: the caller's, once it is told.
	answer   []byte         // the frame of the answer, a copy; of an asynchronous call there is none
	response *wire.Response // the answer to an asynchronous call: valid while done runs
	err      error
}

const (
	idle uint32 = iota
	doubtful
	sent
	over
)

// begin says that the call goes out. It returns false when its caller has abandoned it.
func (x *call) begin() bool { return x.state.CompareAndSwap(x.between(), sent) }

// again says that the call's attempt failed and that another may follow. It returns false when it was abandoned.
func (x *call) again() bool { return x.state.CompareAndSwap(sent, x.between()) }

// between is the call's state between two attempts.
func (x *call) between() uint32 {
	if x.doubt {
		return doubtful
	}
	return idle
}

// repeatable says that the call may be sent again although it may have happened.
func (x *call) repeatable() bool { return !x.write || x.session != nil }

// end says that the outcome is known. It returns false when nobody waits for it any more.
func (x *call) end() bool { return x.state.Swap(over) != over }

// abandon is the caller's. It returns what state the call was in: over means that its outcome is there.
func (x *call) abandon() uint32 { return x.state.Swap(over) }

// abandoned says that the caller has given it up: a call that is over where it waits, or in a slot, can be nothing else.
func (x *call) abandoned() bool { return x.state.Load() == over }

var calls = sync.Pool{New: func() any { return &call{ready: make(chan struct{}, 1)} }}

// keepBytes is the largest buffer that is kept for another call or another write.
const keepBytes = 64 << 10

func newCall(op wire.Op) *call {
	x := calls.Get().(*call)
	x.op, x.write = op, op.Write()
	x.begun = time.Now()
	return x
}

// recycle gives the call back. Nobody else may know it any more.
func (x *call) recycle() {
	x.releaseName(false)
	body, answer, ready := x.body, x.answer, x.ready
	if cap(answer) > keepBytes {
		answer = nil
	}
	if cap(body) > keepBytes {
		body = nil
	}
	*x = call{body: body[:0], answer: answer[:0], ready: ready}
	calls.Put(x)
}

// deliver tells the caller. The call is no longer the engine's.
func (x *call) deliver() {
	if x.done == nil {
		x.ready <- struct{}{}
		return
	}
	x.client.calling.Add(1)
	x.done(x)
	x.client.calling.Add(-1)
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
		x.answer = append(x.answer[:0], a.frame...)
	} else {
		x.response = &a.answer
	}
	x.deliver()
}
