package etcd

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// calls are the requests that wait for the member. gRPC has a goroutine for each request; what they ask for is collected
// here, so that the member gets writes, reads and questions for leases in batches, as from its native endpoint.
//
//	handler ──► queue ──► collector: one Proposal of all that waits ──► Member
//	   ▲                                                                  │
//	   └────────────────────────── Complete ◄─────────────────────────────┘
//
// It is the member's kv.ReplyTo.
//
//  1. A call is in waiting from its beginning until it is complete, also when nobody waits for it any more: it counts for so
//     long.
//  2. Complete never waits: each call has room for its one outcome.
//  3. A long write (limits.LongWriteRows) is handed over when the one before is complete.
type calls struct {
	// Constant.
	member  Member
	timeout time.Duration
	limit   int

	writes, reads, asks queue
	long                chan struct{} // has room for one long write

	writesFailed, readsFailed atomic.Uint64

	mu      sync.Mutex
	waiting map[uint64]*call
	last    uint64
}

// call is one request to the member.
type call struct {
	number  uint64
	command []byte      // of a write
	alone   bool        // it must have a proposal of its own
	long    bool        // it is a long write
	body    bool        // the answer is read from the first View that holds the write
	ask     kv.LeaseAsk // of a question for a lease
	timeout time.Duration

	done chan outcome // has room for one
}

// outcome is what became of a call.
type outcome struct {
	kv.Completion
	view *index.View // of a write with a body
}

// queue is where calls of one kind wait for their collector.
type queue struct {
	mu   sync.Mutex
	all  []*call
	wake chan struct{} // has a token whenever there is something, or it is over
	over bool
}

func newCalls(member Member, timeout time.Duration, limit int) *calls {
	c := &calls{member: member, timeout: timeout, limit: limit, long: make(chan struct{}, 1), waiting: map[uint64]*call{}}
	for _, q := range []*queue{&c.writes, &c.reads, &c.asks} {
		q.wake = make(chan struct{}, 1)
	}
	return c
}

// run starts the collectors, which end when stop is called.
func (c *calls) run(running *sync.WaitGroup) {
	running.Go(func() { c.writes.collect(c.propose) })
	running.Go(func() { c.reads.collect(c.readIndex) })
	running.Go(func() { c.asks.collect(c.askLeases) })
}

func (c *calls) stop() {
	for _, q := range []*queue{&c.writes, &c.reads, &c.asks} {
		q.mu.Lock()
		q.over = true
		q.mu.Unlock()
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) add(one *call) (taken bool) {
	q.mu.Lock()
	if q.over {
		q.mu.Unlock()
		return false
	}
	q.all = append(q.all, one)
	first := len(q.all) == 1
	q.mu.Unlock()
	if first {
		q.signal()
	}
	return true
}

// collect hands over all that waits, each time that there is something. It lets those run first that are about to add more.
func (q *queue) collect(hand func([]*call)) {
	var spare []*call
	for {
		<-q.wake
		runtime.Gosched()
		q.mu.Lock()
		taken, over := q.all, q.over
		q.all = spare[:0]
		q.mu.Unlock()
		if len(taken) > 0 {
			hand(taken)
		}
		if over && len(taken) == 0 {
			return
		}
		if over {
			q.signal()
		}
		clear(taken)
		spare = taken
	}
}

func (c *calls) propose(all []*call) {
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && n < limits.BatchCommands && (n == 0 || size+len(all[n].command) <= limits.BatchBytes && !all[n].alone) {
			size += len(all[n].command)
			if n++; all[n-1].alone {
				break
			}
		}
		p := kv.Proposal{ReplyTo: c, Requests: make([]uint64, n), Commands: make([][]byte, n)}
		for i, one := range all[:n] {
			p.Requests[i], p.Commands[i] = one.number, one.command
			p.Timeout = max(p.Timeout, one.timeout)
		}
		all = all[n:]
		c.member.Propose(p)
	}
}

func (c *calls) readIndex(all []*call) {
	numbers, timeout := numbersOf(all)
	c.member.ReadIndex(c, numbers, timeout)
}

func (c *calls) askLeases(all []*call) {
	numbers, timeout := numbersOf(all)
	asks := make([]kv.LeaseAsk, len(all))
	for i, one := range all {
		asks[i] = one.ask
	}
	c.member.AskLeases(c, numbers, asks, timeout)
}

func numbersOf(all []*call) (numbers []uint64, timeout time.Duration) {
	numbers = make([]uint64, len(all))
	for i, one := range all {
		numbers[i] = one.number
		timeout = max(timeout, one.timeout)
	}
	return numbers, timeout
}

// Complete implements kv.ReplyTo.
func (c *calls) Complete(done []kv.Completion) {
	ended := c.endedBy(done)
	var view *index.View
	for i, one := range ended {
		if one == nil {
			continue
		}
		out := outcome{Completion: done[i]}
		if one.body && done[i].Result.Err == nil {
			if view == nil {
				view = c.member.View() // a newer one is not published before this returns
			}
			out.view = view
		}
		one.done <- out
	}
}

