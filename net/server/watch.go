package server

import (
	"errors"
	"io"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/meter"
	"qkv/net/wire"
)

// watchStream is the additional state of a stream that carries watches and nothing else. It is the member's kv.WatchStream.
//
//  1. The writer writes deliveries in the order in which they came: created, events, progress, canceled are one queue.
//  2. Events that do not fit are refused, and the member is notified once when there is space again. Unread events use at most
//     limits.WatchBytesWaiting, and no other stream waits for them.
//  3. A watch counts from its request until its end has been written, which bounds the answers that the member must keep.
type watchStream struct {
	// Constant.
	s *stream

	// Shared.
	mu             sync.Mutex
	answersWritten sync.Cond          // answers were written, or the stream is closed
	out            []kv.WatchDelivery // that the writer has not taken
	since          time.Time          // when the first of out came
	waiting        int64              // bytes of events in out and at the writer, reserved from the stream's share
	answers        int64              // bytes of all other deliveries
	all            map[uint64]int64   // the watches, with their reserved bytes
	refused        bool               // events were refused: the member waits for space
	over           bool               // the last delivery is in out, or was written
	ended          bool               // the member was notified that the stream is gone
}

// beginWatches makes the stream one of watches.
func (s *stream) beginWatches() *watchStream {
	w := &watchStream{s: s, all: map[uint64]int64{}}
	w.answersWritten.L = &w.mu
	s.mu.Lock()
	s.watches = w
	gone := s.closed
	s.wakeWriter()
	s.mu.Unlock()
	if gone {
		w.end()
	}
	return w
}

// Format implements kv.WatchStream.
func (w *watchStream) Format() *kv.WatchFormat { return wire.WatchFormat }

// Deliver implements kv.WatchStream.
func (w *watchStream) Deliver(d *kv.WatchDelivery) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return true
	}
	if d.Kind == kv.WatchCanceled && d.Err != nil {
		w.s.conn.audited(opWatch, nil, d.Err)
	}
	notice := d.Kind == kv.WatchProgressed && len(d.IDs) > 0
	if d.Kind != kv.WatchEvents && !notice {
		w.addLocked(*d)
		return true
	}
	size := w.eventBytes(d)
	if w.waiting > 0 && w.waiting+size > limits.WatchBytesWaiting || !w.s.share.reserve(size) {
		w.refused = true
		w.s.wakeWriter()
		return false
	}
	w.waiting += size
	if len(w.out) == 0 {
		w.since = time.Now()
	}
	w.out = append(w.out, *d)
	w.s.wakeWriter()
	return true
}

const (
	// Each watch is charged watchOverhead and its keys in the client's share of limits.ClientBytes: for its entries in the tables of
	// endpoint and hub.
	watchOverhead = 768
	// A delivery is charged at most 1/watchDeliveryShare of limits.ClientBytes in the client's share; a lone stream has twice that.
	watchDeliveryShare = 16
	// watchStart is how long a watch waits for the end of a member's start: its client then turns to another member.
	watchStart = 5 * time.Second
)

// eventBytes is the memory that a delivery of events counts for in the share.
func (w *watchStream) eventBytes(d *kv.WatchDelivery) int64 {
	return min(deliveryBytes(d), w.s.conn.server.config.Limits.Bytes/watchDeliveryShare)
}

func deliveryBytes(d *kv.WatchDelivery) int64 {
	return int64(wire.WatchDeliveryBytes(d) + len(d.Events))
}

// addLocked appends an accepted delivery.
func (w *watchStream) addLocked(d kv.WatchDelivery) {
	w.out = append(w.out, d)
	w.answers += deliveryBytes(&d)
	w.over = w.over || d.Kind == kv.WatchEnded
	w.s.wakeWriter()
}

// handleInOrder is handle once the member has started, in the order of the frames.
func (w *watchStream) handleInOrder(r *reader, frame []byte) error {
	server := w.s.conn.server
	if len(w.s.waiting.all) == 0 && (server.config.Start.Current() || server.config.Member.Refuse() != nil) {
		return w.handle(frame)
	}
	if refusal := r.awaitStart(frame, wire.NeedCurrent, watchStart); refusal != nil {
		w.Deliver(&kv.WatchDelivery{Kind: kv.WatchEnded, Err: refusal})
	}
	return nil
}

