package actor

import (
	"time"

	"qkv/index"
)

// pending is what this member's clients wait for, by the number of a batch's first command.
type pending struct {
	batches map[uint64]*expected
	order   []*expected // by number, and so by term
}

type expected struct {
	Expect
	resolved bool
}

var (
	errTermPassed = &index.Error{
		Code:    index.CodeUnavailable,
		Message: "the leader changed before the write was agreed on; it certainly did not happen, try again",
	}
	errRestored = &index.Error{
		Code:    index.CodeUnknown,
		Message: "this member was brought up to date by a snapshot while the write was under way; it may have happened: read the key to find out",
	}
	errBehind = &index.Error{
		Code:    index.CodeUnavailable,
		Message: "this member has not caught up with the leader in time; the read was not answered: ask another one",
	}
	errNoAnswer = &index.Error{
		Code:    index.CodeUnknown,
		Message: "no quorum answered in time; the write may have happened, or may happen yet: read the key to find out",
	}
)

func (p *pending) any() bool { return len(p.batches) > 0 }

func (p *pending) add(e Expect) {
	if p.batches == nil {
		p.batches = map[uint64]*expected{}
	}
	entry := &expected{Expect: e}
	p.batches[e.First] = entry
	p.order = append(p.order, entry)
}

// resolve hands out the results of a batch of this incarnation.
func (p *pending) resolve(first uint64, results []index.Result, out *outcomes) {
	batch := p.batches[first]
	if batch == nil {
		return // its clients do not wait any longer
	}
	for i, ask := range batch.Asks {
		d := index.Done{Request: ask.Request, Kind: index.Applied, Result: results[i]}
		out.add(ask.From, d)
	}
	p.forget(batch)
}

// passTerm fails everything that was proposed in an earlier term: a log's terms never fall, so it will not come.
func (p *pending) passTerm(term uint64, out *outcomes) {
	for len(p.order) > 0 && p.order[0].Term < term {
		p.fail(p.order[0], errTermPassed, out)
	}
}

// abandon gives up everything: a snapshot does not tell whose commands it holds.
func (p *pending) abandon(out *outcomes) {
	for len(p.order) > 0 {
		p.fail(p.order[0], errRestored, out)
	}
}

// expire gives up what nobody waits for any longer. A batch whose frame was lost ends here.
func (p *pending) expire(now time.Duration, out *outcomes) {
	for _, batch := range append([]*expected{}, p.order...) {
		if !batch.resolved && batch.Until <= now {
			p.fail(batch, errNoAnswer, out)
		}
	}
}

func (p *pending) fail(batch *expected, err *index.Error, out *outcomes) {
	for _, ask := range batch.Asks {
		out.add(ask.From, index.Done{Request: ask.Request, Kind: index.Applied, Err: err})
	}
	p.forget(batch)
}

func (p *pending) forget(batch *expected) {
	batch.resolved, batch.Asks = true, nil
	delete(p.batches, batch.First)
	for len(p.order) > 0 && p.order[0].resolved {
		p.order[0] = nil
		p.order = p.order[1:]
	}
}

// outcomes collects what is done, by connection, so that each connection is woken once a batch.
type outcomes struct {
	at   map[index.Asker]int
	list []outcome
	last int // where the last one went: commands of one connection follow each other
}

type outcome struct {
	to   index.Asker
	done []index.Done
}

func (o *outcomes) add(to index.Asker, d index.Done) {
	if o.last < len(o.list) && o.list[o.last].to == to {
		o.list[o.last].done = append(o.list[o.last].done, d)
		return
	}
	i, known := o.at[to]
	if !known {
		if o.at == nil {
			o.at = map[index.Asker]int{}
		}
		i = len(o.list)
		o.at[to] = i
		o.list = append(o.list, outcome{to: to})
	}
	o.last = i
	o.list[i].done = append(o.list[i].done, d)
}

// handOut gives each connection all its outcomes at once, in the order in which connections came up.
func (o *outcomes) handOut() {
	for _, one := range o.list {
		one.to.Deposit(one.done)
	}
	clear(o.at)
	clear(o.list)
	o.list, o.last = o.list[:0], 0
}
