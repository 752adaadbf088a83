package client

import (
	"testing"

	"qkv/index/kv"
	"qkv/net/wire"
)

// A revision that came in part comes as a whole from the next member, and what came in part is not told.
func TestWatchResumesWithinRevision(t *testing.T) {
	w := &Watcher{wake: make(chan struct{}, 1)}
	w.created(4)
	tell := func(revision int64, fragment bool, keys ...string) {
		f := &wire.WatchFrame{WatchDelivery: kv.WatchDelivery{Kind: kv.WatchEvents, Revision: revision, Fragment: fragment}}
		for _, key := range keys {
			f.Events = append(f.Events, WatchEvent{Event: kv.Event{KV: KeyValue{Key: []byte(key), ModRevision: 5}}})
		}
		w.told(f, &WatchResponse{Revision: revision, Events: f.Events})
	}
	tell(4, true, "a", "b")
	if w.next != 5 || len(w.queue) > 0 {
		t.Fatalf("after a part of revision 5 the watch resumes at %d, and was told %d times", w.next, len(w.queue))
	}
	if w.created(9); w.next != 5 || w.revision != 4 {
		t.Fatalf("behind what it was told up to revision 4 the watch goes on at %d; it was begun at %d", w.next, w.revision)
	}
	tell(4, true, "a", "b")
	tell(4, true, "c")
	tell(5, false)
	if len(w.queue) != 1 || len(w.queue[0].Events) != 3 || w.queue[0].Revision != 5 || w.next != 6 {
		t.Errorf("told %+v, and resumes at %d", w.queue, w.next)
	}
}

// WatchWaits is how many bytes wait to be read.
func WatchWaits(w *Watcher) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}
