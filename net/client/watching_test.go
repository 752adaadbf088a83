package client

import (
	"bytes"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// A revision that came in part comes as a whole from the next member, and what came in part is not told.
func TestWatchResumesWithinRevision(t *testing.T) {
	w := &Watcher{wake: make(chan struct{}, 1)}
	w.created(4)
	tell := func(revision int64, fragment bool, keys ...string) {
		f := &wire.WatchFrame{WatchDelivery: kv.WatchDelivery{Kind: kv.WatchEvents, Revision: revision, Fragment: fragment}}
		for _, key := range keys {
			f.Events = append(f.Events, kv.WatchEvent{Event: kv.Event{KV: kv.KeyValue{Key: []byte(key), ModRevision: 5}}})
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

// A member that is behind the one before says nothing new: its progress is not told, and does not let the watch begin there again.
func TestWatchStaysAhead(t *testing.T) {
	w := &Watcher{wake: make(chan struct{}, 1)}
	w.created(9)
	for _, c := range []struct {
		progress int64
		told     int
	}{{12, 1}, {11, 1}, {3, 1}, {12, 1}, {13, 1}} {
		f := &wire.WatchFrame{WatchDelivery: kv.WatchDelivery{Kind: kv.WatchProgressed, Revision: c.progress}}
		w.told(f, &WatchResponse{Revision: c.progress})
		if want := max(c.progress, 12); len(w.queue) != c.told || w.queue[0].Revision != want || w.next != want+1 {
			t.Errorf("progress to revision %d: %d are told, the newest of %d, and it goes on at %d", c.progress, len(w.queue), w.queue[0].Revision, w.next)
		}
	}
}

// What was read waits no longer: a watch that was once behind is not taken for one that nobody reads.
func TestReadWaitsNoLonger(t *testing.T) {
	w := &Watcher{wake: make(chan struct{}, 1)}
	w.created(4)
	for revision := int64(5); revision < 8; revision++ {
		f := &wire.WatchFrame{WatchDelivery: kv.WatchDelivery{Kind: kv.WatchEvents, Revision: revision}}
		over := w.told(f, &WatchResponse{Revision: revision, Events: make([]kv.WatchEvent, 1), bytes: clientWatchBytes/2 + 1})
		if want := revision%2 == 0; over != want {
			t.Errorf("revision %d: too much waits: %v", revision, over)
		}
		for waits := range (revision + 1) % 2 * 2 { // both, when the second one is there
			if r, err := w.Next(); err != nil || r.Revision != revision-1+waits {
				t.Fatal(r, err)
			}
		}
	}
	if _, err := w.Next(); err != nil || WatchWaits(w) != 0 {
		t.Errorf("%d bytes wait when all is read: %v", WatchWaits(w), err)
	}
}

// A watch of which everything was read before it is paused goes on: nobody would resume it.
func TestPauseOfWhatWasRead(t *testing.T) {
	ws := &watching{}
	for _, c := range []struct {
		queue []*WatchResponse
		err   error
		want  bool
	}{{nil, nil, false}, {[]*WatchResponse{{}}, nil, true}, {[]*WatchResponse{{}}, ErrWatchClosed, false}} {
		w := &Watcher{queue: c.queue, err: c.err}
		if ws.pause(w); w.paused != c.want {
			t.Errorf("%d to be read, %v: paused %v", len(c.queue), c.err, w.paused)
		}
	}
}

// WatchWaits is how many bytes wait to be read.
func WatchWaits(w *Watcher) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

// A watch that begins again is not told the progress of the other watches of its stream: the events that it lacks come after its beginning.
func TestProgressBeforeBeginning(t *testing.T) {
	ws := &watching{stream: &watchStream{wake: make(chan struct{}, 1)}, ids: map[uint64]*Watcher{}}
	w := &Watcher{wake: make(chan struct{}, 1)}
	w.created(4)
	ws.createLocked(w) // when what it was told before is read
	var sent []byte
	for _, d := range []kv.WatchDelivery{
		{Kind: kv.WatchProgressed, Revision: 9}, // of the others
		{Kind: kv.WatchCreated, IDs: []uint64{w.id}, Revision: 9},
		{Kind: kv.WatchEvents, IDs: []uint64{w.id}, Revision: 5, Count: 1, Events: wire.WatchFormat.Append(nil, &kv.Event{KV: kv.KeyValue{Key: []byte("a"), ModRevision: 5}}, nil)},
		{Kind: kv.WatchProgressed, Revision: 9},
	} {
		sent = append(wire.AppendWatchDelivery(sent, &d), d.Events...)
	}
	frames := wire.NewFrameReader(bytes.NewReader(sent), limits.ResponseBytes)
	if err := frames.Fill(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		frame, err := frames.Next()
		if err == nil {
			err = ws.take(nil, frame)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(w.queue) != 2 || w.queue[0].Revision != 5 || len(w.queue[0].Events) != 1 || w.queue[1].Revision != 9 {
		t.Errorf("told %+v", w.queue)
	}
}