// handle carries out the request in a frame. After an error the stream cannot go on.
func (w *watchStream) handle(frame []byte) error {
	var q kv.WatchRequest
	err := wire.ReadWatchRequest(frame, &q)
	var refusal *kv.Error
	if err != nil && !errors.As(err, &refusal) {
		return err
	}
	if refusal == nil && q.Kind == kv.WatchCreate {
		if refusal = w.admit(&q); refusal == nil {
			q.Watch.Key, q.Watch.End = append([]byte(nil), q.Watch.Key...), append([]byte(nil), q.Watch.End...)
		}
	}
	if refusal != nil {
		w.refuse(q.ID, refusal)
	} else {
		w.s.conn.server.config.Member.Watch(w, q)
	}
	return w.awaitAnswersWritten()
}

// refuse answers a request with an error. If the id belongs to another watch, the answer has no id: that watch goes on.
func (w *watchStream) refuse(id uint64, why *kv.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := kv.WatchDelivery{Kind: kv.WatchCanceled, Err: why}
	if _, there := w.all[id]; !there {
		d.IDs = []uint64{id}
	}
	if !w.over {
		w.addLocked(d)
	}
}

// admit counts a watch, or returns the reason to refuse it.
func (w *watchStream) admit(q *kv.WatchRequest) *kv.Error {
	server := w.s.conn.server
	if server.draining.Load() {
		return &kv.Error{Code: kv.Unavailable, Message: "the member is shutting down"}
	}
	if refusal := server.config.Member.Refuse(); refusal != nil {
		return refusal
	}
	if refusal := q.Watch.Check(readable); refusal != nil {
		return refusal
	}
	by, refusal := w.s.conn.author(server.config.Member.View())
	if refusal != nil {
		return w.s.conn.audited(opWatch, &q.Watch, refusal)
	}
	q.By = by // the hub checks its permission
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.all[q.ID]; there {
		return kv.Errorf(kv.BadRequest, "watch %d already exists: the ids of the watches of one stream must differ", q.ID)
	}
	most := int64(server.config.Limits.Watches)
	if n := w.s.conn.watches.Add(1); n > most {
		w.s.conn.watches.Add(-1)
		return kv.Errorf(kv.Overloaded, "too many watches: this connection has %d, the limit", most)
	}
	bytes := int64(watchOverhead + len(q.Watch.Key) + len(q.Watch.End))
	if !w.s.share.reserve(bytes) {
		w.s.conn.watches.Add(-1)
		return kv.Errorf(kv.Overloaded, "no memory budget left for another watch: this client has used its share of the %d bytes that this member has for all clients",
			server.config.Limits.Bytes)
	}
	w.all[q.ID] = bytes
	w.s.conn.fixed.Add(bytes)
	return nil
}

// awaitAnswersWritten waits until the client has read the answers to its requests.
func (w *watchStream) awaitAnswersWritten() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.answers > answerBytesWaiting && !w.ended {
		w.answersWritten.Wait()
	}
	if w.ended {
		return io.ErrClosedPipe
	}
	return nil
}

// write is the writer goroutine of a stream of watches.
func (w *watchStream) write() {
	defer w.end()
	var taken []kv.WatchDelivery
	var buf []byte
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		timed := false
		select {
		case <-w.s.wake:
		case <-retry.C:
			timed = true
		}
		var over, starved bool
		var since time.Time
		if taken, since, over, starved = w.take(taken); w.s.isClosed() {
			return
		}
		if starved && timed {
			w.requestEvents()
			continue
		}
		var err error
		if buf, err = w.writeAll(taken, buf[:0]); err != nil {
			w.s.fail(err)
			return
		}
		if over || w.s.isEnding() {
			w.s.close()
			return
		}
		if w.releaseSent(taken, since); starved {
			retry.Reset(shareRetry)
		}
	}
}

// shareRetry is the retry interval of a stream that holds no events, and was refused because its client's share is used up.
const shareRetry = 100 * time.Millisecond