// endedBy takes the calls that end out of waiting. A call that nobody waits for is nil: the member answers what it does not know twice.
// Those that wait for their outcomes are woken behind the lock, which all need who begin a call meanwhile.
func (c *calls) endedBy(done []kv.Completion) []*call {
	ended := make([]*call, len(done))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range done {
		ended[i] = c.waiting[done[i].Request]
		delete(c.waiting, done[i].Request)
		if one := ended[i]; one != nil && one.long {
			<-c.long
		}
	}
	return ended
}

// begin registers a call, or says why it is refused.
func (c *calls) begin(one *call) error {
	one.done = make(chan outcome, 1)
	one.timeout = c.timeout
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) >= c.limit {
		return errTooManyRequests
	}
	c.last++
	one.number = c.last
	c.waiting[one.number] = one
	return nil
}

// do hands a call to the member and waits for what becomes of it, or until nobody waits any more. Where there is no leader, it
// waits for one, as etcd does: its clients do not send a write again, and what was refused for that certainly did not happen.
func (c *calls) do(ctx context.Context, to *queue, one *call) (out outcome, err error) {
	until := time.Now().Add(c.timeout)
	for {
		if err := c.handInTurn(ctx, to, one, until); err != nil {
			return outcome{}, err
		}
		out, err = c.wait(ctx, one)
		refusal := out.Result.Err
		if err != nil && ctx.Err() != nil {
			refusal = errLate
		}
		if refusal == nil || refusal.Code != kv.Unavailable {
			c.count(to, refusal)
			return out, err
		}
		again := *one
		one = &again
		left := time.Until(until)
		if left <= 0 {
			c.count(to, refusal)
			return out, errTimeout
		}
		select {
		case <-ctx.Done():
			c.count(to, refusal)
			return outcome{}, ctx.Err()
		case <-time.After(min(left, leaderPause)):
		}
	}
}

// leaderPause is the pause before what found no leader is handed over again.
const leaderPause = 20 * time.Millisecond

// errLate stands for the outcome of a call that its client has not waited for: etcd counts that as failed, too.
var errLate = &kv.Error{Code: kv.Unknown}

// Uncounted says that the member does not count which calls fail: those without a leader are handed over again and again.
func (c *calls) Uncounted() {}

// count counts a call that has failed for want of a quorum, or of time.
func (c *calls) count(of *queue, refusal *kv.Error) {
	if refusal == nil || refusal.Code != kv.Unavailable && refusal.Code != kv.Unknown {
		return
	}
	switch of {
	case &c.writes:
		c.writesFailed.Add(1)
	case &c.reads:
		c.readsFailed.Add(1)
	}
}

// awaitHalf waits until less than half of the places are taken, or nobody waits for that any more, and says which.
func (c *calls) awaitHalf(ctx context.Context) bool {
	for {
		c.mu.Lock()
		free := len(c.waiting) < c.limit/2
		c.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(halfPause):
		}
	}
}

// halfPause is how long who waits for that does not look.
const halfPause = 5 * time.Millisecond

// handInTurn is hand for a call that may be a long write: that one waits for its place first.
func (c *calls) handInTurn(ctx context.Context, to *queue, one *call, until time.Time) error {
	if !one.long {
		return c.hand(to, one)
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if _, err := take(waiting, c.long); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errTooManyRequests
	}
	err := c.hand(to, one)
	if err != nil {
		<-c.long
	}
	return err
}

// hand hands a call to the member. wait follows.
func (c *calls) hand(to *queue, one *call) error {
	if err := c.begin(one); err != nil {
		return err
	}
	if !to.add(one) {
		c.mu.Lock()
		delete(c.waiting, one.number)
		c.mu.Unlock()
		return errStopped
	}
	return nil
}

func (c *calls) wait(ctx context.Context, one *call) (outcome, error) {
	select {
	case out := <-one.done:
		if err := out.Result.Err; err != nil {
			return out, statusOf(err)
		}
		return out, nil
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	}
}

// write makes a write. With a body, the outcome has the View that its answer is read from.
func (c *calls) write(ctx context.Context, command []byte, body bool) (outcome, error) {
	return c.writeRows(ctx, command, body, 0)
}

// writeRows is write for one that looks at so many keys of ranges.
func (c *calls) writeRows(ctx context.Context, command []byte, body bool, rows int64) (outcome, error) {
	return c.do(ctx, &c.writes, &call{command: command, body: body, long: rows > limits.LongWriteRows})
}

// change makes a change of the membership.
func (c *calls) change(ctx context.Context, command []byte) (outcome, error) {
	return c.do(ctx, &c.writes, &call{command: command, alone: true})
}

// confirm waits until the member's View may be read on behalf of a linearizable read.
func (c *calls) confirm(ctx context.Context) error {
	_, err := c.do(ctx, &c.reads, &call{})
	return err
}

// lease asks the leader's clock.
func (c *calls) lease(ctx context.Context, ask kv.LeaseAsk) (kv.LeaseTime, error) {
	out, err := c.do(ctx, &c.asks, &call{ask: ask})
	if err != nil {
		return kv.LeaseTime{}, err
	}
	return *out.Lease, nil
}
