package server

import (
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// hubOf is a member that hears the requests of a stream of watches alone.
type hubOf struct {
	Member
	heard []kv.WatchRequestKind
}

func (h *hubOf) Watch(_ kv.WatchStream, r kv.WatchRequest) { h.heard = append(h.heard, r.Kind) }

// TestWatchEndsWhileItsEventsAreSent has the reader end a stream between the writer's take and its report that the events were
// sent: their memory is returned once. Returned twice, it was below zero, and the writer stopped the member's watch hub.
func TestWatchEndsWhileItsEventsAreSent(t *testing.T) {
	hub := new(hubOf)
	server := &Server{config: Config{Member: hub}}
	server.config.Limits.Bytes = limits.ClientBytes
	all := newMemoryBudget(limits.ClientBytes)
	w := (&stream{conn: &conn{server: server}, wake: make(chan struct{}, 1), share: all.child()}).beginWatches()
	if !w.Deliver(&kv.WatchDelivery{Kind: kv.WatchEvents, Events: make([]byte, 5000), Count: 1}) {
		t.Fatal("the first events are refused")
	}
	taken, since, _, _ := w.take(nil)
	if got := all.reserved(); len(taken) != 1 || got <= 5000 {
		t.Fatalf("%d deliveries with %d bytes", len(taken), got)
	}
	w.end()
	w.releaseSent(taken, since)
	w.end()
	if got := all.reserved(); got != 0 || w.waiting != 0 {
		t.Errorf("%d bytes are reserved after the end, %d of events wait", got, w.waiting)
	}
	if len(hub.heard) != 1 || hub.heard[0] != kv.WatchEnd {
		t.Errorf("the hub heard %v", hub.heard)
	}
}
