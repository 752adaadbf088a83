package actor

import (
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// taker is a connection that takes what is done and forgets it.
type taker struct{ done int }

func (t *taker) Complete(done []kv.Completion) { t.done += len(done) }

// batchOf is a batch of commands of some connections, as many of each in a row.
func batchOf(connections, each int) (e expect, results []kv.Result, takers []*taker) {
	e.First = 1
	for range connections {
		to := &taker{}
		takers = append(takers, to)
		for i := range each {
			e.Requests = append(e.Requests, Request{ReplyTo: to, Number: uint64(i)})
		}
	}
	return e, make([]kv.Result, len(e.Requests)), takers
}

// What a batch completes is collected in one piece for each connection, and each gets all of its own.
func TestBatchIsCompletedInOnePiece(t *testing.T) {
	e, results, takers := batchOf(4, 250)
	var p pending
	var out completions
	const runs = 100
	n := testing.AllocsPerRun(runs, func() {
		p.add(e)
		p.resolve(e.First, results, &out)
		out.deliver()
	})
	for i, to := range takers {
		if to.done != (runs+1)*250 { // AllocsPerRun warms up
			t.Errorf("connection %d: %d completions", i, to.done)
		}
	}
	if n > 3 { // the batch itself, and its place in two lists
		t.Errorf("%v allocations", n)
	}
	burst, results, _ := batchOf(2*receiversKept, 3*limits.BatchCommands)
	p.add(burst)
	p.resolve(burst.First, results, &out)
	out.deliver()
	for i, one := range out.list[:cap(out.list)] {
		if one.to != nil || len(one.done) > 0 || cap(one.done) > completionsKept || i >= receiversKept && cap(one.done) > 0 {
			t.Errorf("place %d keeps %d completions and room for %d after a burst", i, len(one.done), cap(one.done))
		}
	}
}

// told is a connection that counts how often it is told of something.
type told struct{ times int }

func (t *told) Complete([]kv.Completion) { t.times++ }

// Each connection is told once of all that a batch has done of it, in whatever order its commands are.
func TestConnectionsAreToldOnce(t *testing.T) {
	var out completions
	for n := 1; n <= 3; n++ {
		all := make([]*told, n)
		for i := range all {
			all[i] = &told{}
		}
		for range 3 {
			for _, to := range all {
				out.add(to, kv.Completion{})
			}
		}
		out.deliver()
		for i, to := range all {
			if to.times != 1 {
				t.Errorf("connection %d of %d was told %d times", i, n, to.times)
			}
		}
	}
}

// BenchmarkResolve is what the applier pays for handing out the results of 1000 commands of 4 connections.
func BenchmarkResolve(b *testing.B) {
	e, results, _ := batchOf(4, 250)
	var p pending
	var out completions
	b.ReportAllocs()
	for b.Loop() {
		p.add(e)
		p.resolve(e.First, results, &out)
		out.deliver()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/command")
}
