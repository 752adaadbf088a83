package etcd

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/admit"
	"qkv/internal/limits"
)

// calls holds the calls to the member that are not answered yet. They come one by one, from handlers and from [batched]. Three collectors
// give the member all waiting writes, reads and lease queries in batches, as the native endpoint does.
//
//	handler ──► queue ──► collector: one Proposal of all waiting ──► Member
//	   ▲                                                                │
//	   └────────────────────────── Complete ◄───────────────────────────┘
//
// It is the member's kv.ReplyTo.
//
//  1. A call is in waiting, and counts against limit, from its beginning until the member has answered it, even if its handler has given
//     up.
//  2. Complete never waits: each call has a channel with a buffer for its one outcome, or is handed to [batched].
//  3. A long write (limits.LongWriteRows) is handed over after the previous one is complete.
type calls struct {
	// Constant.
	member  Member
	timeout time.Duration
	limit   int

	writes, reads, asks queue
	long                admit.Slots // one long write at a time

	writesFailed, readsFailed atomic.Uint64

	mu      sync.Mutex
	waiting map[uint64]*call
	last    uint64
}

// call is one request to the member.
type call struct {
	number  uint64
	command kv.Command  // of a write
	long    bool        // it is a long write
	body    bool        // the answer is read from the first View that holds the write
	ask     kv.LeaseAsk // of a lease query
	timeout time.Duration

	done    chan outcome // buffered for one outcome
	batched *batchedCall // of a request without a handler, which gets the outcome
}

// outcome is the member's answer to a call.
type outcome struct {
	kv.Completion
	view *index.View // of a write with a body
}

// queue holds calls of one kind until their collector takes them.
type queue struct {
	mu   sync.Mutex
	all  []*call
	wake chan struct{} // has a token if the queue has calls, or is over
	over bool
}

func newCalls(member Member, timeout time.Duration, limit int) *calls {
	c := &calls{member: member, timeout: timeout, limit: limit, long: make(admit.Slots, 1), waiting: map[uint64]*call{}}
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
		signal(q.wake)
	}
}

// signal puts a token into a channel that has none.
func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
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
		signal(q.wake)
	}
	return true
}

// collect hands over all waiting calls whenever there are some. It first yields to goroutines that are about to add more.
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
			signal(q.wake)
		}
		clear(taken)
		spare = taken
	}
}

func (c *calls) propose(all []*call) {
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && n < limits.BatchCommands && (n == 0 || size+len(all[n].command.Bytes) <= limits.BatchBytes) {
			size += len(all[n].command.Bytes)
			n++
		}
		p := kv.Proposal{ReplyTo: c, Requests: make([]uint64, n), Commands: make([]kv.Command, n)}
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
	var plain []completedCall
	for i, one := range ended {
		if one == nil {
			continue
		}
		out := outcome{Completion: done[i]}
		if one.body && done[i].Result.Err == nil {
			if view == nil {
				view = c.member.View() // this View stays the newest one until Complete returns
			}
			out.view = view
		}
		if one.batched != nil {
			plain = append(plain, completedCall{one, out})
			continue
		}
		one.done <- out
	}
	if len(plain) > 0 {
		plain[0].call.batched.of.completed(plain)
	}
}

// endedBy removes the completed calls from waiting. The entry of a call without a waiting handler is nil: the member may answer an unknown
// number twice. The handlers are woken outside the lock, because every new call needs it.
func (c *calls) endedBy(done []kv.Completion) []*call {
	ended := make([]*call, len(done))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range done {
		ended[i] = c.waiting[done[i].Request]
		delete(c.waiting, done[i].Request)
		if one := ended[i]; one != nil && one.long {
			c.long.Release()
		}
	}
	return ended
}

// register registers a call, or returns the reason for its refusal.
func (c *calls) register(one *call) error {
	if one.batched == nil {
		one.done = make(chan outcome, 1)
	}
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

// do hands a call to the member and waits for its outcome, or until ctx ends. If there is no leader, do retries until there is one, as etcd
// waits for one: etcd's clients do not retry writes, and a call refused for that reason certainly did not happen.
func (c *calls) do(ctx context.Context, to *queue, one *call) (out outcome, err error) {
	return c.doUntil(ctx, to, one, time.Now().Add(c.timeout))
}

// doUntil is do without another retry from a given time on.
func (c *calls) doUntil(ctx context.Context, to *queue, one *call, until time.Time) (out outcome, err error) {
	for {
		if err := c.submitInTurn(ctx, to, one, until); err != nil {
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
		if err := c.backOff(ctx, to, refusal, until); err != nil {
			return out, err
		}
		one = new(*one)
	}
}

// backOff waits before the retry of a call that found no leader, or returns why there is no retry.
func (c *calls) backOff(ctx context.Context, to *queue, refusal *kv.Error, until time.Time) error {
	left := time.Until(until)
	if left <= 0 {
		c.count(to, refusal)
		return errTimeout
	}
	select {
	case <-ctx.Done():
		c.count(to, refusal)
		return ctx.Err()
	case <-time.After(min(left, leaderPause)):
		return nil
	}
}

// leaderPause is the duration of backOff.
const leaderPause = 20 * time.Millisecond

// errLate is counted as the outcome of a call whose client stopped waiting: etcd counts such a call as failed, too.
var errLate = &kv.Error{Code: kv.Unknown}

// Uncounted tells the member not to count failed calls: calls without a leader are retried many times.
func (c *calls) Uncounted() {}

// count counts a call that failed without a quorum or by its timeout.
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

// awaitHalf waits until less than half of the slots are taken, and returns true. It returns false if ctx ends first.
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

// halfPause is the polling interval of awaitHalf.
const halfPause = 5 * time.Millisecond

// submitInTurn is submit for any call. A long write first waits for the semaphore.
func (c *calls) submitInTurn(ctx context.Context, to *queue, one *call, until time.Time) error {
	if !one.long {
		return c.submit(to, one)
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if err := c.long.Take(waiting); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errTooManyRequests
	}
	err := c.submit(to, one)
	if err != nil {
		c.long.Release()
	}
	return err
}

// submit registers a call and queues it for the member. The caller then calls wait.
func (c *calls) submit(to *queue, one *call) error {
	if err := c.register(one); err != nil {
		return err
	}
	return c.submitRegistered(to, one)
}

// submitRegistered queues a registered call for the member.
func (c *calls) submitRegistered(to *queue, one *call) error {
	if !to.add(one) {
		c.mu.Lock()
		delete(c.waiting, one.number)
		c.mu.Unlock()
		return errStopped
	}
	return nil
}

// wait returns the outcome of a call, or the error of ctx if ctx ends before the outcome has come.
func (c *calls) wait(ctx context.Context, one *call) (out outcome, err error) {
	select {
	case out = <-one.done:
	case <-ctx.Done():
		select {
		case out = <-one.done: // a change that has happened is recorded
		default:
			return outcome{}, ctx.Err()
		}
	}
	if refusal := out.Result.Err; refusal != nil {
		return out, statusOf(refusal)
	}
	return out, nil
}

// confirm waits until the member's View may serve a linearizable read.
func (c *calls) confirm(ctx context.Context) error {
	_, err := c.do(ctx, &c.reads, &call{})
	return err
}

// lease queries the leader's lease clock.
func (c *calls) lease(ctx context.Context, ask kv.LeaseAsk) (kv.LeaseTime, error) {
	out, err := c.do(ctx, &c.asks, &call{ask: ask})
	if err != nil {
		return kv.LeaseTime{}, err
	}
	return *out.Lease, nil
}
