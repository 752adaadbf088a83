package actor

import (
	"slices"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// pending holds the requests that this member's clients wait for, by the number of a batch's first command.
type pending struct {
	batches map[uint64]*expected
	order   []*expected // by number, and so by term
	failed  uint64      // requests, since the applier last counted them
}

type expected struct {
	expect
	resolved bool
}

var (
	errTermPassed = &kv.Error{
		Code:    kv.Unavailable,
		Message: "the leader changed before the write was committed; it certainly did not happen: try again",
	}
	errRestored = &kv.Error{
		Code:    kv.Unknown,
		Message: "this member was brought up to date by a snapshot while the write was under way; it may have happened: read the key to find out",
	}
)

func (p *pending) any() bool { return len(p.batches) > 0 }

func (p *pending) add(e expect) {
	if p.batches == nil {
		p.batches = map[uint64]*expected{}
	}
	entry := &expected{expect: e}
	p.batches[e.First] = entry
	p.order = append(p.order, entry)
}

// resolve hands out the results of a batch of this incarnation.
func (p *pending) resolve(first uint64, results []kv.Result, out *completions) {
	batch := p.batches[first]
	if batch == nil {
		return // its clients do not wait any more
	}
	for rest := batch.Requests; len(rest) > 0; {
		n := sameReplyTo(rest)
		one := out.of(rest[0].ReplyTo, n)
		for i, request := range rest[:n] {
			one.done = append(one.done, kv.Completion{Request: request.Number, Kind: kv.CommandDone, Result: results[i]})
		}
		rest, results = rest[n:], results[n:]
	}
	p.forget(batch)
}

// sameReplyTo returns how many of the first requests belong to one receiver.
func sameReplyTo(requests []Request) int {
	n := 1
	for n < len(requests) && requests[n].ReplyTo == requests[0].ReplyTo {
		n++
	}
	return n
}

// failEarlierTerms fails every batch proposed in an earlier term than the entry to apply: terms in a log never decrease, so no such batch
// follows.
func (p *pending) failEarlierTerms(term uint64, out *completions) {
	for len(p.order) > 0 && p.order[0].Term < term {
		p.fail(p.order[0], errTermPassed, out)
	}
}

// abandon gives up every batch: a snapshot does not list the batches that it holds.
func (p *pending) abandon(out *completions) {
	for len(p.order) > 0 {
		p.fail(p.order[0], errRestored, out)
	}
}

// expire gives up batches whose clients' timeouts have expired. A batch with a lost frame ends here.
func (p *pending) expire(now time.Duration, why string, out *completions) {
	err := &kv.Error{Code: kv.Unknown, Message: why + "; the write may have happened, or may happen yet: read the key to find out"}
	for _, batch := range append([]*expected{}, p.order...) {
		if !batch.resolved && batch.Until <= now {
			p.fail(batch, err, out)
		}
	}
}

func (p *pending) fail(batch *expected, err *kv.Error, out *completions) {
	for _, request := range batch.Requests {
		p.failed += counted(request.ReplyTo, 1)
		out.add(request.ReplyTo, kv.Completion{Request: request.Number, Kind: kv.CommandDone, Result: kv.Result{Err: err}})
	}
	p.forget(batch)
}

func (p *pending) forget(batch *expected) {
	batch.resolved, batch.Requests = true, nil
	delete(p.batches, batch.First)
	for len(p.order) > 0 && p.order[0].resolved {
		p.order[0] = nil
		p.order = p.order[1:]
	}
}

// completions collects completions by ReplyTo: each receiver is woken once per batch.
type completions struct {
	at   map[kv.ReplyTo]int // index in list
	list []completedOf
	last int // index of the last completion's receiver: commands of one receiver follow each other
}

// completedOf holds the completions of one receiver.
type completedOf struct {
	to   kv.ReplyTo
	done []kv.Completion
}

func (o *completions) add(to kv.ReplyTo, d kv.Completion) {
	one := o.of(to, 1)
	one.done = append(one.done, d)
}

// of returns the completions of one receiver, with capacity for n more: a caller that knows the number avoids repeated copies.
func (o *completions) of(to kv.ReplyTo, n int) *completedOf {
	if o.last < len(o.list) && o.list[o.last].to == to {
		one := &o.list[o.last]
		one.done = slices.Grow(one.done, n)
		return one
	}
	i, known := o.at[to]
	if !known {
		i = len(o.list)
		o.recordIndex(to, i)
		if i < cap(o.list) {
			o.list = o.list[:i+1] // with the capacity of an earlier one
		} else {
			o.list = append(o.list, completedOf{})
		}
		o.list[i].to = to
	}
	o.last = i
	one := &o.list[i]
	one.done = slices.Grow(one.done, n)
	return one
}

// recordIndex records a receiver's index in list. A lone receiver needs no map.
func (o *completions) recordIndex(to kv.ReplyTo, i int) {
	if i == 0 {
		return
	}
	if o.at == nil {
		o.at = map[kv.ReplyTo]int{}
	}
	if i == 1 {
		o.at[o.list[0].to] = 0
	}
	o.at[to] = i
}

// deliver gives each receiver all its completions at once, in the order of the receivers' first completions. The lists are reused, unless
// a burst has made them large.
func (o *completions) deliver() {
	for i := range o.list {
		one := &o.list[i]
		one.to.Complete(one.done)
		clear(one.done) // the messages that it refers to
		one.to, one.done = nil, one.done[:0]
		if i >= receiversKept || cap(one.done) > completionsKept {
			one.done = nil
		}
	}
	clear(o.at)
	o.list, o.last = o.list[:0], 0
}

const (
	// receiversKept is the number of receivers, and completionsKept the number of completions of each, for which memory is kept from one
	// batch to the next: those of two full batches.
	receiversKept   = 8
	completionsKept = 2 * limits.BatchCommands
)
