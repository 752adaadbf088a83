package compat

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// watchStream is one watch stream to one side, and what came on it.
type watchStream struct {
	side   *side
	stream grpc.ClientStream
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced whenever something came
	control  []*pb.WatchResponse
	watchers []*received // in order of their creation; those that were refused are not among them
	progress int         // answers to requests for progress
	err      error
}

// received is what one watcher got: events, or its end by compaction, each as a response of its own.
type received struct {
	id       int64
	items    []*pb.WatchResponse
	last     int64 // the revision of its last event
	promised int64 // no event up to here may come any more
	fragment []*mvccpb.Event
}

// latest is the last response that it got.
func (r *received) latest() *pb.WatchResponse {
	if len(r.items) == 0 {
		return new(pb.WatchResponse)
	}
	return r.items[len(r.items)-1]
}

// openWatch opens a stream; it ends with the side.
func (s *side) openWatch(stream int) (*watchStream, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	conn := s.conns[stream%len(s.conns)]
	opened, err := conn.NewStream(s.withToken(ctx, rootUser), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, rpcs[kindWatch].method)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &watchStream{side: s, stream: opened, cancel: cancel, changed: make(chan struct{}), ended: make(chan struct{})}
	go w.receive()
	s.streams[stream] = w
	return w, nil
}

func (w *watchStream) receive() {
	defer close(w.ended)
	for {
		response := new(pb.WatchResponse)
		err := w.stream.RecvMsg(response)
		if err == nil {
			if w.side.corrupt != nil {
				w.side.corrupt(kindWatch, response)
			}
			w.side.inward(response)
		}
		w.mu.Lock()
		if err != nil {
			w.err = err
		} else {
			w.take(response)
		}
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take sorts a response to the watcher that it is for, and checks what must hold whatever the other side says.
func (w *watchStream) take(r *pb.WatchResponse) {
	switch {
	case r.Created:
		w.control = append(w.control, r)
		if !r.Canceled {
			w.watchers = append(w.watchers, &received{id: r.WatchId})
		}
		if len(r.Events) > 0 {
			w.side.odd("a created answer with events: %v", oneLine(r))
		}
	case r.Canceled && r.CompactRevision == 0:
		w.control = append(w.control, r)
	case r.WatchId == -1 && len(r.Events) == 0 && !w.has(-1):
		w.progress++
		for _, one := range w.watchers {
			one.promised = max(one.promised, r.Header.GetRevision())
		}
	default:
		w.takeEvents(r)
	}
}

func (w *watchStream) has(id int64) bool {
	return slices.ContainsFunc(w.watchers, func(one *received) bool { return one.id == id })
}

func (w *watchStream) takeEvents(r *pb.WatchResponse) {
	at := len(w.watchers) - 1
	for ; at >= 0 && w.watchers[at].id != r.WatchId; at-- {
	}
	if at < 0 {
		w.side.odd("a response for a watcher that was not created: %v", oneLine(r))
		return
	}
	one := w.watchers[at]
	if r.Canceled {
		one.items = append(one.items, r)
		return
	}
	if len(r.Events) == 0 && !r.Fragment {
		one.promised = max(one.promised, r.Header.GetRevision())
		return
	}
	for i, e := range r.Events {
		revision := e.GetKv().GetModRevision()
		again := i == 0 && len(one.fragment) == 0 && revision == one.last
		if revision < one.last || again || revision <= one.promised || revision > r.Header.GetRevision() {
			w.side.odd("watcher %d: event at %d after one at %d and progress at %d: %v", one.id, revision, one.last, one.promised, oneLine(r))
		}
		one.last = revision
		one.items = append(one.items, &pb.WatchResponse{WatchId: r.WatchId, Events: []*mvccpb.Event{e}})
	}
	if one.fragment = nil; r.Fragment {
		one.fragment = r.Events
	}
}

// await waits until what came satisfies the condition, which is called with the lock held.
func (w *watchStream) await(condition func() bool) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		w.mu.Lock()
		fulfilled, err, changed := condition(), w.err, w.changed
		w.mu.Unlock()
		switch {
		case fulfilled:
			return nil
		case err != nil:
			return fmt.Errorf("the stream ended: %w", err)
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("nothing more comes")
		}
	}
}

// progressed asks for progress until it is told, and says what went wrong.
func (w *watchStream) progressed() string {
	w.mu.Lock()
	before := w.progress
	w.mu.Unlock()
	request := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: new(pb.WatchProgressRequest)}}
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); {
		if err := w.stream.SendMsg(request); err != nil {
			return err.Error()
		}
		time.Sleep(5 * time.Millisecond) // while a watcher is behind, a request is dropped
		w.mu.Lock()
		came := w.progress > before
		w.mu.Unlock()
		if came {
			return ""
		}
	}
	return "none comes"
}

// ordered is a watcher as it was ordered, and what must come on it: the third opinion beside the two sides.
type ordered struct {
	at        int // its place among the stream's watchers
	id        int64
	request   *pb.WatchCreateRequest
	from      int64 // the first revision that it gets
	seen      int   // how much of the history was looked at
	expected  []*pb.WatchResponse
	checked   int
	over      bool  // cancelled, by request or compaction
	compacted int64 // up to where the history was compacted when it began
}

func (o *ordered) wants(history []*mvccpb.Event, at int) bool {
	e := history[at]
	key, end := o.request.Key, o.request.RangeEnd
	if len(key) == 0 {
		key = []byte{0}
	}
	within := bytes.Equal(e.Kv.Key, key)
	if len(end) == 1 && end[0] == 0 {
		within = bytes.Compare(e.Kv.Key, key) >= 0
	} else if len(end) > 0 {
		within = bytes.Compare(e.Kv.Key, key) >= 0 && bytes.Compare(e.Kv.Key, end) < 0
	}
	if !within || e.Kv.ModRevision < o.from {
		return false
	}
	if e.Kv.ModRevision == o.compacted && superseded(history, at) {
		return false
	}
	for _, f := range o.request.Filters {
		if f == pb.WatchCreateRequest_NOPUT && e.Type == mvccpb.Event_PUT || f == pb.WatchCreateRequest_NODELETE && e.Type == mvccpb.Event_DELETE {
			return false
		}
	}
	return true
}

// superseded is whether the key of an event has a later one at the same revision.
func superseded(history []*mvccpb.Event, at int) bool {
	for _, later := range history[at+1:] {
		if later.Kv.ModRevision != history[at].Kv.ModRevision {
			return false
		}
		if bytes.Equal(later.Kv.Key, history[at].Kv.Key) {
			return true
		}
	}
	return false
}

// sameEvent is whether a response has the key, the revision and the type that the history has.
func sameEvent(got, want *pb.WatchResponse) bool {
	if len(want.Events) == 0 || len(got.Events) == 0 {
		return len(want.Events) == len(got.Events) && got.CompactRevision == want.CompactRevision
	}
	g, w := got.Events[0], want.Events[0]
	return g.Type == w.Type && bytes.Equal(g.GetKv().GetKey(), w.Kv.Key) && g.GetKv().GetModRevision() == w.Kv.ModRevision
}

func cloned(m *pb.WatchResponse) *pb.WatchResponse { return proto.Clone(m).(*pb.WatchResponse) }