// take takes the queued deliveries. over reports whether the last delivery of the stream is among them, starved whether events were
// refused although none is queued.
func (w *watchStream) take(spare []kv.WatchDelivery) (taken []kv.WatchDelivery, since time.Time, over, starved bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken, w.out = w.out, spare[:0]
	return taken, w.since, w.over, w.refused && w.waiting == 0 && len(taken) == 0
}

// requestEvents makes the member deliver the refused events.
func (w *watchStream) requestEvents() {
	w.mu.Lock()
	w.refused = false
	w.mu.Unlock()
	w.s.conn.server.config.Member.Watch(w, kv.WatchRequest{Kind: kv.WatchRoom})
}

// writeAll writes deliveries, and coalesces small ones.
func (w *watchStream) writeAll(all []kv.WatchDelivery, buf []byte) ([]byte, error) {
	const copied = 16 << 10 // larger ones are written without a copy
	for i := range all {
		d := &all[i]
		buf = wire.AppendWatchDelivery(buf, d)
		if len(d.Events) <= copied {
			buf = append(buf, d.Events...)
		}
		if len(d.Events) > copied || len(buf) >= writeBytes {
			if err := w.s.send(buf); err != nil {
				return nil, err
			}
			buf = buf[:0]
		}
		if len(d.Events) > copied {
			if err := w.s.send(d.Events); err != nil {
				return nil, err
			}
		}
	}
	err := w.s.send(buf)
	if cap(buf) > usualBuffer {
		buf = nil
	}
	return buf, err
}

// releaseSent releases the memory of deliveries that were sent, and notifies the member when there is space again.
func (w *watchStream) releaseSent(all []kv.WatchDelivery, since time.Time) {
	w.mu.Lock()
	if w.ended { // the reader ended the stream meanwhile, which released everything
		w.mu.Unlock()
		return
	}
	var share int64
	events := 0
	for i := range all {
		d := &all[i]
		events += d.Count
		switch {
		case d.Kind == kv.WatchEvents, d.Kind == kv.WatchProgressed && len(d.IDs) > 0:
			size := w.eventBytes(d)
			w.waiting -= size
			share += size
		default:
			w.answers -= deliveryBytes(d)
		}
		if d.Kind == kv.WatchCanceled {
			share += w.forgetLocked(d.IDs)
		}
	}
	clear(all)
	if operations := w.s.conn.server.config.Operations; operations != nil && events > 0 {
		operations.Count(meter.Events, events)
		operations.Observe(meter.Events, time.Since(since))
	}
	w.answersWritten.Broadcast()
	again := w.refused && w.waiting <= limits.WatchBytesWaiting/2 && len(all) > 0
	w.mu.Unlock()
	w.s.share.release(share)
	if again {
		w.requestEvents()
	}
}

// forgetLocked removes watches, and returns their reserved bytes.
func (w *watchStream) forgetLocked(ids []uint64) (bytes int64) {
	for _, id := range ids {
		if took, there := w.all[id]; there {
			bytes += took
			w.s.conn.fixed.Add(-took)
			delete(w.all, id)
			w.s.conn.watches.Add(-1)
		}
	}
	return bytes
}

// end notifies the member that the stream is gone, and releases everything. A second call does nothing.
func (w *watchStream) end() {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return
	}
	w.ended, w.over = true, true
	bytes := w.waiting
	for _, took := range w.all {
		bytes += took
		w.s.conn.fixed.Add(-took)
	}
	w.s.conn.watches.Add(-int64(len(w.all)))
	w.out, w.all, w.waiting = nil, nil, 0
	w.answersWritten.Broadcast()
	w.mu.Unlock()
	w.s.share.release(bytes)
	w.s.conn.server.config.Member.Watch(w, kv.WatchRequest{Kind: kv.WatchEnd})
}

func (s *stream) ownWatches() *watchStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watches
}

func (s *stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// isEnding reports whether the client sends no more requests, or the member stops.
func (s *stream) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending || s.conn.server.draining.Load()
}

// close ends the stream in good order.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		_ = s.qs.Close()
		s.qs.CancelRead(0)
	}
}
