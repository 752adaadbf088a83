package server_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/server"
	"qkv/net/wire"
)

// starting returns an endpoint whose member has reached a stage of its start.
func starting(t *testing.T, start *wire.Start, stage wire.Stage) *endpoint {
	start.Raise(stage)
	return newEndpoint(t, func(c *server.Config) { c.Start = start })
}

// served sends each request of bodies on a stream of its own, and returns the names of those that were not refused as a request of a member
// that starts. before is called when all were sent.
func (e *endpoint) served(t *testing.T, timeout time.Duration, before func()) (names []string) {
	t.Helper()
	first, streams := e.raw(t), map[string]*raw{}
	for name, x := range bodies("k/") {
		streams[name] = rawOf(t, first.conn)
		streams[name].send(wire.AppendRequest(nil, 1, x.op, timeout, x.body))
	}
	before()
	for name, r := range streams {
		p, err := r.next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Code == kv.Unavailable && strings.Contains(p.Failed().Message, "is starting") {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Until its start is over a member refuses each request of the table of ops, except those of short lists, when the request's time is over; a
// request that waits when it is over is answered.
func TestEveryOpWaitsForTheStart(t *testing.T) {
	t.Parallel()
	const short = 300 * time.Millisecond
	replayed := []string{"local members", "members", "readmit", "status"}
	keys := append([]string{"count", "get", "get of the past", "local get", "local range", "login", "pages", "range", "sorted pages", "sorted range", "usage"}, replayed...)
	slices.Sort(keys)
	var every []string
	tried := map[wire.Op]bool{wire.OpWatch: true, wire.OpCancelWatch: true, wire.OpWatchProgress: true} // TestWatchWaitsForTheStart
	for name, x := range bodies("k/") {
		every, tried[x.op] = append(every, name), true
	}
	slices.Sort(every)
	for number := range 256 {
		if op := wire.Op(number); !strings.HasPrefix(op.String(), "op ") && !tried[op] {
			t.Errorf("the test has no request of op %d, %s", number, op)
		}
	}
	for _, c := range []struct {
		stale bool
		stage wire.Stage
		want  []string
	}{
		{false, wire.StageReplaying, []string{"status"}},
		{true, wire.StageReplaying, []string{"status"}},
		{false, wire.StageReplayed, replayed},
		{true, wire.StageReplayed, keys},
	} {
		start := &wire.Start{Stale: c.stale}
		e := starting(t, start, c.stage)
		if got := e.served(t, short, func() {}); !slices.Equal(got, c.want) {
			t.Errorf("--serve-stale %v, at stage %d: it serves %v, want %v", c.stale, c.stage, got, c.want)
		}
		if n := e.server.Stats().Requests; n != 0 {
			t.Errorf("%d requests are under way after all were answered", n)
		}
		if got := e.served(t, wait, func() { start.Raise(wire.StageCurrent) }); !slices.Equal(got, every) {
			t.Errorf("once the start is over, it serves %v, want %v", got, every)
		}
	}
}

// underWay waits until so many requests are under way.
func (e *endpoint) underWay(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(wait); e.server.Stats().Requests != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are under way, want %d", e.server.Stats().Requests, n)
		}
	}
}

// A watch that is asked for during the start begins when it is over, and its cancellation comes after it. Nothing reaches the watch hub before.
func TestWatchWaitsForTheStart(t *testing.T) {
	t.Parallel()
	start := &wire.Start{Stale: true}
	e := starting(t, start, wire.StageReplayed)
	r := e.raw(t)
	r.send(slices.Concat(watchOf(1, "k"), watchOf(2, "k"), wire.AppendCancelWatch(nil, 2)))
	e.underWay(t, 3)
	if n := e.member.Watches(); n != 0 {
		t.Fatalf("%d watches before the start is over", n)
	}
	start.Raise(wire.StageCurrent)
	for id := uint64(1); id <= 2; id++ {
		if f := r.delivered(kv.WatchCreated); !slices.Equal(f.IDs, []uint64{id}) {
			t.Fatalf("watch %d: %+v", id, f)
		}
	}
	if f := r.delivered(kv.WatchCanceled); !slices.Equal(f.IDs, []uint64{2}) {
		t.Fatalf("the cancellation: %+v", f)
	}
	e.underWay(t, 0)
}

// A client that sends nothing more after its request gets the answer when the start is over.
func TestStartOutlastsTheClientsSide(t *testing.T) {
	t.Parallel()
	start := &wire.Start{}
	e := starting(t, start, wire.StageReplayed)
	r := e.raw(t)
	r.send(put(1, "k", "v"))
	_ = r.stream.Close()
	e.underWay(t, 1)
	start.Raise(wire.StageCurrent)
	r.want(1, kv.OK)
	e.underWay(t, 0)
}

// A member that stops during its start ends what waits, watches too: clients turn to another member.
func TestDrainDuringTheStart(t *testing.T) {
	t.Parallel()
	e := starting(t, &wire.Start{}, wire.StageReplayed)
	r := e.raw(t)
	watching := rawOf(t, r.conn)
	r.send(put(1, "k", "v"))
	watching.send(watchOf(1, "k"))
	e.underWay(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	go e.server.Drain(ctx)
	if p, err := r.next(); !errors.Is(err, io.EOF) && (err != nil || p.Code != kv.Unavailable) {
		t.Errorf("the put: %v, %v", p.Code, err)
	}
	_ = watching.stream.SetReadDeadline(time.Now().Add(wait))
	if _, err := io.ReadAll(watching.stream); err != nil {
		t.Errorf("the stream of watches does not end: %v", err)
	}
	e.underWay(t, 0)
}

// A client that leaves during the start leaves nothing behind.
func TestClientLeavesDuringTheStart(t *testing.T) {
	t.Parallel()
	e := starting(t, &wire.Start{}, wire.StageReplayed)
	r := e.raw(t)
	watching := rawOf(t, r.conn)
	r.send(put(1, "k", "v"))
	watching.send(watchOf(1, "k"))
	e.underWay(t, 2)
	_ = r.conn.CloseWithError(0, "")
	e.underWay(t, 0)
}

// A suspended member answers what it always answers, at once: its start would not end before it is readmitted.
func TestSuspendedMemberDoesNotWait(t *testing.T) {
	t.Parallel()
	e := starting(t, &wire.Start{}, wire.StageReplaying)
	e.member.SetRefuse(kv.Errorf(kv.Amnesia, "it has forgotten"))
	r := e.raw(t)
	r.send(wire.AppendRequest(nil, 1, wire.OpRange, wait, kv.AppendRange(nil, &kv.Range{Key: []byte("k")})))
	r.want(1, kv.Amnesia)
	watching := rawOf(t, r.conn)
	watching.send(watchOf(1, "k"))
	if f := watching.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != kv.Amnesia {
		t.Errorf("the watch: %+v", f)
	}
	r.send(wire.AppendRequest(nil, 2, wire.OpReadmit, wait, ask(wire.Ask{Member: 1})))
	r.want(2, kv.OK)
}
