package actor

import (
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// watcher is a stream of watches that takes everything.
type watcher struct{ got []kv.WatchDelivery }

func (w *watcher) Deliver(d *kv.WatchDelivery) bool {
	w.got = append(w.got, *d)
	return true
}

func (w *watcher) Format() *kv.WatchFormat { return keysOnly }

var keysOnly = &kv.WatchFormat{Append: func(dst []byte, e *kv.Event, _ *kv.KeyValue) []byte { return append(dst, e.KV.Key...) }}

// newTestHub builds the watch hub beside an applier.
func newTestHub(t *testing.T) (*WatchHub, *Applier) {
	t.Helper()
	a, _ := newTestApplier(t)
	a.WatchHub = NewMailbox[WatchHubMessage]("w", Capacity{MustPost: 1})
	return NewWatchHub(WatchHubConfig{Inbox: a.WatchHub, Status: a.Status, Alone: time.Second, Limits: limits.Defaults()}), a
}

var watchAll = Watch{Request: kv.WatchRequest{Kind: kv.WatchCreate, ID: 1, Watch: kv.Watch{Key: []byte{0}, End: []byte{0}}}}

// While nobody watches the hub is told of nothing; then of any number of Views once, and it finds the newest.
func TestHubIsToldOnce(t *testing.T) {
	h, a := newTestHub(t)
	waits := func() int { return len(h.Inbox.waiting) }
	a.Handle(Time{}, []ApplierMessage{applies(2, envelope(1, 7, 2, 10))})
	if waits() != 0 {
		t.Fatal("the hub is told of a View that nobody watches")
	}
	client, create := &watcher{}, watchAll
	create.Stream = client
	h.Handle(Time{}, []WatchHubMessage{create})
	a.Handle(Time{}, []ApplierMessage{applies(3, envelope(1, 7, 3, 10))})
	a.Handle(Time{}, []ApplierMessage{applies(4, envelope(1, 7, 4, 10))})
	if waits() != 1 {
		t.Fatalf("%d messages wait after two Views, want 1", waits())
	}
	h.Handle(Time{}, h.Inbox.take(nil))
	if n := len(client.got); n != 2 || client.got[1].Count != 2 || client.got[1].Revision != a.Status.View().Revision() {
		t.Fatalf("delivered: %+v", client.got)
	}
	if a.Status.Watches() != 1 {
		t.Errorf("%d watches, want 1", a.Status.Watches())
	}
	create.Request.Kind = kv.WatchEnd
	h.Handle(Time{}, []WatchHubMessage{create})
	a.Handle(Time{}, []ApplierMessage{applies(5, envelope(1, 7, 5, 10))})
	if waits() != 0 || a.Status.Watches() != 0 {
		t.Error("the hub is told of a View that nobody watches any more")
	}
}

// A View that is published while the first watch is on its way into the hub is told of, or is the one that the hub takes.
func TestHubMissesNoView(t *testing.T) {
	h, a := newTestHub(t)
	client, create := &watcher{}, watchAll
	create.Stream = client
	a.Handle(Time{}, []ApplierMessage{applies(2, envelope(1, 7, 2, 10))})
	h.Handle(Time{}, []WatchHubMessage{create})
	first := client.got[0].Revision
	for at := uint64(3); at < 10; at++ {
		a.Handle(Time{}, []ApplierMessage{applies(at, envelope(1, 7, at, 10))})
		h.Handle(Time{}, h.Inbox.take(nil))
	}
	if n := len(client.got); n != 8 || client.got[n-1].Revision != first+7 {
		t.Errorf("delivered: %+v", client.got)
	}
}

// A member without a leader ends its watches, once it has been alone for long enough.
func TestWatchesEndWithoutLeader(t *testing.T) {
	h, a := newTestHub(t)
	client, create := &watcher{}, watchAll
	create.Stream = client
	lead := func(leader uint64) { a.Status.consensus.Store(&RaftStatus{Role: "follower", Leader: leader}) }
	lead(2)
	h.Handle(Time{Now: 1}, []WatchHubMessage{create, WatchTick{}})
	lead(0)
	h.Handle(Time{Now: time.Second}, []WatchHubMessage{WatchTick{}})
	h.Handle(Time{Now: 2*time.Second - 1}, []WatchHubMessage{WatchTick{}})
	if n := len(client.got); n != 1 {
		t.Fatalf("delivered before the time is over: %+v", client.got)
	}
	h.Handle(Time{Now: 2 * time.Second}, []WatchHubMessage{WatchTick{}})
	if n := len(client.got); n != 2 || client.got[1].Kind != kv.WatchEnded || client.got[1].Err.Code != kv.Unavailable {
		t.Fatalf("delivered: %+v", client.got)
	}
}

// Only an unbroken time without a leader ends watches: short losses do not add up.
func TestShortLossesOfTheLeaderEndNoWatch(t *testing.T) {
	h, a := newTestHub(t)
	client, create := &watcher{}, watchAll
	create.Stream = client
	h.Handle(Time{Now: 1}, []WatchHubMessage{create})
	now := time.Second
	for range 5 {
		for _, leader := range []uint64{0, 2} {
			a.Status.consensus.Store(&RaftStatus{Role: "follower", Leader: leader})
			h.Handle(Time{Now: now}, []WatchHubMessage{WatchTick{}})
			now += h.Alone / 2
		}
	}
	if n := len(client.got); n != 1 {
		t.Fatalf("delivered: %+v", client.got)
	}
	e := elections{}
	for range 5 { // likewise for the requests that consensus refuses without a leader
		e.count(3, 0)
		if e.count(1, 2); e.leaderless != 0 {
			t.Fatalf("with a leader, %d ticks without one are counted", e.leaderless)
		}
	}
}

// The hub rests for what it sends those that are behind: not beyond a bound, not when nobody has written of late, and not when they
// hardly gain on what is written.
func TestHubRestsForWhatItSends(t *testing.T) {
	const written = 300
	h, a := newTestHub(t)
	at := uint64(1)
	write := func(n int) {
		for range n {
			at++
			a.Handle(Time{}, []ApplierMessage{applies(at, envelope(1, 7, at, 10))})
			h.Inbox.take(nil)
		}
	}
	write(written)
	begin := func(now time.Duration, streams int) {
		t.Helper()
		for range streams {
			one := watchAll
			one.Stream, one.Request.Watch.Revision = &watcher{}, 2
			h.hub.Request(a.Status.View(), one.Stream, &one.Request)
		}
		for h.hub.Behind() {
			h.Handle(Time{Now: now}, nil)
		}
	}
	rests := func(what string, want time.Duration) {
		t.Helper()
		if h.sendPause != want {
			t.Errorf("%s: a rest of %v, %v is wanted", what, h.sendPause, want)
		}
	}
	events := a.Status.View().Revision() - 1
	each := time.Duration(events) * time.Second / watchSentRate
	begin(time.Second, 1)
	rests("one stream", each)
	if h.Handle(Time{Now: time.Second, Resting: true}, nil); h.sendPause != each {
		t.Errorf("the rest became %v while it went on", h.sendPause)
	}
	begin(time.Second, 9)
	rests("nine streams", watchRestMost)
	begin(time.Second+watchCalm, 1)
	rests("nobody writes", 0)
	write(1)
	begin(2*time.Second, 1)
	rests("somebody writes", each+time.Second/watchSentRate)
	write(written / 4)
	h.setSendPause(Time{Now: 2 * time.Second}, a.Status.View())
	rests("four sent for each that is written", each+time.Second/watchSentRate)
	write(2)
	h.setSendPause(Time{Now: 2 * time.Second}, a.Status.View())
	rests("fewer", 0)
}
