package etcd

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/logx"
	"qkv/net/etcd/front"
)

// TestRequestThatWaitedIsLetGo ends a request that waited for a lock: the member keeps nothing of it.
func TestRequestThatWaitedIsLetGo(t *testing.T) {
	s := &core{}
	s.alive, s.die = context.WithCancel(t.Context())
	defer s.die()
	var collected atomic.Bool
	func() {
		type key struct{}
		request := new([1 << 20]byte)
		runtime.AddCleanup(request, func(*struct{}) { collected.Store(true) }, nil)
		ctx, end := until(s.alive, context.WithValue(context.Background(), key{}, request))
		end()
		if ctx.Err() == nil {
			t.Error("a request that is over has a context that is not")
		}
	}()
	for until := time.Now().Add(10 * time.Second); !collected.Load(); time.Sleep(time.Millisecond) {
		if runtime.GC(); time.Now().After(until) {
			t.Fatal("the member keeps a request that is over")
		}
	}
}

// emptyMember has no keys, and takes requests for watches.
type emptyMember struct {
	Member
	view *index.View
}

func (m emptyMember) View() *index.View                     { return m.view }
func (m emptyMember) RaftStatus() RaftStatus                { return RaftStatus{} }
func (m emptyMember) Watch(kv.WatchStream, kv.WatchRequest) {}

// oneWatch is a stream with one watch.
func oneWatch(t *testing.T) (*watchStream, *watched) {
	bounds := limits.Defaults()
	s := &core{config: Config{Limits: bounds.Etcd, Member: emptyMember{view: index.NewState(bounds.Index).View()}}}
	s.admission = newAdmission(s)
	m := front.NewAccounts(bounds.Etcd.Bytes, logx.NewLimited(slog.New(slog.DiscardHandler)))
	w := &watchStream{s: s, account: m.Begin(&net.TCPAddr{}, func() {}), wake: make(chan struct{}, 1), byHub: map[uint64]*watched{}, byID: map[int64]*watched{}}
	w.answersSent.L = &w.mu
	hub, why := w.register(&pb.WatchCreateRequest{Key: []byte("k")})
	if why != "" {
		t.Fatal(why)
	}
	return w, w.byHub[hub]
}

// TestWatchThatEndsTwice: a client cancels a watch while the member refuses it. The watch is counted out once: otherwise the member
// would serve more watches than its limit.
func TestWatchThatEndsTwice(t *testing.T) {
	w, one := oneWatch(t)
	w.cancel(one.id)
	w.canceled(one, &kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: []uint64{one.hub}, Err: kv.Errorf(kv.Overloaded, "too many watches")})
	if n, bytes := w.s.watches.Load(), w.keyBytes; n != 0 || bytes != 0 {
		t.Errorf("behind the end of the only watch %d watches count, and %d bytes of their keys", n, bytes)
	}
}

// TestPendingEvents: events count as pending, once for each watch, from their delivery until they are sent.
func TestPendingEvents(t *testing.T) {
	w, one := oneWatch(t)
	w.s.watching.add(w)
	for range 2 {
		w.Deliver(&kv.WatchDelivery{Kind: kv.WatchEvents, IDs: []uint64{one.hub, one.hub + 1}, Events: []byte("eee"), Count: 3})
	}
	if _, pending := w.s.watchLag(); pending != 12 {
		t.Errorf("%d events are pending, want 2 deliveries of 3 events to 2 watches", pending)
	}
	w.sent(w.waiting, 0, 6)
	if _, pending := w.s.watchLag(); pending != 6 {
		t.Errorf("%d events are pending, want those of the second delivery", pending)
	}
}

// TestSlowWatchEnds: a watch whose events are refused is slow until it ends, by its client, also if more of them are refused before the
// member's answer, or by a compaction.
func TestSlowWatchEnds(t *testing.T) {
	for name, end := range map[string]struct {
		early bool // the client's cancellation comes before the refusal
		err   *kv.Error
	}{
		"a cancellation":        {},
		"an early cancellation": {early: true},
		"a compaction":          {err: kv.Errorf(kv.Compacted, "compacted")},
	} {
		w, one := oneWatch(t)
		if end.early {
			w.cancel(one.id)
		}
		w.waiting = limits.WatchBytesWaiting
		if w.Deliver(&kv.WatchDelivery{Kind: kv.WatchEvents, IDs: []uint64{one.hub}, Events: []byte("e"), Count: 1}) || w.slow != 1 {
			t.Fatalf("%s: %d watches are slow, want the one whose events are refused", name, w.slow)
		}
		w.s.watching.add(w)
		if slow, _ := w.s.watchLag(); slow != 1 {
			t.Errorf("%s: the metrics have %d slow watches", name, slow)
		}
		if !end.early && end.err == nil {
			w.cancel(one.id)
		}
		d := &kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: []uint64{one.hub}, Err: end.err}
		if w.canceled(one, d); w.slow != 0 {
			t.Errorf("%d watches are slow after the end of the only one, by %s", w.slow, name)
		}
	}
}
